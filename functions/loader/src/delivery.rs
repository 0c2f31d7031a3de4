//! Reading a delivery: JSON around base64 around lines.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use event_model::{Record, Row};
use serde::Deserialize;

use crate::error::Error;
use crate::insert::Rejected;

/// Most records of a delivery: as many as Firehose sends
/// (<https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html>).
pub const MAX_RECORDS: usize = 10_000;

/// The body of a delivery request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delivery<'a> {
    /// The id that the answer must repeat.
    #[serde(borrow)]
    pub(crate) request_id: Cow<'a, str>,
    /// The records, in base64.
    #[serde(borrow)]
    records: Vec<DeliveredRecord<'a>>,
}

#[derive(Debug, Deserialize)]
struct DeliveredRecord<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
}

/// What a delivery's lines are.
#[derive(Debug, Default)]
pub struct Lines {
    /// Those that are rows.
    pub rows: Vec<Row>,
    /// Those that cannot be.
    pub rejected: Vec<Rejected>,
}

impl Lines {
    /// Adds each line of a record's data, as a row or as what is wrong with it. Empty lines are nothing.
    pub fn read(&mut self, data: &[u8]) {
        for line in data
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.trim_ascii().is_empty())
        {
            match Record::from_line(line) {
                Ok(record) => self.rows.push(record.into()),
                Err(error) => self.rejected.push(Rejected {
                    stage: error.stage(),
                    code: error.code(),
                    reason: error.to_string(),
                    field: error.field().unwrap_or_default(),
                    raw: line.to_vec(),
                }),
            }
        }
    }
}

impl<'a> Delivery<'a> {
    /// Parses the body.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Error> {
        // Not the parser's own words: they may quote the data.
        let delivery: Self = serde_json::from_slice(body).map_err(|error| Error::NotADelivery {
            line: error.line(),
            column: error.column(),
        })?;
        match delivery.records.len() {
            count if count > MAX_RECORDS => Err(Error::TooManyRecords { limit: MAX_RECORDS }),
            _ => Ok(delivery),
        }
    }

    /// Each line of each record; see [`Lines::read`].
    pub(crate) fn lines(&self) -> Lines {
        let mut lines = Lines::default();
        for record in &self.records {
            let Ok(data) = STANDARD.decode(record.data.as_bytes()) else {
                lines.rejected.push(Rejected {
                    stage: "decode",
                    code: "not_base64",
                    reason: "the record is not base64".to_owned(),
                    field: "",
                    raw: record.data.as_bytes().to_vec(),
                });
                continue;
            };
            lines.read(&data);
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = concat!(
        r#"{"event_id":"00000000-0000-0000-0000-000000000007","received_at":"2024-05-17T10:20:31.500Z","#,
        r#""dt":"2024-05-17T10:20:30Z","name":"view","user_id":1,"url":"http://site/main","obj":"page","#,
        r#""obj_id":"","product_id":0,"amount":0.0,"exp":{}}"#
    );

    fn lines(records: &[&[u8]]) -> Lines {
        let records: Vec<_> = records
            .iter()
            .map(|data| serde_json::json!({ "data": STANDARD.encode(data) }))
            .collect();
        let body = serde_json::json!({ "requestId": "r", "timestamp": 1, "records": records }).to_string();
        Delivery::parse(body.as_bytes()).unwrap().lines()
    }

    #[test]
    fn one_bad_line_does_not_cost_the_others() {
        let packed = format!("{GOOD}\n\n{{\n{GOOD}");
        let lines = lines(&[packed.as_bytes(), b"", b"\xFF\n", GOOD.as_bytes()]);
        assert_eq!(lines.rows.len(), 3);
        let found: Vec<_> = lines
            .rejected
            .iter()
            .map(|bad| (bad.stage, bad.code, bad.raw.as_slice()))
            .collect();
        assert_eq!(
            found,
            [("json", "not_json", &b"{"[..]), ("decode", "not_utf8", b"\xFF")]
        );
    }

    #[test]
    fn a_record_that_is_not_base64_is_kept() {
        let body = r#"{"requestId":"r","timestamp":1,"records":[{"data":"!"},{"data":""}]}"#;
        let lines = Delivery::parse(body.as_bytes()).unwrap().lines();
        assert_eq!((lines.rows.len(), lines.rejected.len()), (0, 1));
        assert_eq!(
            (lines.rejected[0].code, &lines.rejected[0].raw[..]),
            ("not_base64", &b"!"[..])
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_kept() {
        let long = vec![b'x'; event_model::limits::MAX_LINE_BYTES + 1];
        let lines = lines(&[&[&long[..], b"\n", GOOD.as_bytes()].concat()]);
        assert_eq!((lines.rows.len(), lines.rejected.len()), (1, 1));
        let Rejected { stage, code, raw, .. } = &lines.rejected[0];
        assert_eq!((*stage, *code, raw == &long), ("decode", "too_long", true));
    }

    #[test]
    fn a_delivery_has_as_many_records_as_firehose_sends() {
        let of = |count: usize| {
            let records = vec![r#"{"data":""}"#; count].join(",");
            format!(r#"{{"requestId":"r","timestamp":1,"records":[{records}]}}"#)
        };
        assert!(Delivery::parse(of(MAX_RECORDS).as_bytes()).is_ok());
        let error = Delivery::parse(of(MAX_RECORDS + 1).as_bytes()).unwrap_err();
        assert_eq!((error.code(), error.status().as_u16()), ("too_many_records", 400));
        assert_eq!(error.message(), "the delivery has more than 10000 records");
    }

    /// What nests deeper than serde_json follows is no delivery; what it passes over costs no stack.
    #[test]
    fn nesting_is_bounded() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for depth in [2, 128, 1_000_000] {
            let nested = deep(depth);
            let in_place = format!(r#"{{"requestId":"r","timestamp":1,"records":{nested}}}"#);
            let error = Delivery::parse(in_place.as_bytes()).unwrap_err();
            assert_eq!(error.code(), "not_a_delivery", "{depth}");
            let beside = format!(r#"{{"requestId":"r","timestamp":1,"more":{nested},"records":[]}}"#);
            assert!(Delivery::parse(beside.as_bytes()).is_ok(), "{depth}");
        }
    }

    proptest! {
        #[test]
        fn no_record_is_dropped_unseen(data in prop::collection::vec(any::<u8>(), 1..100)) {
            let expected = data.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
            let lines = lines(&[&data]);
            prop_assert_eq!(lines.rows.len() + lines.rejected.len(), expected);
        }
    }
}
