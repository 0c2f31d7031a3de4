//! What a function is, and what is done around each of its requests.

use std::error::Error;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::task::Poll;
use std::time::Instant;

use http::Method;
use http::header::{HeaderValue, ORIGIN};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt, Response};
use tracing::Instrument as _;

use crate::config::{ConfigError, Lookup};
use crate::cors::Cors;
use crate::problem::{BODY_TOO_LARGE, INTERNAL_ERROR};
use crate::record::Record;
use crate::{route, trace};

/// Bytes of a UUID as text.
const UUID_BYTES: usize = 36;

/// One HTTP function: its context, made once at start, and its handler.
pub trait Function: Send + Sync + Sized + 'static {
    /// Why a request fails.
    type Error: Failure;

    /// What its records call it.
    const NAME: &'static str;

    /// Makes the context; reads the configuration, and does nothing slow.
    fn from_lookup(lookup: &Lookup<'_>) -> Result<Self, ConfigError>;

    /// Answers one request, and notes what it counts. Also what is noted before a failure is kept.
    fn handle(
        &self,
        request: Request,
        record: &mut Record,
    ) -> impl Future<Output = Result<Response<Body>, Self::Error>> + Send;

    /// Answers a request whose body is longer than `limit` bytes and was not read. (Only outside Lambda: there, AWS
    /// refuses it before the function sees it.)
    fn too_large(&self, limit: usize) -> Response<Body> {
        too_large(limit)
    }

    /// The paths that it answers, as [`route::path`] gives them. They are the only ones that are logged: another
    /// path holds whatever a stranger put there.
    fn routes() -> &'static [&'static str];

    /// Which pages may send to this function. `None`: pages are not told anything.
    fn cors(&self) -> Option<&Cors> {
        None
    }
}

/// The answer to a body of more than `limit` bytes.
pub(crate) fn too_large(limit: usize) -> Response<Body> {
    BODY_TOO_LARGE.response(Some(&format!("it has more than {limit} bytes")))
}

/// An error that knows its response. Its `Display` and sources go to the log, never to the client, and so they quote no data.
pub trait Failure: Error + Send + Sync + 'static {
    /// What the client sees.
    fn response(&self) -> Response<Body>;
}

/// For a function that answers everything itself.
impl Failure for std::convert::Infallible {
    fn response(&self) -> Response<Body> {
        match *self {}
    }
}

/// Answers one request: the handler's answer, or the one to a page that may not send. The record is to be written before the
/// answer goes.
pub async fn answer<F: Function>(function: &F, request: Request) -> (Response<Body>, Record) {
    let started = Instant::now();
    let mut record = Record::of(F::NAME, request_id(&request));
    record.trace_id = request
        .headers()
        .get(trace::HEADER)
        .and_then(|header| trace::root(header.as_bytes()));
    record.method = Some(known_method(request.method()));
    record.route = Some(known(F::routes(), route::path(&request).as_deref()));
    // A request without a body is no request of zero bytes: those would only lower the average.
    record.bytes = Some(request.body().len() as u64).filter(|bytes| *bytes > 0);
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = match function.cors().and_then(|cors| cors.admit(&request)) {
        Some(response) => response,
        None => {
            let span = record.span();
            handle(function, request, &mut record).instrument(span).await
        }
    };
    expose(function, origin.as_ref(), &mut response);
    record.status = Some(response.status().as_u16());
    record.duration = started.elapsed();
    (response, record)
}

/// The request's id as a function URL tells it, which is the invocation's
/// (<https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-request-payload>); else the invocation's. `cargo lambda
/// watch` makes another one up for the invocation, and tells it nobody.
fn request_id(request: &Request) -> String {
    let told = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.request_id.as_deref(),
        _ => None,
    };
    let is_uuid = |id: &&str| id.len() == UUID_BYTES && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let of_invocation = || Some(request.lambda_context_ref()?.request_id.as_str());
    told.filter(is_uuid)
        .or_else(of_invocation)
        .unwrap_or_default()
        .to_owned()
}

/// Lets the page that sent a request read its answer.
pub(crate) fn expose<F: Function>(function: &F, origin: Option<&HeaderValue>, response: &mut Response<Body>) {
    if let Some(cors) = function.cors() {
        cors.expose(origin, response.headers_mut());
    }
}

/// Runs the handler, and turns an error or a panic into a response.
async fn handle<F: Function>(function: &F, request: Request, record: &mut Record) -> Response<Body> {
    let handled = catch_panic(function.handle(request, record)).await;
    match handled {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            let response = error.response();
            if response.status().is_server_error() {
                tracing::error!(error = chain(&error), "request failed");
            } else {
                tracing::debug!(error = chain(&error), "request refused");
            }
            response
        }
        // The panic hook has written where.
        Err(Panicked) => {
            tracing::error!("handler panicked");
            INTERNAL_ERROR.response(None)
        }
    }
}

/// An error and its sources, in one line, for a log.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let message = error.to_string();
        // Many errors repeat their source's text in their own.
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = error.source();
    }
    text
}

/// A method that a log may name: another one is whatever a stranger sent.
pub(crate) fn known_method(method: &Method) -> &'static str {
    const KNOWN: [Method; 7] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    const NAMES: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let known = KNOWN.iter().zip(NAMES).find(|(known, _)| *known == method);
    known.map_or(OTHER, |(_, name)| name)
}

/// The path as a log may name it: one of `routes`, or a fixed word.
pub(crate) fn known(routes: &'static [&'static str], path: Option<&str>) -> &'static str {
    routes
        .iter()
        .find(|route| Some(**route) == path)
        .copied()
        .unwrap_or(OTHER)
}

/// What a log calls a path or a method that is none of ours.
const OTHER: &str = "other";

/// The handler panicked. Its message may quote data.
struct Panicked;

/// The future's output, or that it panicked.
async fn catch_panic<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(
        |context| match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        },
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function URL's own id counts, if it is one.
    #[test]
    fn a_request_has_an_id() {
        use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
        use lambda_http::request::LambdaRequest;
        const ID: &str = "8f5e0c7a-3f1d-4e57-9f0a-5b8a4c1d2e3f";
        for (told, expected) in [
            (Some(ID), ID),
            (None, "r-1"),
            (Some("JKJaXmPLvHcESHA="), "r-1"),
            (Some(&ID.replace('8', "\n")), "r-1"),
        ] {
            let mut event = ApiGatewayV2httpRequest::default();
            event.request_context.request_id = told.map(str::to_owned);
            let mut context = lambda_http::Context::default();
            context.request_id = "r-1".to_owned();
            let request = Request::from(LambdaRequest::ApiGatewayV2(event)).with_lambda_context(context);
            assert_eq!(request_id(&request), expected, "{told:?}");
        }
        assert_eq!(request_id(&Request::default()), "");
    }

    #[test]
    fn a_log_names_what_is_ours() {
        let routes: &[&str] = &["/events", "/events/validate"];
        for (path, shown) in [
            (Some("/events"), "/events"),
            (Some("/events/validate"), "/events/validate"),
            (Some("/events/"), "other"),
            (Some("/ada@example.org"), "other"),
            (Some("/a\nINFO forged"), "other"),
            (None, "other"),
        ] {
            assert_eq!(known(routes, path), shown, "{path:?}");
        }
        for (method, shown) in [
            ("POST", "POST"),
            ("OPTIONS", "OPTIONS"),
            ("post", "other"),
            ("ADA", "other"),
        ] {
            assert_eq!(known_method(&method.parse().unwrap()), shown);
        }
    }
}
