use std::error::Error as _;
use std::time::Instant;

use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const SOON: Duration = Duration::from_millis(200);
const LATE: Duration = Duration::from_secs(20);

async fn listening() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address.to_string())
}

/// What one GET comes to: the answer's status, or the failure in full.
async fn get(connector: &Connector, url: &str) -> Result<u16, String> {
    match connector.call(HttpRequest::get(url).unwrap()).await {
        Ok(response) => Ok(response.status().as_u16()),
        Err(error) => Err(crate::chain(&error)),
    }
}

fn connector(connect: Duration, read: Option<Duration>) -> Connector {
    Connector::new(Roots::default().tls(), connect, read)
}

async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let _ = stream.read(&mut [0; 4096]).await;
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
}

#[tokio::test]
async fn one_connection_serves_many_calls() {
    let (listener, address) = listening().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        loop {
            answer(&mut stream).await;
        }
    });
    let connector = connector(LATE, None);
    for _ in 0..3 {
        assert_eq!(get(&connector, &format!("http://{address}/")).await, Ok(200));
    }
}

#[tokio::test]
async fn failures_are_told_apart_and_said() {
    let (listener, silent) = listening().await;
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let (listener, closing) = listening().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    let nobody = listening().await.1;
    for (url, read, expected) in [
        (
            format!("https://{silent}/"),
            None,
            "timeout: client error (Connect): HTTP connect timeout occurred after 200ms: timed out",
        ),
        (
            format!("http://{silent}/"),
            Some(SOON),
            "timeout: HTTP read timeout occurred after 200ms: timed out",
        ),
        (
            format!("http://{nobody}/"),
            None,
            "io error: client error (Connect): tcp connect error: Connection refused (os error 111)",
        ),
        (
            format!("http://{closing}/"),
            None,
            "other: client error (SendRequest): connection closed before message completed",
        ),
    ] {
        let before = Instant::now();
        let error = get(&connector(SOON, read), &url).await.unwrap_err();
        assert_eq!(error, expected, "{url}");
        assert!(before.elapsed() < LATE / 2, "{url}");
    }
}

#[tokio::test]
async fn what_may_be_tried_again_is_marked() {
    let nobody = format!("http://{}/", listening().await.1);
    let call = connector(SOON, None)
        .call(HttpRequest::get(nobody.as_str()).unwrap())
        .await;
    let error = call.unwrap_err();
    assert!(error.is_io() && error.source().is_some());
}

/// An authority of one's own, as PEM, and the port where something answers that it has signed.
async fn signed(name: &str) -> (String, u16) {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, name);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let name = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = name.signed_by(&key, &issuer).unwrap().der().clone();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                answer(&mut stream).await;
            }
        }
    });
    (pem, port)
}

#[tokio::test]
async fn a_file_says_who_is_trusted() {
    let (authority, port) = signed("one").await;
    let (other, _) = signed("other").await;
    let folder = std::env::temp_dir().join(format!("weir-roots-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let no_file = |path: &str| Err(format!("SSL_CERT_FILE is {path:?}, not a file with PEM certificates"));
    let unknown = Ok(Err("invalid peer certificate: UnknownIssuer"));
    let nothing = file("nothing.pem", "nothing of the kind");
    let missing = folder.join("missing.pem").to_str().unwrap().to_owned();
    for (value, expected) in [
        (String::new(), unknown.clone()),
        (file("one.pem", &authority), Ok(Ok(200))),
        (file("many.pem", &format!("others:\n{other}\n{authority}")), Ok(Ok(200))),
        (file("other.pem", &other), unknown),
        (nothing.clone(), no_file(&nothing)),
        (missing.clone(), no_file(&missing)),
    ] {
        let lookup = |key: &str| (key == "SSL_CERT_FILE").then(|| value.clone());
        let mut reader = Reader::new(&lookup);
        let roots = Roots::read(&mut reader, None);
        let outcome = match reader.finish(()) {
            Err(error) => Err(error.to_string()),
            Ok(()) => Ok(get(
                &Connector::new(roots.tls(), LATE, None),
                &format!("https://localhost:{port}/"),
            )
            .await),
        };
        match (&outcome, &expected) {
            (Ok(Err(said)), Ok(Err(why))) => assert!(said.ends_with(why), "{value}: {said}"),
            (outcome, expected) => {
                let expected = expected.clone().map(|it| it.map_err(str::to_owned));
                assert_eq!(*outcome, expected, "{value}");
            }
        }
    }
    let lookup = |key: &str| (key == "SSL_CERT_FILE").then(|| missing.clone());
    let mut reader = Reader::new(&lookup);
    Roots::read(&mut reader, Some("http://127.0.0.1:4573"));
    reader.finish(()).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn mozilla_trusts_amazon() {
    let store = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for name in [
        "Amazon Root CA 1",
        "Amazon Root CA 2",
        "Amazon Root CA 3",
        "Amazon Root CA 4",
    ] {
        let is_named = |root: &rustls::pki_types::TrustAnchor<'_>| {
            let subject: &[u8] = root.subject.as_ref();
            subject.windows(name.len()).any(|window| window == name.as_bytes())
        };
        assert!(store.roots.iter().any(is_named), "{name}");
    }
}
