//! Which path a request is for.

use lambda_http::Request;

/// The path, percent-escapes resolved, at most one slash at its end dropped: `/events`, `/events/` and `/%65vents` are
/// one path. `None` when the escapes do not give UTF-8.
pub fn path(request: &Request) -> Option<String> {
    path_of(request.uri())
}

pub(crate) fn path_of(uri: &http::Uri) -> Option<String> {
    let path = unescape(uri.path())?;
    match path.strip_suffix('/') {
        Some("") | None => Some(path),
        Some(rest) => Some(rest.to_owned()),
    }
}

/// A query parameter's last value, `+` and percent-escapes resolved.
pub fn query(request: &Request, name: &str) -> Option<String> {
    let query = request.uri().query()?;
    query
        .split('&')
        .filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(&key.replace('+', " "))? == name).then(|| unescape(&value.replace('+', " ")))?
        })
        .next_back()
}

fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (bytes.next()?, bytes.next()?);
            let digit = |byte: u8| char::from(byte).to_digit(16);
            out.push((digit(high)? * 16 + digit(low)?) as u8);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use lambda_http::Body;

    use super::*;

    fn get(uri: &str) -> Request {
        http::Request::builder().uri(uri).body(Body::Empty).unwrap()
    }

    #[test]
    fn paths() {
        for (uri, expected) in [
            ("/events", Some("/events")),
            ("/events/", Some("/events")),
            ("/events//", Some("/events/")),
            ("//events", Some("//events")),
            ("/%65vents/?x=/", Some("/events")),
            ("/", Some("/")),
            ("/%zz", None),
            ("/%ff", None),
        ] {
            assert_eq!(path(&get(uri)).as_deref(), expected, "{uri}");
        }
    }

    #[test]
    fn queries() {
        let request = get("/a?from=2024-01-01&to=%32+x&to=y%20z&flag&bad=%f");
        assert_eq!(query(&request, "from").as_deref(), Some("2024-01-01"));
        assert_eq!(query(&request, "to").as_deref(), Some("y z"));
        assert_eq!(query(&request, "flag").as_deref(), Some(""));
        assert_eq!(query(&request, "bad"), None);
        assert_eq!(query(&request, "none"), None);
    }
}
