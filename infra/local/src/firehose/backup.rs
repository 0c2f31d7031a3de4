//! The backup bucket, as a folder: object keys and error records as Firehose writes them.
//!
//! Sources: the developer guide's "Data delivery failure handling", "S3 object name format" and "Custom prefixes".

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::Offset;
use serde::Serialize;
use uuid::Uuid;

use super::api::model::bucket_name;
use super::config::S3;
use super::files;
use super::spool::frame::Frame;

/// What `!{firehose:error-output-type}` becomes, and the folder of failures when no expression names one.
const FAILED: &str = "http-endpoint-failed";

/// One line of an error object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorRecord<'a> {
    attempts_made: u32,
    arrival_timestamp: i64,
    error_code: &'a str,
    error_message: &'a str,
    attempt_ending_timestamp: i64,
    raw_data: String,
    subsequence_number: u32,
    data_id: String,
}

impl<'a> ErrorRecord<'a> {
    /// The record of one frame that was given up.
    pub(crate) fn new(frame: Frame<'_>, attempts: u32, code: &'a str, message: &'a str, ended_ms: i64) -> Self {
        Self {
            attempts_made: attempts,
            arrival_timestamp: frame.arrival_ms,
            error_code: code,
            error_message: message,
            attempt_ending_timestamp: ended_ms,
            raw_data: STANDARD.encode(frame.data),
            subsequence_number: 0,
            data_id: frame.id.data_id(),
        }
    }
}

/// What an object is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Records as they came.
    Data,
    /// Error records.
    Failure,
}

/// What an object's key is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ObjectName<'a> {
    pub(crate) stream: &'a str,
    pub(crate) version: u64,
    /// When the batch was formed: a second write of the same batch has the same key.
    pub(crate) formed_ms: i64,
    /// When its oldest record arrived: the time in prefixes.
    pub(crate) oldest_ms: i64,
    pub(crate) request_id: Uuid,
}

/// Writes an object, whole or not at all, and synced. Says where. Blocks.
pub(crate) fn write(
    root: &Path,
    s3: &S3,
    purpose: Purpose,
    name: ObjectName<'_>,
    content: &[u8],
) -> io::Result<PathBuf> {
    let bucket =
        bucket_name(&s3.bucket_arn).ok_or_else(|| io::Error::other("the backup's BucketARN names no bucket"))?;
    let mut path = root.join(bucket);
    for part in key(s3, purpose, name)?.split('/') {
        // A key is not a path: what would mean another folder becomes an ordinary name.
        match part {
            "" => {}
            "." | ".." => path.push("_"),
            part => path.push(part.replace('\0', "_")),
        }
    }
    let folder = path
        .parent()
        .ok_or_else(|| io::Error::other("an object without a folder"))?;
    create_folders(folder)?;
    if s3.compression_format == "GZIP" {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content)?;
        files::write_whole(&path, &encoder.finish()?)?;
    } else {
        files::write_whole(&path, content)?;
    }
    Ok(path)
}

/// Creates a folder and those above it, each name durable.
fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_folders(parent)?;
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => files::sync_folder(parent)?,
        }
    }
    Ok(())
}

fn key(s3: &S3, purpose: Purpose, name: ObjectName<'_>) -> io::Result<String> {
    let prefix = s3.prefix.as_deref().unwrap_or_default();
    let errors = s3.error_output_prefix.as_deref();
    let random = name.request_id.simple().to_string();
    let random = random.get(..11).unwrap_or_default();
    let evaluated = match purpose {
        Purpose::Data => evaluate(&with_time(prefix), name.oldest_ms, random)?,
        Purpose::Failure => match errors {
            Some(errors) if errors.contains("!{") => evaluate(errors, name.oldest_ms, random)?,
            other => {
                let prefix = other.unwrap_or(prefix);
                let slash = if prefix.is_empty() || prefix.ends_with('/') {
                    ""
                } else {
                    "/"
                };
                evaluate(
                    &format!("{prefix}{slash}{FAILED}/!{{timestamp:yyyy/MM/dd/HH/}}"),
                    name.oldest_ms,
                    random,
                )?
            }
        },
    };
    let formed = utc(name.formed_ms)?.strftime("%Y-%m-%d-%H-%M-%S").to_string();
    let extension = if s3.compression_format == "GZIP" { ".gz" } else { "" };
    Ok(format!(
        "{evaluated}{}-{}-{formed}-{}{extension}",
        name.stream, name.version, name.request_id
    ))
}

fn with_time(prefix: &str) -> String {
    if prefix.contains("!{timestamp:") {
        prefix.to_owned()
    } else {
        format!("{prefix}!{{timestamp:yyyy/MM/dd/HH/}}")
    }
}

