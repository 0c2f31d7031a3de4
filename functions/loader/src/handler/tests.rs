//! The handler against a small server that answers as ClickHouse does.

mod records;
mod silent;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use edge::Function;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use event_model::Row;

use super::*;
use crate::insert;

/// `{…}` lines of one event each, in two months, and one line that is none, in base64.
fn delivery() -> String {
    let line = |id: u8, month: u8| {
        format!(
            concat!(
                r#"{{"event_id":"00000000-0000-0000-0000-0000000000{:02}","received_at":"2024-05-17T10:20:31.500Z","#,
                r#""dt":"2024-{:02}-17T10:20:30Z","name":"view","user_id":1,"url":"http://site/main","obj":"page","#,
                r#""obj_id":"","product_id":0,"amount":0.0,"exp":{{}}}}"#,
                "\n"
            ),
            id, month
        )
    };
    use base64::Engine;
    let data = base64::engine::general_purpose::STANDARD
        .encode([line(1, 5), "broken\n".to_owned(), line(2, 6), line(3, 5)].concat());
    json!({ "requestId": "r-1", "timestamp": 1, "records": [{ "data": data }] }).to_string()
}

/// What Firehose sends.
const KEY: &str = "an-access-key-of-tests";

/// An exception that blames the data.
const REFUSES_DATA: u32 = 469;

struct Fake {
    context: Context,
    /// The parameters of each insert.
    inserts: Arc<Mutex<Vec<(String, String)>>>,
}

impl Fake {
    /// A ClickHouse that answers with these exceptions (0 is none), then with 200.
    async fn start(exceptions: impl IntoIterator<Item = u32>) -> Fake {
        let inserts = Arc::new(Mutex::new(Vec::new()));
        let exceptions = Arc::new(Mutex::new(exceptions.into_iter().collect::<VecDeque<u32>>()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::clone(&inserts);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (shared, exceptions) = (Arc::clone(&shared), Arc::clone(&exceptions));
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(
                    TokioIo::new(stream),
                    service_fn(move |request| insert(Arc::clone(&shared), Arc::clone(&exceptions), request)),
                ));
            }
        });
        Fake {
            context: context(&url),
            inserts,
        }
    }

    async fn deliver(&self, request: http::request::Builder, body: impl Into<Body>) -> (u16, Value) {
        let (status, answer, _) = self.deliver_recorded(request, body).await;
        (status, answer)
    }

    async fn deliver_recorded(
        &self,
        request: http::request::Builder,
        body: impl Into<Body>,
    ) -> (u16, Value, edge::Record) {
        let (response, record) = edge::answer(&self.context, request.body(body.into()).unwrap()).await;
        assert_eq!(response.headers()["content-type"], "application/json");
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        assert!(body["timestamp"].is_u64());
        (response.status().as_u16(), body, record)
    }

    fn tables(&self) -> Vec<String> {
        let inserts = self.inserts.lock().unwrap();
        inserts
            .iter()
            .map(|(query, _)| query.split(' ').nth(2).unwrap().to_owned())
            .collect()
    }
}

fn context(url: &str) -> Context {
    let lookup = |key: &str| match key {
        "FIREHOSE_ACCESS_KEY" => Some(KEY.to_owned()),
        "CLICKHOUSE_URL" => Some(url.to_owned()),
        _ => None,
    };
    Context {
        now: || "2024-05-17T10:20:32Z".parse().unwrap(),
        ..Context::from_lookup(&lookup).unwrap()
    }
}

async fn insert(
    inserts: Arc<Mutex<Vec<(String, String)>>>,
    exceptions: Arc<Mutex<VecDeque<u32>>>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    body.collect().await?;
    let request = http::Request::from_parts(parts, Body::Empty);
    let parameter = |name| edge::route::query(&request, name);
    // The question which ids are in quarantine: none is.
    let Some(token) = parameter("insert_deduplication_token") else {
        return Ok(hyper::Response::new(Full::default()));
    };
    inserts.lock().unwrap().push((parameter("query").unwrap(), token));
    let exception = exceptions.lock().unwrap().pop_front().unwrap_or(0);
    let (status, text) = match exception {
        0 => (200, String::new()),
        _ => (500, format!("Code: {exception}. DB::Exception: No, for 'secret data'")),
    };
    let mut response = hyper::Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(response)
}

