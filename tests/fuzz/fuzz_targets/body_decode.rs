//! A compressed request body: never more than the limit comes out, and nothing but what was put in.
//!
//! Input: a byte that chooses the encoding, two of the limit, and a body.

#![no_main]

use std::io::Write;

use edge::body::{self, BodyError};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(([choice, low, high], body)) = data.split_first_chunk() else {
        return;
    };
    let limit = usize::from(u16::from_le_bytes([*low, *high]));
    media_type_is_one_word(body);
    match choice % 4 {
        0 => compressed("gzip", &gzip(body), body, limit),
        1 => compressed("zstd", &zstd(body), body, limit),
        2 => raw("gzip", body, limit),
        _ => raw("zstd", body, limit),
    }
});

fn decode<'a>(encoding: &'static str, body: &'a [u8], limit: usize) -> Result<std::borrow::Cow<'a, [u8]>, BodyError> {
    let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(encoding))]);
    body::decode(&headers, body, limit)
}

/// Whatever the bytes are.
fn raw(encoding: &'static str, body: &[u8], limit: usize) {
    match decode(encoding, body, limit) {
        Ok(inflated) => assert!(inflated.len() <= limit, "{} bytes", inflated.len()),
        Err(error) => assert!(!error.to_string().is_empty() && error.problem().status.is_client_error()),
    }
}

/// What was compressed comes back, whole or not at all.
fn compressed(encoding: &'static str, packed: &[u8], body: &[u8], limit: usize) {
    assert_eq!(decode(encoding, packed, body.len()).as_deref(), Ok(body));
    match decode(encoding, packed, limit) {
        Ok(inflated) => assert!(*inflated == *body && body.len() <= limit),
        Err(error) => assert!(
            error == BodyError::InflatesTooFar { limit } && body.len() > limit,
            "{error}"
        ),
    }
    // Both formats allow one stream behind the other.
    let twice = [packed, packed].concat();
    assert_eq!(
        decode(encoding, &twice, 2 * body.len()).as_deref(),
        Ok(&*[body, body].concat())
    );
    // A body that was cut off is never a shorter body.
    let cut = limit % packed.len();
    if let Ok(inflated) = decode(encoding, &packed[..cut], body.len()) {
        assert!(
            cut == 0 && inflated.is_empty(),
            "{cut} of {} bytes are enough",
            packed.len()
        );
    }
}

fn media_type_is_one_word(value: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(value) else {
        return;
    };
    if let Some(media) = body::media_type(&HeaderMap::from_iter([(CONTENT_TYPE, value)])) {
        assert!(media == media.trim().to_ascii_lowercase() && !media.contains(';'));
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

fn zstd(body: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(body, 1).expect("memory takes everything")
}
