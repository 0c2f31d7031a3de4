//! The Lambda function: S3 invokes it for each object that Firehose writes to the backup.

use std::time::Duration;

use clickhouse::Client;
use edge::clickhouse::{ClickHouseConfig, WarehouseError};
use edge::config::{ConfigError, Lookup, Reader};
use edge::{Record, deadline};
use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde::Deserialize;

use crate::object::{Contents, ObjectError};
use crate::s3::{S3, S3Config, S3Error};
use crate::store::{self, Outcome};

/// How long one delivery of an object may take to store, where no deadline comes before.
pub const DELIVERY_LIMIT: Duration = Duration::from_secs(60);

/// What every invocation shares.
pub struct Context {
    /// Where objects are.
    pub s3: S3,
    /// Where rows go.
    pub clickhouse: Client,
    /// The current instant.
    pub now: fn() -> Timestamp,
}

impl Context {
    /// Reads `CLICKHOUSE_*` and `AWS_*`.
    pub fn from_lookup(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let (clickhouse, s3) = (ClickHouseConfig::read(&mut reader), S3Config::read(&mut reader));
        let (clickhouse, s3) = reader.finish((clickhouse, s3))?;
        Ok(Context {
            s3: S3::new(&s3),
            clickhouse: clickhouse.client(),
            now: edge::clock::now,
        })
    }
}

/// What S3 sends: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>.
#[derive(Debug, Deserialize)]
pub struct S3Event {
    /// One entry an object. The test event that S3 sends when a notification is set up has none.
    #[serde(default, rename = "Records")]
    pub records: Vec<S3Record>,
}

/// One object that was written.
#[derive(Debug, Deserialize)]
pub struct S3Record {
    /// Which.
    pub s3: S3Entity,
}

/// A bucket and an object in it.
#[derive(Debug, Deserialize)]
pub struct S3Entity {
    /// The bucket.
    pub bucket: Bucket,
    /// The object.
    pub object: ObjectKey,
}

/// A bucket.
#[derive(Debug, Deserialize)]
pub struct Bucket {
    /// Its name.
    pub name: String,
}

/// An object.
#[derive(Debug, Deserialize)]
pub struct ObjectKey {
    /// Its key, encoded as in a form: `+` is a space.
    pub key: String,
}

/// Why an invocation failed. Lambda invokes again; what was stored is recognised.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The object was not read.
    #[error(transparent)]
    S3(#[from] S3Error),
    /// The object cannot be read.
    #[error("s3://{bucket}/{key}: {source}")]
    Object {
        /// The bucket.
        bucket: String,
        /// The object.
        key: String,
        /// Why.
        source: ObjectError,
    },
    /// ClickHouse did not take it.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    /// Lambda's deadline is near.
    #[error("no time was left for s3://{bucket}/{key}: invoked again, it goes on, and what is stored is recognised")]
    NoTime {
        /// The bucket.
        bucket: String,
        /// The object that was under way.
        key: String,
    },
}

impl From<ReplayError> for Diagnostic {
    fn from(error: ReplayError) -> Self {
        Self {
            error_type: "ReplayError".to_owned(),
            error_message: error.to_string(),
        }
    }
}

/// Replays each object of the event, as far as the time goes that Lambda gives.
pub async fn handle(
    context: &Context,
    event: LambdaEvent<S3Event>,
    record: &mut Record,
) -> Result<Outcome, ReplayError> {
    let over = tokio::time::Instant::now() + deadline::remaining_of_invocation(event.context.deadline, (context.now)());
    let mut total = Outcome::default();
    for S3Record { s3 } in event.payload.records {
        let (bucket, key) = (s3.bucket.name, form_decoded(&s3.object.key));
        // First of all: what cannot be ended is not begun.
        let replayed = match over.checked_duration_since(tokio::time::Instant::now()) {
            None | Some(Duration::ZERO) => None,
            Some(_) => tokio::time::timeout_at(over, replay(context, &bucket, &key)).await.ok(),
        };
        match replayed {
            Some(outcome) => {
                total.add(outcome?);
                record.stored = Some(total.rows as u64);
                record.quarantined = Some(total.quarantined as u64);
            }
            None => return Err(ReplayError::NoTime { bucket, key }),
        }
    }
    Ok(total)
}

/// Replays one object.
async fn replay(context: &Context, bucket: &str, key: &str) -> Result<Outcome, ReplayError> {
    let content = context.s3.get(bucket, key).await?;
    let contents = Contents::read(&content).map_err(|source| ReplayError::Object {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        source,
    })?;
    for wrong in &contents.undecodable {
        tracing::error!(bucket, key, line = wrong.line, why = wrong.why, "not replayed");
    }
    let name = format!("s3://{bucket}/{key}");
    let outcome = store::store(&context.clickhouse, contents, &name, DELIVERY_LIMIT).await?;
    let Outcome {
        records,
        rows,
        quarantined,
        undecodable,
    } = outcome;
    tracing::info!(bucket, key, records, rows, quarantined, undecodable, "replayed");
    Ok(outcome)
}

/// Resolves `+` and `%xx`; what is no escape stays.
fn form_decoded(key: &str) -> String {
    let mut out = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'+', ..) => out.push(b' '),
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                rest = tail.get(2..).unwrap_or_default();
                continue;
            }
            _ => out.push(*first),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests;
