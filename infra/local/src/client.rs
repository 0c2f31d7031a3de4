//! HTTP clients: what is the same about all of them.

use reqwest::ClientBuilder;
use url::Url;

/// A client of whatever is configured, past any proxy: this machine's parts, or what the functions reach directly.
pub(crate) fn builder() -> ClientBuilder {
    tls().no_proxy()
}

/// A client of an address that a person has given: a proxy of theirs is used, but not to reach this machine.
pub(crate) fn of(url: &Url) -> ClientBuilder {
    match url.host_str() {
        Some("localhost" | "127.0.0.1" | "[::1]") => builder(),
        _ => tls(),
    }
}

fn tls() -> ClientBuilder {
    // Fails only when one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}
