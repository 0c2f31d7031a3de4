//! One wide record a request: the source of the metrics, and the only line that a request which succeeds writes.
//!
//! A handler fills in what it counted; what surrounds it adds the rest and writes the record, in one call, before the answer goes:
//! nothing runs after it. In Lambda it is one JSON line in CloudWatch's embedded metric format
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>),
//! of which CloudWatch makes metrics of the namespace `Weir` with the dimension `function`: the name that Lambda knows the function by,
//! so that two stacks do not share their metrics. Elsewhere it is a line of the log, or both.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use metrique::emf::Emf;
use metrique::emf::flags::NoMetric;
use metrique::writer::format::Format;
use metrique::writer::unit::{AsBytes, AsCount, AsMilliseconds};
use metrique::writer::value::ForceFlag;
use metrique::writer::{Entry, EntryWriter};
use tracing::Span;

use crate::clock;
use crate::config::Reader;

/// The namespace of the metrics.
pub const NAMESPACE: &str = "Weir";

/// The one dimension: the function's name in Lambda, such as `weir-dev-events`; elsewhere its name in the repository.
pub const DIMENSION: &str = "function";

/// What is known of one request, or of one invocation with an event. What is `None` does not concern it, and is left out. No
/// field holds a body, a key, an address or a path that is none of ours.
#[derive(Debug, Clone, Default)]
pub struct Record {
    pub(crate) function: &'static str,
    pub(crate) request_id: String,
    /// X-Ray's id of the trace that the request belongs to.
    pub(crate) trace_id: Option<String>,
    pub(crate) method: Option<&'static str>,
    pub(crate) route: Option<&'static str>,
    pub(crate) status: Option<u16>,
    pub(crate) outcome: Option<&'static str>,
    pub(crate) bytes: Option<u64>,
    pub(crate) duration: Duration,
    /// Firehose's id of a delivery; the caller sees to it that it is one.
    pub delivery: Option<String>,
    /// `Accepted`: events that are in the stream.
    pub accepted: Option<u64>,
    /// `Rejected`: events that are wrong, and why.
    pub rejected: Option<Rejected>,
    /// `NotStored`: valid events that are not known to be in the stream.
    pub not_stored: Option<u64>,
    /// `FirehoseRetries`: how often records were offered to Firehose again.
    pub firehose_retries: Option<u64>,
    /// `Stored`: lines that are rows now, or were before.
    pub stored: Option<u64>,
    /// `Quarantined`: lines that are in quarantine now, or were before.
    pub quarantined: Option<u64>,
    /// `InsertMilliseconds`: how long ClickHouse took over all inserts.
    pub insert: Option<Duration>,
    /// `DataAgeMilliseconds`: how long ago the oldest line of a delivery was received.
    pub data_age: Option<Duration>,
}

/// Wrong events, counted by the first reason of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejected {
    /// There are few reasons: they are the names in our code.
    by_reason: Vec<(&'static str, u64)>,
}

impl Rejected {
    /// Counts one event.
    pub fn count(&mut self, reason: &'static str) {
        match self.by_reason.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, events)) => *events += 1,
            None => self.by_reason.push((reason, 1)),
        }
    }

    /// How many events.
    pub fn events(&self) -> u64 {
        self.by_reason.iter().map(|(_, events)| events).sum()
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (reason, events)) in self.by_reason.iter().enumerate() {
            let gap = if at == 0 { "" } else { " " };
            write!(out, "{gap}{reason}:{events}")?;
        }
        Ok(())
    }
}

impl Record {
    /// The record of a request or an invocation of `function` that begins.
    pub(crate) fn of(function: &'static str, request_id: String) -> Self {
        Record {
            function,
            request_id,
            ..Record::default()
        }
    }

    /// The request's id: that of the invocation, and what the caller is answered in `x-amzn-requestid`. Empty outside a server.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// What each line of the log says that is written while the request is handled, a panic's included. At the level of errors: it
    /// is there whenever a line is.
    pub(crate) fn span(&self) -> Span {
        tracing::error_span!("request", request_id = self.request_id, trace_id = self.trace_id)
    }

    /// The record in CloudWatch's embedded metric format: one line, with its end.
    pub fn emf(&self, now: Timestamp) -> Vec<u8> {
        line(&mut format(), self.function, self, now)
    }

    /// The record as a line of the log.
    fn log(&self) {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        tracing::info!(
            method = self.method,
            route = self.route,
            status = self.status,
            outcome = self.outcome,
            duration_ms = milliseconds(self.duration),
            bytes = self.bytes,
            accepted = self.accepted,
            rejected = self.rejected.as_ref().map(tracing::field::display),
            not_stored = self.not_stored,
            firehose_retries = self.firehose_retries,
            stored = self.stored,
            quarantined = self.quarantined,
            insert_ms = self.insert.map(milliseconds),
            data_age_ms = self.data_age.map(milliseconds),
            request_id = self.request_id,
            trace_id = self.trace_id,
            delivery = self.delivery,
            "request"
        );
    }
}

