//! The path and the query of a request: what another decoder makes of them.

#![no_main]

use edge::{Body, Request, route};
use http::Uri;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(uri) = text.parse::<Uri>() else { return };
    let mut request = Request::new(Body::Empty);
    *request.uri_mut() = uri.clone();

    let path = route::path(&request);
    let decoded = well_escaped(uri.path()).then(|| percent_encoding::percent_decode_str(uri.path()).decode_utf8());
    match (&path, decoded) {
        (Some(path), Some(Ok(decoded))) => {
            let shorter = decoded.strip_suffix('/').filter(|rest| !rest.is_empty());
            assert_eq!(path, shorter.unwrap_or(&decoded));
        }
        (None, None | Some(Err(_))) => {}
        (path, decoded) => panic!("{path:?} where {decoded:?} stands"),
    }

    let Some(query) = uri.query() else { return };
    let pairs: Vec<_> = query.split('&').filter_map(pair).collect();
    for (key, _) in &pairs {
        let last = pairs.iter().rfind(|(other, _)| other == key);
        let last = last.and_then(|(_, value)| value.as_ref());
        assert_eq!(route::query(&request, key).as_ref(), last, "{key:?}");
        let sent = route::parameter(&request, key);
        assert_eq!(sent.and_then(Result::ok).as_ref(), last, "{key:?}");
    }
});

/// A key, and its value if that can be decoded.
fn pair(pair: &str) -> Option<(String, Option<String>)> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let decoded = well_escaped(&text).then(|| percent_encoding::percent_decode_str(&text).decode_utf8());
        Some(decoded?.ok()?.into_owned())
    };
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    Some((decode(key)?, decode(value)))
}

/// Whether each percent sign begins an escape.
fn well_escaped(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}
