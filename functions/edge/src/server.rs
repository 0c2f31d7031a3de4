//! The plain HTTP/1.1 server: what a function is outside Lambda.
//!
//! A request becomes the event that a function URL would send, and lambda_http's own conversion makes the [`Request`] of
//! it, so path, query, headers and body reach the handler as they do on AWS. Another [`Responder`] may send the event on.

mod idle;

use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, ORIGIN};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda_http::request::LambdaRequest;
use lambda_http::{Body, Context, Request, RequestExt, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::body::media_type;
use crate::config::{ConfigError, Lookup, Reader};
use crate::function::{Function, expose, known, known_method, too_large};
use crate::problem::{BODY_BROKEN, BODY_TOO_SLOW};
use crate::record::Record;
use crate::route::path_of;
use crate::serve::Recorded;
use crate::trace;

/// The header of an answer that names the request, as a function URL's do.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Longest body read, in bytes: what a function URL takes.
pub const MAX_BODY_BYTES: usize = 6 * 1024 * 1024;

/// Most bytes of a request's first line and headers: as many as an Application Load Balancer takes. AWS documents no number for
/// function URLs; beyond this the answer is 431.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Most headers of a request: a browser or Firehose sends some twenty. Beyond this the answer is 431.
pub const MAX_HEADERS: usize = 100;

/// Most connections at a time: as many as the concurrent executions that Lambda gives an account at first, and few enough for the
/// file descriptors of a process. Beyond this they wait, unaccepted, until others end.
pub const MAX_CONNECTIONS: usize = 1000;

/// How long a client may take over its headers, and then over its body.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take to take its answer and to begin the next request: one that reads nothing would keep its
/// connection from others for ever.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How much of a body that is too large is read and dropped, so that the client gets to read the answer, and for how long.
const MAX_DISCARD_BYTES: usize = 4 * MAX_BODY_BYTES;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Most that is set aside for a body before it comes.
const FIRST_READ_BYTES: u64 = 64 * 1024;

/// How long requests under way may take after a signal to stop.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// `WEIR_HOST`, default 127.0.0.1.
    pub host: String,
    /// `PORT`, required; 0 picks a free one.
    pub port: u16,
}

impl ServerConfig {
    /// Reads the configuration.
    pub fn from_lookup(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let host = reader.or("WEIR_HOST", "127.0.0.1");
        if reader.optional("PORT").is_none() {
            reader.required("PORT", "the port to listen on, outside Lambda");
        }
        let port = reader.parsed("PORT", 0, "a port number (0 to 65535)");
        reader.finish(ServerConfig { host, port })
    }
}

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is taken or not ours.
    #[error("cannot listen on {host}:{port} (WEIR_HOST, PORT): {source}")]
    Bind {
        /// The address asked for.
        host: String,
        /// The port asked for.
        port: u16,
        /// What the system says.
        source: std::io::Error,
    },
    /// The listening socket broke.
    #[error("the listening socket failed: {0}")]
    Listener(#[source] std::io::Error),
}

/// Starts to listen.
pub async fn bind(config: &ServerConfig) -> Result<TcpListener, ServerError> {
    TcpListener::bind((config.host.as_str(), config.port))
        .await
        .map_err(|source| ServerError::Bind {
            host: config.host.clone(),
            port: config.port,
            source,
        })
}

/// Who answers the events that requests become.
pub trait Responder: Send + Sync + 'static {
    /// Answers one request.
    fn respond(&self, event: ApiGatewayV2httpRequest) -> impl Future<Output = Response<Body>> + Send;

    /// Answers a request whose body was not read.
    fn refuse(&self, refusal: Refusal, request: &http::request::Parts) -> Response<Body>;
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It has more than [`MAX_BODY_BYTES`].
    TooLarge,
    /// It did not come in time.
    TooSlow,
    /// The connection broke.
    Broken,
}

impl Refusal {
    /// The answer of a server that has nothing else to say.
    pub fn response(self) -> Response<Body> {
        match self {
            Refusal::TooLarge => too_large(MAX_BODY_BYTES),
            Refusal::TooSlow => BODY_TOO_SLOW.response(None),
            Refusal::Broken => BODY_BROKEN.response(None),
        }
    }
}

