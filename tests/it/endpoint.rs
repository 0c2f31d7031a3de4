//! An HTTP endpoint that Firehose delivers to, which remembers what it got and answers as a test wants.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

/// The access key that the endpoint's stream is made with.
pub const ACCESS_KEY: &str = "the-access-key";

/// One delivery attempt.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// `X-Amz-Firehose-Request-Id`.
    pub request_id: String,
    /// The records' data, decoded.
    pub records: Vec<Vec<u8>>,
    /// Whether it was answered as delivered.
    pub delivered: bool,
}

#[derive(Default)]
struct Inner {
    attempts: Vec<Attempt>,
    refusing: bool,
}

/// A listening endpoint. It accepts deliveries until told otherwise.
pub struct Endpoint {
    url: String,
    inner: Arc<Mutex<Inner>>,
    server: tokio::task::JoinHandle<()>,
}

impl Endpoint {
    /// Listens on a free port.
    pub async fn start() -> anyhow::Result<Self> {
        let inner = Arc::new(Mutex::new(Inner::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/deliver", listener.local_addr()?);
        let app = Router::new().fallback(deliver).with_state(Arc::clone(&inner));
        let app = app.layer(axum::extract::DefaultBodyLimit::disable());
        let server = tokio::spawn(async move {
            let _ended = axum::serve(listener, app).await;
        });
        Ok(Self { url, inner, server })
    }

    /// The command line of a Firehose on a free port whose one stream, `stream`, delivers here at once.
    pub fn firehose_args<'a>(&'a self, stream: &'a str) -> Vec<&'a str> {
        let fixed = ["firehose", "--port", "0", "--access-key", ACCESS_KEY, "--interval", "0"];
        [&fixed[..], &["--stream", stream, "--endpoint-url", &self.url]].concat()
    }

    /// From now on every delivery is answered 500, or accepted again.
    pub fn refuse(&self, refuse: bool) {
        self.lock().refusing = refuse;
    }

    /// Every attempt so far.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.lock().attempts.clone()
    }

    /// How many records were delivered, each request id counted once.
    pub fn records(&self) -> usize {
        let inner = self.lock();
        let mut seen = std::collections::HashSet::new();
        let delivered = inner.attempts.iter().filter(|attempt| attempt.delivered);
        delivered
            .filter(|attempt| seen.insert(attempt.request_id.clone()))
            .map(|attempt| attempt.records.len())
            .sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Deserialize)]
struct Delivery {
    #[serde(rename = "requestId")]
    request_id: String,
    timestamp: u64,
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    data: String,
}

async fn deliver(State(inner): State<Arc<Mutex<Inner>>>, headers: HeaderMap, Json(body): Json<Delivery>) -> Response {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let as_specified = header("x-amz-firehose-protocol-version") == "1.0"
        && header("x-amz-firehose-request-id") == body.request_id
        && header("x-amz-firehose-access-key") == ACCESS_KEY
        && header("x-amz-firehose-source-arn").starts_with("arn:aws:firehose:")
        && header("content-type") == "application/json";
    let records = body
        .records
        .iter()
        .map(|record| STANDARD.decode(&record.data).expect("base64"))
        .collect();
    let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
    let delivered = as_specified && !inner.refusing;
    inner.attempts.push(Attempt {
        request_id: body.request_id.clone(),
        records,
        delivered,
    });
    let status = if delivered {
        StatusCode::OK
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    (
        status,
        Json(json!({"requestId": body.request_id, "timestamp": body.timestamp})),
    )
        .into_response()
}
