use proptest::prelude::*;

use super::*;
use crate::limits::MAX_JSON_DEPTH;

fn record() -> Record<'static> {
    let body = r#"{"dt": "2024-05-17T10:20:30+03:00", "name": "click\n", "user_id": 42, "url": "https://Shop.example",
        "obj": "button", "obj_id": "add", "product_id": 1, "amount": 9.5, "exp": {"b": "1", "a": "\""}}"#;
    Record {
        event_id: "018f8523-3c5b-7d4a-9d3e-0b6f4c1f2a10".parse().unwrap(),
        received_at: "2024-05-17T07:20:31.0425Z".parse().unwrap(),
        request_id: "".into(),
        event: Event::from_json(body.as_bytes()).unwrap(),
    }
}

fn line(record: &Record<'_>) -> String {
    let mut line = Vec::new();
    record.write_line(&mut line);
    String::from_utf8(line).unwrap()
}

#[test]
fn line_has_a_fixed_form() {
    let expected = concat!(
        r#"{"event_id":"018f8523-3c5b-7d4a-9d3e-0b6f4c1f2a10","received_at":"2024-05-17T07:20:31.042Z","#,
        r#""dt":"2024-05-17T07:20:30Z","name":"click\n","user_id":42,"url":"https://shop.example/","obj":"button","#,
        r#""obj_id":"add","product_id":1,"amount":9.5,"exp":{"b":"1","a":"\""}}"#,
        "\n"
    );
    assert_eq!(line(&record()), expected);
}

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
    assert_eq!(Record::from_line(without.as_bytes()).unwrap().request_id, "");
    assert_eq!(Record::from_line(with.as_bytes()).unwrap().request_id, id);
    let row = Row::from(Record::from_line(with.as_bytes()).unwrap());
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
        let field = Record::from_line(line.as_bytes())
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
    assert_eq!((row.name.as_str(), row.user_id, row.amount), ("click\n", 42, 9.5));
}

#[test]
fn what_is_not_a_record_has_a_reason() {
    #[track_caller]
    fn check(line: &[u8], stage: &str, code: &str, field: Option<&str>) {
        let error = Record::from_line(line).unwrap_err();
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
    assert!(Record::from_line(deep(MAX_JSON_DEPTH - 1).as_bytes()).is_ok());
    check(deep(MAX_JSON_DEPTH).as_bytes(), "json", "not_json", None);
    check(deep(100_000).as_bytes(), "json", "not_json", None);
    let more = good.replace("{\"event_id\"", "{\"new_field\":[1],\"event_id\"");
    assert_eq!(Record::from_line(more.as_bytes()), Record::from_line(good.as_bytes()));
}

/// The longest line that `events` writes is read, and the next byte is one too many, whatever it is.
#[test]
fn a_line_is_as_long_as_a_record_of_firehose() {
    let mut record = record();
    let room = MAX_LINE_BYTES - line(&record).len();
    record.event.obj_id.to_mut().push_str(&"x".repeat(room));
    let longest = line(&record);
    assert_eq!(longest.len(), MAX_LINE_BYTES);
    assert_eq!(Record::from_line(longest.as_bytes()).unwrap().event, record.event);
    for line in [format!("{longest} "), "\u{e9}".repeat(MAX_LINE_BYTES)] {
        let error = Record::from_line(line.as_bytes()).unwrap_err();
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
                dt, name: name.into(), user_id, url: format!("https://site/{path}").into(), obj: obj.into(), obj_id: obj_id.into(),
                product_id, amount, exp: exp.into_iter().map(|(key, value)| (key.into(), value.into())).collect(), event_id: None,
            },
        }
    }
}

proptest! {
    #[test]
    fn every_record_survives_its_line(record in any_record()) {
        let line = line(&record);
        prop_assert_eq!(line.matches('\n').count(), 1);
        let back = Record::from_line(line.as_bytes()).unwrap();
        prop_assert_eq!(back.event.amount.to_bits(), record.event.amount.to_bits());
        prop_assert_eq!(back, record);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
    }

    #[test]
    fn a_damaged_line_never_panics(record in any_record(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut line = line(&record).into_bytes();
        let at = at.index(line.len());
        line[at] = byte;
        let _ = Record::from_line(&line);
        let _ = Record::from_line(&line[..at]);
    }
}

#[test]
fn a_row_gives_its_line_back() {
    let line = line(&record());
    let row = Row::from(Record::from_line(line.as_bytes()).unwrap());
    assert_eq!(row.to_line(), line.trim_end().as_bytes());
}

#[test]
fn the_id_is_read_from_the_beginning() {
    let record = record();
    let line = line(&record);
    assert_eq!(Record::event_id_at_start(line.as_bytes()), Some(record.event_id));
    assert_eq!(Record::event_id_at_start(&line.as_bytes()[..49]), Some(record.event_id));
    for other in [
        &line.as_bytes()[..48],
        b"",
        b"{}",
        &line.as_bytes()[1..],
        &line.to_uppercase().as_bytes()[..60],
    ] {
        assert_eq!(Record::event_id_at_start(other), None);
    }
}
