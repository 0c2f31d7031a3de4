//! Calls to what listens as ClickHouse does and then does not do as ClickHouse does.

use std::future::{Future, pending};

use bytes::Bytes;
use clickhouse::error::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::super::{WarehouseError, within};
use super::*;

/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(60);

/// Shorter than anything that never happens.
const SHORT: Duration = Duration::from_millis(50);

/// A server that does that with each connection.
async fn server<F: Future<Output = ()> + Send + 'static>(serve: fn(TcpStream) -> F) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    url
}

async fn never_reads(stream: TcpStream) {
    let _open = stream;
    pending().await
}

async fn never_answers(mut stream: TcpStream) {
    while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {}
    pending().await
}

async fn closes_at_once(_: TcpStream) {}

/// Reads until all of the query is there.
async fn reads(stream: &mut TcpStream) {
    let (mut seen, end) = (Vec::new(), b"SELECT 1");
    while !seen.windows(end.len()).any(|window| window == end)
        && stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0)
    {}
}

async fn answers(stream: &mut TcpStream, length: usize) {
    reads(stream).await;
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\nhalf");
    let _ = stream.write_all(answer.as_bytes()).await;
}

async fn answers_half(mut stream: TcpStream) {
    answers(&mut stream, 8).await;
}

async fn answers_half_and_stays(mut stream: TcpStream) {
    answers(&mut stream, 8).await;
    pending().await
}

async fn answers_anything(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 4096]).await;
    let _ = stream.write_all(b"HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n").await;
}

/// As a server does that closes an idle connection while the next request is on its way.
async fn answers_once(mut stream: TcpStream) {
    answers(&mut stream, 4).await;
    reads(&mut stream).await;
}

async fn select(client: &Client, limit: Duration) -> Result<(), WarehouseError> {
    within(limit, async {
        client.query("SELECT 1").fetch_bytes("TSV")?.collect().await
    })
    .await
    .map(drop)
}

/// An insert that no socket's buffers hold.
async fn insert(client: &Client, send: Duration, answer: Duration) -> Result<(), WarehouseError> {
    let mut insert = client
        .clone()
        .with_compression(clickhouse::Compression::None)
        .insert_formatted_with("INSERT INTO t FORMAT Native")
        .with_timeouts(Some(send), Some(answer));
    within(LONG, async {
        for _ in 0..64 {
            insert.send(Bytes::from(vec![0; 1 << 20])).await?;
        }
        insert.end().await
    })
    .await
}

#[tokio::test]
async fn a_server_that_does_not_do_its_part_is_an_error_that_passes() {
    let gone = format!(
        "http://{}",
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    );
    for (what, url, limit, code) in [
        ("never reads", server(never_reads).await, SHORT, "warehouse_timeout"),
        ("never answers", server(never_answers).await, SHORT, "warehouse_timeout"),
        (
            "stops half-way",
            server(answers_half_and_stays).await,
            SHORT,
            "warehouse_timeout",
        ),
        (
            "answers half",
            server(answers_half).await,
            LONG,
            "warehouse_unreachable",
        ),
        (
            "closes at once",
            server(closes_at_once).await,
            LONG,
            "warehouse_unreachable",
        ),
        ("refuses", gone, LONG, "warehouse_unreachable"),
    ] {
        let error = select(&client(&url, LONG), limit).await.unwrap_err();
        assert_eq!(error.code(), code, "{what}: {error:?}");
        assert_eq!(error.bad_data(), None, "{what}");
    }
}

#[tokio::test]
async fn an_insert_does_not_wait_for_who_does_not_read_or_answer() {
    for (what, url, send, answer) in [
        ("never reads", server(never_reads).await, SHORT, LONG),
        ("never answers", server(never_answers).await, LONG, SHORT),
    ] {
        let error = insert(&client(&url, LONG), send, answer).await.unwrap_err();
        assert!(matches!(error, WarehouseError::TimedOut(_)), "{what}: {error:?}");
    }
}

/// A listener that takes no more connections leaves the next client without an answer, as an address without a host does.
#[tokio::test]
async fn who_does_not_accept_is_unreachable() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(connected) = tokio::time::timeout(SHORT * 4, TcpStream::connect(address)).await {
        waiting.push(connected.unwrap());
    }
    let error = select(&client(&format!("http://{address}"), SHORT), LONG)
        .await
        .unwrap_err();
    assert!(matches!(error, WarehouseError::Unreachable(_)), "{error:?}");
}

/// The request is lost with the connection that it was written to, and says so: the same works on a new one.
#[tokio::test]
async fn a_kept_connection_that_is_closed_costs_one_request_at_most() {
    let client = client(&server(answers_once).await, LONG);
    for _ in 0..3 {
        select(&client, LONG).await.unwrap();
        let error = select(&client, LONG).await.unwrap_err();
        assert!(matches!(error, WarehouseError::Unreachable(_)), "{error:?}");
    }
}

#[tokio::test]
async fn tls_is_spoken_where_the_address_says_so() {
    for (url, https) in [
        ("http://h", false),
        ("HTTPS://h", true),
        ("https://h:8443/path", true),
        ("httpss://h", false),
        ("", false),
    ] {
        assert_eq!(is_https(url), https, "{url}");
    }
    // Who answers a greeting of TLS with HTTP is no ClickHouse to an https:// address.
    let url = server(answers_anything).await.replace("http:", "https:");
    let error = select(&client(&url, LONG), LONG).await.unwrap_err();
    let WarehouseError::Unreachable(Error::Network(cause)) = error else {
        panic!("{error:?}");
    };
    let cause = crate::chain(&*cause);
    assert!(cause.contains("corrupt"), "{cause}");
}
