use proptest::prelude::*;

use super::*;
use crate::limits::MAX_JSON_DEPTH;
use crate::line::tests::{line, record};

/// Lines without a request id are what versions wrote that did not know it: their rows and their bytes stay as they were.
#[test]
fn a_request_id_comes_last_and_may_be_missing() {
    let id = "8f5e0c7a-3f1d-4e57-9f0a-5b8a4c1d2e3f";
    let without = line(&record());
    let with = line(&Record {
        request_id: id.into(),
        ..record()
    });
    assert_eq!(
        with,
        without.replace("}}\n", &format!("}},\"request_id\":\"{id}\"}}\n"))
    );
    assert_eq!(Row::from_line(without.as_bytes()).unwrap().request_id, "");
    let row = Row::from_line(with.as_bytes()).unwrap();
    assert_eq!(row.request_id, id);
    assert_eq!([&row.to_line()[..], b"\n"].concat(), with.as_bytes());
    let too_long = format!("\"{}\"", "a".repeat(37));
    for (value, good) in [
        ("\"\"", true),
        ("\"c0FFEE-\"", true),
        (&too_long, false),
        ("\"g\"", false),
        ("\"a b\"", false),
        ("\"\\n\"", false),
        ("7", false),
        ("null", false),
        ("{}", false),
    ] {
        let line = with.replace(&format!("\"{id}\""), value);
        let field = Row::from_line(line.as_bytes())
            .err()
            .map(|error| (error.code(), error.field()));
        assert_eq!(
            field,
            (!good).then_some(("invalid_field", Some("request_id"))),
            "{value}"
        );
    }
}

#[test]
fn row_is_the_record() {
    let row = Row::from(record());
    assert_eq!((row.dt, row.received_at), (1_715_930_430, 1_715_930_431_042));
    assert_eq!((&*row.name, row.user_id, row.amount), ("click\n", 42, 9.5));
}

#[test]
fn what_is_not_a_record_has_a_reason() {
    #[track_caller]
    fn check(line: &[u8], stage: &str, code: &str, field: Option<&str>) {
        let error = Row::from_line(line).unwrap_err();
        assert_eq!(
            (error.stage(), error.code(), error.field()),
            (stage, code, field),
            "{error}"
        );
    }
    let good = line(&record());
    check(b"\xFF", "decode", "not_utf8", None);
    check(b"", "json", "not_json", None);
    check(b"{\"a\":}", "json", "not_json", None);
    check(b"[]", "json", "not_an_object", None);
    check(b"{}", "record", "missing_field", Some("event_id"));
    check(good.repeat(2).as_bytes(), "json", "not_json", None);
    for (from, to, field) in [
        ("018f8523", "x18f8523", "event_id"),
        ("31.042Z", "31.042", "received_at"),
        ("30Z\",\"name", "30\",\"name", "dt"),
        ("42,", "\"42\",", "user_id"),
        ("42,", "-1,", "user_id"),
        ("42,", "18446744073709551616,", "user_id"),
        ("9.5", "true", "amount"),
        ("9.5", "-1", "amount"),
        ("9.5", "1e999", "amount"),
        ("{\"b\"", "null,\"x\":{\"b\"", "exp"),
        ("\"b\":\"1\"", "\"b\":1", "exp"),
        ("\"add\"", "null", "obj_id"),
    ] {
        assert!(good.contains(from));
        check(
            good.replacen(from, to, 1).as_bytes(),
            "record",
            "invalid_field",
            Some(field),
        );
    }
    let deep = |depth: usize| good.replacen('{', &format!("{{\"x\":{}{},", "[".repeat(depth), "]".repeat(depth)), 1);
    assert!(Row::from_line(deep(MAX_JSON_DEPTH - 1).as_bytes()).is_ok());
    check(deep(MAX_JSON_DEPTH).as_bytes(), "json", "not_json", None);
    check(deep(100_000).as_bytes(), "json", "not_json", None);
    let more = good.replace("{\"event_id\"", "{\"new_field\":[1],\"event_id\"");
    assert_eq!(Row::from_line(more.as_bytes()), Row::from_line(good.as_bytes()));
}

/// The longest line that `events` writes is read, and the next byte is one too many, whatever it is.
#[test]
fn a_line_is_as_long_as_a_record_of_firehose() {
    let mut record = record();
    let room = MAX_LINE_BYTES - line(&record).len();
    record.event.obj_id.to_mut().push_str(&"x".repeat(room));
    let longest = line(&record);
    assert_eq!(longest.len(), MAX_LINE_BYTES);
    assert_eq!(Row::from_line(longest.as_bytes()).unwrap(), Row::from(record));
    for line in [format!("{longest} "), "\u{e9}".repeat(MAX_LINE_BYTES)] {
        let error = Row::from_line(line.as_bytes()).unwrap_err();
        assert_eq!(
            (error, error.stage(), error.code(), error.field()),
            (LineError::TooLong, "decode", "too_long", None)
        );
        assert_eq!(error.to_string(), "the line has more than 1024000 bytes");
    }
}

