//! GET /health: how each stream does. What `weir status` reads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::App;
use crate::firehose::clock::now_ms;
use crate::firehose::deliver::{blocking, data_bytes};
use crate::firehose::stream::Stream;

pub(super) async fn health(State(app): State<Arc<App>>) -> Json<Value> {
    let mut streams = serde_json::Map::new();
    for stream in app.registry.all() {
        streams.insert(stream.config().name.clone(), describe(&stream).await);
    }
    Json(json!({ "status": "ok", "streams": streams }))
}

/// | member | meaning |
/// |---|---|
/// | accepted, delivered, given_up | records since the stream was created |
/// | spooled_records, spooled_bytes | accepted and not done, data bytes |
/// | oldest_age_seconds | of the oldest of them, or null |
/// | in_flight | attempts that wait for the endpoint |
/// | open_batches | batches that are formed and not done |
/// | failed_attempts | since the program started |
/// | damaged_bytes | of the spool, since the stream was created |
async fn describe(stream: &Arc<Stream>) -> Value {
    let summary = stream.status.summary();
    let tail = stream.spool.tail();
    let waiting = tail.records.saturating_sub(summary.assigned.records);
    let spooled = waiting + summary.open_records;
    let oldest = if spooled == 0 {
        None
    } else {
        let spool = Arc::clone(&stream.spool);
        // A segment that was delivered meanwhile is gone: then there is simply no age to tell.
        blocking(move || spool.arrival(summary.low)).await.ok().flatten()
    };
    json!({
        "accepted": tail.records,
        "delivered": summary.delivered,
        "given_up": summary.given_up,
        "spooled_records": spooled,
        "spooled_bytes": data_bytes(summary.assigned.offset, tail.offset, waiting) + summary.open_bytes,
        "oldest_age_seconds": oldest.map(|arrival| now_ms().saturating_sub(arrival).max(0) / 1000),
        "in_flight": stream.status.in_flight.load(Ordering::Relaxed),
        "open_batches": summary.open_batches,
        "failed_attempts": stream.status.failed_attempts.load(Ordering::Relaxed),
        "damaged_bytes": summary.damaged_bytes,
    })
}
