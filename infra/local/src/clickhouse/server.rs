//! The HTTP side: accepting, routing, authentication, and the way of a query to the blocking side and back.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};

use super::body::{BodyReader, channel};
use super::breakable::Breakable;
use super::engine::Engine;
use super::error::{Code, Exception};
use super::exec::{self, Job};
use super::external::{self, Form};
use super::guard::{Guard, ResponseBody};
use super::query_log::{Client, QueryLog};
use super::request::{Credentials, Parameters, QueryRequest};
use super::response::{Sink, common_headers, set};
use super::session::{Running, SWEEP, Sessions};

/// Queries that run at once; more are refused with error 202, as a server's `max_concurrent_queries` does.
const MAX_QUERIES: usize = 100;
/// How often the query log is written; a server's default is 7.5 s, its tests' 1 s.
const FLUSH: Duration = Duration::from_secs(1);
/// How long running queries may go on once the program is told to stop.
const GRACE: Duration = Duration::from_secs(20);
/// The longest request head: queries come in URLs (`http_max_uri_size` is 1 MiB).
const MAX_HEAD: usize = 2 << 20;

type Body = BoxBody<Bytes, std::io::Error>;

/// What every connection shares.
pub(crate) struct Server {
    /// The engine.
    pub(crate) engine: Arc<Engine>,
    /// Who may ask.
    pub(crate) user: String,
    /// Their password; empty means none.
    pub(crate) password: String,
    /// For X-ClickHouse-Server-Display-Name.
    pub(crate) display_name: String,
    sessions: Arc<Sessions>,
    running: Arc<Running>,
    permits: Arc<Semaphore>,
    log: Arc<QueryLog>,
}

impl Server {
    /// A server over a running engine.
    pub(crate) fn new(engine: Arc<Engine>, user: String, password: String, display_name: String) -> Self {
        Self {
            engine,
            user,
            password,
            display_name,
            sessions: Arc::default(),
            running: Arc::default(),
            permits: Arc::new(Semaphore::new(MAX_QUERIES)),
            log: Arc::default(),
        }
    }