fn post() -> http::request::Builder {
    http::Request::post("/")
        .header(ACCESS_KEY, KEY)
        .header(REQUEST_ID, "r-1")
        .header(PROTOCOL_VERSION, "1.0")
}

#[test]
fn a_log_holds_the_ids_of_firehose() {
    for (id, logged) in [
        ("ed4acda5-034f-9f42-bba1-f29aea6d7d8f", true),
        ("", true),
        ("ada@example.org", false),
        ("ed4acda5-034f-9f42-bba1-f29aea6d7d8f0", false),
        ("a\nINFO forged", false),
    ] {
        assert_eq!(loggable(id), if logged { id } else { "" }, "{id:?}");
    }
}

#[tokio::test]
async fn delivered_means_inserted() {
    let fake = Fake::start([]).await;
    let (status, body) = fake.deliver(post(), delivery()).await;
    assert_eq!(
        (status, body),
        (200, json!({ "requestId": "r-1", "timestamp": 1_715_941_232_000_u64 }))
    );
    assert_eq!(fake.tables(), ["events", "events", "events_quarantine"]);
    let (status, _) = fake.deliver(post(), delivery()).await;
    assert_eq!(status, 200);
    let inserts = fake.inserts.lock().unwrap();
    assert_eq!(
        inserts[..3],
        inserts[3..],
        "a delivery that comes again has the same tokens"
    );
    let tokens: std::collections::BTreeSet<_> = inserts.iter().map(|(_, token)| token).collect();
    assert_eq!(tokens.len(), 3);
}

#[tokio::test]
async fn an_empty_delivery_is_delivered() {
    let fake = Fake::start([]).await;
    let (status, _) = fake
        .deliver(post(), r#"{"requestId":"r-1","timestamp":1,"records":[]}"#)
        .await;
    assert_eq!((status, fake.tables().len()), (200, 0));
}

/// What passes costs one insert: nothing is halved, nothing put aside, and Firehose delivers all of it again.
#[tokio::test]
async fn a_state_that_passes_is_delivered_again() {
    for (what, exception) in [
        ("no such column", 16),
        ("unknown table", 60),
        ("unknown database", 81),
        ("timeout", 159),
        ("read-only", 164),
        ("too many simultaneous queries", 202),
        ("too few live replicas", 285),
        ("memory", 241),
        ("too many parts", 252),
        ("authentication", 516),
        ("an exception of another age", 99_999),
    ] {
        let fake = Fake::start([exception]).await;
        let (status, body) = fake.deliver(post(), delivery()).await;
        assert_eq!(
            (status, fake.tables()),
            (500, vec!["events".to_owned()]),
            "{what}: {body}"
        );
        assert_eq!(body["requestId"], "r-1");
        assert_eq!(
            body["errorMessage"],
            format!("ClickHouse refused the rows with exception {exception}")
        );
        let (status, _) = fake.deliver(post(), delivery()).await;
        assert_eq!(status, 200, "{what}");
        assert_eq!(
            fake.tables(),
            ["events", "events", "events", "events_quarantine"],
            "{what}"
        );
    }
}

/// What comes after the first month, too.
#[tokio::test]
async fn a_state_that_comes_up_half_way_is_delivered_again() {
    for exceptions in [
        vec![0, 252],
        vec![REFUSES_DATA, 202],
        vec![REFUSES_DATA, 0, 241],
        vec![0, 0, 241],
    ] {
        let fake = Fake::start(exceptions.iter().copied()).await;
        let (status, body) = fake.deliver(post(), delivery()).await;
        assert_eq!(
            (status, fake.tables().len()),
            (500, exceptions.len()),
            "{exceptions:?}: {body}"
        );
    }
}

/// May is refused; then its second half; what is left of that goes to quarantine.
#[tokio::test]
async fn a_row_that_the_table_refuses_is_found_and_kept() {
    let fake = Fake::start([REFUSES_DATA, 0, REFUSES_DATA]).await;
    let (status, body) = fake.deliver(post(), delivery()).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        fake.tables(),
        ["events", "events", "events", "events", "events_quarantine"],
        "all of May, its halves, June, quarantine"
    );
}

