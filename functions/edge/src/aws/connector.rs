//! One HTTP client behind the SDKs' trait, and its failures in the SDKs' terms.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ErrorKind;
use http::{Extensions, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{CaptureConnection, HttpConnector as Tcp, HttpInfo, capture_connection};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use lambda_http::tower::Service;
use rustls::ClientConfig;

type Boxed = Box<dyn Error + Send + Sync>;

/// The client, with its connections.
#[derive(Debug)]
pub(super) struct Connector {
    /// Or why there can be no TLS.
    client: Result<Client<Limited<HttpsConnector<Tcp>>, SdkBody>, rustls::Error>,
    read: Option<Duration>,
}

impl Connector {
    pub(super) fn new(tls: Result<ClientConfig, rustls::Error>, connect: Duration, read: Option<Duration>) -> Self {
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let https = |tls| {
            let builder = HttpsConnectorBuilder::new().with_tls_config(tls);
            builder.https_or_http().enable_http1().wrap_connector(tcp)
        };
        let client = |inner| {
            let mut builder = Client::builder(TokioExecutor::new());
            builder.pool_timer(TokioTimer::new());
            builder.build(Limited { inner, limit: connect })
        };
        Connector {
            client: tls.map(https).map(client),
            read,
        }
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = match &self.client {
            Ok(client) => client,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.clone().into()))),
        };
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        let captured = capture_connection(&mut request);
        if let Some(wanted) = request.extensions().get::<CaptureSmithyConnection>() {
            wanted.set_connection_retriever(move || metadata(&captured));
        }
        let (answer, read) = (client.request(request), self.read);
        HttpConnectorFuture::new(async move {
            let answer = match read {
                Some(limit) => within("HTTP read", limit, answer).await,
                None => answer.await.map_err(Into::into),
            };
            let response = answer.map_err(classified)?.map(SdkBody::from_body_1_x);
            HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// What the SDK wants of a connection: above all, to have it used no more after an answer that another machine might not give.
fn metadata(captured: &CaptureConnection) -> Option<ConnectionMetadata> {
    let mut extras = Extensions::new();
    let proxied = {
        let connected = captured.connection_metadata();
        let connected = connected.as_ref()?;
        connected.get_extras(&mut extras);
        connected.is_proxied()
    };
    let info = extras.get::<HttpInfo>();
    let captured = captured.clone();
    let mut builder = ConnectionMetadata::builder().proxied(proxied).poison_fn(move || {
        if let Some(connected) = captured.connection_metadata().as_ref() {
            connected.poison();
        }
    });
    builder
        .set_local_addr(info.map(HttpInfo::local_addr))
        .set_remote_addr(info.map(HttpInfo::remote_addr));
    Some(builder.build())
}

/// A connector that does not wait longer: names, TCP and TLS together.
#[derive(Debug, Clone)]
struct Limited<C> {
    inner: C,
    limit: Duration,
}

impl<C> Service<Uri> for Limited<C>
where
    C: Service<Uri, Error = Boxed>,
    C::Response: 'static,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = Boxed;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, Boxed>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Boxed>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        Box::pin(within("HTTP connect", self.limit, self.inner.call(address)))
    }
}

async fn within<T, E: Into<Boxed>>(
    what: &'static str,
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Boxed> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(TimedOut { what, limit }.into()),
    }
}

/// Worded as by the SDKs' own client.
#[derive(Debug)]
struct TimedOut {
    what: &'static str,
    limit: Duration,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} timeout occurred after {:?}: timed out", self.what, self.limit)
    }
}

impl Error for TimedOut {}

/// A failure, sorted as by the SDKs' own client, for their retries.
fn classified(error: Boxed) -> ConnectorError {
    if source::<TimedOut>(&*error).is_some() {
        return ConnectorError::timeout(error);
    }
    if let Some(hyper) = source::<hyper::Error>(&*error) {
        if hyper.is_timeout() {
            return ConnectorError::timeout(error);
        }
        if hyper.is_user() {
            return ConnectorError::user(error);
        }
        if hyper.is_closed() || hyper.is_canceled() || source::<std::io::Error>(hyper).is_some() {
            return ConnectorError::io(error);
        }
        let transient = hyper.is_incomplete_message().then_some(ErrorKind::TransientError);
        return ConnectorError::other(error, transient);
    }
    match source::<ClientError>(&*error) {
        Some(client) if client.is_connect() || source::<std::io::Error>(client).is_some() => ConnectorError::io(error),
        _ => ConnectorError::other(error, None),
    }
}

/// The first error of that type in a chain.
fn source<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}
