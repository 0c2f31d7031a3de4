//! The Lambda function: S3 invokes it for each object that Firehose writes to the backup.

use std::time::Duration;

use clickhouse::Client;
use edge::clickhouse::{ClickHouseConfig, WarehouseError};
use edge::config::{ConfigError, Lookup, Reader};
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde::Deserialize;

use crate::object::{Contents, ObjectError};
use crate::s3::{S3, S3Config, S3Error};
use crate::store::{self, Outcome};

/// How long one delivery of an object may take to store.
pub const DELIVERY_LIMIT: Duration = Duration::from_secs(60);

/// What every invocation shares.
pub struct Context {
    /// Where objects are.
    pub s3: S3,
    /// Where rows go.
    pub clickhouse: Client,
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
}

impl From<ReplayError> for Diagnostic {
    fn from(error: ReplayError) -> Self {
        Self {
            error_type: "ReplayError".to_owned(),
            error_message: error.to_string(),
        }
    }
}

/// Replays each object of the event.
pub async fn handle(context: &Context, event: LambdaEvent<S3Event>) -> Result<Outcome, ReplayError> {
    let mut total = Outcome::default();
    for record in event.payload.records {
        let (bucket, key) = (record.s3.bucket.name, form_decoded(&record.s3.object.key));
        let content = context.s3.get(&bucket, &key).await?;
        let contents = match Contents::read(&content) {
            Ok(contents) => contents,
            Err(source) => return Err(ReplayError::Object { bucket, key, source }),
        };
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
        total.add(outcome);
    }
    Ok(total)
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
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded() {
        for (key, expected) in [
            ("a/b+c%3D1%C3%A9.gz", "a/b c=1\u{e9}.gz"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz", "%zz"),
            ("", ""),
        ] {
            assert_eq!(form_decoded(key), expected, "{key}");
        }
    }

    #[test]
    fn an_event_of_s3_is_read() {
        let event = r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1",
            "eventTime":"1970-01-01T00:00:00.000Z","eventName":"ObjectCreated:Put","s3":{"s3SchemaVersion":"1.0",
            "bucket":{"name":"b","arn":"arn:aws:s3:::b"},"object":{"key":"k","size":1,"eTag":"e","sequencer":"0"}}}]}"#;
        let event: S3Event = serde_json::from_str(event).unwrap();
        assert_eq!(
            (
                event.records[0].s3.bucket.name.as_str(),
                event.records[0].s3.object.key.as_str()
            ),
            ("b", "k")
        );
        let test: S3Event = serde_json::from_str(r#"{"Service":"Amazon S3","Event":"s3:TestEvent"}"#).unwrap();
        assert!(test.records.is_empty());
    }

    #[test]
    fn what_is_wrong_with_the_environment_is_said_at_once() {
        let error = Context::from_lookup(&|_| None).err().unwrap().to_string();
        assert!(
            error.contains("CLICKHOUSE_URL") && error.contains("AWS_REGION"),
            "{error}"
        );
    }
}
