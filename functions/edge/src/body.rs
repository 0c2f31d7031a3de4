//! What a request's headers say of its body: its media type, and how to inflate it, with a cap on what comes out.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use crate::problem::{self, Problem};

/// The content codings that are read, as `Accept-Encoding` of a 415 names them (RFC 9110, section 12.5.3).
pub const ACCEPTED_ENCODINGS: &str = "gzip, zstd";

/// Largest zstd window, as a power of two: 8 MiB, what RFC 8878 (section 3.1.1.1.2) asks every decoder to support. A frame
/// may ask for gigabytes.
const MAX_WINDOW_LOG: u32 = 23;

/// How much longer than a gzip body its text mostly is at the least: events are alike.
const GZIP_GROWS: usize = 4;

/// The first byte of gzip, and the first of zstd, when a gateway took the body for text: the second became U+FFFD.
const TEXTIFIED: [&[u8]; 2] = [b"\x1F\xEF\xBF\xBD", b"(\xEF\xBF\xBD/\xEF\xBF\xBD"];

/// Why a body cannot be inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// A coding that is not read, or more than one.
    #[error("Content-Encoding is neither gzip nor zstd nor absent")]
    UnsupportedEncoding,
    /// Not what `Content-Encoding` says.
    #[error("the body is not {encoding}, as Content-Encoding says")]
    Damaged {
        /// What it should be.
        encoding: &'static str,
    },
    /// Compressed bytes that a gateway took for text.
    #[error(
        "the body was {encoding}, but a gateway read it as text and broke it: send compressed bodies as \
         application/x-ndjson"
    )]
    ReadAsText {
        /// What it was.
        encoding: &'static str,
    },
    /// Inflated, longer than is read.
    #[error("it inflates to more than {limit} bytes")]
    InflatesTooFar {
        /// Most bytes that are read.
        limit: usize,
    },
}

impl BodyError {
    /// Its entry in the catalogue.
    pub fn problem(self) -> Problem {
        match self {
            BodyError::UnsupportedEncoding => problem::UNSUPPORTED_ENCODING,
            BodyError::Damaged { .. } | BodyError::ReadAsText { .. } => problem::UNDECODABLE_BODY,
            BodyError::InflatesTooFar { .. } => problem::BODY_TOO_LARGE,
        }
    }
}

/// The body as it was before `Content-Encoding`; at most `limit` bytes when it was compressed. A bomb costs what `limit`
/// bytes cost, or nothing when its header tells how far it goes.
pub fn decode<'a>(headers: &HeaderMap, body: &'a [u8], limit: usize) -> Result<Cow<'a, [u8]>, BodyError> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let coding = codings.next().map(|coding| coding.as_bytes().trim_ascii());
    if codings.next().is_some() {
        return Err(BodyError::UnsupportedEncoding);
    }
    match coding.map(<[u8]>::to_ascii_lowercase).as_deref() {
        None | Some(b"" | b"identity") => Ok(Cow::Borrowed(body)),
        Some(b"gzip" | b"x-gzip") => gunzip(body, limit).map(Cow::Owned),
        Some(b"zstd") => unzstd(body, limit).map(Cow::Owned),
        Some(_) => Err(BodyError::UnsupportedEncoding),
    }
}

/// The media type that `Content-Type` names, in lower case and without parameters; empty when there is none. `None` when
/// the header is no text.
pub fn media_type(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let Some(content_type) = headers.get(CONTENT_TYPE) else {
        return Some(Cow::Borrowed(""));
    };
    let content_type = content_type.to_str().ok()?;
    // As clients mostly write it.
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'/' | b'-' | b'+' | b'.');
    if content_type.bytes().all(is_plain) {
        return Some(Cow::Borrowed(content_type));
    }
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let is_lower = !essence.bytes().any(|byte| byte.is_ascii_uppercase());
    Some(if is_lower {
        Cow::Borrowed(essence)
    } else {
        Cow::Owned(essence.to_ascii_lowercase())
    })
}

fn gunzip(body: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    // Its trailer tells a length too, but of a body that was cut off the last bytes are anything.
    let expected = body.len().saturating_mul(GZIP_GROWS).min(limit);
    inflate("gzip", body, MultiGzDecoder::new(body), expected, limit)
}

