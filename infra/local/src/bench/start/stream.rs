//! A Firehose behind TLS that takes every record at once, with a certificate that this process made.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The stream.
pub(super) struct Stream {
    address: SocketAddr,
    records: Arc<AtomicUsize>,
    folder: TempDir,
}

impl Stream {
    /// Listens until this process ends.
    pub(super) async fn open() -> anyhow::Result<Self> {
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let folder = tempfile::tempdir()?;
        let certificate = authority.self_signed(&authority_key)?;
        std::fs::write(folder.path().join("authority.pem"), certificate.pem())?;
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let records = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&records);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                // What is held back would count as the function's.
                let _ = connection.set_nodelay(true);
                let (acceptor, counted) = (acceptor.clone(), Arc::clone(&counted));
                tokio::spawn(async move {
                    let service = service_fn(move |request| take(request, Arc::clone(&counted)));
                    // A function that is ended breaks its connection; one that does not trust it says so itself.
                    if let Ok(connection) = acceptor.accept(connection).await {
                        let _ = http1::Builder::new()
                            .serve_connection(TokioIo::new(connection), service)
                            .await;
                    }
                });
            }
        });
        Ok(Stream {
            address,
            records,
            folder,
        })
    }

    /// Its address, by the name that its certificate has.
    pub(super) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The certificate of who signed its own.
    pub(super) fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// How many records it has taken.
    pub(super) fn records(&self) -> usize {
        self.records.load(Ordering::SeqCst)
    }
}

/// The answer to `PutRecordBatch`.
async fn take(request: Request<Incoming>, records: Arc<AtomicUsize>) -> anyhow::Result<Response<Full<Bytes>>> {
    let body = request.into_body().collect().await?.to_bytes();
    let batch: serde_json::Value = serde_json::from_slice(&body)?;
    let count = batch["Records"].as_array().context("no records")?.len();
    records.fetch_add(count, Ordering::SeqCst);
    let results: Vec<_> = (0..count)
        .map(|id| serde_json::json!({"RecordId": id.to_string()}))
        .collect();
    let answer = serde_json::json!({"FailedPutCount": 0, "Encrypted": false, "RequestResponses": results});
    Ok(Response::builder()
        .header("content-type", "application/x-amz-json-1.1")
        .body(Full::from(answer.to_string()))?)
}
