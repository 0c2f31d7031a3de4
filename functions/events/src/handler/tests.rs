//! The handler against a server that speaks Firehose's wire format.

mod batches;
mod fake;
mod records;
mod senders;
mod shared;

use edge::Function;
use http::header::CONTENT_TYPE;
use serde_json::json;

use super::*;
use crate::firehose::PutError;
use crate::pack::{MAX_RECORD_BYTES, Packed};
use fake::{Fake, Plan};

const GOOD: &str = r#"{"dt":"2024-05-17T10:20:30Z","name":"view","user_id":1,"url":"http://site/main","obj":"page"}"#;

fn packed(data: &str) -> Packed {
    Packed {
        data: data.as_bytes().to_vec(),
        lines: 0..1,
    }
}

#[tokio::test]
async fn accepted_means_stored() {
    let fake = Fake::start([]).await;
    let (status, body, headers) = fake.post(GOOD).await;
    assert_eq!((status, body), (200, json!({ "accepted": 1 })));
    assert_eq!(headers[CONTENT_TYPE], "application/json");
    let line = concat!(
        r#"{"event_id":"00000000-0000-0000-0000-000000000007","received_at":"2024-05-17T10:20:31.500Z","#,
        r#""dt":"2024-05-17T10:20:30Z","name":"view","user_id":1,"url":"http://site/main","obj":"page","#,
        r#""obj_id":"","product_id":0,"amount":0.0,"exp":{}}"#,
        "\n"
    );
    assert_eq!(fake.calls(), [[line]]);
}

#[tokio::test]
async fn the_clients_id_stays() {
    let fake = Fake::start([]).await;
    let body = GOOD.replace(
        "{\"dt\"",
        "{\"event_id\":\"018F8523-3C5B-7D4A-9D3E-0B6F4C1F2A10\",\"dt\"",
    );
    assert_eq!(fake.post(&body).await.0, 200);
    assert!(fake.calls()[0][0].starts_with("{\"event_id\":\"018f8523-3c5b-7d4a-9d3e-0b6f4c1f2a10\""));
}

#[tokio::test]
async fn routes_and_types() {
    let fake = Fake::start([]).await;
    let json = Some("application/json");
    for (method, path, content_type, expected) in [
        ("POST", "/events", json, 200),
        ("POST", "/events/", Some("Application/JSON; charset=utf-8"), 200),
        ("POST", "/%65vents/?x=1", Some("application/vnd.x+json"), 200),
        ("POST", "/events", Some("text/plain;charset=UTF-8"), 200),
        ("POST", "/events", None, 200),
        ("POST", "/events", Some(""), 200),
        ("POST", "/events", Some("application/x-ndjson"), 200),
        ("POST", "/events/validate", json, 200),
        ("POST", "/events/validate/", None, 200),
        ("POST", "/events", Some("application/x-www-form-urlencoded"), 415),
        ("POST", "/events", Some("image/svg+json"), 415),
        ("POST", "/events/validate", Some("text/html"), 415),
        ("GET", "/events", json, 405),
        ("HEAD", "/events/", json, 405),
        ("OPTIONS", "/events", json, 405),
        ("GET", "/events/validate", json, 405),
        ("POST", "/events//", json, 404),
        ("POST", "//events", json, 404),
        ("POST", "/events/validate/x", json, 404),
        ("POST", "/", json, 404),
    ] {
        let headers: Vec<_> = content_type.map(|value| ("content-type", value)).into_iter().collect();
        let (status, body, headers) = fake.send(method, path, &headers, GOOD).await;
        assert_eq!(status, expected, "{method} {path} {content_type:?}: {body}");
        assert_eq!(headers.contains_key("allow"), expected == 405);
    }
}

#[tokio::test]
async fn bad_bodies() {
    let fake = Fake::start([]).await;
    let (status, body, _) = fake.post("{\"dt\": 1}").await;
    assert_eq!(
        (status, body["detail"][0]["loc"].clone()),
        (422, json!(["body", "name"]))
    );
    assert_eq!(fake.post("").await.1["detail"][0]["type"], "missing");
    let (status, body, _) = fake.post(&"[".repeat(5000)).await;
    assert_eq!((status, body["code"].clone()), (400, json!("undecodable_body")));
    let long = GOOD.replace("\"view\"", &format!("\"{}\"", "x".repeat(MAX_RECORD_BYTES)));
    let (status, body, _) = fake.post(&long).await;
    assert_eq!(status, 413);
    assert!(body["detail"].as_str().unwrap().contains("1024000"), "{body}");
    assert_eq!(fake.calls().len(), 0);
}

