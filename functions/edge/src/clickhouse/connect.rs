//! How ClickHouse is connected to: as by the crate's own default, which has no limit for it.

use std::time::Duration;

use clickhouse::Client;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;

/// Between two probes of a connection on which nothing moves.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// How long a connection is kept for the next request: less than the 3 s after which a ClickHouse closes it by default. One
/// that is closed all the same, such as while Lambda had the process stopped, fails its request as unreachable.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// A client of that address. Only one that is `https://` costs the work that TLS needs; the root certificates are in the
/// program, so nothing is read.
pub(super) fn client(url: &str, connect: Duration) -> Client {
    let mut tcp = HttpConnector::new();
    tcp.set_connect_timeout(Some(connect));
    tcp.set_keepalive(Some(TCP_KEEPALIVE));
    tcp.set_nodelay(true);
    let mut builder = HttpClient::builder(TokioExecutor::new());
    builder.pool_idle_timeout(POOL_IDLE_TIMEOUT);
    if is_https(url)
        && let Ok(tls) = HttpsConnectorBuilder::new().with_provider_and_webpki_roots(ring::default_provider())
    {
        tcp.enforce_http(false);
        return Client::with_http_client(builder.build(tls.https_only().enable_http1().wrap_connector(tcp)))
            .with_url(url);
    }
    Client::with_http_client(builder.build(tcp)).with_url(url)
}

fn is_https(url: &str) -> bool {
    url.split_once("://")
        .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests;