fn unzstd(body: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    let announced = match zstd::zstd_safe::get_frame_content_size(body) {
        Ok(length) => usize::try_from(length.unwrap_or(0)).unwrap_or(usize::MAX),
        Err(_) => return Err(damaged("zstd", body)),
    };
    if announced > limit {
        return Err(BodyError::InflatesTooFar { limit });
    }
    let decoder = zstd::Decoder::with_buffer(body).and_then(|mut decoder| {
        decoder.window_log_max(MAX_WINDOW_LOG)?;
        Ok(decoder)
    });
    match decoder {
        Ok(decoder) => inflate("zstd", body, decoder, announced, limit),
        Err(_) => Err(damaged("zstd", body)),
    }
}

fn inflate(
    encoding: &'static str,
    body: &[u8],
    decoder: impl Read,
    expected: usize,
    limit: usize,
) -> Result<Vec<u8>, BodyError> {
    let mut inflated = Vec::with_capacity(expected + 1);
    match decoder.take(limit as u64 + 1).read_to_end(&mut inflated) {
        Err(_) => Err(damaged(encoding, body)),
        Ok(_) if inflated.len() > limit => Err(BodyError::InflatesTooFar { limit }),
        Ok(_) => Ok(inflated),
    }
}

fn damaged(encoding: &'static str, body: &[u8]) -> BodyError {
    if TEXTIFIED.iter().any(|start| body.starts_with(start)) {
        BodyError::ReadAsText { encoding }
    } else {
        BodyError::Damaged { encoding }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LIMIT: usize = 1 << 20;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd_of(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[track_caller]
    fn check(coding: &str, body: &[u8], expected: Result<&[u8], BodyError>) {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, coding.parse().unwrap());
        let decoded = decode(&headers, body, LIMIT);
        assert_eq!(decoded.as_deref().map_err(|error| *error), expected, "{coding:?}");
    }

    #[test]
    fn codings() {
        let full = vec![b'x'; LIMIT];
        assert_eq!(*decode(&HeaderMap::new(), b"plain", LIMIT).unwrap(), *b"plain");
        check("", b"plain", Ok(b"plain"));
        check("Identity", b"plain", Ok(b"plain"));
        check("GZIP", &gzip(b"x"), Ok(b"x"));
        check("x-gzip", &[gzip(b"x"), gzip(b"y")].concat(), Ok(b"xy"));
        check("gzip", &gzip(&full), Ok(&full));
        check("zstd", &zstd_of(b"x"), Ok(b"x"));
        check("zstd", &[zstd_of(b"x"), zstd_of(b"y")].concat(), Ok(b"xy"));
        check("zstd", &zstd_of(&full), Ok(&full));
        for coding in ["br", "deflate", "gzip, zstd", "gzip,gzip"] {
            check(coding, b"", Err(BodyError::UnsupportedEncoding));
        }
    }

    #[test]
    fn what_is_not_what_it_says_is_damaged() {
        for (encoding, good) in [("gzip", gzip(&[b'x'; 5000])), ("zstd", zstd_of(&[b'x'; 5000]))] {
            for body in [&b""[..], b"{}", &good[..good.len() / 2], &[&good[..], b"tail"].concat()] {
                check(encoding, body, Err(BodyError::Damaged { encoding }));
            }
            let text = String::from_utf8_lossy(&good).into_owned();
            check(encoding, text.as_bytes(), Err(BodyError::ReadAsText { encoding }));
        }
    }

    /// Bombs that tell their length, that lie about it, that do not tell it, and that want a window of gigabytes.
    #[test]
    fn a_bomb_is_refused() {
        let too_far = Err(BodyError::InflatesTooFar { limit: LIMIT });
        let bomb = vec![0; LIMIT + 1];
        check("gzip", &gzip(&bomb), too_far);
        check("gzip", &[gzip(&bomb), gzip(b"")].concat(), too_far);
        check("zstd", &zstd_of(&bomb), too_far);
        check("zstd", &[zstd_of(b""), zstd_of(&bomb)].concat(), too_far);
        let mut wide = zstd::Encoder::new(Vec::new(), 3).unwrap();
        wide.window_log(27).unwrap();
        wide.include_contentsize(false).unwrap();
        wide.write_all(b"x").unwrap();
        check(
            "zstd",
            &wide.finish().unwrap(),
            Err(BodyError::Damaged { encoding: "zstd" }),
        );
    }
}
