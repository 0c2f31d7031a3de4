//! Sending a document to CloudFormation: a PUT to the signed address in S3 that came with the request.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use tokio::time::{Instant, sleep, timeout_at};

/// Attempts, the first included.
const ATTEMPTS: u32 = 4;

/// What one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// Between the first two; twice that between the next two.
const PAUSE: Duration = Duration::from_millis(200);

/// What to keep for telling: three attempts that are not answered.
pub(crate) const TELLING: Duration = Duration::from_secs(10);

/// Why it could not be sent. It does not hold the address: that is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTold {
    /// No time was left for another attempt.
    #[error("S3 did not answer in time")]
    NoTime,
    /// No connection, or it broke.
    #[error("S3 could not be reached")]
    Unreachable,
    /// S3 refused it.
    #[error("S3 answered {}", .0.as_u16())]
    Refused(StatusCode),
}

/// Sends it, again if need be, until that instant.
pub(crate) async fn tell(url: &str, document: Vec<u8>, until: Instant) -> Result<(), NotTold> {
    let client = client().ok_or(NotTold::Unreachable)?;
    let document = Bytes::from(document);
    let mut failure = NotTold::NoTime;
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            sleep(PAUSE * 2u32.pow(attempt - 1)).await;
        }
        let end = until.min(Instant::now() + ATTEMPT_TIMEOUT);
        if end <= Instant::now() {
            break;
        }
        let sent = timeout_at(end, put(&client, url, document.clone())).await;
        failure = match sent.unwrap_or(Err(NotTold::NoTime)) {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        tracing::warn!(attempt = attempt + 1, reason = %failure, "CloudFormation was not told");
        if let NotTold::Refused(status) = failure
            && !passes(status)
        {
            break;
        }
    }
    Err(failure)
}

/// Whether it may be otherwise the next time. An address that has expired stays so.
fn passes(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

async fn put(
    client: &Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: &str,
    document: Bytes,
) -> Result<(), NotTold> {
    let request = Request::builder()
        .method(Method::PUT)
        .uri(url)
        // The signature is of an empty one.
        .header(CONTENT_TYPE, HeaderValue::from_static(""))
        .body(Full::new(document))
        .map_err(|_| NotTold::Unreachable)?;
    // What the client says is not passed on: it may name the host.
    let answer = client.request(request).await.map_err(|_| NotTold::Unreachable)?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(NotTold::Refused(status)),
    }
}

/// Made when it is needed: once in the life of most processes. The addresses that it gets have been checked.
fn client() -> Option<Client<HttpsConnector<HttpConnector>, Full<Bytes>>> {
    let tls = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(ring::default_provider())
        .ok()?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
    Some(Client::builder(TokioExecutor::new()).build(connector))
}
