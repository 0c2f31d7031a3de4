//! GET /health and GET /metrics: how each stream does, for `weir status` and for Prometheus.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::Response;
use serde::Serialize;
use serde_json::{Value, json};

use super::App;
use crate::firehose::clock::now_ms;
use crate::firehose::deliver::{blocking, data_bytes};
use crate::firehose::stream::Stream;
use crate::metrics::exposition::{self, Figures, Kind};

pub(super) async fn health(State(app): State<Arc<App>>) -> Json<Value> {
    let streams: serde_json::Map<_, _> = describe_all(&app)
        .await
        .into_iter()
        .map(|(name, health)| (name, json!(health)))
        .collect();
    Json(json!({ "status": "ok", "streams": streams }))
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response<Body> {
    let streams = describe_all(&app).await;
    let families: Vec<_> = METRICS
        .iter()
        .map(|metric| {
            let value = |(name, health): &(String, StreamHealth)| (name.clone(), (metric.value)(health));
            let figures = Figures {
                name: metric.name,
                help: metric.help,
                kind: metric.kind,
                label: Some("stream"),
                values: streams.iter().map(value).collect(),
            };
            figures.family()
        })
        .collect();
    exposition::response(exposition::text(&families))
}

/// How one stream does.
#[derive(Debug, Serialize)]
struct StreamHealth {
    /// Records since the stream was created.
    accepted: u64,
    delivered: u64,
    given_up: u64,
    /// Accepted and not done.
    spooled_records: u64,
    /// Data bytes of these.
    spooled_bytes: u64,
    /// Of the oldest of them; null without one.
    oldest_age_seconds: Option<i64>,
    /// Attempts that wait for the endpoint.
    in_flight: usize,
    /// Batches that are formed and not done.
    open_batches: usize,
    /// Since the program started.
    failed_attempts: usize,
    /// Of the spool, since the stream was created.
    damaged_bytes: u64,
}

/// One figure of each stream, as Prometheus gets it.
struct Metric {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    value: fn(&StreamHealth) -> f64,
}

// Prometheus's numbers are floats: exact up to 2^53.
#[allow(clippy::cast_precision_loss, reason = "so many records pass no machine")]
const METRICS: [Metric; 10] = [
    Metric {
        name: "weir_firehose_records_accepted_total",
        help: "Records that were accepted since the stream was created.",
        kind: Kind::Counter,
        value: |stream| stream.accepted as f64,
    },
    Metric {
        name: "weir_firehose_records_delivered_total",
        help: "Records that the endpoint took.",
        kind: Kind::Counter,
        value: |stream| stream.delivered as f64,
    },
    Metric {
        name: "weir_firehose_records_given_up_total",
        help: "Records that went to the backup.",
        kind: Kind::Counter,
        value: |stream| stream.given_up as f64,
    },
    Metric {
        name: "weir_firehose_failed_attempts_total",
        help: "Deliveries that failed, since the program started.",
        kind: Kind::Counter,
        value: |stream| stream.failed_attempts as f64,
    },
    Metric {
        name: "weir_firehose_damaged_bytes_total",
        help: "Bytes of the spool that could not be read back.",
        kind: Kind::Counter,
        value: |stream| stream.damaged_bytes as f64,
    },
    Metric {
        name: "weir_firehose_spooled_records",
        help: "Records that are accepted and not done.",
        kind: Kind::Gauge,
        value: |stream| stream.spooled_records as f64,
    },
    Metric {
        name: "weir_firehose_spooled_bytes",
        help: "Data bytes of the records that are accepted and not done.",
        kind: Kind::Gauge,
        value: |stream| stream.spooled_bytes as f64,
    },
    Metric {
        name: "weir_firehose_oldest_record_age_seconds",
        help: "How long ago the oldest record that is not done was accepted; 0 without one.",
        kind: Kind::Gauge,
        value: |stream| stream.oldest_age_seconds.unwrap_or_default() as f64,
    },
    Metric {
        name: "weir_firehose_in_flight_deliveries",
        help: "Deliveries that wait for the endpoint's answer.",
        kind: Kind::Gauge,
        value: |stream| stream.in_flight as f64,
    },
    Metric {
        name: "weir_firehose_open_batches",
        help: "Batches that are formed and not done.",
        kind: Kind::Gauge,
        value: |stream| stream.open_batches as f64,
    },
];

/// Every stream with its name.
async fn describe_all(app: &App) -> Vec<(String, StreamHealth)> {
    let mut streams = Vec::new();
    for stream in app.registry.all() {
        streams.push((stream.config().name.clone(), StreamHealth::of(&stream).await));
    }
    streams
}

impl StreamHealth {
    async fn of(stream: &Arc<Stream>) -> Self {
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
        Self {
            accepted: tail.records,
            delivered: summary.delivered,
            given_up: summary.given_up,
            spooled_records: spooled,
            spooled_bytes: data_bytes(summary.assigned.offset, tail.offset, waiting) + summary.open_bytes,
            oldest_age_seconds: oldest.map(|arrival| now_ms().saturating_sub(arrival).max(0) / 1000),
            in_flight: stream.status.in_flight.load(Ordering::Relaxed),
            open_batches: summary.open_batches,
            failed_attempts: stream.status.failed_attempts.load(Ordering::Relaxed),
            damaged_bytes: summary.damaged_bytes,
        }
    }
}
