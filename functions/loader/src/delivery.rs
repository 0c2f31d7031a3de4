//! Reading a delivery: JSON around base64 around lines.

use std::borrow::Cow;

use event_model::Row;
use memchr::memchr;
use serde::Deserialize;

use crate::error::Error;
use crate::insert::Rejected;

/// Most records of a delivery: as many as Firehose sends
/// (<https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html>).
pub const MAX_RECORDS: usize = 10_000;

/// A delivery, its records decoded.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    /// The id that the answer must repeat.
    pub(crate) request_id: Cow<'a, str>,
    records: Records,
}

/// The body of a delivery request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    request_id: Cow<'a, str>,
    #[serde(borrow)]
    records: Vec<DeliveredRecord<'a>>,
}

#[derive(Debug, Deserialize)]
struct DeliveredRecord<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
}

/// The data of a delivery's records, one behind the other.
#[derive(Debug, Default)]
pub struct Records {
    data: Vec<u8>,
    /// Where each record's data ends, and whether it is what its base64 says; else it is what was no base64.
    ends: Vec<(usize, bool)>,
}

/// A record's data is not base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record is not base64")]
pub struct NotBase64;

/// What a delivery's lines are.
#[derive(Debug, Default)]
pub struct Lines<'a> {
    /// Those that are rows.
    pub rows: Vec<Row<'a>>,
    /// Those that cannot be.
    pub rejected: Vec<Rejected>,
}

impl Records {
    /// Adds a record, which comes in base64. What is no base64 is not added.
    pub fn push(&mut self, base64: &[u8]) -> Result<(), NotBase64> {
        // The decoder itself would make exactly the room that it needs, each time.
        self.data.reserve(base64.len().div_ceil(4) * 3);
        base64_simd::STANDARD
            .decode_append(base64, &mut self.data)
            .map_err(|_| NotBase64)?;
        self.ends.push((self.data.len(), true));
        Ok(())
    }

    /// The lines of all records; see [`Lines::read`].
    pub fn lines(&self) -> Lines<'_> {
        let mut lines = Lines::default();
        let mut start = 0;
        for (end, decoded) in &self.ends {
            let data = &self.data[start..*end];
            start = *end;
            if *decoded {
                lines.read(data);
            } else {
                lines.rejected.push(Rejected {
                    stage: "decode",
                    code: "not_base64",
                    reason: NotBase64.to_string(),
                    field: "",
                    raw: data.to_vec(),
                });
            }
        }
        lines
    }
}

impl<'a> Lines<'a> {
    /// Adds each line of a record's data, as a row or as what is wrong with it. Empty lines are nothing.
    pub fn read(&mut self, data: &'a [u8]) {
        let mut rest = data;
        while !rest.is_empty() {
            let (line, behind) = rest.split_at(memchr(b'\n', rest).unwrap_or(rest.len()));
            rest = behind.get(1..).unwrap_or_default();
            match Row::from_line(line) {
                Ok(row) => self.rows.push(row),
                Err(_) if line.trim_ascii().is_empty() => {}
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
        match Delivery::plain(body) {
            Some(delivery) => Ok(delivery),
            None => Delivery::any(body),
        }
    }

    /// A body as Firehose writes it, without white space and escapes: its strings, which are nearly all of it, are stepped over once, and what
    /// is in base64 needs no other look. `None` says nothing about the body.
    fn plain(body: &'a [u8]) -> Option<Self> {
        let rest = body.strip_prefix(b"{\"requestId\":\"")?;
        let (request_id, rest) = rest.split_at(memchr(b'"', rest)?);
        let plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
        let request_id = std::str::from_utf8(request_id)
            .ok()
            .filter(|id| id.bytes().all(|byte| plain(&byte)))?;
        let rest = rest.strip_prefix(b"\",\"timestamp\":")?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (timestamp, rest) = rest.split_at(digits);
        if !(1..=18).contains(&digits) || (digits > 1 && timestamp.starts_with(b"0")) {
            return None;
        }
        let mut rest = rest.strip_prefix(b",\"records\":[")?;
        let mut records = Records {
            // Three bytes for each four.
            data: Vec::with_capacity(rest.len() / 4 * 3),
            ends: Vec::new(),
        };
        while records.ends.len() < MAX_RECORDS {
            rest = rest.strip_prefix(b"{\"data\":\"")?;
            let (base64, behind) = rest.split_at(memchr(b'"', rest)?);
            records.push(base64).ok()?;
            match behind.strip_prefix(b"\"}")? {
                b"]}" => {
                    let request_id = Cow::Borrowed(request_id);
                    return Some(Delivery { request_id, records });
                }
                behind => rest = behind.strip_prefix(b",")?,
            }
        }
        None
    }

    /// A body of any form.
    fn any(body: &'a [u8]) -> Result<Self, Error> {
        // Not the parser's own words: they may quote the data.
        let body: Body<'_> = serde_json::from_slice(body).map_err(|error| Error::NotADelivery {
            line: error.line(),
            column: error.column(),
        })?;
        if body.records.len() > MAX_RECORDS {
            return Err(Error::TooManyRecords { limit: MAX_RECORDS });
        }
        let mut records = Records::default();
        records
            .data
            .reserve(body.records.iter().map(|record| record.data.len()).sum());
        for record in &body.records {
            let data = record.data.as_bytes();
            if records.push(data).is_err() {
                records.data.extend_from_slice(data);
                records.ends.push((records.data.len(), false));
            }
        }
        Ok(Delivery {
            request_id: body.request_id,
            records,
        })
    }

