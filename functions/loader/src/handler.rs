//! One delivery, from the access key to the answer.

use std::time::{Duration, Instant};

use edge::{Body, Record, Request, Response, deadline, respond};
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;

use crate::context::Context;
use crate::delivery::Delivery;
use crate::error::{Error, MAX_INFLATED_BYTES};
use crate::store::{self, Stored};

const ACCESS_KEY: &str = "x-amz-firehose-access-key";
const REQUEST_ID: &str = "x-amz-firehose-request-id";
const PROTOCOL_VERSION: &str = "x-amz-firehose-protocol-version";

/// Longest `errorMessage` that Firehose reads, in characters.
const MAX_MESSAGE_CHARS: usize = 8192;

/// Answers one delivery. Also what fails is answered in the protocol's shape.
pub async fn handle(context: &Context, request: Request, record: &mut Record) -> Response<Body> {
    let now = (context.now)();
    let header_id = header(request.headers(), REQUEST_ID).unwrap_or_default().to_owned();
    match deliver(context, &request, record).await {
        Ok(request_id) => reply(StatusCode::OK, &request_id, now, None),
        Err(error) => {
            log(&error, &header_id);
            reply(error.status(), &header_id, now, Some(&error.message()))
        }
    }
}

/// Checks the delivery, inserts its rows, and returns its request id.
async fn deliver(context: &Context, request: &Request, record: &mut Record) -> Result<String, Error> {
    let headers = request.headers();
    // First of all, and in the same time wherever the first difference is.
    let key = headers.get(ACCESS_KEY).map(|key| key.as_bytes()).unwrap_or_default();
    if !context.access_key.matches(key) {
        return Err(Error::WrongKey);
    }
    if request.method() != Method::POST {
        return Err(Error::MethodNotAllowed);
    }
    if header(headers, PROTOCOL_VERSION).is_some_and(|version| version != "1.0") {
        return Err(Error::UnknownVersion);
    }
    let body = edge::body::decode(headers, request.body(), MAX_INFLATED_BYTES)?;
    let delivery = Delivery::parse(&body)?;
    if header(headers, REQUEST_ID).is_some_and(|id| id != delivery.request_id) {
        return Err(Error::TwoRequestIds);
    }
    record.delivery = Some(loggable(&delivery.request_id).to_owned()).filter(|id| !id.is_empty());
    let lines = delivery.lines();
    let oldest_ms = lines.rows.iter().map(|row| row.received_at).min();
    // Reading a large delivery has taken its time.
    let budget = deadline::remaining(request, (context.now)());
    if budget.is_zero() {
        return Err(Error::NoTime);
    }
    let started = Instant::now();
    let stored = store::store(&context.clickhouse, lines, &delivery.request_id, budget).await;
    record.insert = Some(started.elapsed());
    // Also of a delivery that failed: its data grow old.
    record.data_age = oldest_ms.map(|oldest_ms| age((context.now)(), oldest_ms));
    let Stored { rows, quarantined } = stored?;
    record.stored = Some(rows as u64);
    record.quarantined = Some(quarantined as u64);
    Ok(delivery.request_id.into_owned())
}

/// How long ago an instant was that is told in milliseconds since 1970; nothing if the clock that told it is ahead of ours.
fn age(now: Timestamp, received_at_ms: i64) -> Duration {
    let age_ms = now.as_millisecond().saturating_sub(received_at_ms);
    Duration::from_millis(u64::try_from(age_ms).unwrap_or(0))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A request id as a log may hold it: Firehose's are UUIDs; anybody may send another, and it is left out.
fn loggable(request_id: &str) -> &str {
    if event_model::is_request_id(request_id) {
        request_id
    } else {
        ""
    }
}

/// Writes why a delivery failed. Neither ClickHouse's text nor the parser's goes there: both may quote the data.
fn log(error: &Error, request_id: &str) {
    let (code, reason, delivery) = (error.code(), error.message(), loggable(request_id));
    if error.status().is_server_error() {
        tracing::error!(delivery, code, reason, "delivery failed");
    } else {
        tracing::warn!(delivery, code, reason, "delivery refused");
    }
}

/// An answer in the protocol's shape: exactly these fields, exactly this content type, the time as a number.
pub(crate) fn reply(
    status: StatusCode,
    request_id: &str,
    now: Timestamp,
    error_message: Option<&str>,
) -> Response<Body> {
    let mut body = serde_json::json!({ "requestId": request_id, "timestamp": now.as_millisecond() });
    if let Some(message) = error_message {
        let message: String = message.chars().take(MAX_MESSAGE_CHARS).collect();
        body["errorMessage"] = message.into();
    }
    respond::json(status, body.to_string())
}

#[cfg(test)]
mod tests;
