//! A small server that speaks Firehose's wire format, and the handler in front of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use edge::{Body, RequestExt};
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{Config, Context};

/// One planned answer: a status, and for each record whether it is taken, or an exception.
pub(super) enum Plan {
    Take(&'static [bool]),
    Exception(u16, &'static str),
    HangUp,
    /// Never answered.
    Hang,
    /// Takes everything, once it is told to.
    After(oneshot::Receiver<()>),
}

#[derive(Default)]
struct Seen {
    plans: VecDeque<Plan>,
    /// The records of each call, decoded.
    calls: Vec<Vec<String>>,
}

/// A Firehose that does as planned, then takes everything.
pub(super) struct Fake {
    seen: Arc<Mutex<Seen>>,
    pub(super) context: Context,
}

impl Fake {
    pub(super) async fn start(plans: impl IntoIterator<Item = Plan>) -> Fake {
        Fake::configured(plans, &[]).await
    }

    /// With those variables set for the function.
    pub(super) async fn configured(plans: impl IntoIterator<Item = Plan>, set: &[(&str, &str)]) -> Fake {
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
            _ => set
                .iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| (*value).to_owned()),
        };
        let context = Context {
            now: || "2024-05-17T10:20:31.5Z".parse().unwrap(),
            new_id: |_| uuid::Uuid::from_u128(7),
            ..Context::new(Config::from_lookup(&lookup).unwrap())
        };
        Fake { seen, context }
    }

    /// Posts one JSON body to `/events`.
    pub(super) async fn post(&self, body: &str) -> (u16, Value, HeaderMap) {
        self.send("POST", "/events", &[("content-type", "application/json")], body)
            .await
    }

    /// Sends a request through everything that surrounds the handler.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> (u16, Value, HeaderMap) {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.answer(request.body(body.into()).unwrap()).await
    }

    /// Posts one body to a path, and returns the status and the record.
    pub(super) async fn record(&self, path: &str, body: &str) -> (u16, edge::Record) {
        let request = http::Request::post(path).body(body.into()).unwrap();
        let (response, record) = edge::answer(&self.context, request).await;
        (response.status().as_u16(), record)
    }

    /// Posts one JSON body to `/events`, as Lambda does that stops the function at that instant.
    pub(super) async fn post_until(&self, deadline_ms: u64, body: &str) -> (u16, Value, HeaderMap) {
        let mut context = lambda_http::Context::default();
        context.deadline = deadline_ms;
        let request = http::Request::post("/events").body(body.into()).unwrap();
        self.answer(request.with_lambda_context(context)).await
    }

    async fn answer(&self, request: edge::Request) -> (u16, Value, HeaderMap) {
        let (response, _) = edge::answer(&self.context, request).await;
        let body = match response.body().as_ref() {
            [] => Value::Null,
            body => serde_json::from_slice(body).unwrap(),
        };
        (response.status().as_u16(), body, response.headers().clone())
    }

    /// One more planned answer.
    pub(super) fn plan(&self, plan: Plan) {
        self.seen.lock().unwrap().plans.push_back(plan);
    }

    /// The records of each call so far.
    pub(super) fn calls(&self) -> Vec<Vec<String>> {
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
    let plan = {
        let mut seen = seen.lock().unwrap();
        seen.calls.push(records);
        seen.plans.pop_front()
    };
    let (status, answer) = match plan {
        Some(Plan::Hang) => std::future::pending().await,
        Some(Plan::After(told)) => {
            let _ = told.await;
            (200, entries(&vec![true; count]))
        }
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
