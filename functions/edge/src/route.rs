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

/// A query parameter's last value, `+` and percent-escapes resolved. One whose escapes do not give UTF-8 counts as not sent.
pub fn query(request: &Request, name: &str) -> Option<String> {
    parameter(request, name)?.ok()
}

/// As [`query`]; the error is what was sent when its escapes do not give UTF-8.
pub fn parameter(request: &Request, name: &str) -> Option<Result<String, String>> {
    let pairs = request.uri().query()?.split('&');
    let (_, value) = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .rfind(|(key, _)| unescape(&key.replace('+', " ")).as_deref() == Some(name))?;
    Some(unescape(&value.replace('+', " ")).ok_or_else(|| value.to_owned()))
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
        assert_eq!(parameter(&request, "bad"), Some(Err("%f".to_owned())));
        assert_eq!(parameter(&get("/a?x=%f&x=1"), "x"), Some(Ok("1".to_owned())));
        assert_eq!(parameter(&get("/a?x=1&x=%ff"), "x"), Some(Err("%ff".to_owned())));
        assert_eq!(query(&request, "none"), None);
    }
}
