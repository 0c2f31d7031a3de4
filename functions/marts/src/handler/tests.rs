//! What all functions that read a mart do, by one that numbers its rows.

use clickhouse::{Client, Row, query::Query};
use edge::{Body, Function};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::fake::{Cell, Fake};
use super::*;
use crate::mart::Mart;
use crate::range::Range;
use crate::rows::size;

mod fake;

#[path = "../../../edge/src/record/spec.rs"]
mod spec;

/// Numbers, three a page, or with `whole` all.
struct Numbers;

#[derive(Debug, Row, Serialize, Deserialize, JsonSchema)]
struct Line {
    n: u64,
    name: String,
}

#[derive(Serialize, JsonSchema)]
struct Lines<'a> {
    lines: &'a [Line],
    next: Option<String>,
}

impl Mart for Numbers {
    const NAME: &'static str = "numbers";
    const PATH: &'static str = "/numbers";
    const TABLE: &'static str = "numbers_mart";
    const COLUMNS: &'static [&'static str] = &["n", "name"];
    type Question = Range;
    type Row = Line;
    type Answer<'a> = Lines<'a>;

    fn question(parameters: &mut Parameters<'_>) -> Range {
        parameters.range()
    }

    fn page(_: &Range) -> usize {
        3
    }

    fn cursor(row: &Line) -> Option<String> {
        // The last number of the calendar, so to say.
        (row.n < 1000).then(|| row.n.to_string())
    }

    fn answer(lines: &[Line], next: Option<String>) -> Lines<'_> {
        Lines { lines, next }
    }
}

impl Read for Numbers {
    fn query(client: &Client, range: &Range) -> Query {
        client
            .query("SELECT n, name FROM numbers_mart WHERE n > {from: Date}")
            .param("from", range.from.to_string())
    }
}

fn lines(numbers: &[u64], name: &'static str) -> Vec<u8> {
    let cells: Vec<_> = numbers.iter().map(|n| [Cell::U64(*n), Cell::Text(name)]).collect();
    fake::rows([("n", "UInt64"), ("name", "String")], &cells)
}

async fn numbers(count: u64) -> Fake<Numbers> {
    Fake::answering(200, lines(&(1..=count).collect::<Vec<_>>(), "a,\"b")).await
}

