//! The whole of it over real sockets and real files: put, deliver, fail, give up, stop, start.

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
    server: Server,
    client: reqwest::Client,
}

impl Firehose {
    pub(crate) async fn start(folder: &TempDir, faults: Faults) -> Self {
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

fn no_faults() -> Faults {
    Faults::new(0, 0, 0)
}

fn objects(folder: &TempDir) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.path().join("backup")];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
                found.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_retried_with_the_same_request_id_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([Answer::Status(500), Answer::WrongId, Answer::Status(429)]).await;
    let firehose = Firehose::start(&folder, no_faults()).await;
    let attributes = json!([{ "AttributeName": "stage", "AttributeValue": "test" }]);
    let gzip = json!({ "RequestConfiguration": { "ContentEncoding": "GZIP", "CommonAttributes": attributes } });
    firehose.create(&endpoint.url, 0, 60, gzip).await;
    firehose.put(&["one\n", "", "three\n"]).await;
    let seen = endpoint.wait_for(4).await;
    assert_eq!(seen.len(), 4);
    for request in &seen {
        assert_eq!(request.request_id, seen[0].request_id);
        assert_eq!(request.records, ["one\n", "", "three\n"]);
        let header = |name: &str| {
            request
                .headers
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(header("x-amz-firehose-protocol-version").unwrap(), "1.0");
        assert_eq!(header("x-amz-firehose-request-id").unwrap(), request.request_id);
        assert_eq!(
            header("x-amz-firehose-source-arn").unwrap(),
            "arn:aws:firehose:eu-west-1:000000000000:deliverystream/s"
        );
        assert_eq!(header("x-amz-firehose-access-key").unwrap(), "the key");
        assert_eq!(
            header("x-amz-firehose-common-attributes").unwrap(),
            r#"{"commonAttributes":{"stage":"test"}}"#
        );
        assert_eq!(header("content-type").unwrap(), "application/json");
        assert_eq!(header("content-encoding").unwrap(), "gzip");
        assert!(header("content-length").is_some());
    }
    let done = json!({ "accepted": 3, "delivered": 3, "given_up": 0, "spooled_records": 0, "spooled_bytes": 0,
        "oldest_age_seconds": null, "in_flight": 0, "open_batches": 0, "failed_attempts": 3 });
    firehose.settles(done).await;
    assert!(objects(&folder).is_empty());
    firehose.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_in_the_backup_folder() {
    for (answer, retry, attempts) in [(503, 0, 1), (413, 7200, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::start([Answer::Status(answer)]).await;
        let firehose = Firehose::start(&folder, no_faults()).await;
        firehose.create(&endpoint.url, 0, retry, json!({})).await;
        firehose.put(&["one", "two"]).await;
        firehose
            .settles(json!({ "delivered": 0, "given_up": 2, "spooled_records": 0 }))
            .await;
        let objects = objects(&folder);
        let [(name, content)] = objects.as_slice() else {
            panic!("{objects:?}")
        };
        assert!(name.starts_with("backup/bucket/http-endpoint-failed/20"), "{name}");
        let id = &endpoint.wait_for(1).await[0].request_id;
        assert!(name.contains("/s-1-20") && name.ends_with(id.as_str()), "{name}");
        let lines = content
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .collect::<Vec<_>>();
        assert_eq!(lines.len(), 2);
        for (line, data) in lines.iter().zip(["one", "two"]) {
            assert_eq!(line["rawData"], STANDARD.encode(data));
            assert_eq!(line["attemptsMade"], attempts);
            assert_eq!(line["errorCode"], "HttpEndpoint.DestinationException");
            assert!(line["errorMessage"].as_str().unwrap().contains(&answer.to_string()));
            assert!(line["attemptEndingTimestamp"].as_i64() >= line["arrivalTimestamp"].as_i64());
            assert_eq!(line["subsequenceNumber"], 0);
            assert!(line["dataId"].as_str().unwrap().ends_with(".0"));
        }
        firehose.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_was_in_flight_is_sent_again_with_its_request_id_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([Answer::Hang]).await;
    let firehose = Firehose::start(&folder, no_faults()).await;
    firehose.create(&endpoint.url, 0, 60, json!({})).await;
    firehose.put(&["one"]).await;
    let first = endpoint.wait_for(1).await[0].clone();
    firehose.stop().await;

    let again = Firehose::start(&folder, no_faults()).await;
    let second = endpoint.wait_for(2).await[1].clone();
    assert_eq!((first.request_id, first.records), (second.request_id, second.records));
    again
        .settles(json!({ "accepted": 1, "delivered": 1, "spooled_records": 0 }))
        .await;
    again.put(&["two"]).await;
    assert_eq!(endpoint.wait_for(3).await[2].records, ["two"]);
    again.settles(json!({ "accepted": 2, "delivered": 2 })).await;
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_buffered_waits_for_the_interval_unless_the_size_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([]).await;
    let firehose = Firehose::start(&folder, no_faults()).await;
    firehose.create(&endpoint.url, 900, 60, json!({})).await;
    let big = "x".repeat(400_000);
    firehose.put(&[&big, &big]).await;
    firehose
        .settles(json!({ "spooled_records": 2, "open_batches": 0, "spooled_bytes": 800_000 }))
        .await;
    firehose.put(&[&big, "tail"]).await;
    assert_eq!(endpoint.wait_for(1).await[0].records.len(), 2);
    firehose.settles(json!({ "delivered": 2, "spooled_records": 2 })).await;

    // A shorter interval applies to what is buffered already.
    let update = json!({ "DeliveryStreamName": "s", "CurrentDeliveryStreamVersionId": "1",
        "DestinationId": "destinationId-000000000001",
        "HttpEndpointDestinationUpdate": { "BufferingHints": { "IntervalInSeconds": 0 } } });
    assert_eq!(firehose.call("UpdateDestination", update).await.0, 200);
    assert_eq!(endpoint.wait_for(2).await[1].records, [big.as_str(), "tail"]);
    firehose.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_attempt_does_not_hold_up_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([Answer::Hang, Answer::Good]).await;
    let firehose = Firehose::start(&folder, no_faults()).await;
    firehose.create(&endpoint.url, 0, 60, json!({})).await;
    firehose.put(&["slow"]).await;
    endpoint.wait_for(1).await;
    firehose.put(&["fast"]).await;
    assert_eq!(endpoint.wait_for(2).await[1].records, ["fast"]);
    firehose
        .settles(json!({ "delivered": 1, "in_flight": 1, "open_batches": 1 }))
        .await;
    firehose.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_data_mode_backs_up_what_is_delivered_too() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([]).await;
    let firehose = Firehose::start(&folder, no_faults()).await;
    firehose
        .create(&endpoint.url, 0, 60, json!({ "S3BackupMode": "AllData" }))
        .await;
    firehose.put(&["one\n", "two\n"]).await;
    firehose.settles(json!({ "delivered": 2 })).await;
    let objects = objects(&folder);
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0].1, "one\ntwo\n");
    firehose.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_refuse_records_and_calls_and_nothing_refused_is_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([]).await;
    let firehose = Firehose::start(&folder, Faults::new(50, 0, 7)).await;
    firehose.create(&endpoint.url, 0, 60, json!({})).await;
    let names = (0..100).map(|number| number.to_string()).collect::<Vec<_>>();
    let answer = firehose
        .put(&names.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    let responses = answer["RequestResponses"].as_array().unwrap();
    assert_eq!(responses.len(), 100);
    let failed = responses
        .iter()
        .filter(|response| response["ErrorCode"] == "ServiceUnavailableException")
        .count();
    assert_eq!(answer["FailedPutCount"], failed);
    assert!((20..80).contains(&failed), "{failed}");
    let taken = names
        .iter()
        .zip(responses)
        .filter(|(_, response)| response["RecordId"].is_string());
    assert_eq!(
        endpoint.wait_for(1).await[0].records,
        taken.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    );
    firehose.stop().await;

    let throttled = Firehose::start(&folder, Faults::new(0, 100, 7)).await;
    let input = json!({ "DeliveryStreamName": "s", "Record": { "Data": "YQ==" } });
    let (status, error) = throttled.call("PutRecord", input).await;
    assert_eq!((status, &error["__type"]), (503, &json!("ServiceUnavailableException")));
    throttled.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_at_start_is_created_once_and_redirected_later() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([]).await;
    let configuration = |url: &str| {
        json!({ "EndpointConfiguration": { "Url": url, "AccessKey": "k" },
        "BufferingHints": { "IntervalInSeconds": 0 } })
    };
    let version = async |firehose: &Firehose| {
        let (_, answer) = firehose
            .call("DescribeDeliveryStream", json!({ "DeliveryStreamName": "s" }))
            .await;
        answer["DeliveryStreamDescription"]["VersionId"].clone()
    };
    let firehose = Firehose::start(&folder, no_faults()).await;
    firehose
        .server
        .ensure_stream("s", configuration("http://127.0.0.1:1/"))
        .await
        .unwrap();
    firehose
        .server
        .ensure_stream("s", configuration("http://127.0.0.1:1/"))
        .await
        .unwrap();
    assert_eq!(version(&firehose).await, "1");
    firehose.put(&["one"]).await;
    firehose
        .server
        .ensure_stream("s", configuration(&endpoint.url))
        .await
        .unwrap();
    assert_eq!(version(&firehose).await, "2");
    assert_eq!(endpoint.wait_for(1).await[0].records, ["one"]);
    assert!(
        firehose
            .server
            .ensure_stream("s", json!({ "BufferingHints": { "IntervalInSeconds": 901 } }))
            .await
            .is_err()
    );
    assert!(
        firehose
            .server
            .ensure_stream("t", configuration("nowhere"))
            .await
            .is_err()
    );
    firehose.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_folder_or_port_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let firehose = Firehose::start(&folder, no_faults()).await;
    let options = |port: u16, data: &TempDir| Options {
        host: "127.0.0.1".parse().unwrap(),
        port,
        data: data.path().to_owned(),
        account: "000000000000".to_owned(),
        region: "us-east-1".to_owned(),
        tuning: Tuning::default(),
        faults: no_faults(),
    };
    let error = Server::start(options(0, &folder)).await.unwrap_err().to_string();
    assert!(error.starts_with("another weir firehose uses "), "{error}");
    let other = tempfile::tempdir().unwrap();
    let error = Server::start(options(firehose.server.address.port(), &other))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("is taken"), "{error}");
    firehose.stop().await;
}
