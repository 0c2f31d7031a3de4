//! What `POST /events` reads of a request before its body: who sends, what, and under which key.
//!
//! Input: lines; the first is the URL, the others are headers.

#![no_main]

#[path = "../../../functions/events/src"]
#[allow(dead_code, reason = "the function uses the rest")]
mod events {
    pub(crate) mod idempotency;
    pub(crate) mod media;
}

use std::sync::OnceLock;

use edge::auth::{self, Keys};
use edge::config::Reader;
use edge::{Body, Request, body};
use event_model::Event;
use events::idempotency::{IDEMPOTENCY_KEY, IdempotencyKey, MAX_KEY_BYTES};
use events::media::Media;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

const WRITE_KEY: &str = "k3y";

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let uri = lines
        .next()
        .and_then(|line| Uri::try_from(line).ok())
        .unwrap_or_default();
    let mut request = Request::new(Body::Empty);
    *request.uri_mut() = uri;
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (
            HeaderName::from_bytes(&line[..colon]),
            HeaderValue::from_bytes(&line[colon + 1..]),
        );
        if let (Ok(name), Ok(value)) = (name, value) {
            request.headers_mut().append(name, value);
        }
    }
    who(&request, data);
    under_which_key(request.headers());
    if let Some(media) = Media::of(request.headers()) {
        let essence = body::media_type(request.headers()).expect("a media type that is read is text");
        assert_eq!(
            media == Media::Ndjson,
            ["ndjson", "jsonl"].iter().any(|end| essence.ends_with(end)),
            "{essence}"
        );
    }
});

/// Nobody gets in who does not name the key.
fn who(request: &Request, data: &[u8]) {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let lookup = |name: &str| (name == "WRITE_KEYS").then(|| format!("other, {WRITE_KEY}"));
        let mut reader = Reader::new(&lookup);
        let keys = Keys::read(&mut reader, &auth::WRITE);
        reader.finish(keys).expect("a configuration")
    });
    if keys.check(request).is_ok() {
        let named = |key: &str| data.windows(key.len()).any(|window| window == key.as_bytes());
        // In the URL a character may be written as an escape.
        assert!(named(WRITE_KEY) || named("other") || request.uri().query().is_some_and(|query| query.contains('%')));
    }
}

/// A key is the same in quotes and bare, and no other key gives the same ids.
fn under_which_key(headers: &HeaderMap) {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (first, second) = (values.next(), values.next());
    let Ok(key) = IdempotencyKey::of(headers) else {
        assert!(first.is_some(), "no header is no wrong header");
        return;
    };
    let Some(key) = key else {
        assert!(first.is_none(), "a header is a key or wrong");
        return;
    };
    assert!(second.is_none(), "two headers are not one key");
    let value = first.map(|value| value.as_bytes().trim_ascii()).unwrap_or_default();
    let id = id(&key);
    if !value.starts_with(b"\"") {
        assert!((1..=MAX_KEY_BYTES).contains(&value.len()) && value.iter().all(|byte| (b' '..=b'~').contains(byte)));
        let escaped = value.iter().flat_map(|byte| match byte {
            b'"' | b'\\' => vec![b'\\', *byte],
            _ => vec![*byte],
        });
        let quoted: Vec<u8> = [b'"'].into_iter().chain(escaped).chain([b'"']).collect();
        assert_eq!(of(&quoted).map(|key| self::id(&key)), Some(id));
    }
    // Behind a semicolon are parameters, which are no part of a key in quotes.
    if !value.contains(&b';') {
        assert_ne!(of(&[value, b"x"].concat()).map(|key| self::id(&key)), Some(id));
    }
}

fn of(value: &[u8]) -> Option<IdempotencyKey> {
    let value = HeaderValue::from_bytes(value).ok()?;
    IdempotencyKey::of(&HeaderMap::from_iter([(
        HeaderName::from_static(IDEMPOTENCY_KEY),
        value,
    )]))
    .ok()?
}

fn id(key: &IdempotencyKey) -> Uuid {
    static EVENT: OnceLock<Event> = OnceLock::new();
    let event = EVENT.get_or_init(|| {
        let body = br#"{"dt":0,"name":"view","user_id":1,"url":"http://site/","obj":"page"}"#;
        Event::from_json(body).expect("an event")
    });
    key.event_id(0, event)
}
