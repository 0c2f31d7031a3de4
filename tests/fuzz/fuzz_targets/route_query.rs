//! The path and the query of a request: what a URL parser of its own makes of them.

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
    let pairs = || query.split('&').filter(|pair| well_escaped(pair));
    for pair in pairs() {
        // A key as it may stand in the code of a handler.
        let Some((key, value)) = form_urlencoded::parse(pair.as_bytes()).next() else {
            continue;
        };
        // A parser of forms passes over pairs that are empty.
        if key.is_empty() || key.contains('\u{FFFD}') || value.contains('\u{FFFD}') {
            continue;
        }
        let last = pairs()
            .flat_map(|pair| form_urlencoded::parse(pair.as_bytes()))
            .filter(|(other, value)| *other == key && !value.contains('\u{FFFD}'))
            .last();
        assert_eq!(
            route::query(&request, &key),
            last.map(|(_, value)| value.into_owned()),
            "{key:?}"
        );
    }
});

/// Whether each percent sign begins an escape.
fn well_escaped(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}
