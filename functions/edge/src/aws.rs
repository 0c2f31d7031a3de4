//! HTTP for the clients of Amazon's SDKs: HTTP/1.1, and TLS whose root certificates are in the program.
//!
//! The SDKs' own HTTP client reads and parses the system's root certificates when a client is made, which is most of what a
//! cold start takes, and speaks HTTP/2 too, which is a seventh of a program. Its errors and limits are kept: what it says of a connection
//! that fails is in logs.

mod connector;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector, http_client_fn};
use hyper_rustls::ConfigBuilderExt as _;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::config::Reader;
use connector::Connector;

/// The variable with a file of certificates.
const FILE: &str = "SSL_CERT_FILE";

/// Whose signature a certificate of Amazon's must have.
#[derive(Debug, Clone, Default)]
pub struct Roots {
    /// `SSL_CERT_FILE`: PEM certificates, which are trusted instead of those of Mozilla's list.
    own: Option<Arc<RootCertStore>>,
}

impl Roots {
    /// Reads the value, and the file that it names: not for an endpoint without TLS.
    pub fn read(reader: &mut Reader<'_>, endpoint: Option<&str>) -> Self {
        let is_plain = endpoint.is_some_and(|url| url.starts_with("http://"));
        let Some(path) = reader.optional(FILE).filter(|_| !is_plain) else {
            return Self::default();
        };
        let store = of_file(Path::new(&path));
        if store.is_empty() {
            reader.problem(format!("{FILE} is {path:?}, not a file with PEM certificates"));
        }
        Roots {
            own: Some(Arc::new(store)),
        }
    }

    fn tls(&self) -> Result<ClientConfig, rustls::Error> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        let builder = match &self.own {
            Some(store) => builder.with_root_certificates(Arc::clone(store)),
            None => builder.with_webpki_roots(),
        };
        Ok(builder.with_no_client_auth())
    }
}

/// The certificates of a file; what is none is passed over.
fn of_file(path: &Path) -> RootCertStore {
    let mut store = RootCertStore::empty();
    if let Ok(certificates) = CertificateDer::pem_file_iter(path) {
        store.add_parsable_certificates(certificates.filter_map(Result::ok));
    }
    store
}

/// An HTTP client for a client of an SDK. `connect` is the longest wait for a connection, with its TLS; `read` for the beginning of an
/// answer. What the SDK itself is told of these two goes nowhere.
pub fn http_client(roots: &Roots, connect: Duration, read: Option<Duration>) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Connector::new(roots.tls(), connect, read));
    http_client_fn(move |_, _| connector.clone())
}

#[cfg(test)]
mod tests;
