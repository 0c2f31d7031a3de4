//! What a request is recorded as.

use edge::Record;
use serde_json::{Value, json};

use super::GOOD;
use super::fake::{Fake, Plan};

#[path = "../../../../edge/src/record/spec.rs"]
mod spec;

/// The metrics but the time, and the reasons.
fn counted(record: &Record) -> (Value, Value) {
    let mut line = spec::read(&record.emf("2024-05-17T10:20:32Z".parse().unwrap()));
    assert!(line.timestamp > 0 && line.metrics.remove("DurationMilliseconds").is_some());
    line.properties.retain(|name, _| name.starts_with("rejected."));
    (line.metrics.into(), line.properties.into())
}

#[tokio::test]
async fn a_request_is_counted() {
    let counts = |accepted: u64, rejected: u64, not_stored: u64, retries: Option<u64>| {
        let mut counts = json!({ "Accepted": accepted, "Rejected": rejected, "NotStored": not_stored });
        if let Some(retries) = retries {
            counts["FirehoseRetries"] = retries.into();
        }
        counts
    };
    let batch = format!("[{GOOD},{{}},{GOOD},{{\"dt\":1}},7]");
    let too_many = format!("[{}{GOOD}]", "7,".repeat(10_001));
    let too_large = GOOD.replace("\"view\"", &format!("\"{}\"", "x".repeat(1_100_000)));
    let deep = "[".repeat(5000);
    let none = json!({});
    let not_json = json!({ "rejected.json_invalid": 1 });
    let partial = json!({ "rejected.missing": 2, "rejected.model_attributes_type": 1 });
    let no_object = json!({ "rejected.model_attributes_type": 1 });
    let refused = || [Plan::Take(&[false]), Plan::Take(&[false]), Plan::Take(&[false])].into();
    for (what, path, body, plans, status, expected, reasons) in [
        ("one", "/events", GOOD, vec![], 200, counts(1, 0, 0, Some(0)), &none),
        (
            "a part",
            "/events",
            &batch,
            vec![],
            200,
            counts(2, 3, 0, Some(0)),
            &partial,
        ),
        ("none", "/events", "7", vec![], 422, counts(0, 1, 0, None), &no_object),
        (
            "a batch of none",
            "/events",
            "[7]",
            vec![],
            422,
            counts(0, 1, 0, None),
            &no_object,
        ),
        (
            "too many",
            "/events",
            &too_many,
            vec![],
            422,
            counts(0, 10_001, 0, None),
            &json!({ "rejected.model_attributes_type": 10_001 }),
        ),
        (
            "too large",
            "/events",
            &too_large,
            vec![],
            413,
            counts(0, 1, 0, None),
            &json!({ "rejected.event_too_large": 1 }),
        ),
        (
            "not stored",
            "/events",
            &batch,
            refused(),
            503,
            counts(0, 3, 2, Some(2)),
            &partial,
        ),
        (
            "stored in the end",
            "/events",
            GOOD,
            vec![Plan::HangUp],
            200,
            counts(1, 0, 0, Some(1)),
            &none,
        ),
        (
            "misconfigured",
            "/events",
            GOOD,
            vec![Plan::Exception(400, "AccessDeniedException")],
            500,
            counts(0, 0, 1, Some(0)),
            &none,
        ),
        (
            "no JSON",
            "/events",
            "[7,7,{",
            vec![],
            422,
            counts(0, 1, 0, None),
            &not_json,
        ),
        // Nobody knows how many events these are.
        ("not to be read", "/events", &deep, vec![], 400, json!({}), &none),
        (
            "not stored on purpose",
            "/events/validate",
            &batch,
            vec![],
            200,
            json!({}),
            &none,
        ),
        ("another path", "/ada@example.org", GOOD, vec![], 404, json!({}), &none),
    ] {
        let fake = Fake::start(plans).await;
        let (found, record) = fake.record(path, body).await;
        let (mut metrics, found_reasons) = counted(&record);
        assert_eq!(found, status, "{what}");
        assert_eq!(metrics["Bytes"].take(), body.len(), "{what}");
        metrics.as_object_mut().unwrap().remove("Bytes");
        assert_eq!((&metrics, &found_reasons), (&expected, reasons), "{what}");
    }
}

#[tokio::test]
async fn a_record_names_what_is_ours() {
    let fake = Fake::start([]).await;
    let (_, record) = fake.record("/ada@example.org?key=secret", GOOD).await;
    let line = spec::read(&record.emf("2024-05-17T10:20:32Z".parse().unwrap()));
    let expected = json!({ "request_id": "", "method": "POST", "route": "other", "status": 404 });
    assert_eq!(Value::from(line.properties), expected);
}
