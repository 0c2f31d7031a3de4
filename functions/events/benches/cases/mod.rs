//! What is measured: a body's way to packed records, and the same body read into a plain struct.

use std::collections::BTreeMap;
use std::io::Write as _;

use edge::{Body, Rejected, Request, body};
use events::ids::Ids;
use events::intake::{self, Keep, MAX_INFLATED_BYTES};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use crate::sample;

/// Every case.
pub(crate) const NAMES: [&str; 4] = ["one", "array_500", "ndjson_5000", "gzip_5000"];

/// The id of the request, as Lambda gives one.
const REQUEST_ID: &str = "8f5e0c7a-3f1d-4e57-9f0a-5b8a4c1d2e3f";

/// One request, and how many events it holds.
pub(crate) struct Case {
    request: Request,
    is_lines: bool,
    /// How many events.
    pub(crate) events: usize,
}

/// What a service without a contract would read.
#[derive(Deserialize)]
#[allow(dead_code, reason = "read, and that is all")]
struct Plain {
    dt: String,
    name: String,
    user_id: u64,
    url: String,
    obj: String,
    #[serde(default)]
    obj_id: String,
    #[serde(default)]
    product_id: u64,
    #[serde(default)]
    amount: f64,
    exp: Option<BTreeMap<String, String>>,
    event_id: Option<Uuid>,
}

impl Case {
    /// The case of that name.
    pub(crate) fn named(name: &str) -> Option<Case> {
        let (events, is_lines, is_gzip) = match name {
            "one" => (1, false, false),
            "array_500" => (500, false, false),
            "ndjson_5000" => (5000, true, false),
            "gzip_5000" => (5000, true, true),
            _ => return None,
        };
        let sample = sample::events(events);
        let text = match (is_lines, events) {
            (true, _) => sample.join("\n") + "\n",
            (false, 1) => sample.concat(),
            (false, _) => format!("[{}]", sample.join(",")),
        };
        let mut request = Request::new(Body::Text(text.clone()));
        let media = if is_lines {
            "application/x-ndjson"
        } else {
            "application/json"
        };
        let headers = request.headers_mut();
        // What a browser or a client library sends along.
        headers.insert("host", "abc.lambda-url.eu-central-1.on.aws".parse().ok()?);
        headers.insert("accept", "*/*".parse().ok()?);
        headers.insert("user-agent", "shop/1.0".parse().ok()?);
        headers.insert(CONTENT_TYPE, media.parse().ok()?);
        if is_gzip {
            headers.insert(CONTENT_ENCODING, "gzip".parse().ok()?);
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text.as_bytes()).ok()?;
            *request.body_mut() = Body::Binary(encoder.finish().ok()?);
        }
        Some(Case {
            request,
            is_lines,
            events,
        })
    }

    /// What the function does up to its call of Firehose. How many bytes there are to send.
    pub(crate) fn edge(&self) -> usize {
        let now = Timestamp::UNIX_EPOCH;
        let mut rejected = Rejected::default();
        let mut ids = Ids::new(now);
        let new_id = || ids.next_id();
        let read = intake::read(&self.request, Keep::Lines, now, new_id, REQUEST_ID, &mut rejected);
        let records = read.map(|intake| intake.records).unwrap_or_default();
        records.iter().map(|record| record.data.len()).sum()
    }

    /// The same body, read by `serde_json`. How many events it holds.
    pub(crate) fn serde(&self) -> usize {
        let decoded = body::decode(self.request.headers(), self.request.body(), MAX_INFLATED_BYTES);
        let body = decoded.unwrap_or_default();
        let events: Result<Vec<Plain>, _> = if self.is_lines {
            serde_json::Deserializer::from_slice(&body).into_iter().collect()
        } else if self.events == 1 {
            serde_json::from_slice(&body).map(|event| vec![event])
        } else {
            serde_json::from_slice(&body)
        };
        std::hint::black_box(events.unwrap_or_default()).len()
    }
}
