//! Servers that let one request wait until a test has done something else meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use reqwest::StatusCode;
use tokio::sync::Semaphore;

use crate::process::{eventually, http};

/// A server that answers well, or hands on to another; the requests with a certain text wait from a certain one on.
pub struct Held {
    /// `http://127.0.0.1:<port>`.
    pub url: String,
    inner: Arc<Inner>,
    server: tokio::task::JoinHandle<()>,
}

struct Inner {
    /// Whom to hand requests on to; nobody: the answer is `answer`.
    upstream: Option<String>,
    answer: &'static str,
    text: &'static str,
    /// How many may pass before one waits.
    passes: Semaphore,
    met: AtomicUsize,
    seen: AtomicUsize,
}

impl Held {
    /// In front of another server: of the requests that hold `text`, in their address or their body, so many pass.
    pub async fn before(upstream: &str, text: &'static str, passes: usize) -> anyhow::Result<Self> {
        Self::start(Some(upstream.to_owned()), "", text, passes).await
    }

    /// Alone: so many requests are answered `answer`.
    pub async fn answering(answer: &'static str, passes: usize) -> anyhow::Result<Self> {
        Self::start(None, answer, "", passes).await
    }

    async fn start(
        upstream: Option<String>,
        answer: &'static str,
        text: &'static str,
        passes: usize,
    ) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let inner = Arc::new(Inner {
            upstream,
            answer,
            text,
            passes: Semaphore::new(passes),
            met: AtomicUsize::new(0),
            seen: AtomicUsize::new(0),
        });
        let router = Router::new().fallback(take).with_state(Arc::clone(&inner));
        let server = tokio::spawn(async move {
            let _ended = axum::serve(listener, router).await;
        });
        Ok(Self { url, inner, server })
    }

    /// Waits until so many of the requests have come, those that wait included.
    pub async fn met(&self, count: usize) -> anyhow::Result<()> {
        eventually("the request comes", async || {
            Ok((self.inner.met.load(Ordering::Relaxed) >= count).then_some(()))
        })
        .await
    }

    /// How many requests have been answered.
    pub fn answered(&self) -> usize {
        self.inner.seen.load(Ordering::Relaxed)
    }

    /// Lets whatever waits pass, and everything after it.
    pub fn release(&self) {
        self.inner.passes.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    match answer(&inner, request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}

async fn answer(inner: &Inner, request: Request) -> anyhow::Result<Response> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await?;
    let contains = |bytes: &[u8]| {
        bytes
            .windows(inner.text.len().max(1))
            .any(|part| part == inner.text.as_bytes())
    };
    if inner.text.is_empty() || contains(parts.uri.to_string().as_bytes()) || contains(&body) {
        inner.met.fetch_add(1, Ordering::Relaxed);
        inner.passes.acquire().await?.forget();
    }
    let response = match &inner.upstream {
        None => ([("content-type", "application/json")], inner.answer).into_response(),
        Some(upstream) => {
            let sent = http()
                .request(parts.method, format!("{upstream}{}", parts.uri))
                .headers(parts.headers)
                .body(body);
            let answer = sent.send().await?;
            let (status, headers, body): (_, _, Bytes) =
                (answer.status(), answer.headers().clone(), answer.bytes().await?);
            let mut response = (status, body).into_response();
            for name in [
                "content-type",
                "content-encoding",
                "x-clickhouse-format",
                "x-clickhouse-exception-code",
            ] {
                if let Some(value) = headers.get(name) {
                    response.headers_mut().insert(name, value.clone());
                }
            }
            response
        }
    };
    inner.seen.fetch_add(1, Ordering::Relaxed);
    Ok(response)
}