#[tokio::test]
async fn a_table_that_refuses_everything_is_no_matter_of_rows() {
    let rows: Vec<_> = (0..=insert::MAX_REFUSED)
        .map(|id| Row {
            dt: 1_700_000_000,
            name: "".into(),
            user_id: 1,
            url: "".into(),
            obj: "".into(),
            obj_id: "".into(),
            product_id: 0,
            amount: 0.0,
            exp: Vec::new(),
            event_id: uuid::Uuid::from_u128(id as u128),
            received_at: 0,
            request_id: "".into(),
        })
        .collect();
    let fake = Fake::start(std::iter::repeat_n(REFUSES_DATA, 1_000)).await;
    let limit = std::time::Duration::from_secs(60);
    let refused = insert::rows_apart(&fake.context.clickhouse, &rows, limit).await;
    assert_eq!(refused.unwrap_err().exception(), Some(469));
    assert!(fake.tables().len() <= 2 * insert::MAX_REFUSED + 2);
}

#[tokio::test]
async fn no_clickhouse_is_503() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let fake = Fake {
        context: context(&format!("http://{gone}")),
        inserts: Arc::default(),
    };
    let (status, body) = fake.deliver(post(), delivery()).await;
    assert_eq!(
        (status, body["errorMessage"].as_str()),
        (503, Some("ClickHouse cannot be reached"))
    );
}

/// Whatever else is wrong with the request, and whether its body is a delivery or not.
#[tokio::test]
async fn without_the_key_nothing_is_read() {
    let fake = Fake::start([]).await;
    let (mut shorter, longer, upper) = (KEY.to_owned(), format!("{KEY}x"), KEY.to_uppercase());
    shorter.pop();
    for key in [
        None,
        Some(""),
        Some("wrong-key-wrong-key"),
        Some(&shorter),
        Some(&longer),
        Some(&upper),
        Some(" "),
    ] {
        for (body, encoding) in [(delivery().as_str(), ""), ("{", ""), ("no gzip", "gzip"), ("", "br")] {
            for method in ["POST", "GET"] {
                let mut request = http::Request::builder()
                    .method(method)
                    .uri("/")
                    .header(PROTOCOL_VERSION, "9.9")
                    .header("content-encoding", encoding);
                if let Some(key) = key {
                    request = request.header(ACCESS_KEY, key);
                }
                let (status, answer) = fake.deliver(request, body).await;
                assert_eq!(
                    (status, answer["errorMessage"].as_str()),
                    (401, Some("the access key is missing or wrong")),
                    "{key:?} {body}"
                );
            }
        }
    }
    assert_eq!(fake.tables().len(), 0);
}

#[tokio::test]
async fn refusals_have_the_protocols_shape() {
    let fake = Fake::start([]).await;
    let good = || http::Request::post("/").header(ACCESS_KEY, KEY);
    for (request, body, status, message) in [
        (http::Request::get("/").header(ACCESS_KEY, KEY), "", 405, "posted"),
        (good().header(PROTOCOL_VERSION, "2.0"), "", 400, "version 1.0"),
        (good().header("content-encoding", "br"), "", 400, "Content-Encoding"),
        (good().header("content-encoding", "gzip"), "x", 400, "gzip"),
        (good(), "", 400, "not a delivery"),
        (good(), r#"{"records":[]}"#, 400, "not a delivery"),
        (
            good().header(REQUEST_ID, "r-2"),
            r#"{"requestId":"r-1","timestamp":1,"records":[]}"#,
            400,
            "request id",
        ),
    ] {
        let (found, answer) = fake.deliver(request, body).await;
        assert_eq!(found, status, "{answer}");
        assert!(answer["errorMessage"].as_str().unwrap().contains(message), "{answer}");
    }
    assert_eq!(fake.tables().len(), 0);
    let response = fake.context.too_large(7);
    assert_eq!(response.status(), 400, "Firehose drops what is answered 413");
}
