//! Which records make a batch, and the request body they make.

use std::io::{self, Write as _};
use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::firehose::backup::ErrorRecord;
use crate::firehose::config::ContentEncoding;
use crate::firehose::spool::cursor::OpenBatch;
use crate::firehose::spool::frame::Frame;
use crate::firehose::spool::{Item, Spool};

/// A request holds no more records.
pub(crate) const MAX_RECORDS: u64 = 10_000;

/// What the next batch would be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The offset of the first record.
    pub(crate) first: u64,
    /// The offset after the last record, or after the damage when there are no records.
    pub(crate) end: u64,
    pub(crate) records: u64,
    /// Damage before the first record.
    pub(crate) damage: Vec<(u64, u64)>,
}

/// Takes records from `from` until `max_bytes` of data, [`MAX_RECORDS`], damage or `to`. Blocks.
pub(crate) fn plan(spool: &Spool, from: u64, to: u64, max_bytes: u64) -> io::Result<Plan> {
    let mut plan = Plan {
        first: from,
        end: from,
        ..Plan::default()
    };
    let mut bytes = 0;
    spool.scan(from, to, &mut |item| {
        match item {
            Item::Record(frame, end) => {
                let length = frame.data.len() as u64;
                if plan.records > 0 && (bytes + length > max_bytes || plan.records == MAX_RECORDS) {
                    return ControlFlow::Break(());
                }
                bytes += length;
                plan.records += 1;
                plan.end = end;
            }
            Item::Damaged { .. } if plan.records > 0 => return ControlFlow::Break(()),
            Item::Damaged { from, to } => {
                plan.damage.push((from, to));
                plan.first = to;
                plan.end = to;
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(plan)
}

/// What a batch's records were turned into.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    /// How many records could be read.
    pub(crate) records: u64,
    /// When the first of them arrived.
    pub(crate) oldest_ms: i64,
}

fn read(spool: &Spool, batch: &OpenBatch, mut each: impl FnMut(Frame<'_>, &mut Content)) -> io::Result<Content> {
    let mut content = Content::default();
    spool.scan(batch.first, batch.end, &mut |item| {
        if let Item::Record(frame, _) = item {
            if content.records == 0 {
                content.oldest_ms = frame.arrival_ms;
            }
            each(frame, &mut content);
            content.records += 1;
        }
        ControlFlow::Continue(())
    })?;
    if content.records != batch.records {
        // Damage before a batch is seen when it is formed; this came to be since.
        tracing::error!(
            request_id = %batch.request_id, expected = batch.records, found = content.records,
            "records of a batch cannot be read back: the spool's disk is damaging data"
        );
    }
    Ok(content)
}

/// The body of a delivery. Blocks.
pub(crate) fn body(spool: &Spool, batch: &OpenBatch, now_ms: i64, encoding: ContentEncoding) -> io::Result<Content> {
    let head = format!(
        "{{\"requestId\":\"{}\",\"timestamp\":{now_ms},\"records\":[",
        batch.request_id
    );
    let mut content = read(spool, batch, |frame, content| {
        let before = if content.records == 0 { head.as_str() } else { "," };
        content.bytes.extend_from_slice(before.as_bytes());
        content.bytes.extend_from_slice(b"{\"data\":\"");
        let start = content.bytes.len();
        // Four bytes for each three, the last group padded.
        content.bytes.resize(start + frame.data.len().div_ceil(3) * 4, 0);
        let written = STANDARD
            .encode_slice(frame.data, &mut content.bytes[start..])
            .unwrap_or_default();
        content.bytes.truncate(start + written);
        content.bytes.extend_from_slice(b"\"}");
    })?;
    content.bytes.extend_from_slice(b"]}");
    if encoding == ContentEncoding::Gzip {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&content.bytes)?;
        content.bytes = encoder.finish()?;
    }
    Ok(content)
}

/// The records one after the other, as Firehose writes data objects. Blocks.
pub(crate) fn raw(spool: &Spool, batch: &OpenBatch) -> io::Result<Content> {
    read(spool, batch, |frame, content| {
        content.bytes.extend_from_slice(frame.data)
    })
}

/// The error records of a batch that is given up, a line each. Blocks.
pub(crate) fn errors(
    spool: &Spool,
    batch: &OpenBatch,
    attempts: u32,
    code: &str,
    message: &str,
    ended_ms: i64,
) -> io::Result<Content> {
    let mut problem = None;
    let content = read(spool, batch, |frame, content| {
        let record = ErrorRecord::new(frame, attempts, code, message, ended_ms);
        if let Err(error) = serde_json::to_writer(&mut content.bytes, &record) {
            problem = Some(error);
        }
        content.bytes.push(b'\n');
    })?;
    problem.map_or(Ok(content), |error| Err(error.into()))
}