#[tokio::test]
async fn only_refused_records_are_offered_again() {
    let fake = Fake::start([Plan::Take(&[true, false, true, false]), Plan::Take(&[false, true])]).await;
    let records = ["a\n", "b\n", "c\n", "d\n"].map(packed).to_vec();
    let mut retries = 0;
    fake.context
        .firehose
        .put(records, deadline::DEFAULT_BUDGET, &mut retries)
        .await
        .unwrap();
    assert_eq!(
        fake.calls(),
        [vec!["a\n", "b\n", "c\n", "d\n"], vec!["b\n", "d\n"], vec!["b\n"]]
    );
    assert_eq!(retries, 2);
}

#[tokio::test]
async fn throttled_to_the_end_is_503() {
    let fake = Fake::start((0..9).map(|_| Plan::Take(&[false]))).await;
    let (status, body, headers) = fake.post(GOOD).await;
    assert_eq!((status, body["code"].clone()), (503, json!("stream_unavailable")));
    assert_eq!((&body["accepted"], &body["not_stored"]), (&json!(0), &json!([0])));
    assert_eq!(headers["retry-after"], "5");
    assert_eq!(fake.calls().len(), 3);
    let error = fake
        .context
        .firehose
        .put(vec![packed("a\n")], deadline::DEFAULT_BUDGET, &mut 0)
        .await
        .unwrap_err();
    assert!(matches!(error, PutError::Unavailable { not_stored, attempts: 3, .. } if not_stored == [0]));
}

#[tokio::test]
async fn faults_that_pass_are_tried_again() {
    let plans = [Plan::Exception(503, "ServiceUnavailableException"), Plan::HangUp];
    let fake = Fake::start(plans).await;
    assert_eq!(fake.post(GOOD).await.0, 200);
    assert_eq!(fake.calls().len(), 3);
    // An answer that does not account for each record acknowledges none.
    let fake = Fake::start([Plan::Take(&[])]).await;
    assert_eq!(fake.post(GOOD).await.0, 200);
    assert_eq!(fake.calls().len(), 2);
}

#[tokio::test]
async fn faults_that_stay_are_500_at_once() {
    for (status, name) in [
        (400, "ResourceNotFoundException"),
        (400, "AccessDeniedException"),
        (403, "ExpiredTokenException"),
    ] {
        let fake = Fake::start([Plan::Exception(status, name)]).await;
        let (status, body, _) = fake.post(GOOD).await;
        assert_eq!((status, body["code"].clone()), (500, json!("stream_misconfigured")));
        assert!(!body.to_string().contains("for the log"));
        assert_eq!(fake.calls().len(), 1);
    }
}

#[tokio::test]
async fn no_budget_no_second_attempt() {
    let fake = Fake::start([Plan::Take(&[false])]).await;
    let error = fake
        .context
        .firehose
        .put(vec![packed("a\n")], std::time::Duration::from_millis(60), &mut 0)
        .await
        .unwrap_err();
    assert!(matches!(error, PutError::Unavailable { attempts: 1, .. }), "{error}");
}

/// The fake's clock stands at 1715941231500.
#[tokio::test]
async fn no_time_no_call() {
    for (deadline_ms, calls, expected) in [
        (1_715_941_231_000, 0, 503),
        (1_715_941_231_500, 0, 503),
        // What is left is what an answer takes.
        (1_715_941_232_000, 0, 503),
        (1_715_941_232_010, 0, 503),
        (1_715_941_241_500, 1, 200),
        // What `cargo lambda watch` says.
        (600_000, 1, 200),
    ] {
        let fake = Fake::start([]).await;
        let body = format!("[{GOOD},{{}},{GOOD}]");
        let (status, answer, headers) = fake.post_until(deadline_ms, &body).await;
        assert_eq!(
            (status, fake.calls().len()),
            (expected, calls),
            "{deadline_ms}: {answer}"
        );
        if expected == 503 {
            assert_eq!(
                (&answer["accepted"], &answer["not_stored"]),
                (&json!(0), &json!([0, 2]))
            );
            assert_eq!(headers["retry-after"], "5");
        }
    }
}

/// Three calls are to be made, and the first is never answered: the others are not begun.
#[tokio::test]
async fn the_budget_is_for_all_calls() {
    let fake = Fake::start([Plan::Hang]).await;
    let records = (0..4).map(|_| packed(&"x".repeat(MAX_RECORD_BYTES))).collect();
    let budget = std::time::Duration::from_millis(200);
    let error = fake.context.firehose.put(records, budget, &mut 0).await.unwrap_err();
    assert!(
        matches!(&error, PutError::Unavailable { not_stored, attempts: 1, .. } if *not_stored == [0, 1, 2, 3]),
        "{error}"
    );
    assert_eq!(fake.calls().len(), 1);
}

#[test]
fn missing_settings_are_one_line() {
    let error = Context::from_lookup(&|_| None).err().unwrap().to_string();
    assert_eq!(error.matches("is not set").count(), 3, "{error}");
}
