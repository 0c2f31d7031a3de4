use serde_json::{Value, json};

use super::spec::read;
use super::*;

fn now() -> Timestamp {
    "2024-05-17T10:20:32Z".parse().unwrap()
}

fn request() -> Record {
    Record {
        method: Some("POST"),
        route: Some("/events"),
        status: Some(200),
        duration: Duration::from_micros(1500),
        ..Record::of("events", "r-1".to_owned())
    }
}

#[test]
fn a_record_is_one_line_of_the_embedded_metric_format() {
    let mut rejected = Rejected::default();
    for reason in ["missing", "int_parsing", "missing"] {
        rejected.count(reason);
    }
    let everything = Record {
        outcome: Some("done"),
        trace_id: Some("1-5759e988-bd862e3fe1be46a994272793".to_owned()),
        delivery: Some("d-1".to_owned()),
        accepted: Some(5),
        rejected: Some(rejected),
        not_stored: Some(0),
        bytes: Some(350),
        firehose_retries: Some(2),
        stored: Some(u64::MAX),
        quarantined: Some(1),
        insert: Some(Duration::from_millis(20)),
        data_age: Some(Duration::from_secs(60)),
        ..request()
    };
    let properties = json!({ "request_id": "r-1", "method": "POST", "route": "/events", "status": 200 });
    let all_properties = json!({
        "request_id": "r-1", "method": "POST", "route": "/events", "status": 200, "outcome": "done", "delivery": "d-1",
        "trace_id": "1-5759e988-bd862e3fe1be46a994272793", "rejected.missing": 2, "rejected.int_parsing": 1
    });
    let all_metrics = json!({
        "Accepted": 5, "Rejected": 3, "NotStored": 0, "Bytes": 350, "FirehoseRetries": 2, "Stored": u64::MAX,
        "Quarantined": 1, "InsertMilliseconds": 20, "DataAgeMilliseconds": 60000, "DurationMilliseconds": 1.5
    });
    for (what, record, metrics, properties) in [
        ("little", request(), json!({ "DurationMilliseconds": 1.5 }), properties),
        ("everything", everything, all_metrics, all_properties),
        (
            "nothing to reject",
            Record {
                rejected: Some(Rejected::default()),
                ..Record::of("events", String::new())
            },
            json!({ "Rejected": 0, "DurationMilliseconds": 0 }),
            json!({ "request_id": "" }),
        ),
        (
            "an id that breaks JSON",
            Record::of("events", "\"\\\n\u{1}\u{2028}é".to_owned()),
            json!({ "DurationMilliseconds": 0 }),
            json!({ "request_id": "\"\\\n\u{1}\u{2028}é" }),
        ),
    ] {
        let line = read(&record.emf(now()));
        assert_eq!(line.timestamp, 1_715_941_232_000, "{what}");
        assert_eq!(Value::Object(line.metrics), metrics, "{what}");
        assert_eq!(Value::Object(line.properties), properties, "{what}");
    }
}

/// What one record leaves in the writer is not in the next.
#[test]
fn records_do_not_mix() {
    let mut format = format();
    let full = Record {
        accepted: Some(5),
        delivery: Some("d-1".to_owned()),
        ..request()
    };
    let alone = request().emf(now());
    for _ in 0..3 {
        line(&mut format, "events", &full, now());
        assert_eq!(line(&mut format, "events", &request(), now()), alone);
    }
}

#[test]
fn where_records_go() {
    for (set, in_lambda, emf_and_log) in [
        (None, true, Ok((true, false))),
        (None, false, Ok((false, true))),
        (Some(""), true, Ok((true, false))),
        (Some("log"), true, Ok((false, true))),
        (Some("emf"), false, Ok((true, false))),
        (Some("emf,log"), false, Ok((true, true))),
        (
            Some("EMF"),
            false,
            Err("WEIR_METRICS is \"EMF\", not emf, log or emf,log"),
        ),
    ] {
        let lookup = |key: &str| set.filter(|_| key == "WEIR_METRICS").map(str::to_owned);
        let mut reader = Reader::new(&lookup);
        let output = Output::read(&mut reader, in_lambda);
        let found = reader.finish((output.emf.is_some(), output.log));
        assert_eq!(
            found.map_err(|error| error.to_string()),
            emf_and_log.map_err(str::to_owned),
            "{set:?}"
        );
    }
}
