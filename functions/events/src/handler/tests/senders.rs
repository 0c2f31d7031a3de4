//! Who may send, and what happens when they send twice.

use std::collections::BTreeSet;

use serde_json::json;

use super::GOOD;
use super::fake::Fake;

#[tokio::test]
async fn a_write_key_is_asked_for_before_the_body_is_read() {
    let fake = Fake::configured([], &[("WRITE_KEYS", "one,two")]).await;
    for path in ["/events", "/events/validate"] {
        for (headers, code) in [
            (&[][..], "write_key_missing"),
            (&[("x-write-key", "three")][..], "write_key_invalid"),
            (&[("authorization", "Bearer three")][..], "write_key_invalid"),
        ] {
            let (status, body, answered) = fake.send("POST", path, headers, "not json").await;
            assert_eq!((status, body["code"].as_str()), (401, Some(code)));
            assert_eq!(answered["www-authenticate"], "Bearer");
            assert!(!body.to_string().contains("three"));
        }
        for headers in [&[("x-write-key", "one")][..], &[("authorization", "Bearer two")]] {
            assert_eq!(fake.send("POST", path, headers, GOOD).await.0, 200);
        }
        let query = format!("{path}?key=two");
        assert_eq!(
            fake.send("POST", &query, &[("content-type", "text/plain")], GOOD)
                .await
                .0,
            200
        );
    }
    assert_eq!(fake.calls().len(), 3);
}

#[tokio::test]
async fn pages_of_other_origins_may_not_send() {
    let fake = Fake::configured([], &[("ALLOWED_ORIGINS", "https://shop.example")]).await;
    let ours = ("origin", "https://shop.example");
    let (status, body, headers) = fake
        .send("POST", "/events", &[("origin", "https://evil.example")], GOOD)
        .await;
    assert_eq!((status, body["code"].as_str()), (403, Some("origin_not_allowed")));
    assert!(!headers.contains_key("access-control-allow-origin"));
    assert!(fake.calls().is_empty());
    // Refusals can be read by the page too.
    for (body, expected) in [(GOOD, 200), ("{}", 422)] {
        let (status, _, headers) = fake.send("POST", "/events", &[ours], body).await;
        assert_eq!(status, expected);
        assert_eq!(headers["access-control-allow-origin"], "https://shop.example");
        assert_eq!(headers["vary"], "Origin");
    }
    // Servers send no origin.
    assert_eq!(fake.send("POST", "/events", &[], GOOD).await.0, 200);
    let preflight = [ours, ("access-control-request-method", "POST")];
    let (status, body, headers) = fake.send("OPTIONS", "/events", &preflight, "").await;
    assert_eq!((status, body), (204, json!(null)));
    assert_eq!(headers["access-control-allow-methods"], "POST");
    assert!(
        headers["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("idempotency-key")
    );
    assert!(!headers.contains_key("access-control-allow-credentials"));
}

/// The ids in the lines of each call.
fn ids(fake: &Fake) -> Vec<Vec<String>> {
    let id = |line: &str| line.split('"').nth(3).unwrap().to_owned();
    fake.calls()
        .iter()
        .map(|records| records.iter().flat_map(|record| record.lines().map(id)).collect())
        .collect()
}

#[tokio::test]
async fn the_same_key_and_events_give_the_same_ids() {
    let fake = Fake::start([]).await;
    let other = GOOD.replace("view", "click");
    let named = GOOD.replace(
        "{\"dt\"",
        "{\"event_id\":\"018f8523-3c5b-7d4a-9d3e-0b6f4c1f2a10\",\"dt\"",
    );
    let batch = format!("[{GOOD},{GOOD},{named}]");
    let changed = format!("[{other},{GOOD},{named}]");
    let spaced = format!("[ {GOOD} ,{GOOD},\n{named}]");
    for (key, body) in [("\"k\"", &batch), ("k", &spaced), ("k", &changed), ("l", &batch)] {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        assert_eq!(fake.send("POST", "/events", &headers, body.as_str()).await.0, 200);
    }
    let ids = ids(&fake);
    assert_eq!(ids[0], ids[1], "a retry, however it is written");
    assert_ne!(ids[0][0], ids[0][1], "two alike events of one request are two");
    assert_eq!(
        ids[0][2], "018f8523-3c5b-7d4a-9d3e-0b6f4c1f2a10",
        "an event's own id stands"
    );
    assert_ne!(ids[2][0], ids[0][0], "another event under a used key is not lost");
    assert_eq!(ids[2][1], ids[0][1]);
    let of_other_key: BTreeSet<_> = ids[3].iter().collect();
    assert_eq!(ids[0].iter().filter(|id| of_other_key.contains(id)).count(), 1);
    for key in ["", "\"", "\"k\" x"] {
        let (status, body, _) = fake.send("POST", "/events", &[("idempotency-key", key)], GOOD).await;
        assert_eq!(
            (status, body["code"].as_str()),
            (400, Some("idempotency_key_invalid")),
            "{key:?}"
        );
    }
}
