//! The whole of it over real sockets and real files: put, deliver, fail, give up, stop, start.

mod cases;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::api::ROOM;
use super::deliver::Tuning;
use super::faults::Faults;
use super::server::{Options, Server};

/// How the endpoint answers one request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Good,
    Status(u16),
    WrongId,
    /// Never, as far as the test goes.
    Hang,
}

/// One request that the endpoint saw.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    headers: HeaderMap,
    request_id: String,
    records: Vec<String>,
}

/// An endpoint that answers as it is told, and well when it is told nothing.
#[derive(Debug)]
pub(crate) struct Endpoint {
    url: String,
    seen: Mutex<Vec<Seen>>,
    answers: Mutex<VecDeque<Answer>>,
    changed: Notify,
}

impl Endpoint {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Arc::new(Self {
            url: format!("http://{}/deliver?x=1", listener.local_addr().unwrap()),
            seen: Mutex::default(),
            answers: Mutex::new(answers.into_iter().collect()),
            changed: Notify::new(),
        });
        let router = Router::new().fallback(take).with_state(Arc::clone(&endpoint));
        tokio::spawn(async move { axum::serve(listener, router).await });
        endpoint
    }

    /// Waits until the endpoint has seen this many requests.
    async fn wait_for(&self, requests: usize) -> Vec<Seen> {
        loop {
            let changed = self.changed.notified();
            let seen = self.seen.lock().unwrap().clone();
            if seen.len() >= requests {
                return seen;
            }
            tokio::time::timeout(Duration::from_secs(30), changed)
                .await
                .expect("the endpoint is called in time");
        }
    }
}

async fn take(State(endpoint): State<Arc<Endpoint>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let body = if headers.get("content-encoding").is_some_and(|value| value == "gzip") {
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&body[..]), &mut plain).unwrap();
        Bytes::from(plain)
    } else {
        body
    };
    let json: Value = serde_json::from_slice(&body).unwrap();
    let records = json["records"].as_array().unwrap();
    let seen = Seen {
        headers,
        request_id: json["requestId"].as_str().unwrap().to_owned(),
        records: records
            .iter()
            .map(|record| String::from_utf8(STANDARD.decode(record["data"].as_str().unwrap()).unwrap()).unwrap())
            .collect(),
    };
    assert!(json["timestamp"].as_i64().unwrap() > 1_700_000_000_000);
    let id = seen.request_id.clone();
    endpoint.seen.lock().unwrap().push(seen);
    let answer = endpoint.answers.lock().unwrap().pop_front().unwrap_or(Answer::Good);
    endpoint.changed.notify_waiters();
    let (status, id) = match answer {
        Answer::Good => (200, id),
        Answer::Status(status) => (status, id),
        Answer::WrongId => (200, "other".to_owned()),
        Answer::Hang => std::future::pending().await,
    };
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header("content-type", "application/json")
        .body(Body::from(json!({ "requestId": id, "timestamp": 1 }).to_string()))
        .unwrap()
}

/// A server on a folder of its own.
pub(crate) struct Firehose {
    pub(crate) server: Server,
    client: reqwest::Client,
}

impl Firehose {
    pub(crate) async fn start(folder: &TempDir, faults: Faults) -> Self {
        Self::start_in(ROOM, folder, faults).await
    }

    /// With room for that many bytes of bodies.
    pub(crate) async fn start_in(room: usize, folder: &TempDir, faults: Faults) -> Self {
        let server = Server::start(Options {
            host: "127.0.0.1".parse().unwrap(),
            port: 0,
            data: folder.path().to_owned(),
            account: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            tuning: Tuning {
                first_wait: Duration::from_millis(10),
                grace: Duration::from_millis(200),
                ..Tuning::default()
            },
            faults,
            room,
        })
        .await
        .unwrap();
        Self {
            server,
            client: super::deliver::attempt::client().unwrap(),
        }
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await.unwrap();
    }

    pub(crate) fn request(&self, operation: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.client
            .post(format!("http://{}/", self.server.address))
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("Firehose_20150804.{operation}"))
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=k/20261101/eu-west-1/firehose/aws4_request, Signature=0",
            )
            .body(body)
    }

    pub(crate) async fn call(&self, operation: &str, input: Value) -> (u16, Value) {
        let response = self.request(operation, input.to_string()).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn create(&self, url: &str, interval: u64, retry: u64, more: Value) {
        let mut configuration = json!({
            "EndpointConfiguration": { "Url": url, "AccessKey": "the key" },
            "BufferingHints": { "SizeInMBs": 1, "IntervalInSeconds": interval },
            "RetryOptions": { "DurationInSeconds": retry },
            "S3Configuration": { "RoleARN": "arn:aws:iam::000000000000:role/r", "BucketARN": "arn:aws:s3:::bucket" },
        });
        configuration
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let input = json!({ "DeliveryStreamName": "s", "HttpEndpointDestinationConfiguration": configuration });
        let (status, answer) = self.call("CreateDeliveryStream", input).await;
        assert_eq!(status, 200, "{answer}");
    }

    async fn put(&self, records: &[&str]) -> Value {
        let records = records
            .iter()
            .map(|data| json!({ "Data": STANDARD.encode(data) }))
            .collect::<Vec<_>>();
        let (status, answer) = self
            .call(
                "PutRecordBatch",
                json!({ "DeliveryStreamName": "s", "Records": records }),
            )
            .await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn health(&self) -> Value {
        let url = format!("http://{}/health", self.server.address);
        self.client
            .get(url)
            .send()
            .await
            .unwrap()
            .json::<Value>()
            .await
            .unwrap()["streams"]["s"]
            .clone()
    }

    async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.server.address);
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Waits until the stream's health has these members.
    async fn settles(&self, expected: Value) {
        let settled = async {
            loop {
                let health = self.health().await;
                if expected
                    .as_object()
                    .unwrap()
                    .iter()
                    .all(|(key, value)| health[key] == *value)
                {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(30), settled).await.is_err() {
            panic!("{} never became {expected}", self.health().await);
        }
    }
}