/// A record at an instant, as it is written.
struct Written<'a> {
    /// The dimension.
    name: &'a str,
    record: &'a Record,
    at: Timestamp,
}

impl Entry for Written<'_> {
    fn write<'a>(&'a self, to: &mut impl EntryWriter<'a>) {
        let Record {
            function: _,
            request_id,
            trace_id,
            method,
            route,
            status,
            outcome,
            bytes,
            duration,
            delivery,
            accepted,
            rejected,
            not_stored,
            firehose_retries,
            stored,
            quarantined,
            insert,
            data_age,
        } = self.record;
        // An instant that the system cannot tell is none of ours; the writer then takes its own.
        if let Ok(at) = self.at.try_into() {
            to.timestamp(at);
        }
        to.value(DIMENSION, self.name);
        to.value("request_id", request_id);
        to.value("trace_id", trace_id);
        to.value("delivery", delivery);
        to.value("method", method);
        to.value("route", route);
        to.value("outcome", outcome);
        to.value("status", &status.map(u64::from).map(property));
        to.value("Accepted", &accepted.map(AsCount::from));
        to.value("Rejected", &rejected.as_ref().map(|all| AsCount::from(all.events())));
        for (reason, events) in rejected.iter().flat_map(|all| &all.by_reason) {
            // As CloudWatch's queries call a member of a nested object, which the format's writer has none of.
            to.value(Cow::Owned(format!("rejected.{reason}")), &property(*events));
        }
        to.value("NotStored", &not_stored.map(AsCount::from));
        to.value("Bytes", &bytes.map(AsBytes::from));
        to.value("FirehoseRetries", &firehose_retries.map(AsCount::from));
        to.value("Stored", &stored.map(AsCount::from));
        to.value("Quarantined", &quarantined.map(AsCount::from));
        to.value("InsertMilliseconds", &insert.map(AsMilliseconds::from));
        to.value("DataAgeMilliseconds", &data_age.map(AsMilliseconds::from));
        to.value("DurationMilliseconds", &AsMilliseconds::from(*duration));
    }
}

/// A number that is no metric.
fn property(number: u64) -> ForceFlag<u64, NoMetric> {
    number.into()
}

/// The writer of the format. What it would check is known here: the names differ, and the dimension is there.
fn format() -> Emf {
    Emf::no_validations(NAMESPACE.to_owned(), vec![vec![DIMENSION.to_owned()]])
}

fn line(format: &mut Emf, name: &str, record: &Record, at: Timestamp) -> Vec<u8> {
    let mut line = Vec::with_capacity(1024);
    if let Err(error) = format.format(&Written { name, record, at }, &mut line) {
        tracing::error!(%error, "cannot write the record of a request");
    }
    line
}

/// Where records go.
pub(crate) struct Output {
    pub(crate) emf: Option<EmfOutput>,
    pub(crate) log: bool,
}

/// One line each on stdout, in CloudWatch's embedded metric format.
pub(crate) struct EmfOutput {
    format: Mutex<Emf>,
    /// What Lambda calls the function.
    name: Option<String>,
}

impl Output {
    /// `WEIR_METRICS`: `emf`, `log`, or both with a comma between them; by default the first in Lambda, the second elsewhere.
    pub(crate) fn read(reader: &mut Reader<'_>, in_lambda: bool) -> Self {
        let (emf, log) = match reader.optional("WEIR_METRICS").as_deref() {
            None => (in_lambda, !in_lambda),
            Some("emf") => (true, false),
            Some("log") => (false, true),
            Some("emf,log") => (true, true),
            Some(other) => {
                reader.problem(format!("WEIR_METRICS is {other:?}, not emf, log or emf,log"));
                (false, true)
            }
        };
        let emf = emf.then(|| EmfOutput {
            format: Mutex::new(format()),
            name: reader.optional("AWS_LAMBDA_FUNCTION_NAME"),
        });
        Output { emf, log }
    }

    /// Writes one record.
    pub(crate) fn write(&self, record: &Record) {
        if self.log {
            record.log();
        }
        if let Some(EmfOutput { format, name }) = &self.emf {
            let name = name.as_deref().unwrap_or(record.function);
            let line = {
                let mut format = format.lock().unwrap_or_else(PoisonError::into_inner);
                line(&mut format, name, record, clock::now())
            };
            // At once, so that no other line gets into it. Nothing is left to do if stdout is gone.
            let _ = std::io::stdout().write_all(&line);
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod spec;