impl<F: Function> Responder for Recorded<F> {
    async fn respond(&self, event: ApiGatewayV2httpRequest) -> Response<Body> {
        let mut context = Context::default();
        context.request_id = next_request_id();
        let request_id = context.request_id.clone();
        let request = Request::from(LambdaRequest::ApiGatewayV2(event)).with_lambda_context(context);
        let mut response = self.answer(request).await;
        name(&mut response, &request_id);
        response
    }

    fn refuse(&self, refusal: Refusal, request: &http::request::Parts) -> Response<Body> {
        let mut response = match refusal {
            Refusal::TooLarge => self.function.too_large(MAX_BODY_BYTES),
            Refusal::TooSlow | Refusal::Broken => refusal.response(),
        };
        expose(&self.function, request.headers.get(ORIGIN), &mut response);
        let request_id = next_request_id();
        name(&mut response, &request_id);
        let mut record = Record::of(F::NAME, request_id);
        record.trace_id = request
            .headers
            .get(trace::HEADER)
            .and_then(|header| trace::root(header.as_bytes()));
        record.method = Some(known_method(&request.method));
        record.route = Some(known(F::routes(), path_of(&request.uri).as_deref()));
        record.status = Some(response.status().as_u16());
        self.output.write(&record);
        response
    }
}

/// Serves connections until `stop` is ready, then finishes what is under way.
pub async fn run<R: Responder>(
    listener: TcpListener,
    responder: Arc<R>,
    stop: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    run_within((MAX_CONNECTIONS, ANSWER_TIMEOUT), listener, responder, stop).await
}

/// As [`run`], with at most so many connections at a time, of which each may take so long to take an answer.
async fn run_within<R: Responder>(
    (connections, answer_timeout): (usize, Duration),
    listener: TcpListener,
    responder: Arc<R>,
    stop: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    let address = listener.local_addr().map_err(ServerError::Listener)?;
    tracing::info!(%address, "listening");
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(connections));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = &mut stop => break,
        };
        let (stream, peer, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: let some connections end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Small answers should not wait for an acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let responder = Arc::clone(&responder);
        let (answering, answered) = idle::watch();
        let service = service_fn(move |request| {
            let (responder, answering) = (Arc::clone(&responder), answering.clone());
            async move { Ok::<_, std::convert::Infallible>(answering.during(exchange(&*responder, request, peer)).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(READ_TIMEOUT)
            .keep_alive(true)
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                },
                () = answered.for_longer_than(answer_timeout) => tracing::debug!("a client did not take its answer"),
            }
            drop(slot);
        });
    }
    drop(listener);
    tracing::info!("stopping");
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
    Ok(())
}

/// The next connection, once there is a slot for it. Until then clients wait in the system's queue.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, slot))
}

/// Ready on SIGTERM or SIGINT.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}

/// One request and its answer.
async fn exchange<R: Responder>(
    responder: &R,
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
) -> hyper::Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let response = match read_body(&parts.headers, body).await {
        Ok(body) => responder.respond(to_event(parts, body, peer)).await,
        Err(refusal) => {
            let mut response = responder.refuse(refusal, &parts);
            // The rest of the body is still on its way: this connection is of no more use.
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
    };
    to_hyper(response)
}

async fn read_body(headers: &HeaderMap, mut body: Incoming) -> Result<Bytes, Refusal> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES as u64) {
        // A client that asks first has sent nothing yet.
        if !headers.contains_key(EXPECT) {
            discard(&mut body).await;
        }
        return Err(Refusal::TooLarge);
    }
    let read = tokio::time::timeout(READ_TIMEOUT, async {
        let mut collected = BytesMut::with_capacity(announced.unwrap_or(0).min(FIRST_READ_BYTES) as usize);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Refusal::Broken)?.into_data() else {
                continue;
            };
            if collected.len() + data.len() > MAX_BODY_BYTES {
                return Err(Refusal::TooLarge);
            }
            collected.extend_from_slice(&data);
        }
        Ok(collected.freeze())
    });
    match read.await {
        Ok(Err(Refusal::TooLarge)) => {
            discard(&mut body).await;
            Err(Refusal::TooLarge)
        }
        Ok(read) => read,
        Err(_) => Err(Refusal::TooSlow),
    }
}

