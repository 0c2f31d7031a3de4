//! Counters and histograms, made of the functions' records.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use super::record::Record;

/// What a label says of a value that is none of ours, or one too many.
const OTHER: &str = "other";

/// Most sets of method, route and status, and most reasons, of all functions together: ours are a tenth of that. A broken line
/// cannot make memory grow.
const MAX_SETS: usize = 2000;
const MAX_REASONS: usize = 500;

/// The longest value of a label, in bytes.
const MAX_VALUE: usize = 100;

/// Seconds that a request or an insert takes.
const TIMES: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Seconds since the oldest line of a delivery was received: a buffer interval, or an hour that ClickHouse was away.
const AGES: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
];
/// Bytes of a body: an event, a batch, the most that a function URL takes.
const BYTES: &[f64] = &[
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    6_291_456.0,
];
/// Rows of a delivery.
const ROWS: &[f64] = &[
    1.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 5000.0, 10000.0, 50000.0, 100_000.0,
];

/// The metrics of some functions.
#[derive(Debug)]
pub(crate) struct Families {
    registry: Registry,
    /// The functions' names. Another one is counted as [`OTHER`].
    functions: &'static [&'static str],
    seen: Mutex<Seen>,
    requests: IntCounterVec,
    failed: IntCounterVec,
    duration: HistogramVec,
    bytes: HistogramVec,
    accepted: IntCounterVec,
    rejected: IntCounterVec,
    not_stored: IntCounterVec,
    firehose_retries: IntCounterVec,
    stored: IntCounterVec,
    quarantined: IntCounterVec,
    insert_rows: HistogramVec,
    insert_duration: HistogramVec,
    data_age: HistogramVec,
}

/// Values of labels that came.
#[derive(Debug, Default)]
struct Seen {
    requests: HashSet<[String; 4]>,
    reasons: HashSet<[String; 2]>,
}

impl Families {
    /// Metrics of which nothing is counted yet. An error would be a mistake in this file: a name that is none, or given twice.
    pub(crate) fn new(functions: &'static [&'static str]) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let histogram = HistogramVec::new(options, &["function"])?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        Ok(Self {
            functions,
            seen: Mutex::default(),
            requests: counter(
                "weir_requests_total",
                "Requests that were answered, and invocations that ended.",
                &["function", "method", "route", "status"],
            )?,
            failed: counter(
                "weir_requests_failed_total",
                "Requests that were answered 5xx, and invocations that failed.",
                &["function"],
            )?,
            duration: histogram(
                "weir_request_duration_seconds",
                "The handler's time over a request.",
                TIMES,
            )?,
            bytes: histogram(
                "weir_request_bytes",
                "The body of a request that has one, as it came.",
                BYTES,
            )?,
            accepted: counter(
                "weir_events_accepted_total",
                "Events that are in the stream.",
                &["function"],
            )?,
            rejected: counter(
                "weir_events_rejected_total",
                "Events that are wrong, by the first reason of each.",
                &["function", "reason"],
            )?,
            not_stored: counter(
                "weir_events_not_stored_total",
                "Valid events that are not known to be in the stream.",
                &["function"],
            )?,
            firehose_retries: counter(
                "weir_firehose_retries_total",
                "How often records were offered to Firehose again.",
                &["function"],
            )?,
            stored: counter(
                "weir_rows_stored_total",
                "Lines that are rows, or were before.",
                &["function"],
            )?,
            quarantined: counter(
                "weir_lines_quarantined_total",
                "Lines that are in quarantine, or were before.",
                &["function"],
            )?,
            insert_rows: histogram("weir_insert_rows", "Rows of a delivery that was stored.", ROWS)?,
            insert_duration: histogram(
                "weir_insert_duration_seconds",
                "ClickHouse's time over a delivery.",
                TIMES,
            )?,
            data_age: histogram(
                "weir_data_age_seconds",
                "How long before its insert the oldest line of a delivery was received.",
                AGES,
            )?,
            registry,
        })
    }

    /// Begins what a function counts at zero, so that the first count is a rise.
    pub(crate) fn begin(&self, function: &str) {
        self.failed.with_label_values(&[function]);
        match function {
            "events" => {
                for counter in [&self.accepted, &self.not_stored, &self.firehose_retries] {
                    counter.with_label_values(&[function]);
                }
            }
            "loader" => {
                for counter in [&self.stored, &self.quarantined] {
                    counter.with_label_values(&[function]);
                }
            }
            _ => {}
        }
    }

    /// Counts one record.
    pub(crate) fn count(&self, record: &Record<'_>) {
        let known = self.functions.iter().find(|name| **name == record.function);
        let function = known.copied().unwrap_or(OTHER);
        self.count_request(function, record);
        self.duration.with_label_values(&[function]).observe(record.duration);
        if let Some(bytes) = record.bytes {
            self.bytes.with_label_values(&[function]).observe(f64::from(bytes));
        }
        for (counter, count) in [
            (&self.accepted, record.accepted),
            (&self.not_stored, record.not_stored),
            (&self.firehose_retries, record.firehose_retries),
            (&self.stored, record.stored),
            (&self.quarantined, record.quarantined),
        ] {
            if let Some(count) = count {
                counter.with_label_values(&[function]).inc_by(u64::from(count));
            }
        }
        for (reason, events) in &record.rejected {
            let reason = self.reason(function, reason);
            let counter = self.rejected.with_label_values(&[function, &reason]);
            counter.inc_by(u64::from(*events));
        }
        if let Some(insert) = record.insert {
            self.insert_duration.with_label_values(&[function]).observe(insert);
            // A delivery that failed stored nothing that is known.
            if let Some(rows) = record.stored {
                self.insert_rows.with_label_values(&[function]).observe(f64::from(rows));
            }
        }
        if let Some(age) = record.data_age {
            self.data_age.with_label_values(&[function]).observe(age);
        }
    }

    fn count_request(&self, function: &str, record: &Record<'_>) {
        if record
            .status
            .map_or(record.outcome.as_deref() == Some("failed"), |status| status >= 500)
        {
            self.failed.with_label_values(&[function]).inc();
        }
        let status = match record.status {
            Some(status) => status.to_string(),
            None => record.outcome.clone().unwrap_or_default().into_owned(),
        };
        let text = |value: &Option<std::borrow::Cow<'_, str>>| value.clone().unwrap_or_default().into_owned();
        let set = [function.to_owned(), text(&record.method), text(&record.route), status];
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if admit(&mut seen.requests, MAX_SETS, &set) {
            self.requests.with_label_values(&set).inc();
        } else {
            self.requests.with_label_values(&[function, OTHER, OTHER, OTHER]).inc();
        }
    }

    fn reason(&self, function: &str, reason: &str) -> String {
        let set = [function.to_owned(), reason.to_owned()];
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = admit(&mut seen.reasons, MAX_REASONS, &set);
        if admitted { reason } else { OTHER }.to_owned()
    }

    /// What was counted.
    pub(crate) fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

/// Whether a set of labels came before, or may still come.
fn admit<const N: usize>(seen: &mut HashSet<[String; N]>, most: usize, set: &[String; N]) -> bool {
    if seen.contains(set) {
        return true;
    }
    let fits = seen.len() < most && set.iter().all(|value| value.len() <= MAX_VALUE);
    if fits {
        seen.insert(set.clone());
    }
    fits
}

#[cfg(test)]
mod tests;
