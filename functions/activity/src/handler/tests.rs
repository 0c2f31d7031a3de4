//! The handler against a small server that answers as ClickHouse does.

use edge::{Failure, Function};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::*;

#[path = "../../../edge/src/record/spec.rs"]
mod spec;

/// A ClickHouse that always answers this.
async fn clickhouse(status: u16, body: Vec<u8>) -> Context {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let body = Bytes::from(body.clone());
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let mut response = hyper::Response::new(Full::new(body.clone()));
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                async move {
                    let sent = request.into_body().collect().await?.to_bytes();
                    let sent = String::from_utf8_lossy(&sent);
                    // The days travel beside the query, as the fields of a form.
                    assert!(sent.contains("\"param_from\"\r\n\r\n2026-10-25\r\n"), "{sent}");
                    assert!(sent.contains("\"param_to\"\r\n\r\n2026-11-23\r\n"), "{sent}");
                    Ok::<_, hyper::Error>(response)
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    context(&url)
}

fn context(url: &str) -> Context {
    let lookup = |key: &str| (key == "CLICKHOUSE_URL").then(|| url.to_owned());
    let mut context = Context::from_lookup(&lookup).unwrap();
    // What the test server sends is plain.
    context.clickhouse = context.clickhouse.with_compression(clickhouse::Compression::None);
    Context {
        now: || "2026-11-23T23:59:59Z".parse().unwrap(),
        ..context
    }
}

/// Two rows as RowBinaryWithNamesAndTypes.
fn two_days() -> Vec<u8> {
    let mut out = vec![4];
    for text in ["day", "dau", "wau", "mau", "UInt16", "UInt64", "UInt64", "UInt64"] {
        out.push(text.len() as u8);
        out.extend_from_slice(text.as_bytes());
    }
    for (day, dau) in [(20_000_u16, 1_u64), (20_001, u64::MAX)] {
        out.extend_from_slice(&day.to_le_bytes());
        for users in [dau, 2, 3] {
            out.extend_from_slice(&users.to_le_bytes());
        }
    }
    out
}

async fn get(context: &Context, uri: &str, accept: &str) -> (u16, String, String) {
    let request = http::Request::get(uri)
        .header(ACCEPT, accept)
        .body(Body::Empty)
        .unwrap();
    let response = match Function::handle(context, request, &mut edge::Record::default()).await {
        Ok(response) => response,
        Err(error) => error.response(),
    };
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    (
        response.status().as_u16(),
        content_type,
        String::from_utf8(response.body().to_vec()).unwrap(),
    )
}

#[tokio::test]
async fn days_as_json_or_csv() {
    let context = clickhouse(200, two_days()).await;
    let (status, content_type, body) = get(&context, "/activity", "*/*").await;
    assert_eq!((status, content_type.as_str()), (200, "application/json"));
    let expected = json!({ "days": [
        { "date": "2024-10-04", "dau": 1, "wau": 2, "mau": 3 },
        { "date": "2024-10-05", "dau": u64::MAX, "wau": 2, "mau": 3 },
    ] });
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    for accept in ["text/csv", "text/html, Text/CSV;q=0.9, application/json"] {
        let (status, content_type, body) = get(&context, "/activity/", accept).await;
        assert_eq!((status, content_type.as_str()), (200, "text/csv; charset=utf-8"));
        assert_eq!(
            body,
            "date,dau,wau,mau\n2024-10-04,1,2,3\n2024-10-05,18446744073709551615,2,3\n"
        );
    }
    assert_eq!(
        get(&context, "/activity", "application/json, text/csv").await.1,
        "application/json"
    );
}

#[tokio::test]
async fn no_days_is_an_answer() {
    let empty = two_days().split_at(two_days().len() - 2 * 26).0.to_vec();
    let context = clickhouse(200, empty).await;
    assert_eq!(get(&context, "/activity", "").await.2, "{\"days\":[]}");
    assert_eq!(get(&context, "/activity", "text/csv").await.2, "date,dau,wau,mau\n");
}

#[tokio::test]
async fn a_request_is_recorded() {
    let context = clickhouse(200, two_days()).await;
    for (uri, route, status) in [
        ("/activity/?from=x", "/activity", 422),
        ("/activity", "/activity", 200),
        ("/ada", "other", 404),
    ] {
        let request = http::Request::get(uri).body(Body::Empty).unwrap();
        let (_, record) = edge::answer(&context, request).await;
        let line = spec::read(&record.emf("2026-11-23T23:59:59Z".parse().unwrap()));
        let metrics: Vec<_> = line.metrics.keys().map(String::as_str).collect();
        assert_eq!(
            (metrics, line.timestamp),
            (vec!["DurationMilliseconds"], 1_795_478_399_000),
            "{uri}"
        );
        let expected = json!({ "request_id": "", "method": "GET", "route": route, "status": status });
        assert_eq!(Value::from(line.properties), expected, "{uri}");
    }
}

#[tokio::test]
async fn refusals() {
    let context = clickhouse(200, Vec::new()).await;
    let (status, _, body) = get(&context, "/activity?from=x", "text/csv").await;
    let expected = json!({ "detail": [{ "type": "date_parsing", "loc": ["query", "from"],
        "msg": "Input should be a valid date in the format YYYY-MM-DD", "input": "x" }] });
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (422, expected));
    assert_eq!(get(&context, "/", "").await.0, 404);
    let request = http::Request::post("/activity").body(Body::Empty).unwrap();
    let response = Function::handle(&context, request, &mut edge::Record::default())
        .await
        .unwrap_err()
        .response();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (405, &"GET, HEAD".parse().unwrap())
    );
}

#[tokio::test]
async fn a_warehouse_that_cannot_answer() {
    for (clickhouse_status, text, status, code) in [
        (
            404,
            "Code: 60. DB::Exception: Unknown table expression identifier 'users_activity'",
            404,
            "mart_missing",
        ),
        (
            404,
            "Code: 81. DB::Exception: Database analytics does not exist",
            404,
            "mart_missing",
        ),
        (
            403,
            "Code: 516. DB::Exception: Authentication failed",
            500,
            "warehouse_refused",
        ),
    ] {
        let context = clickhouse(clickhouse_status, text.as_bytes().to_vec()).await;
        let (found, _, body) = get(&context, "/activity", "").await;
        assert_eq!(
            (found, &serde_json::from_str::<Value>(&body).unwrap()["code"]),
            (status, &json!(code))
        );
        assert!(!body.contains("DB::Exception"));
    }
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let (status, _, body) = get(&context(&format!("http://{gone}")), "/activity", "").await;
    assert_eq!((status, body.contains("warehouse_unreachable")), (503, true));
}
