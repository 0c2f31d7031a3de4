use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A record, as the functions write it.
fn line(members: Value) -> Vec<u8> {
    let mut line = br#"{"_aws":{"CloudWatchMetrics":[{"Namespace":"Weir","Dimensions":[["function"]],"Metrics":[]}],"Timestamp":1},"#
        .to_vec();
    line.extend_from_slice(&members.to_string().as_bytes()[1..]);
    line
}

fn read(line: &[u8]) -> Option<Record<'_>> {
    Record::in_line(line).map(|(_, record)| record)
}

#[test]
fn a_record_is_read() {
    let everything = line(json!({
        "function": "weir-\"x\"", "request_id": "r", "delivery": "d", "method": "POST", "route": "/events", "status": 200,
        "outcome": "done", "Accepted": 5, "Rejected": 3, "rejected.missing": 2, "rejected.url_scheme": 1, "NotStored": 0,
        "Bytes": 350, "FirehoseRetries": 2, "Stored": 7, "Quarantined": 1, "InsertMilliseconds": 20,
        "DataAgeMilliseconds": 60000, "DurationMilliseconds": 1.5, "trace_id": null, "later": {"a": [1]}
    }));
    let expected = Record {
        function: "weir-\"x\"".into(),
        method: Some("POST".into()),
        route: Some("/events".into()),
        status: Some(200),
        outcome: Some("done".into()),
        bytes: Some(350),
        duration: 0.0015,
        accepted: Some(5),
        rejected: vec![("missing".into(), 2), ("url_scheme".into(), 1)],
        not_stored: Some(0),
        firehose_retries: Some(2),
        stored: Some(7),
        quarantined: Some(1),
        insert: Some(0.02),
        data_age: Some(60.0),
    };
    assert_eq!(read(&everything), Some(expected));
    let little = line(json!({ "function": "docs", "DurationMilliseconds": 0 }));
    let expected = Record {
        function: "docs".into(),
        ..Record::default()
    };
    assert_eq!(Record::in_line(&little), Some((0, expected.clone())));
    // Behind what a killed process has left.
    let left = &everything[..everything.len() - 3];
    let both = [left, &little].concat();
    assert_eq!(Record::in_line(&both), Some((left.len(), expected)));
}

#[test]
fn what_is_no_record_is_left_alone() {
    let of = |members: Value| String::from_utf8(line(members)).unwrap();
    let good = of(json!({ "function": "docs", "DurationMilliseconds": 1 }));
    for (what, line) in [
        ("nothing", String::new()),
        (
            "the log's JSON",
            json!({ "level": "INFO", "message": "_aws" }).to_string(),
        ),
        ("text about it", r#"the member {\"_aws\":{ of a record"#.to_owned()),
        ("another's metrics", good.replace("Weir", "Shop")),
        ("cut", good.trim_end_matches('}').to_owned()),
        ("more behind it", good.clone() + "x"),
        ("no function", of(json!({ "DurationMilliseconds": 1 }))),
        (
            "an empty name",
            of(json!({ "function": "", "DurationMilliseconds": 1 })),
        ),
        ("no time", of(json!({ "function": "docs" }))),
        (
            "a time before",
            of(json!({ "function": "docs", "DurationMilliseconds": -1 })),
        ),
        (
            "a time without end",
            of(json!({ "function": "docs", "DurationMilliseconds": 1e300 })),
        ),
        (
            "a count of too much",
            of(json!({ "function": "a", "DurationMilliseconds": 1, "Stored": u64::MAX })),
        ),
        (
            "a count of less",
            of(json!({ "function": "a", "DurationMilliseconds": 1, "Stored": -1 })),
        ),
        (
            "a wrong status",
            of(json!({ "function": "a", "DurationMilliseconds": 1, "status": "200" })),
        ),
    ] {
        assert_eq!(Record::in_line(line.as_bytes()), None, "{what}: {line}");
    }
    assert!(read(good.as_bytes()).is_some());
}

/// What the functions' own writer writes, whatever a request has counted.
#[test]
fn the_writer_of_the_functions_is_understood() {
    let mut rejected = edge::Rejected::default();
    for reason in ["missing", "int_parsing", "missing"] {
        rejected.count(reason);
    }
    let mut record = edge::Record::default();
    record.accepted = Some(5);
    record.rejected = Some(rejected);
    record.stored = Some(2);
    record.data_age = Some(std::time::Duration::from_millis(1250));
    // Its name is given by what surrounds a request.
    let text = String::from_utf8(record.emf(edge::clock::now())).unwrap();
    let named = text.replace(r#""function":"""#, r#""function":"events""#);
    let read = read(named.as_bytes()).unwrap();
    assert_eq!(
        (read.accepted, read.stored, read.data_age),
        (Some(5), Some(2), Some(1.25))
    );
    assert_eq!(read.rejected, [("missing".into(), 2), ("int_parsing".into(), 1)]);
}

proptest! {
    #[test]
    fn any_bytes_are_a_record_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..200usize) {
        Record::in_line(&bytes);
        let mut damaged = line(json!({ "function": "docs", "DurationMilliseconds": 1, "rejected.x": 1 }));
        let (at, length) = (at % damaged.len(), bytes.len().min(4));
        damaged.splice(at..at, bytes.into_iter().take(length));
        if let Some((before, record)) = Record::in_line(&damaged) {
            prop_assert!(before < damaged.len() && record.duration.is_finite());
        }
    }
}
