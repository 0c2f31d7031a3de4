//! The handler against a small server that speaks Firehose's wire format.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use edge::{Failure, Function};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::*;
use crate::Config;
use crate::firehose::{Firehose, PutError};
use crate::pack::{MAX_RECORD_BYTES, Packed};

const GOOD: &str = r#"{"dt":"2024-05-17T10:20:30Z","name":"view","user_id":1,"url":"http://site/main","obj":"page"}"#;

/// One planned answer: a status, and for each record whether it is taken, or an exception.
enum Plan {
    Take(&'static [bool]),
    Exception(u16, &'static str),
    HangUp,
}

#[derive(Default)]
struct Seen {
    plans: VecDeque<Plan>,
    /// The records of each call, decoded.
    calls: Vec<Vec<String>>,
}

/// A Firehose that does as planned, then takes everything.
struct Fake {
    seen: Arc<Mutex<Seen>>,
    context: Context,
}

impl Fake {
    async fn start(plans: impl IntoIterator<Item = Plan>) -> Fake {
        let seen = Arc::new(Mutex::new(Seen {
            plans: plans.into_iter().collect(),
            calls: Vec::new(),
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&shared);
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(
                    TokioIo::new(stream),
                    service_fn(move |request| put_record_batch(Arc::clone(&shared), request)),
                ));
            }
        });
        let lookup = |key: &str| match key {
            "AWS_REGION" => Some("eu-west-1".to_owned()),
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("test".to_owned()),
            "AWS_ENDPOINT_URL_FIREHOSE" => Some(endpoint.clone()),
            _ => None,
        };
        let config = Config::from_lookup(&lookup).unwrap();
        let context = Context {
            firehose: Firehose::new(config.firehose),
            now: || "2024-05-17T10:20:31.5Z".parse().unwrap(),
            new_id: || uuid::Uuid::from_u128(7),
        };
        Fake { seen, context }
    }

    async fn post(&self, body: &str) -> (u16, Value, http::HeaderMap) {
        self.send(Method::POST, "/events", Some("application/json"), body).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: &str,
    ) -> (u16, Value, http::HeaderMap) {
        let mut request = http::Request::builder().method(method).uri(path);
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(Body::from(body)).unwrap();
        let response = match Function::handle(&self.context, request).await {
            Ok(response) => response,
            Err(error) => error.response(),
        };
        let body = serde_json::from_slice(response.body()).unwrap();
        (response.status().as_u16(), body, response.headers().clone())
    }

    fn calls(&self) -> Vec<Vec<String>> {
        self.seen.lock().unwrap().calls.clone()
    }
}

async fn put_record_batch(
    seen: Arc<Mutex<Seen>>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    assert_eq!(request.headers()["x-amz-target"], "Firehose_20150804.PutRecordBatch");
    let body: Value = serde_json::from_slice(&request.into_body().collect().await?.to_bytes())?;
    assert_eq!(body["DeliveryStreamName"], "weir-events");
    let records: Vec<String> = body["Records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            String::from_utf8(aws_smithy_types::base64::decode(record["Data"].as_str().unwrap()).unwrap()).unwrap()
        })
        .collect();
    let count = records.len();
    let mut seen = seen.lock().unwrap();
    seen.calls.push(records);
    let (status, answer) = match seen.plans.pop_front() {
        Some(Plan::HangUp) => return Err("hanging up".into()),
        Some(Plan::Exception(status, name)) => (status, json!({ "__type": name, "message": "for the log" })),
        Some(Plan::Take(taken)) => (200, entries(taken)),
        None => (200, entries(&vec![true; count])),
    };
    let answer = Full::new(Bytes::from(answer.to_string()));
    Ok(hyper::Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.1")
        .body(answer)?)
}

fn entries(taken: &[bool]) -> Value {
    let entries: Vec<Value> = taken
        .iter()
        .map(|taken| match taken {
            true => json!({ "RecordId": "x" }),
            false => json!({ "ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down." }),
        })
        .collect();
    json!({ "FailedPutCount": taken.iter().filter(|taken| !**taken).count(), "RequestResponses": entries })
}

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
        (Method::POST, "/events", json, 200),
        (Method::POST, "/events/", Some("Application/JSON; charset=utf-8"), 200),
        (Method::POST, "/%65vents/?x=1", Some("application/vnd.x+json"), 200),
        (Method::POST, "/events", Some("text/plain;charset=UTF-8"), 200),
        (Method::POST, "/events", None, 200),
        (Method::POST, "/events", Some(""), 200),
        (Method::POST, "/events", Some("application/x-www-form-urlencoded"), 415),
        (Method::POST, "/events", Some("image/svg+json"), 415),
        (Method::GET, "/events", json, 405),
        (Method::HEAD, "/events/", json, 405),
        (Method::POST, "/events//", json, 404),
        (Method::POST, "//events", json, 404),
        (Method::POST, "/", json, 404),
    ] {
        let (status, body, headers) = fake.send(method.clone(), path, content_type, GOOD).await;
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
    fake.context
        .firehose
        .put(records, deadline::DEFAULT_BUDGET)
        .await
        .unwrap();
    assert_eq!(
        fake.calls(),
        [vec!["a\n", "b\n", "c\n", "d\n"], vec!["b\n", "d\n"], vec!["b\n"]]
    );
}

#[tokio::test]
async fn throttled_to_the_end_is_503() {
    let fake = Fake::start((0..9).map(|_| Plan::Take(&[false]))).await;
    let (status, body, headers) = fake.post(GOOD).await;
    assert_eq!((status, body["code"].clone()), (503, json!("stream_unavailable")));
    assert_eq!(headers["retry-after"], "5");
    assert_eq!(fake.calls().len(), 3);
    let error = fake
        .context
        .firehose
        .put(vec![packed("a\n")], deadline::DEFAULT_BUDGET)
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
        .put(vec![packed("a\n")], std::time::Duration::from_millis(60))
        .await
        .unwrap_err();
    assert!(matches!(error, PutError::Unavailable { attempts: 1, .. }), "{error}");
}

#[test]
fn missing_settings_are_one_line() {
    let error = Context::from_lookup(&|_| None).err().unwrap().to_string();
    assert_eq!(error.matches("is not set").count(), 3, "{error}");
}