/// Replaces `!{namespace:value}`; what is not known stays as it is written.
fn evaluate(prefix: &str, at_ms: i64, random: &str) -> io::Result<String> {
    let at = utc(at_ms)?;
    let mut out = String::new();
    let mut rest = prefix;
    while let Some((before, after)) = rest.split_once("!{") {
        out.push_str(before);
        let Some((expression, after)) = after.split_once('}') else {
            out.push_str("!{");
            rest = after;
            continue;
        };
        match expression.split_once(':') {
            Some(("timestamp", pattern)) => out.push_str(&java_time(pattern, &at)),
            Some(("firehose", "error-output-type")) => out.push_str(FAILED),
            Some(("firehose", "random-string")) => out.push_str(random),
            _ => {
                out.push_str("!{");
                out.push_str(expression);
                out.push('}');
            }
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// The letters of Java's DateTimeFormatter that prefixes use; quoted text is taken as it is.
fn java_time(pattern: &str, at: &jiff::civil::DateTime) -> String {
    let mut out = String::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\'' {
            out.extend(letters.by_ref().take_while(|letter| *letter != '\''));
            continue;
        }
        let mut run = 1;
        while letters.next_if_eq(&letter).is_some() {
            run += 1;
        }
        let number = match letter {
            'y' | 'u' | 'Y' if run == 2 => Some(i64::from(at.year() % 100)),
            'y' | 'u' | 'Y' => Some(i64::from(at.year())),
            'M' | 'L' => Some(i64::from(at.month())),
            'd' => Some(i64::from(at.day())),
            'D' => Some(i64::from(at.day_of_year())),
            'H' => Some(i64::from(at.hour())),
            'm' => Some(i64::from(at.minute())),
            's' => Some(i64::from(at.second())),
            _ => None,
        };
        match number {
            Some(number) => out.push_str(&format!("{number:0run$}")),
            None => out.extend(std::iter::repeat_n(letter, run)),
        }
    }
    out
}

fn utc(at_ms: i64) -> io::Result<jiff::civil::DateTime> {
    Ok(Offset::UTC.to_datetime(Timestamp::from_millisecond(at_ms).map_err(io::Error::other)?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::super::config::Hints;
    use super::super::spool::frame::RecordId;
    use super::*;

    const AT: i64 = 1_535_365_805_000; // 2018-08-27T10:30:05Z

    fn s3(prefix: Option<&str>, errors: Option<&str>) -> S3 {
        S3 {
            role_arn: String::new(),
            bucket_arn: "arn:aws:s3:::bucket".to_owned(),
            prefix: prefix.map(str::to_owned),
            error_output_prefix: errors.map(str::to_owned),
            buffering_hints: Hints::default(),
            compression_format: "UNCOMPRESSED".to_owned(),
            encryption_configuration: Value::Null,
            cloud_watch_logging_options: Value::Null,
            other: Map::new(),
        }
    }

    fn name() -> ObjectName<'static> {
        ObjectName {
            stream: "weir",
            version: 3,
            formed_ms: AT,
            oldest_ms: AT,
            request_id: Uuid::nil(),
        }
    }

    #[test]
    fn keys_follow_the_guide() {
        for (prefix, errors, purpose, folder) in [
            (None, None, Purpose::Data, "2018/08/27/10/"),
            (None, None, Purpose::Failure, "http-endpoint-failed/2018/08/27/10/"),
            (Some("p/"), None, Purpose::Data, "p/2018/08/27/10/"),
            (
                Some("p"),
                None,
                Purpose::Failure,
                "p/http-endpoint-failed/2018/08/27/10/",
            ),
            (
                None,
                Some("errors/"),
                Purpose::Failure,
                "errors/http-endpoint-failed/2018/08/27/10/",
            ),
            (
                None,
                Some("e/!{firehose:error-output-type}/!{timestamp:'year='yyyy'/m='MM}/"),
                Purpose::Failure,
                "e/http-endpoint-failed/year=2018/m=08/",
            ),
            (
                Some("!{timestamp:yyyy-DDD}/!{firehose:random-string}/"),
                None,
                Purpose::Data,
                "2018-239/00000000000/",
            ),
            (Some("!{x:y}/"), None, Purpose::Data, "!{x:y}/2018/08/27/10/"),
        ] {
            let expected = format!("{folder}weir-3-2018-08-27-10-30-05-00000000-0000-0000-0000-000000000000");
            assert_eq!(key(&s3(prefix, errors), purpose, name()).unwrap(), expected);
        }
    }

    #[test]
    fn no_key_leaves_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(
            folder.path(),
            &s3(Some("/../../x/./"), None),
            Purpose::Data,
            name(),
            b"data",
        )
        .unwrap();
        assert!(
            path.starts_with(folder.path().join("bucket/_/_/x/_/2018")),
            "{}",
            path.display()
        );
        assert_eq!(std::fs::read(path).unwrap(), b"data");
    }

    #[test]
    fn an_error_record_has_the_documented_members() {
        let frame = Frame {
            id: RecordId { run: 1, offset: 2 },
            arrival_ms: 7,
            data: b"raw",
        };
        let record = ErrorRecord::new(frame, 5, "HttpEndpoint.DestinationException", "no", 9);
        assert_eq!(
            serde_json::to_value(record).unwrap(),
            json!({
                "attemptsMade": 5, "arrivalTimestamp": 7, "errorCode": "HttpEndpoint.DestinationException",
                "errorMessage": "no", "attemptEndingTimestamp": 9, "rawData": "cmF3", "subsequenceNumber": 0,
                "dataId": "18446744073709551618.0",
            })
        );
    }
}