    /// Serves until `stop` resolves, lets running requests end, and closes the engine.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, stop: impl Future<Output = ()>) {
        let graceful = GracefulShutdown::new();
        let mut sweep = tokio::time::interval(SWEEP);
        let mut flush = tokio::time::interval(FLUSH);
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = flush.tick() => {
                    if self.log.has_waiting() {
                        let server = Arc::clone(&self);
                        tokio::task::spawn_blocking(move || server.log.flush(&server.engine));
                    }
                    continue;
                }
                _ = sweep.tick() => {
                    let expired = self.sessions.expired(Some(Instant::now()));
                    if !expired.is_empty() {
                        tokio::task::spawn_blocking(move || drop(expired));
                    }
                    continue;
                }
                () = &mut stop => break,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, usually: wait for some to come back.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            // A response is often two small writes.
            let _ = stream.set_nodelay(true);
            let broken = Arc::new(AtomicBool::new(false));
            let io = TokioIo::new(Breakable::new(stream, Arc::clone(&broken)));
            let server = Arc::clone(&self);
            let service = hyper::service::service_fn(move |request| {
                let (server, broken) = (Arc::clone(&server), Arc::clone(&broken));
                async move { Ok::<_, Infallible>(server.handle(request, address, broken).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .max_buf_size(MAX_HEAD)
                .serve_connection(io, service);
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended early");
                }
            });
        }
        drop(listener);
        if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
            tracing::warn!("cancelling the queries that still run");
        }
        self.close().await;
    }

    /// Cancels what still runs and stops the engine.
    async fn close(&self) {
        for _ in 0..50 {
            let ids = self.running.ids();
            if ids.is_empty() {
                break;
            }
            let engine = Arc::clone(&self.engine);
            let killed = tokio::task::spawn_blocking(move || ids.iter().for_each(|id| engine.kill(id)));
            let _ = killed.await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (engine, idle) = (Arc::clone(&self.engine), self.sessions.expired(None));
        let stopped = tokio::task::spawn_blocking(move || {
            drop(idle);
            engine.stop()
        });
        if !stopped.await.unwrap_or(false) {
            tracing::warn!("connections to the engine stay open");
        }
    }

    async fn handle(&self, request: Request<Incoming>, address: SocketAddr, broken: Arc<AtomicBool>) -> Response<Body> {
        let (method, path) = (request.method().clone(), request.uri().path());
        let reads = method == Method::GET || method == Method::HEAD;
        let asks = request.uri().query().is_some();
        match path {
            _ if method == Method::OPTIONS => self.text(StatusCode::NO_CONTENT, ""),
            "/ping" | "/replicas_status" if reads => self.text(StatusCode::OK, "Ok.\n"),
            "/" if reads && !asks => self.text(StatusCode::OK, "Ok.\n"),
            _ if method == Method::POST || (reads && asks) => match self.query(request, address, broken).await {
                Ok(response) => response,
                Err(exception) => self.failure(&exception),
            },
            _ => {
                let text = format!(
                    "There is no handle {path}\n\nUse / or /ping for health checks.\nOr /replicas_status for more sophisticated health checks.\n\nSend queries from your program with POST method or GET /?query=...\n\nUse clickhouse-client:\n\nFor interactive data analysis:\n    clickhouse-client\n\nFor batch query processing:\n    clickhouse-client --query='SELECT 1' > result\n    clickhouse-client < query > result\n"
                );
                self.text(StatusCode::NOT_FOUND, &text)
            }
        }
    }

    fn text(&self, status: StatusCode, text: &str) -> Response<Body> {
        let body = Full::new(Bytes::copy_from_slice(text.as_bytes()))
            .map_err(|never| match never {})
            .boxed();
        respond(status, common_headers(&self.display_name), body)
    }

    /// An exception from before the query began.
    fn failure(&self, exception: &Exception) -> Response<Body> {
        let mut response = self.text(
            exception.status(),
            &format!("{}\n", exception.message(self.engine.version())),
        );
        set(
            response.headers_mut(),
            "x-clickhouse-exception-code",
            &exception.code.to_string(),
        );
        if exception.status() == StatusCode::UNAUTHORIZED {
            set(
                response.headers_mut(),
                "www-authenticate",
                "Basic realm=\"ClickHouse server HTTP API\"",
            );
        }
        response
    }

    fn authenticate(&self, credentials: &Credentials) -> Result<(), Exception> {
        let user = self.user.as_bytes().ct_eq(credentials.user.as_bytes());
        let password = self.password.as_bytes().ct_eq(credentials.password.as_bytes());
        if bool::from(user & password) {
            return Ok(());
        }
        // A browser that sent nothing yet is asked for a password.
        let code = if credentials.password.is_empty() {
            Code::RequiredPassword
        } else {
            Code::AuthenticationFailed
        };
        Err(Exception::new(
            code,
            format!(
                "{}: Authentication failed: password is incorrect, or there is no user with such name",
                credentials.user
            ),
        ))
    }

    async fn query(
        &self,
        request: Request<Incoming>,
        address: SocketAddr,
        broken: Arc<AtomicBool>,
    ) -> Result<Response<Body>, Exception> {
        let (parts, body) = request.into_parts();
        let url = Parameters::parse(parts.uri.query().unwrap_or(""));
        let credentials = Credentials::read(&parts.headers, &url)?;
        self.authenticate(&credentials)?;
        let chunked = parts.headers.contains_key("transfer-encoding");
        if parts.method == Method::POST && !chunked && !parts.headers.contains_key("content-length") {
            return Err(Exception::new(
                Code::HttpLengthRequired,
                "The Transfer-Encoding is not chunked and there is no Content-Length header for POST request",
            ));
        }
        let fresh_id = || uuid::Uuid::new_v4().to_string();
        let mut query = QueryRequest::read(
            &parts.method,
            &parts.headers,
            &url,
            self.engine.http_compression(),
            fresh_id,
        )?;
        let multipart = parts
            .headers
            .get("content-type")
            .is_some_and(|value| value.as_bytes().starts_with(b"multipart/form-data"));
        let body = if multipart {
            let form = read_form(parts.headers.clone(), body).await?;
            query.tables = external::tables(&form, &url)?;
            for (name, value) in form.fields {
                if name == "query" {
                    query.text.extend(value);
                } else if let Some(name) = name.strip_prefix("param_")
                    && !query.parameters.iter().any(|(known, _)| known == name)
                {
                    query.parameters.push((name.to_owned(), value));
                }
            }
            query.content_encoding.clear();
            query.decompress = false;
            BodyReader::empty()
        } else {
            BodyReader::from_incoming(body)
        };

        let header = |name: &str| {
            parts
                .headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .unwrap_or_default()
        };
        let client = Client {
            address,
            user_agent: header("user-agent"),
            referer: header("referer"),
            forwarded_for: header("x-forwarded-for"),
            post: parts.method == Method::POST,
        };
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            let why = format!("Too many simultaneous queries. Maximum: {MAX_QUERIES}");
            Exception::new(Code::TooManySimultaneousQueries, why)
        })?;
        let query_id = query.response.query_id.clone();
        let ticket = self.running.enter(&query_id)?;
        let guard = Guard {
            engine: Arc::clone(&self.engine),
            running: Arc::clone(&self.running),
            query_id,
            flag: ticket.flag(),
            cancellable: ticket.cancellable(),
        };
        let (head, head_arrives) = oneshot::channel();
        let (sender, chunks) = channel();
        let version = self.engine.version();
        let sink = Sink::new(
            query.response.clone(),
            &self.display_name,
            version,
            head,
            sender,
            broken,
        );
        let job = Job {
            engine: Arc::clone(&self.engine),
            sessions: Arc::clone(&self.sessions),
            log: Arc::clone(&self.log),
            client,
            user: credentials.user,
            request: query,
            body,
            sink,
            ticket,
            permit,
        };
        tokio::task::spawn_blocking(move || exec::run(job));
        let head = head_arrives
            .await
            .map_err(|_| Exception::new(Code::Aborted, "The query was abandoned"))?;
        Ok(respond(
            head.status,
            head.headers,
            ResponseBody::new(chunks, guard).boxed(),
        ))
    }
}

fn respond(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

async fn read_form(headers: HeaderMap, body: Incoming) -> Result<Form, Exception> {
    use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart};
    let bad = |error: &dyn std::fmt::Display| {
        Exception::new(Code::CannotParseForm, format!("Cannot parse the form: {error}"))
    };
    let mut request = Request::new(axum::body::Body::new(body));
    *request.headers_mut() = headers;
    DefaultBodyLimit::disable().apply(&mut request);
    let mut multipart = Multipart::from_request(request, &())
        .await
        .map_err(|error| bad(&error))?;
    let mut form = Form::default();
    while let Some(field) = multipart.next_field().await.map_err(|error| bad(&error))? {
        let name = field.name().unwrap_or("_data").to_owned();
        let file = field.file_name().is_some();
        let data = field.bytes().await.map_err(|error| bad(&error))?;
        if file {
            form.files.push((name, data));
        } else {
            form.fields.push((name, data.to_vec()));
        }
    }
    Ok(form)
}
