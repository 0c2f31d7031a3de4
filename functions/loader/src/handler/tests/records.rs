//! What a delivery is recorded as.

use super::*;

#[path = "../../../../edge/src/record/spec.rs"]
mod spec;

#[tokio::test]
async fn a_delivery_is_counted() {
    let id = "ed4acda5-034f-9f42-bba1-f29aea6d7d8f";
    let ours = delivery().replace("r-1", id);
    let empty = json!({ "requestId": "ada@example.org", "timestamp": 1, "records": [] }).to_string();
    let stored = |rows: u64, quarantined: u64| json!({ "Stored": rows, "Quarantined": quarantined });
    let none = || json!({});
    // The clock stands half a second after the lines were received.
    for (what, key, request_id, body, exceptions, status, counts, age_ms) in [
        ("with quarantine", KEY, id, &ours, vec![], 200, stored(3, 1), Some(500)),
        (
            "a refused row",
            KEY,
            id,
            &ours,
            vec![0, REFUSES_DATA],
            200,
            stored(2, 2),
            Some(500),
        ),
        ("ClickHouse fails", KEY, id, &ours, vec![241], 500, none(), Some(500)),
        (
            "nothing in it",
            KEY,
            "ada@example.org",
            &empty,
            vec![],
            200,
            stored(0, 0),
            None,
        ),
        ("no delivery", KEY, id, &"{".to_owned(), vec![], 400, none(), None),
        ("a stranger's", "another", id, &ours, vec![], 401, none(), None),
    ] {
        let fake = Fake::start(exceptions).await;
        let request = http::Request::post("/")
            .header(ACCESS_KEY, key)
            .header(REQUEST_ID, request_id);
        let (found, _, record) = fake.deliver_recorded(request, body.clone()).await;
        assert_eq!(found, status, "{what}");
        let mut line = spec::read(&record.emf("2024-05-17T10:20:32Z".parse().unwrap()));
        assert!(line.timestamp > 0 && line.metrics.remove("DurationMilliseconds").is_some());
        assert_eq!(line.metrics.remove("Bytes").unwrap(), body.len(), "{what}");
        let age = line.metrics.remove("DataAgeMilliseconds");
        assert_eq!(age.and_then(|age| age.as_u64()), age_ms, "{what}");
        let inserted = line.metrics.remove("InsertMilliseconds").is_some();
        assert_eq!(inserted, age_ms.is_some() || status == 200, "{what}");
        assert_eq!(Value::from(line.metrics), counts, "{what}");
        // Firehose's id, and no other one.
        let delivery = line.properties.remove("delivery");
        assert_eq!(
            delivery.is_some_and(|delivery| delivery == id),
            inserted && request_id == id,
            "{what}"
        );
    }
}

#[test]
fn an_age_is_not_negative() {
    let now = Timestamp::from_millisecond(1_000).unwrap();
    for (received_at_ms, expected_ms) in [
        (0, 1_000),
        (999, 1),
        (1_000, 0),
        (1_001, 0),
        (i64::MIN, 9_223_372_036_854_775_807),
    ] {
        assert_eq!(
            age(now, received_at_ms),
            Duration::from_millis(expected_ms),
            "{received_at_ms}"
        );
    }
}