    /// The lines of all records; see [`Lines::read`].
    pub(crate) fn lines(&self) -> Lines<'_> {
        self.records.lines()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = concat!(
        r#"{"event_id":"00000000-0000-0000-0000-000000000007","received_at":"2024-05-17T10:20:31.500Z","#,
        r#""dt":"2024-05-17T10:20:30Z","name":"view","user_id":1,"url":"http://site/main","obj":"page","#,
        r#""obj_id":"","product_id":0,"amount":0.0,"exp":{}}"#
    );

    fn body(records: &[&[u8]]) -> String {
        let records: Vec<_> = records
            .iter()
            .map(|data| serde_json::json!({ "data": STANDARD.encode(data) }))
            .collect();
        serde_json::json!({ "requestId": "r", "timestamp": 1, "records": records }).to_string()
    }

    fn parse(body: &str) -> Delivery<'_> {
        Delivery::parse(body.as_bytes()).unwrap()
    }

    /// Whether a body has Firehose's form. One that has is the same delivery to the reader of any form.
    fn is_plain(body: &[u8]) -> bool {
        let Some(plain) = Delivery::plain(body) else {
            return false;
        };
        let any = Delivery::any(body).unwrap();
        assert_eq!(plain.request_id, any.request_id);
        assert_eq!(
            (plain.records.data, plain.records.ends),
            (any.records.data, any.records.ends)
        );
        true
    }

    #[test]
    fn the_form_of_firehose_is_read_at_once() {
        let good = r#"{"requestId":"ed4acda5-034f","timestamp":1578090901599,"records":[{"data":"aGk="},{"data":""}]}"#;
        assert!(is_plain(good.as_bytes()));
        for (from, to) in [
            ("ed4", "\\u0065d4"),
            ("ed4", "\u{e9}"),
            ("ed4", "\u{7f}"),
            ("157", "0157"),
            ("1578090901599", ""),
            ("1578090901599", "-1"),
            ("1578090901599", "\"1\""),
            ("aGk=", "aGl="),
            ("aGk=", "aGk"),
            ("aGk=", "a\\u0047k="),
            ("aGk=", "aGk=\\\""),
            (":\"a", ": \"a"),
            ("},{", "}{"),
            ("},{", "},,{"),
            ("{\"data\":\"\"}", ""),
            (",{\"data\":\"\"}", ",[]"),
            ("]}", "],\"records\":[]}"),
            ("]}", "]} "),
            ("]}", "]"),
        ] {
            let other = good.replacen(from, to, 1);
            assert!(other != good && !is_plain(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn one_bad_line_does_not_cost_the_others() {
        let packed = format!("{GOOD}\n\n{{\n{GOOD}");
        let body = body(&[packed.as_bytes(), b"", b"\xFF\n", GOOD.as_bytes()]);
        let delivery = parse(&body);
        let lines = delivery.lines();
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
        let delivery = Delivery::parse(body.as_bytes()).unwrap();
        let lines = delivery.lines();
        assert_eq!((lines.rows.len(), lines.rejected.len()), (0, 1));
        assert_eq!(
            (lines.rejected[0].code, &lines.rejected[0].raw[..]),
            ("not_base64", &b"!"[..])
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_kept() {
        let long = vec![b'x'; event_model::limits::MAX_LINE_BYTES + 1];
        let body = body(&[&[&long[..], b"\n", GOOD.as_bytes()].concat()]);
        let delivery = parse(&body);
        let lines = delivery.lines();
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
            let body = body(&[&data]);
            let delivery = parse(&body);
            let lines = delivery.lines();
            prop_assert_eq!(lines.rows.len() + lines.rejected.len(), expected);
        }

        #[test]
        fn a_damaged_delivery_is_read_alike(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..4),
            damage in prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(any::<u8>())), 0..3),
        ) {
            let records: Vec<_> = records.iter().map(|data| format!("{{\"data\":\"{}\"}}", STANDARD.encode(data))).collect();
            let mut body = format!("{{\"requestId\":\"r\",\"timestamp\":1,\"records\":[{}]}}", records.join(",")).into_bytes();
            prop_assert_eq!(is_plain(&body), !records.is_empty());
            for (at, byte) in damage {
                let at = at.index(body.len());
                match byte {
                    Some(byte) => body[at] = byte,
                    None => drop(body.remove(at)),
                }
            }
            is_plain(&body);
        }

        /// The fast decoder takes what the usual one takes.
        #[test]
        fn base64_is_base64(text in prop_oneof!["[A-Za-z0-9+/]{0,70}={0,3}", "[A-D/+=]{0,9}", ".{0,12}"]) {
            let mut records = Records::default();
            prop_assert_eq!(records.push(text.as_bytes()).ok().map(|()| records.data), STANDARD.decode(&text).ok());
        }
    }
}
