//! Reading an object of the backup.

use std::borrow::Cow;
use std::io::Read;

use loader::Records;
use serde::Deserialize;

/// Most bytes that an object may have, and inflate to. Firehose buffers at most 64 MiB, which base64 makes a third longer.
pub const MAX_OBJECT_BYTES: usize = 256 << 20;

/// What begins a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// One line of an object. What else Firehose writes there is not needed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorRecord<'a> {
    /// The record, in base64.
    #[serde(borrow)]
    raw_data: Cow<'a, str>,
    /// When the last attempt ended, in milliseconds: the same for all records of a delivery.
    #[serde(default)]
    attempt_ending_timestamp: i64,
}

/// What an object holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// The records of each delivery. Cut as Firehose cut them, so that their tokens are those of its attempts.
    pub deliveries: Vec<Records>,
    /// Error records read.
    pub records: usize,
    /// Lines that are no error record.
    pub undecodable: Vec<Undecodable>,
}

/// A line that is no error record. Its content is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is no error record: {why}")]
pub struct Undecodable {
    /// Which, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Why an object cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// Its gzip is broken.
    #[error("the gzip is broken: {0}")]
    Gzip(#[source] std::io::Error),
    /// More than [`MAX_OBJECT_BYTES`].
    #[error("it has more than {MAX_OBJECT_BYTES} bytes")]
    TooLarge,
}

impl Contents {
    /// Reads an object, compressed with gzip or not.
    pub fn read(object: &[u8]) -> Result<Self, ObjectError> {
        let text = inflate(object)?;
        let mut contents = Contents::default();
        let mut last_attempt = None;
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            match contents.add(line, &mut last_attempt) {
                Ok(()) => contents.records += 1,
                Err(why) => contents.undecodable.push(Undecodable { line: index + 1, why }),
            }
        }
        Ok(contents)
    }

    /// Adds an error record to the delivery that it was of: to the last one, if the last attempt of both ended at the same time.
    fn add(&mut self, line: &[u8], last_attempt: &mut Option<i64>) -> Result<(), &'static str> {
        let record: ErrorRecord<'_> = serde_json::from_slice(line).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => "rawData is missing or of another type",
            _ => "it is not JSON",
        })?;
        let data = record.raw_data.as_bytes();
        let not_base64 = |_| "rawData is not base64";
        let attempt = Some(record.attempt_ending_timestamp);
        match self.deliveries.last_mut() {
            Some(delivery) if *last_attempt == attempt => delivery.push(data).map_err(not_base64)?,
            _ => {
                let mut delivery = Records::default();
                delivery.push(data).map_err(not_base64)?;
                self.deliveries.push(delivery);
                *last_attempt = attempt;
            }
        }
        Ok(())
    }
}

fn inflate(object: &[u8]) -> Result<Cow<'_, [u8]>, ObjectError> {
    if object.len() > MAX_OBJECT_BYTES {
        return Err(ObjectError::TooLarge);
    }
    if !object.starts_with(&GZIP) {
        return Ok(Cow::Borrowed(object));
    }
    let mut text = Vec::new();
    // Several gzip members one after the other are one file.
    flate2::read::MultiGzDecoder::new(object)
        .take(MAX_OBJECT_BYTES as u64 + 1)
        .read_to_end(&mut text)
        .map_err(ObjectError::Gzip)?;
    if text.len() > MAX_OBJECT_BYTES {
        return Err(ObjectError::TooLarge);
    }
    Ok(Cow::Owned(text))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;

    const GOOD: &str = concat!(
        r#"{"event_id":"00000000-0000-0000-0000-000000000007","received_at":"2024-05-17T10:20:31.500Z","#,
        r#""dt":"2024-05-17T10:20:30Z","name":"view","user_id":1,"url":"http://site/main","obj":"page","#,
        r#""obj_id":"","product_id":0,"amount":0.0,"exp":{}}"#
    );

    fn record(data: &str, ended: i64) -> String {
        json!({
            "attemptsMade": 5, "arrivalTimestamp": 7, "errorCode": "HttpEndpoint.DestinationException", "errorMessage": "no",
            "attemptEndingTimestamp": ended, "rawData": STANDARD.encode(data), "subsequenceNumber": 0, "dataId": "1.0",
        })
        .to_string()
    }

    fn object() -> String {
        [
            record(&format!("{GOOD}\n{GOOD}\n"), 9),
            record("broken\n", 9),
            "{\"rawData\":\"!\"}".to_owned(),
            "{\"rawData\":1}".to_owned(),
            "{".to_owned(),
            String::new(),
            record(GOOD, 10),
        ]
        .join("\n")
    }

    fn check(contents: &Contents) {
        let sizes: Vec<_> = contents
            .deliveries
            .iter()
            .map(Records::lines)
            .map(|lines| (lines.rows.len(), lines.rejected.len()))
            .collect();
        assert_eq!((sizes, contents.records), (vec![(2, 1), (1, 0)], 3));
        let wrong: Vec<_> = contents
            .undecodable
            .iter()
            .map(|wrong| (wrong.line, wrong.why))
            .collect();
        assert_eq!(
            wrong,
            [
                (3, "rawData is not base64"),
                (4, "rawData is missing or of another type"),
                (5, "it is not JSON")
            ]
        );
    }

    #[test]
    fn an_object_is_read_compressed_or_not() {
        let text = object();
        check(&Contents::read(text.as_bytes()).unwrap());
        let (first, second) = text.split_at(100);
        let mut zipped = Vec::new();
        for part in [first, second] {
            let mut encoder = flate2::write::GzEncoder::new(&mut zipped, flate2::Compression::fast());
            encoder.write_all(part.as_bytes()).unwrap();
            encoder.finish().unwrap();
        }
        check(&Contents::read(&zipped).unwrap());
        zipped.truncate(zipped.len() - 9);
        assert!(matches!(Contents::read(&zipped), Err(ObjectError::Gzip(_))));
    }

    /// A bomb: some kilobytes that would inflate past the limit, in one member and in many.
    #[test]
    fn a_bomb_is_refused() {
        let zipped = |megabytes: usize| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            for _ in 0..megabytes {
                encoder.write_all(&[0; 1 << 20]).unwrap();
            }
            encoder.finish().unwrap()
        };
        let megabytes = MAX_OBJECT_BYTES >> 20;
        for bomb in [zipped(megabytes + 1), zipped(1).repeat(megabytes + 1)] {
            assert!(bomb.len() < MAX_OBJECT_BYTES / 100, "{} bytes", bomb.len());
            assert!(matches!(Contents::read(&bomb), Err(ObjectError::TooLarge)));
        }
    }

    #[test]
    fn an_empty_object_holds_nothing() {
        let contents = Contents::read(b"\n\n").unwrap();
        assert_eq!(
            (contents.records, contents.deliveries.len(), contents.undecodable.len()),
            (0, 0, 0)
        );
    }
}
