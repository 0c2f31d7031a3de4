use std::sync::{Arc, Mutex};

use clickhouse::{Client, Compression};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[test]
fn what_is_wrong_with_the_environment_is_said() {
    for (key, value, expected) in [
        (
            "CLICKHOUSE_URL",
            "localhost:8123",
            "CLICKHOUSE_URL is not an http:// or https:// address",
        ),
        (
            "CLICKHOUSE_DATABASE",
            "a b",
            "the database name \"a b\" is not made of letters, digits and _",
        ),
        (
            "WEIR_CLUSTER",
            "it's",
            "the cluster name \"it's\" is empty or holds a quote, a backslash or a control character",
        ),
    ] {
        let lookup = |asked: &str| match asked {
            _ if asked == key => Some(value.to_owned()),
            "CLICKHOUSE_URL" => Some("http://localhost:8123".to_owned()),
            _ => None,
        };
        assert_eq!(Context::from_lookup(&lookup).err().unwrap().to_string(), expected);
    }
    let missing = Context::from_lookup(&|_| None).err().unwrap().to_string();
    assert_eq!(missing, "CLICKHOUSE_URL is not set: the HTTP address of ClickHouse");
}

mod deploy;

/// Two zeros as RowBinaryWithNamesAndTypes: neither the database nor the table is there.
const NEITHER: &[u8] = b"\x02\x01a\x01b\x06UInt64\x06UInt64\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// A status and a body.
type Reply = (u16, Vec<u8>);

fn good(body: &[u8]) -> Reply {
    (200, body.to_vec())
}

/// A server that answers each request with the next of these, and then never. Gives the requests, too.
async fn server(replies: Vec<Reply>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        let mut replies = replies.into_iter();
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = request(&mut stream).await;
            seen.lock().unwrap().push(request);
            if let Some((status, body)) = replies.next() {
                let head = format!(
                    "HTTP/1.1 {status} Status\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
            }
            open.push(stream);
        }
    });
    (url, requests)
}

/// All of one request whose length is in its head.
async fn request(stream: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let expected = length.map_or(0, |length| length.parse::<usize>().unwrap());
        if text.contains("\r\n\r\n") && body.len() >= expected {
            return text;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return text;
        }
    }
}

/// The function with so many milliseconds left, at a ClickHouse that answers so.
async fn context(replies: Vec<Reply>, migrations: MigrationSet) -> Context {
    let (url, _requests) = server(replies).await;
    // What the test's server sends is plain.
    let client = Client::default().with_url(&url).with_compression(Compression::None);
    Context {
        migrator: Migrator::new(client, &url, "analytics", None).unwrap(),
        migrations,
        now: || Timestamp::from_millisecond(1_700_000_000_000).unwrap(),
    }
}

fn invocation(event: Value, left_ms: u64) -> LambdaEvent<Value> {
    let mut lambda = lambda_runtime::Context::default();
    lambda.deadline = 1_700_000_000_500 + left_ms;
    LambdaEvent::new(event, lambda)
}

#[tokio::test]
async fn time_that_runs_out_is_said_with_what_was_under_way() {
    for (left_ms, replies, under_way) in [
        (0, vec![], "no migration"),
        (200, vec![], "no migration"),
        (
            500,
            vec![good(NEITHER), good(b""), good(b"")],
            "0001_create_events.sql, statement 1 of ",
        ),
        (
            500,
            vec![good(NEITHER), good(b""), good(b""), good(b"")],
            "0001_create_events.sql, statement 2 of ",
        ),
    ] {
        let context = context(replies, embedded().unwrap()).await;
        let error = handle(&context, invocation(Value::Null, left_ms), &mut Record::default())
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, InvocationError::Migrate(MigrateError::NoTime { .. })),
            "{left_ms}: {text}"
        );
        assert!(text.contains(under_way) && text.contains("Run again"), "{text}");
    }
}