prop_compose! {
    fn any_record()(
        dt in any::<u32>(), name in any::<String>(), user_id in any::<u64>(), path in any::<String>(),
        obj in any::<String>(), obj_id in any::<String>(), product_id in any::<u64>(),
        amount in prop_oneof![0.0..f64::MAX, 0.0..1000.0, Just(0.0), Just(-0.0), Just(5e-324)],
        exp in prop::collection::btree_map(any::<String>(), any::<String>(), 0..20),
        id in any::<u128>(), received_at in 0_i64..=4_102_444_800_000,
        request_id in "([0-9a-fA-F-]{36})?",
    ) -> Record<'static> {
        Record {
            event_id: Uuid::from_u128(id),
            received_at: Timestamp::from_millisecond(received_at).unwrap(),
            request_id: request_id.into(),
            event: Event {
                dt, name: name.into(), user_id, url: format!("https://site/{path}").into(), obj: obj.into(),
                obj_id: obj_id.into(), product_id, amount,
                exp: exp.into_iter().map(|(key, value)| (key.into(), value.into())).collect(), event_id: None,
            },
        }
    }
}

prop_compose! {
    /// As most are: nothing needs an escape, and the amount is money.
    fn plain_record()(
        record in any_record(),
        texts in prop::collection::vec("[ !#-\\[\\]-~\u{a0}\u{e9}\u{10ffff}]{0,40}", 5),
        exp in prop::collection::btree_map("[a-z]{0,9}", "[a-z\u{e9}]{0,9}", 0..4),
        numbers in (0_u64..10_000_000_000_000_000_000, 0_u64..100_000),
        money in 0_u64..100_000_000_000,
        request_id in "([0-9a-fA-F-]{36})?",
    ) -> Record<'static> {
        let [name, url, obj, obj_id, _] = texts.try_into().unwrap();
        Record {
            request_id: request_id.into(),
            event: Event {
                name: name.into(), url: url.into(), obj: obj.into(), obj_id: obj_id.into(), user_id: numbers.0, product_id: numbers.1, amount: money as f64 / 100.0,
                exp: exp.into_iter().map(|(key, value)| (key.into(), value.into())).collect(), ..record.event
            },
            ..record
        }
    }
}

