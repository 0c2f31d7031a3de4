//! How a body is to be read.

use edge::body;
use event_model::{Events, Undecodable};
use http::HeaderMap;

/// The notation of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// One event, or an array of events.
    Json,
    /// One event a line.
    Ndjson,
}

/// What is read, for who sent something else.
pub const ACCEPTED: &str = "application/json, application/*+json, text/plain (read as JSON) or application/x-ndjson";

impl Media {
    /// The notation that `Content-Type` names; JSON when there is none. `text/plain` is what a beacon sends without asking
    /// for leave (a preflight). `None`: not one that is read.
    pub fn of(headers: &HeaderMap) -> Option<Media> {
        let essence = body::media_type(headers)?;
        match &*essence {
            "" | "application/json" | "text/plain" => Some(Media::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Media::Ndjson),
            other if other.starts_with("application/") && other.ends_with("+json") => Some(Media::Json),
            _ => None,
        }
    }

    /// The events of a body.
    pub fn events(self, body: &[u8]) -> Result<Events<'_>, Undecodable> {
        match self {
            Media::Json => Events::from_json(body),
            Media::Ndjson => Ok(Events::from_ndjson(body)),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;

    use super::*;

    #[test]
    fn content_types() {
        let check = |content_type: Option<&[u8]>, expected: Option<Media>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = content_type {
                headers.insert(CONTENT_TYPE, http::HeaderValue::from_bytes(value).unwrap());
            }
            assert_eq!(Media::of(&headers), expected, "{content_type:?}");
        };
        check(None, Some(Media::Json));
        check(Some(b""), Some(Media::Json));
        check(Some(b"Application/JSON; charset=utf-8"), Some(Media::Json));
        check(Some(b"application/cloudevents+json"), Some(Media::Json));
        check(Some(b"text/plain;charset=UTF-8"), Some(Media::Json));
        check(Some(b"application/x-ndjson"), Some(Media::Ndjson));
        check(Some(b"application/jsonl"), Some(Media::Ndjson));
        check(Some(b"text/html"), None);
        check(Some(b"application/x-www-form-urlencoded"), None);
        check(Some(b"\xFF"), None);
    }
}
