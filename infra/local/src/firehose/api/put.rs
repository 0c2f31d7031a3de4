//! PutRecord and PutRecordBatch: checked, decoded, on disk, answered; in this order.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::App;
use super::error::ApiError;
use super::model::stream_name_problem;
use super::validate::{missing, problem, refuse};
use crate::firehose::clock::now_ms;
use crate::firehose::config::StreamConfig;
use crate::firehose::spool::frame::MAX_DATA;
use crate::firehose::stream::Stream;

/// Records a call may hold.
const MAX_RECORDS: usize = 500;

/// Bytes of data, before base64, a call may hold.
const MAX_BATCH: usize = 4 * 1024 * 1024;

/// AWS's words to whoever sends more than it takes.
pub(super) const SLOW_DOWN: &str = "Slow down.";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecord<'a> {
    #[serde(borrow)]
    delivery_stream_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    record: Option<Entry<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordBatch<'a> {
    #[serde(borrow)]
    delivery_stream_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    records: Option<Vec<Entry<'a>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    #[serde(borrow)]
    data: Option<Cow<'a, str>>,
}

/// PutRecord.
pub(super) async fn record(app: &Arc<App>, body: &Bytes) -> Result<Vec<u8>, ApiError> {
    let input: PutRecord<'_> = read(body)?;
    let mut problems = Vec::new();
    let name = name(input.delivery_stream_name.as_deref(), &mut problems);
    let data = match &input.record {
        None => {
            problems.push(missing("record"));
            None
        }
        Some(entry) => data(entry, "record", &mut problems)?,
    };
    refuse(&problems)?;
    let stream = writable(app, name)?;
    if app.faults.throttles() || app.faults.refuses_record() {
        return Err(ApiError::Unavailable(SLOW_DOWN.to_owned()));
    }
    let ids = append(&stream, data.into_iter().collect()).await?;
    let id = ids.first().ok_or(ApiError::Internal)?;
    Ok(json!({ "RecordId": id, "Encrypted": encrypted(&stream.config()) })
        .to_string()
        .into_bytes())
}

/// PutRecordBatch.
pub(super) async fn batch(app: &Arc<App>, body: &Bytes) -> Result<Vec<u8>, ApiError> {
    let input: PutRecordBatch<'_> = read(body)?;
    let mut problems = Vec::new();
    let name = name(input.delivery_stream_name.as_deref(), &mut problems);
    let entries = input.records.unwrap_or_else(|| {
        problems.push(missing("records"));
        Vec::new()
    });
    if entries.is_empty() && problems.is_empty() {
        problems.push(problem("'[]'", "records", "have length greater than or equal to 1"));
    }
    if entries.len() > MAX_RECORDS {
        let shown = format!("'[{} members]'", entries.len());
        problems.push(problem(
            &shown,
            "records",
            &format!("have length less than or equal to {MAX_RECORDS}"),
        ));
        return Err(refuse(&problems).err().unwrap_or(ApiError::Internal));
    }
    let mut records = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        records.extend(data(entry, &format!("records.{}.member", index + 1), &mut problems)?);
    }
    refuse(&problems)?;
    if records.iter().map(Vec::len).sum::<usize>() > MAX_BATCH {
        return Err(ApiError::InvalidArgument("Records size exceeds 4 MB limit".to_owned()));
    }
    let stream = writable(app, name)?;
    if app.faults.throttles() {
        return Err(ApiError::Unavailable(SLOW_DOWN.to_owned()));
    }
    let refused = records.iter().map(|_| app.faults.refuses_record()).collect::<Vec<_>>();
    let kept = records
        .into_iter()
        .zip(&refused)
        .filter(|(_, refused)| !**refused)
        .map(|(data, _)| data)
        .collect();
    let ids = append(&stream, kept).await?;

    let failed = refused.iter().filter(|refused| **refused).count();
    let encrypted = encrypted(&stream.config());
    let mut out = format!("{{\"FailedPutCount\":{failed},\"Encrypted\":{encrypted},\"RequestResponses\":[");
    let mut ids = ids.iter();
    for (index, refused) in refused.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        // Writing to a string cannot fail.
        let _ = if *refused {
            write!(
                out,
                "{{\"ErrorCode\":\"ServiceUnavailableException\",\"ErrorMessage\":\"{SLOW_DOWN}\"}}"
            )
        } else {
            let id = ids.next().ok_or(ApiError::Internal)?;
            write!(out, "{{\"RecordId\":\"{id}\"}}")
        };
    }
    out.push_str("]}");
    Ok(out.into_bytes())
}

fn read<'a, T: Deserialize<'a>>(body: &'a Bytes) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        ApiError::Serialization(if error.is_data() {
            "A member of the request has the wrong type".to_owned()
        } else {
            "The request body is not valid JSON".to_owned()
        })
    })
}

fn name<'n>(name: Option<&'n str>, problems: &mut Vec<String>) -> &'n str {
    const PATH: &str = "deliveryStreamName";
    match name {
        None => problems.push(missing(PATH)),
        Some("") => problems.push(problem("''", PATH, "have length greater than or equal to 1")),
        Some(name) => problems.extend(stream_name_problem(name).map(|rule| problem(&format!("'{name}'"), PATH, rule))),
    }
    name.unwrap_or_default()
}

/// The bytes of a record. Empty data is allowed.
fn data(entry: &Entry<'_>, path: &str, problems: &mut Vec<String>) -> Result<Option<Vec<u8>>, ApiError> {
    let Some(text) = &entry.data else {
        problems.push(missing(&format!("{path}.data")));
        return Ok(None);
    };
    let bytes = STANDARD
        .decode(text.as_bytes())
        .map_err(|_| ApiError::Serialization("The data of a record is not valid base64".to_owned()))?;
    if bytes.len() > MAX_DATA {
        let shown = format!("'[{} bytes]'", bytes.len());
        let rule = format!("have length less than or equal to {MAX_DATA}");
        problems.push(problem(&shown, &format!("{path}.data"), &rule));
    }
    Ok(Some(bytes))
}

fn writable(app: &App, name: &str) -> Result<Arc<Stream>, ApiError> {
    let stream = app.registry.get(name).ok_or_else(|| ApiError::NotFound {
        name: name.to_owned(),
        account: app.account.clone(),
    })?;
    let kind = &stream.config().kind;
    if kind != "DirectPut" {
        let message = format!("This operation is not permitted on {kind} delivery stream type.");
        return Err(ApiError::InvalidArgument(message));
    }
    Ok(stream)
}

/// Stores the records. An error means that none of them will be reported as stored.
async fn append(stream: &Stream, records: Vec<Vec<u8>>) -> Result<Vec<String>, ApiError> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    match stream.spool.append(records, now_ms()).await {
        Ok(ids) => Ok(ids.iter().map(ToString::to_string).collect()),
        // What the disk said is in the log, written once by the spool.
        Err(_) => Err(ApiError::Unavailable(
            "The service is unavailable. Try again later.".to_owned(),
        )),
    }
}

fn encrypted(config: &StreamConfig) -> bool {
    config
        .encryption
        .as_ref()
        .is_some_and(|encryption| encryption["Status"] == "ENABLED")
}