/// What may make a difference, and anything.
fn damage() -> impl Strategy<Value = char> {
    prop_oneof![
        prop::sample::select(r#"0123456789.-+eE"\\{}[],: Z/u"#.chars().collect::<Vec<_>>()),
        any::<char>()
    ]
}

/// Where the quick reader could go wrong: values at the edge of a field's form. What it does not take says nothing.
#[test]
fn both_readers_agree_at_the_edges() {
    let good = concat!(
        r#"{"event_id":"018f8523-3c5b-7d4a-9d3e-0b6f4c1f2a10","received_at":"2024-05-17T07:20:31.042Z","dt":"2024-05-17T07:20:30Z","#,
        r#""name":"view","user_id":42,"url":"https://shop.example/","obj":"page","obj_id":"add","product_id":1,"amount":9.5,"#,
        r#""exp":{"b":"1"},"request_id":"8f5e0c7a-3f1d-4e57-9f0a-5b8a4c1d2e3f"}"#
    );
    assert!(quick::read(good).is_some());
    let mut quickly = 0;
    for (from, tos) in [
        (
            "018f8523-3c5b-",
            &["018F8523-3C5B-", "018f85233-c5b-", "urn:uuid:18f8-", "018f8523-3c5-b"][..],
        ),
        (
            "2024-05-17T07:20:31.042Z",
            &[
                "1969-12-31T23:59:59.999Z",
                "1970-01-01T00:00:00.000Z",
                "9998-12-31T23:59:59.999Z",
                "9999-12-31T23:59:59.999Z",
                "2024-02-29T00:00:00.000Z",
                "2023-02-29T00:00:00.000Z",
                "2024-05-00T07:20:31.042Z",
                "2024-00-17T07:20:31.042Z",
                "2024-13-17T07:20:31.042Z",
                "2024-05-17T24:20:31.042Z",
                "2024-05-17T07:60:31.042Z",
                "2024-05-17T07:20:60.042Z",
                "2024-05-17t07:20:31.042Z",
                "2024-05-17 07:20:31.042Z",
                "2024-05-17T07:20:31,042Z",
                "2024-05-17T07:20:31.04:Z",
                "2024-05-1:T07:20:31.042Z",
                "2024-05-17T07:20:31.042z",
            ],
        ),
        (
            "2024-05-17T07:20:30Z",
            &[
                "1970-01-01T00:00:00Z",
                "1969-12-31T23:59:59Z",
                "2106-02-07T06:28:15Z",
                "2106-02-07T06:28:16Z",
                "2024-02-30T00:00:00Z",
                "2024-05-17T07:20:60Z",
                "2024-05-17T07:20:30z",
            ],
        ),
        (
            "42",
            &[
                "0",
                "00",
                "042",
                "-0",
                "",
                "9999999999999999999",
                "10000000000000000000",
                "18446744073709551615",
                "18446744073709551616",
                "4.0",
                "4e1",
                "+4",
                " 4",
            ],
        ),
        (
            "9.5",
            &[
                "0.0",
                "-0.0",
                "00.5",
                ".5",
                "5.",
                "5",
                "0.1",
                "0.3",
                "1.7976931348623157e308",
                "5e-324",
                "999999999999999.9",
                "99999999999999.9",
                "1000000000000.01",
                "0.00000000000001",
                "0.000000000000001",
                "123456.789012345",
                "9.5.",
                "1e999",
                "9007199254740993.0",
                "18446744073709551615.9",
            ],
        ),
        (
            "{\"b\":\"1\"}",
            &[
                "{}",
                "{\"b\":\"1\",\"b\":\"2\"}",
                "{\"b\":\"1\",\"\":\"\"}",
                "{,}",
                "{\"b\":\"1\",}",
                "{\"b\":1}",
                "{\"b\"}",
                "{ }",
            ],
        ),
        (
            "view",
            &[
                "\u{1f600}",
                "a\u{7f}b",
                "a\tb",
                "a\\tb",
                "\\ud800",
                "a\u{0}",
                "",
                "seven b",
                "eight by",
                "nine byte",
                "a\",\"name\":\"b",
            ],
        ),
        (
            "8f5e0c7a-3f1d",
            &[
                "8F5E0C7A-3F1D",
                "8g5e0c7a-3f1d",
                "8f5e0c7a3f1d",
                "8f5e0c7a--3f1d",
                "\u{e9}5e0c7a-3f1d",
            ],
        ),
        ("}", &["}}", "} ", "", "},\"new\":1"]),
        ("2e3f\"}", &["2e3f\",\"dt\":\"2024-05-17T07:20:31Z\"}", "2e3f\"}\n"]),
    ] {
        for to in tos {
            let line = good.replacen(from, to, 1);
            assert_ne!(line, good);
            if let Some(row) = quick::read(&line) {
                quickly += 1;
                let any = Row::from_json(&line);
                assert_eq!(
                    any.as_ref().map(|row| row.amount.to_bits()),
                    Ok(row.amount.to_bits()),
                    "{line}"
                );
                assert_eq!(any, Ok(row), "{line}");
            }
        }
    }
    assert!(quickly > 20, "{quickly}");
}

proptest! {
    #[test]
    fn every_record_survives_its_line(record in any_record()) {
        let line = line(&record);
        prop_assert_eq!(line.matches('\n').count(), 1);
        let back = Row::from_line(line.as_bytes()).unwrap();
        prop_assert_eq!(back.amount.to_bits(), record.event.amount.to_bits());
        prop_assert_eq!(back, Row::from(record));
        prop_assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
    }

    #[test]
    fn a_damaged_line_never_panics(record in any_record(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut line = line(&record).into_bytes();
        let at = at.index(line.len());
        line[at] = byte;
        let _ = Row::from_line(&line);
        let _ = Row::from_line(&line[..at]);
    }

    /// What has no escapes is read quickly.
    #[test]
    fn a_written_line_is_read_quickly(record in plain_record()) {
        let line = line(&record);
        prop_assert_eq!(quick::read(line.trim_end()), Some(Row::from(record)), "{}", line);
    }

    /// Whatever is done to a line, what is read quickly is what the reader of any JSON makes of it.
    #[test]
    fn both_readers_read_alike(
        record in prop_oneof![any_record(), plain_record()],
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..4, damage()), 1..4),
    ) {
        let mut line: Vec<char> = line(&record).trim_end().chars().collect();
        for (at, what, other) in damage {
            let at = at.index(line.len());
            match what {
                0 => line[at] = other,
                1 => line.insert(at, other),
                2 => drop(line.remove(at)),
                _ => line.rotate_left(usize::from(at % 2 == 0)),
            }
        }
        let line: String = line.into_iter().collect();
        if let Some(row) = quick::read(&line) {
            let any = Row::from_json(&line);
            prop_assert_eq!(any.as_ref().map(|row| row.amount.to_bits()), Ok(row.amount.to_bits()));
            prop_assert_eq!(any, Ok(row));
        }
    }
}

#[test]
fn a_row_gives_its_line_back() {
    let line = line(&record());
    let row = Row::from_line(line.as_bytes()).unwrap();
    assert_eq!(row.to_line(), line.trim_end().as_bytes());
}
