//! What Lambda's runtime API is to a function
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>), and when it was called.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// What a function did.
pub(super) enum Call {
    /// It asks for work, and waits until it gets some.
    Next {
        at: Instant,
        work: oneshot::Sender<Vec<u8>>,
    },
    /// It has answered, or says that it cannot start.
    Answered { at: Instant, said: String },
}

/// The API, for one function at a time.
pub(super) struct RuntimeApi {
    address: SocketAddr,
    calls: mpsc::UnboundedReceiver<Call>,
}

impl RuntimeApi {
    /// Listens until this process ends.
    pub(super) async fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (sender, calls) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                // What is held back would count as the function's.
                let _ = connection.set_nodelay(true);
                let sender = sender.clone();
                let service = service_fn(move |request| answer(request, Instant::now(), sender.clone()));
                // A function that is ended breaks its connection.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), service));
            }
        });
        Ok(RuntimeApi { address, calls })
    }

    /// As Lambda names it: no scheme.
    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The next call.
    pub(super) async fn call(&mut self, patience: Duration) -> anyhow::Result<Call> {
        let call = tokio::time::timeout(patience, self.calls.recv());
        let call = call.await.with_context(|| format!("nothing within {patience:?}"))?;
        call.context("the runtime API has ended")
    }
}

async fn answer(
    request: Request<Incoming>,
    at: Instant,
    calls: mpsc::UnboundedSender<Call>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    if request.method() == Method::GET && request.uri().path() == "/2018-06-01/runtime/invocation/next" {
        let (work, given) = oneshot::channel();
        // Where nobody listens, the measuring is over.
        let _ = calls.send(Call::Next { at, work });
        match given.await {
            Ok(event) => {
                let deadline = edge::clock::now().as_millisecond() + 30_000;
                let headers = response.headers_mut();
                for (name, value) in [
                    ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
                    (
                        "lambda-runtime-invoked-function-arn",
                        "arn:aws:lambda:us-east-1:123456789012:function:bench",
                    ),
                ] {
                    headers.insert(name, http::HeaderValue::from_static(value));
                }
                headers.insert("lambda-runtime-deadline-ms", deadline.into());
                *response.body_mut() = Full::from(event);
            }
            Err(_) => *response.status_mut() = StatusCode::GONE,
        }
        return Ok(response);
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes());
    let said = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
    let _ = calls.send(Call::Answered { at, said });
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
