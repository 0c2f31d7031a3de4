use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A server that answers each request with that, or never when it is nothing; and how many have connected.
async fn server(answer: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connected = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connected);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                while stream.read(&mut [0; 65536]).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    (url, connected)
}

/// An object with one line that is no event, which goes to quarantine.
const OBJECT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{\"rawData\":\"eA==\"}";
const HALF_AN_OBJECT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{\"rawData\"";
const REFUSED: &str = "HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n";
const TAKEN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const NEVER: &str = "";

const NOW_MS: i64 = 1_700_000_000_000;
const MARGIN_MS: u64 = 500;

async fn invoked(s3: &str, clickhouse: &str, deadline_ms: u64) -> Result<Outcome, ReplayError> {
    recorded(s3, clickhouse, deadline_ms, &mut Record::default()).await
}

async fn recorded(s3: &str, clickhouse: &str, deadline_ms: u64, record: &mut Record) -> Result<Outcome, ReplayError> {
    let mut context = Context::from_lookup(&|key| {
        let value = match key {
            "AWS_REGION" => "us-east-1",
            "AWS_ENDPOINT_URL_S3" => s3,
            "CLICKHOUSE_URL" => clickhouse,
            _ => "x",
        };
        Some(value.to_owned())
    })
    .unwrap();
    context.now = || Timestamp::from_millisecond(NOW_MS).unwrap();
    let object = r#"{"Records":[{"s3":{"bucket":{"name":"b"},"object":{"key":"a+key"}}}]}"#;
    let mut lambda = lambda_runtime::Context::default();
    lambda.deadline = deadline_ms;
    handle(
        &context,
        LambdaEvent::new(serde_json::from_str(object).unwrap(), lambda),
        record,
    )
    .await
}

/// Whoever does not answer, the invocation ends before Lambda ends it, and says which object is to come again.
#[tokio::test]
async fn time_that_runs_out_is_an_error() {
    let left = |ms: u64| NOW_MS.unsigned_abs() + MARGIN_MS + ms;
    for (what, s3, clickhouse) in [
        ("S3 never answers", NEVER, NEVER),
        ("S3 stops half-way", HALF_AN_OBJECT, NEVER),
        ("ClickHouse never answers", OBJECT, NEVER),
    ] {
        let (s3, _) = server(s3).await;
        let (clickhouse, asked) = server(clickhouse).await;
        let error = invoked(&s3, &clickhouse, left(300)).await.unwrap_err();
        assert!(matches!(error, ReplayError::NoTime { .. }), "{what}: {error}");
        assert!(error.to_string().contains("s3://b/a key"), "{what}: {error}");
        assert_eq!(
            asked.load(Ordering::Relaxed) > 0,
            what.starts_with("ClickHouse"),
            "{what}"
        );
    }
    let (s3, asked) = server(OBJECT).await;
    for deadline_ms in [left(0), 1_600_000_000_000] {
        let error = invoked(&s3, &s3, deadline_ms).await.unwrap_err();
        assert!(matches!(error, ReplayError::NoTime { .. }), "{error}");
    }
    assert_eq!(
        asked.load(Ordering::Relaxed),
        0,
        "nothing is begun that cannot be ended"
    );
}

#[tokio::test]
async fn an_invocation_is_counted() {
    let counts = |record: &Record| (record.stored, record.quarantined);
    let ((s3, _), (clickhouse, _)) = (server(OBJECT).await, server(TAKEN).await);
    let mut record = Record::default();
    recorded(&s3, &clickhouse, 0, &mut record).await.unwrap();
    assert_eq!(counts(&record), (Some(0), Some(1)));
    // How much of an object is stored that failed, nobody knows.
    let (clickhouse, _) = server(REFUSED).await;
    let mut record = Record::default();
    recorded(&s3, &clickhouse, 0, &mut record).await.unwrap_err();
    assert_eq!(counts(&record), (None, None));
}

#[tokio::test]
async fn an_emulated_deadline_is_not_over() {
    let (s3, _) = server(REFUSED).await;
    for deadline_ms in [0, 600_000] {
        let error = invoked(&s3, &s3, deadline_ms).await.unwrap_err();
        assert!(matches!(error, ReplayError::S3(S3Error::Refused { .. })), "{error}");
    }
}

#[test]
fn keys_are_decoded() {
    for (key, expected) in [
        ("a/b+c%3D1%C3%A9.gz", "a/b c=1\u{e9}.gz"),
        ("%", "%"),
        ("%4", "%4"),
        ("%zz", "%zz"),
        ("", ""),
    ] {
        assert_eq!(form_decoded(key), expected, "{key}");
    }
}

#[test]
fn an_event_of_s3_is_read() {
    let event = r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1",
        "eventTime":"1970-01-01T00:00:00.000Z","eventName":"ObjectCreated:Put","s3":{"s3SchemaVersion":"1.0",
        "bucket":{"name":"b","arn":"arn:aws:s3:::b"},"object":{"key":"k","size":1,"eTag":"e","sequencer":"0"}}}]}"#;
    let event: S3Event = serde_json::from_str(event).unwrap();
    assert_eq!(
        (
            event.records[0].s3.bucket.name.as_str(),
            event.records[0].s3.object.key.as_str()
        ),
        ("b", "k")
    );
    let test: S3Event = serde_json::from_str(r#"{"Service":"Amazon S3","Event":"s3:TestEvent"}"#).unwrap();
    assert!(test.records.is_empty());
}

#[test]
fn what_is_wrong_with_the_environment_is_said_at_once() {
    let error = Context::from_lookup(&|_| None).err().unwrap().to_string();
    assert!(
        error.contains("CLICKHOUSE_URL") && error.contains("AWS_REGION"),
        "{error}"
    );
}
