use std::error::Error as _;
use std::time::Instant;

use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

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

async fn answer(stream: &mut TcpStream) {
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

#[test]
fn a_file_says_who_is_trusted() {
    let folder = std::env::temp_dir().join(format!("weir-roots-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let one = path(
        "one.pem",
        &format!("a comment\n{}", include_str!("tests/authority.pem")),
    );
    let none = path("none.pem", "nothing of the kind");
    let missing = folder.join("missing.pem").to_str().unwrap().to_owned();
    for (value, trusted, problem) in [
        (None, None, ""),
        (Some(String::new()), None, ""),
        (Some(one), Some(1), ""),
        (
            Some(none.clone()),
            Some(0),
            &*format!("SSL_CERT_FILE is {none:?}, not a file with PEM certificates"),
        ),
        (
            Some(missing.clone()),
            Some(0),
            &*format!("SSL_CERT_FILE is {missing:?}, not a file with PEM certificates"),
        ),
    ] {
        let lookup = |key: &str| value.clone().filter(|_| key == "SSL_CERT_FILE");
        let mut reader = Reader::new(&lookup);
        let roots = Roots::read(&mut reader);
        assert_eq!(roots.own.as_ref().map(|store| store.len()), trusted, "{value:?}");
        let said = reader
            .finish(())
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert_eq!(said, problem);
    }
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