#[tokio::test]
async fn rows_as_json_or_csv() {
    let fake = numbers(2).await;
    let response = fake.get("/numbers?other=1", "*/*").await;
    assert_eq!(response.headers()["content-type"], "application/json");
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    let line = |n: u64| json!({ "n": n, "name": "a,\"b" });
    assert_eq!(body, json!({ "lines": [line(1), line(2)], "next": null }));
    // The days travel beside the query.
    assert_eq!(fake.parameter("from").as_deref(), Some("2026-10-25"));
    assert!(fake.asked().contains("n > {from: Date}"), "{}", fake.asked());
    for accept in ["text/csv", "text/html, Text/CSV;q=0.9, application/json"] {
        let response = fake.get("/numbers/", accept).await;
        assert_eq!(response.headers()["content-type"], "text/csv; charset=utf-8");
        assert_eq!(response.body().to_vec(), b"n,name\n1,\"a,\"\"b\"\n2,\"a,\"\"b\"\n");
    }
    let response = fake.get("/numbers", "application/json, text/csv").await;
    assert_eq!(response.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn no_rows_are_an_answer() {
    let fake = numbers(0).await;
    assert_eq!(fake.read("/numbers", "").await.1, "{\"lines\":[],\"next\":null}");
    assert_eq!(fake.read("/numbers", "text/csv").await.1, "n,name\n");
}

#[tokio::test]
async fn a_page_says_where_the_next_begins() {
    for (count, rows, next) in [(3, 3, None), (4, 3, Some("3"))] {
        let fake = numbers(count).await;
        let body: Value = serde_json::from_str(&fake.read("/numbers", "").await.1).unwrap();
        assert_eq!(
            (body["lines"].as_array().unwrap().len(), &body["next"]),
            (rows, &json!(next))
        );
        for accept in ["", "text/csv"] {
            let response = fake.get("/numbers", accept).await;
            let header = response.headers().get("x-next-after");
            assert_eq!(header.map(|value| value.to_str().unwrap()), next, "{accept}");
        }
    }
}

/// A function URL returns 6 MB.
#[tokio::test]
async fn no_answer_is_larger_than_a_function_url_returns() {
    let long = String::from_utf8(vec![b'"'; 200]).unwrap().leak();
    let row = size(&json!({ "n": 1, "name": &*long }));
    let each = |rows: usize| -> Vec<Line> {
        let line = |_| Line {
            n: 1,
            name: long.to_owned(),
        };
        (0..rows).map(line).collect()
    };
    // The bytes are counted as they are written, and CSV has no more of them.
    let some = each(10);
    let (json, csv) = (
        serde_json::to_string(&some).unwrap(),
        format::csv::<Numbers>(&some).unwrap(),
    );
    let carried = |body: &str| serde_json::to_string(body).unwrap().len() - 2;
    assert_eq!(carried(&json), 10 * row + 1);
    assert!(carried(std::str::from_utf8(csv.body()).unwrap()) < carried(&json));

    // Without a cursor such an answer is refused; with one it goes on in the next.
    let huge = fake::rows([("n", "UInt64"), ("name", "String")], &[]);
    let huge = |numbers: &[u64]| {
        let mut out = huge.clone();
        for n in numbers {
            out.extend(n.to_le_bytes());
            // 3 MB, its length as a LEB128.
            out.extend([0xc0, 0x8d, 0xb7, 0x01]);
            out.extend(std::iter::repeat_n(b'x', 3_000_000));
        }
        out
    };
    let refused = Fake::<Numbers>::answering(200, huge(&[1000, 1001])).await;
    let (status, body) = refused.read("/numbers", "").await;
    assert_eq!((status, body.contains("answer_too_large")), (400, true));
    let paged = Fake::<Numbers>::answering(200, huge(&[1, 2])).await;
    let (status, body) = paged.read("/numbers", "").await;
    assert_eq!((status, body.ends_with("\"next\":\"1\"}")), (200, true));
}

#[tokio::test]
async fn keys_say_who_may_read_and_what_may_be_kept() {
    let open = numbers(1).await;
    let response = open.get("/numbers", "").await;
    let kept = |response: &Response<Body>| response.headers()["cache-control"].to_str().unwrap().to_owned();
    assert_eq!(kept(&response), "public, max-age=60");
    assert_eq!(response.headers()["vary"], "Accept");

    let closed: Fake<Numbers> = Fake::configured(200, lines(&[1], "a"), &[("READ_KEYS", "one,two")]).await;
    for (name, value, status, code) in [
        ("x-read-key", "one", 200, None),
        ("authorization", "Bearer two", 200, None),
        ("authorization", "Bearer three", 401, Some("read_key_invalid")),
        ("x-write-key", "one", 401, Some("read_key_missing")),
    ] {
        // A key is asked for before the parameters are read.
        let query = if status == 200 { "" } else { "?from=x" };
        let request = http::Request::get(format!("/numbers{query}")).header(name, value);
        let (response, _) = edge::answer(&closed.context, request.body(Body::Empty).unwrap()).await;
        assert_eq!(response.status(), status, "{name}: {value}");
        if status == 200 {
            assert_eq!(kept(&response), "private, max-age=60");
            assert_eq!(response.headers()["vary"], "Accept, Authorization, X-Read-Key");
        } else {
            let body: Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!(body["code"], json!(code));
            assert_eq!(
                (kept(&response).as_str(), &response.headers()["www-authenticate"]),
                ("no-store", &"Bearer".parse().unwrap())
            );
        }
    }
}

#[tokio::test]
async fn a_request_is_recorded() {
    let fake = numbers(1).await;
    for (uri, route, status) in [
        ("/numbers/?from=x", "/numbers", 422),
        ("/numbers", "/numbers", 200),
        ("/ada", "other", 404),
    ] {
        let request = http::Request::get(uri).body(Body::Empty).unwrap();
        let (_, record) = edge::answer(&fake.context, request).await;
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
    let fake = numbers(1).await;
    let (status, body) = fake.read("/numbers?from=x", "text/csv").await;
    let expected = json!({ "detail": [{ "type": "date_parsing", "loc": ["query", "from"],
        "msg": "Input should be a valid date in the format YYYY-MM-DD", "input": "x" }] });
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (422, expected));
    assert_eq!(fake.read("/", "").await.0, 404);
    assert_eq!(fake.asked(), "");
    for (method, status) in [("POST", 405), ("HEAD", 200)] {
        let request = http::Request::builder().method(method).uri("/numbers");
        let (response, _) = edge::answer(&fake.context, request.body(Body::Empty).unwrap()).await;
        assert_eq!(response.status(), status);
        if status == 405 {
            assert_eq!(response.headers()["allow"], "GET, HEAD");
        }
    }
}

#[tokio::test]
async fn a_warehouse_that_cannot_answer() {
    for (clickhouse_status, text, status, code) in [
        (
            404,
            "Code: 60. DB::Exception: Unknown table expression identifier 'numbers_mart'",
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
            404,
            "Code: 47. DB::Exception: Unknown expression identifier `name`",
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
        let fake: Fake<Numbers> = Fake::answering(clickhouse_status, text.as_bytes().to_vec()).await;
        let response = fake.get("/numbers", "").await;
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!((response.status().as_u16(), &body["code"]), (status, &json!(code)));
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(!body.to_string().contains("DB::Exception"));
        assert_eq!(
            body["detail"].as_str().unwrap().ends_with("it builds numbers_mart"),
            status == 404
        );
    }
    // A column of another type.
    let other = fake::rows(
        [("n", "String"), ("name", "String")],
        &[[Cell::Text("1"), Cell::Text("a")]],
    );
    let other: Fake<Numbers> = Fake::answering(200, other).await;
    let (status, body) = other.read("/numbers", "").await;
    assert_eq!((status, body.contains("warehouse_garbled")), (500, true));
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let context = fake::context::<Numbers>(&format!("http://{gone}"), &[]);
    let request = http::Request::get("/numbers").body(Body::Empty).unwrap();
    let (response, _) = edge::answer(&context, request).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (503, &"10".parse().unwrap())
    );
}

#[test]
fn everything_wrong_is_said_at_once() {
    let lookup = |key: &str| (key == "READ_KEYS").then(|| ",".to_owned());
    let error = <Context<Numbers> as Function>::from_lookup(&lookup)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("CLICKHOUSE_URL") && error.contains("READ_KEYS holds no key"),
        "{error}"
    );
}