/// Reads on for a while and keeps nothing: a client that sees its connection reset while it sends never reads why.
async fn discard(body: &mut Incoming) {
    let mut left = MAX_DISCARD_BYTES;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, reading).await;
}

/// The event that a function URL would make of the request.
fn to_event(parts: http::request::Parts, body: Bytes, peer: SocketAddr) -> ApiGatewayV2httpRequest {
    let mut event = ApiGatewayV2httpRequest::default();
    event.version = Some("2.0".to_owned());
    // hyper takes paths that are no URL path ("*", an absolute address): what cannot be one becomes the root.
    let path = parts.uri.path();
    let path = if path.starts_with('/') { path } else { "/" };
    event.raw_path = Some(path.to_owned());
    event.raw_query_string = Some(parts.uri.query().unwrap_or_default().to_owned());
    event.request_context.http.method = parts.method;
    event.request_context.http.path = Some(path.to_owned());
    event.request_context.http.source_ip = Some(peer.ip().to_string());
    event.request_context.stage = Some("$default".to_owned());
    let text = is_text(&parts.headers)
        .then(|| String::from_utf8(body.to_vec()).ok())
        .flatten();
    match text {
        _ if body.is_empty() => {}
        Some(text) => event.body = Some(text),
        None => {
            event.body = Some(STANDARD.encode(&body));
            event.is_base64_encoded = true;
        }
    }
    event.headers = parts.headers;
    // The conversion makes an address of the host, and panics when it cannot.
    let host_is_plain = event.headers.get(HOST).is_none_or(|host| {
        host.to_str().is_ok_and(|host| {
            format!("http://{host}/")
                .parse::<http::Uri>()
                .is_ok_and(|uri| uri.host().is_some_and(is_plain_host))
        })
    });
    if !host_is_plain {
        event.headers.remove(HOST);
    }
    event.headers.remove("x-forwarded-proto");
    event
}

/// A host that any URL parser takes.
fn is_plain_host(host: &str) -> bool {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let numeric_end = host
        .rsplit('.')
        .find(|label| !label.is_empty())
        .is_some_and(|label| label.starts_with(|first: char| first.is_ascii_digit()));
    let punycode = host
        .split('.')
        .any(|label| label.to_ascii_lowercase().starts_with("xn--"));
    let ipv6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match ipv6 {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None if numeric_end => host.parse::<std::net::Ipv4Addr>().is_ok(),
        None => !punycode && !host.is_empty() && host.bytes().all(name),
    }
}

/// Whether a function URL passes a body of this type on as text; all others go in base64.
fn is_text(headers: &HeaderMap) -> bool {
    media_type(headers)
        .is_some_and(|essence| matches!(&*essence, "" | "application/json") || essence.starts_with("text/"))
}

/// A UUID as Lambda gives to an invocation, of version 8: sixty bits that are the process's own, and a count.
fn next_request_id() -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let (process, count) = (*PROCESS, COUNT.fetch_add(1, Ordering::Relaxed));
    format!(
        "{:08x}-{:04x}-8{:03x}-8{:03x}-{:012x}",
        process >> 32,
        process >> 16 & 0xffff,
        process & 0xfff,
        count >> 48 & 0xfff,
        count & 0xffff_ffff_ffff
    )
}

/// Puts a request's id where a function URL does.
pub fn name(response: &mut Response<Body>, request_id: &str) {
    if let Ok(value) = HeaderValue::try_from(request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}

fn to_hyper(response: Response<Body>) -> hyper::Response<Full<Bytes>> {
    response.map(|body| match body {
        Body::Text(text) => Full::new(Bytes::from(text)),
        Body::Binary(bytes) => Full::new(Bytes::from(bytes)),
        _ => Full::default(),
    })
}

#[cfg(test)]
mod tests;
