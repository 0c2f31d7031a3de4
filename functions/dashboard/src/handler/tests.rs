//! Requests and their answers, in front of a small server that answers as ClickHouse does.

use edge::Function;
use experiments::Experiments;
use marts::Mart;
use serde_json::{Value, json};

use self::server::{Cell, Server, rows};
use super::*;

#[path = "../../../marts/src/handler/tests/server.rs"]
mod server;

/// A table that each query names, and no other one does.
const TABLES: [(&str, &str); 7] = [
    ("activity", "FROM users_activity"),
    ("pages", "FROM pages"),
    ("funnel", "FROM funnel"),
    ("experiments", "FROM experiments"),
    ("minutes", "FROM events_per_minute"),
    ("quarantine", "FROM events_quarantine"),
    ("dbt", "FROM dbt_runs"),
];

/// Which of the queries it is; what is left is how old the events are.
fn query(asked: &str) -> &'static str {
    let found = TABLES.iter().find(|(_, table)| asked.contains(table));
    found.map_or("freshness", |(name, _)| name)
}

/// One row of each, and none of the activity and the experiments.
fn answer(query: &str) -> Vec<u8> {
    match query {
        "activity" => {
            let numbers = ["dau", "wau", "mau", "new_users", "returning_users", "resurrected_users"];
            let [dau, wau, mau, new, returning, resurrected] = numbers.map(|name| (name, "UInt64"));
            let columns = [
                ("date", "Date"),
                dau,
                wau,
                mau,
                ("stickiness", "Float64"),
                new,
                returning,
                resurrected,
            ];
            rows(columns, &[])
        }
        "pages" => rows(
            [("page", "String"), ("views", "UInt64")],
            &[[Cell::Text("shop.example/main"), Cell::U64(120)]],
        ),
        "funnel" => rows(
            [
                ("date", "Nullable(Date)"),
                ("step", "UInt8"),
                ("step_name", "String"),
                ("users", "UInt64"),
                ("conversion_from_first", "Nullable(Float64)"),
                ("conversion_from_previous", "Nullable(Float64)"),
            ],
            &[[
                Cell::Null,
                Cell::U8(1),
                Cell::Text("view"),
                Cell::U64(4),
                Cell::Some(1.0),
                Cell::Null,
            ]],
        ),
        "minutes" => rows(
            [("minute", "DateTime('UTC')"), ("name", "String"), ("events", "UInt64")],
            &[[Cell::U32(1_795_478_340), Cell::Text("view"), Cell::U64(12)]],
        ),
        "freshness" => rows(
            [
                ("newest_event_age_seconds", "Nullable(Float64)"),
                ("stored_within_seconds_p50", "Nullable(Float64)"),
                ("stored_within_seconds_p95", "Nullable(Float64)"),
            ],
            &[[Cell::Some(3.25), Cell::Some(1.5), Cell::Null]],
        ),
        "quarantine" => rows([("open", "UInt64")], &[[Cell::U64(7)]]),
        "dbt" => rows(
            [
                ("finished_seconds_ago", "Nullable(Float64)"),
                ("events_since", "Nullable(UInt64)"),
            ],
            &[[Cell::Some(3600.0), Cell::SomeU64(1200)]],
        ),
        _ => {
            let columns = Experiments::COLUMNS.iter().map(|name| (*name, type_of(name)));
            let columns: Vec<_> = columns.collect();
            rows::<24>(columns.try_into().unwrap(), &[])
        }
    }
}

/// The type of a column of experiments.
fn type_of(column: &str) -> &'static str {
    match column {
        "experiment" | "variant" => "String",
        "is_control" | "srm_detected" => "UInt8",
        "users" | "switchers" | "conversions" => "UInt64",
        "first_exposure" | "last_exposure" => "Nullable(DateTime('UTC'))",
        _ => "Nullable(Float64)",
    }
}

/// A function, and the ClickHouse that it asks.
struct Dashboard {
    context: Context,
    server: Server,
}

impl Dashboard {
    /// One whose ClickHouse refuses some queries with an exception. That of experiments is always refused: there are none yet.
    async fn refusing(refused: &'static [(&'static str, u32)], read_keys: &str) -> Self {
        let answered = move |query: &str| {
            let no_experiments = ("experiments", 60);
            let mut refused = refused.iter().chain([&no_experiments]);
            match refused.find(|(name, _)| *name == query) {
                Some((_, code)) => (500, format!("Code: {code}. DB::Exception: no 'secret'").into_bytes()),
                None => (200, answer(query)),
            }
        };
        Self::start(answered, read_keys).await
    }

    /// One whose ClickHouse answers each of the queries so.
    async fn start(answer: impl Fn(&str) -> (u16, Vec<u8>) + Send + Sync + 'static, read_keys: &str) -> Self {
        let server = Server::start(move |asked| answer(query(asked))).await;
        let lookup = |key: &str| match key {
            "CLICKHOUSE_URL" => Some(server.url.clone()),
            "READ_KEYS" => Some(read_keys.to_owned()),
            _ => None,
        };
        let mut context = Context::from_lookup(&lookup).unwrap();
        // What the test server sends is plain.
        context.clickhouse = context.clickhouse.with_compression(clickhouse::Compression::None);
        context.now = || "2026-11-23T23:59:59Z".parse().unwrap();
        Dashboard { context, server }
    }

    async fn open() -> Self {
        Self::refusing(&[], "").await
    }

    async fn send(&self, method: &str, uri: &str, headers: &[(&str, &str)]) -> Response<Body> {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        edge::answer(&self.context, request.body(Body::Empty).unwrap()).await.0
    }

    /// The JSON of an answer that is 200.
    async fn json(&self, uri: &str) -> Value {
        let response = self.send("GET", uri, &[]).await;
        assert_eq!(response.status(), StatusCode::OK, "{uri}");
        json_of(&response)
    }
}

#[track_caller]
fn json_of(response: &Response<Body>) -> Value {
    assert_eq!(header(response, "content-type"), "application/json");
    serde_json::from_slice(response.body()).unwrap()
}

#[track_caller]
fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn data_is_the_marts_panels() {
    let dashboard = Dashboard::open().await;
    let data = dashboard
        .json("/dashboard/data?from=2026-11-01&to=2026-11-22&total=false")
        .await;
    let steps = json!([{ "date": null, "step": 1, "step_name": "view", "users": 4, "conversion_from_first": 1.0,
        "conversion_from_previous": null }]);
    let expected = json!({
        "from": "2026-11-01",
        "to": "2026-11-22",
        "activity": { "rows": [] },
        "pages": { "rows": [{ "page": "shop.example/main", "views": 120 }] },
        "funnel": { "rows": steps },
        "experiments": { "error": { "code": "mart_missing", "detail": "There is nothing to read yet, run dbt once: it builds experiments" } },
    });
    assert_eq!(data, expected);
    let asked = dashboard.server.asked();
    assert_eq!(asked.len(), 4);
    for sent in &asked {
        let days = ["from", "to"].map(|name| server::parameter(sent, name));
        let expected = match query(sent) {
            "experiments" => [None, None],
            _ => ["2026-11-01", "2026-11-22"].map(|day| Some(day.to_owned())),
        };
        assert_eq!(days, expected, "{sent}");
    }
    // The days added up, whatever is asked for.
    assert!(asked.iter().any(|sent| sent.contains("sum(users)")), "{asked:?}");
}

#[tokio::test]
async fn live_is_the_last_hour_and_one_row_of_health() {
    let dashboard = Dashboard::open().await;
    let live = dashboard.json("/dashboard/live/").await;
    let expected = json!({
        "now": "2026-11-23T23:59:59Z",
        "minutes": { "rows": [{ "minute": "2026-11-23T23:59:00Z", "name": "view", "events": 12 }] },
        "health": { "rows": [{ "newest_event_age_seconds": 3.25, "stored_within_seconds_p50": 1.5, "stored_within_seconds_p95": null,
            "quarantine_open": 7, "dbt_finished_seconds_ago": 3600.0, "events_since_dbt": 1200 }] },
    });
    assert_eq!(live, expected);
    let asked = dashboard.server.asked();
    let minutes = asked.iter().find(|sent| query(sent) == "minutes").unwrap();
    assert_eq!(server::parameter(minutes, "now").as_deref(), Some("1795478399"));
}

/// Exceptions: 60 is a table that is not there, 159 a query that took too long, 241 one that took too much memory.
#[tokio::test]
async fn a_panel_that_fails_takes_no_other_with_it() {
    let refused = |name: &'static str, code| -> &'static [(&'static str, u32)] { Box::leak(Box::new([(name, code)])) };
    for (path, refuses, code, panel, expected) in [
        ("data", "activity", 60, "activity", "mart_missing"),
        ("data", "pages", 47, "pages", "mart_missing"),
        ("data", "pages", 241, "pages", "warehouse_refused"),
        ("data", "funnel", 159, "funnel", "warehouse_timeout"),
        // What the migrations make is no mart.
        ("live", "minutes", 60, "minutes", "warehouse_refused"),
        ("live", "freshness", 241, "health", "warehouse_refused"),
        ("live", "quarantine", 60, "health", "warehouse_refused"),
        ("live", "dbt", 497, "health", "warehouse_refused"),
    ] {
        let dashboard = Dashboard::refusing(refused(refuses, code), "").await;
        let response = dashboard.send("GET", &format!("/dashboard/{path}"), &[]).await;
        let case = format!("{refuses} {code}");
        assert_eq!(
            (response.status(), header(&response, "cache-control")),
            (StatusCode::OK, "no-store"),
            "{case}"
        );
        let answer = json_of(&response);
        assert_eq!(answer[panel]["error"]["code"], expected, "{case}");
        let detail = answer[panel]["error"]["detail"].as_str().unwrap();
        assert_eq!(
            detail.contains("it builds "),
            expected == "mart_missing",
            "{case}: {detail}"
        );
        assert!(!answer.to_string().contains("secret"), "{case}");
        let others = answer
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, value)| value.is_object() && !["experiments", panel].contains(&name.as_str()));
        for (name, other) in others {
            assert!(other["rows"].is_array(), "{case}: {name} {other}");
        }
    }
    // dbt makes its table when it first runs.
    let dashboard = Dashboard::refusing(&[("dbt", 60)], "").await;
    let health = &dashboard.json("/dashboard/live").await["health"]["rows"][0];
    let of_dbt = ["dbt_finished_seconds_ago", "events_since_dbt"].map(|name| &health[name]);
    assert_eq!((of_dbt, &health["quarantine_open"]), ([&Value::Null; 2], &json!(7)));
}

#[tokio::test]
async fn an_answer_without_clickhouse_is_200() {
    let mut dashboard = Dashboard::open().await;
    dashboard.context.clickhouse = clickhouse::Client::default().with_url("http://127.0.0.1:1");
    for (path, panels) in [
        ("data", &["activity", "pages", "funnel", "experiments"][..]),
        ("live", &["minutes", "health"]),
    ] {
        let answer = dashboard.json(&format!("/dashboard/{path}")).await;
        for panel in panels {
            let error = &answer[panel]["error"];
            assert_eq!(error["code"], "warehouse_unreachable", "{panel}");
            assert_eq!(
                error["detail"], "The warehouse cannot be reached, try again later",
                "{panel}"
            );
        }
    }
}

#[tokio::test]
async fn the_page_is_everybodys_and_the_data_is_not() {
    let dashboard = Dashboard::refusing(&[], "first-key,second-key").await;
    for (path, headers, status, code) in [
        ("data", None, 401, "read_key_missing"),
        ("live", None, 401, "read_key_missing"),
        ("data", Some(("x-read-key", "other")), 401, "read_key_invalid"),
        ("live", Some(("authorization", "Bearer other")), 401, "read_key_invalid"),
        ("live?key=first-key", None, 401, "read_key_missing"),
        // Who may not read is told nothing of the parameters.
        ("data?from=x", None, 401, "read_key_missing"),
        ("data", Some(("x-read-key", "second-key")), 200, ""),
        ("live", Some(("authorization", "Bearer first-key")), 200, ""),
    ] {
        let headers: Vec<_> = headers.into_iter().collect();
        let response = dashboard.send("GET", &format!("/dashboard/{path}"), &headers).await;
        assert_eq!(response.status().as_u16(), status, "{path} {headers:?}");
        let answer = json_of(&response);
        assert_eq!(answer["code"].as_str().unwrap_or_default(), code, "{path} {headers:?}");
        assert_eq!(header(&response, "www-authenticate") == "Bearer", status == 401);
        assert_eq!(header(&response, "cache-control"), "no-store", "{path} {headers:?}");
    }
    let asked = dashboard.server.asked().len();
    for path in ROUTES.iter().filter(|path| ![DATA, LIVE].contains(path)) {
        let response = dashboard.send("GET", path, &[]).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
    assert_eq!(dashboard.server.asked().len(), asked);
}

#[tokio::test]
async fn parameters() {
    let dashboard = Dashboard::open().await;
    for (query, days) in [
        ("", Ok(["2026-10-25", "2026-11-23"])),
        ("?to=2026-11-01&other=1", Ok(["2026-10-03", "2026-11-01"])),
        ("?from=2026-11-02&to=2026-11-01", Ok(["2026-11-02", "2026-11-01"])),
        ("?from=x", Err(vec!["from"])),
        ("?from=2026-02-30&to=1969-12-31", Err(vec!["from", "to"])),
    ] {
        let response = dashboard.send("GET", &format!("{DATA}{query}"), &[]).await;
        let answer = json_of(&response);
        match days {
            Ok([from, to]) => assert_eq!((&answer["from"], &answer["to"]), (&json!(from), &json!(to)), "{query}"),
            Err(wrong) => {
                assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "{query}");
                let detail = answer["detail"].as_array().unwrap();
                let found: Vec<_> = detail.iter().map(|it| it["loc"][1].as_str().unwrap()).collect();
                assert_eq!(found, wrong, "{query}");
            }
        }
    }
}

#[tokio::test]
async fn data_is_kept_as_the_marts_are() {
    for (keys, expected) in [("", "public, max-age=60"), ("a-key", "private, max-age=60")] {
        let dashboard = Dashboard::start(|query| (200, answer(query)), keys).await;
        let response = dashboard.send("GET", DATA, &[("x-read-key", "a-key")]).await;
        assert_eq!(header(&response, "cache-control"), expected);
        assert_eq!(json_of(&response)["experiments"], json!({ "rows": [] }));
    }
}

#[tokio::test]
async fn paths_and_methods() {
    let dashboard = Dashboard::open().await;
    const HTML: &str = "text/html; charset=utf-8";
    const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
    const JSON: &str = "application/json";
    for (method, uri, status, content_type, part) in [
        ("GET", "/dashboard", 200, HTML, "<title>Weir"),
        ("GET", "/dashboard/", 200, HTML, "<title>Weir"),
        ("HEAD", "/dashboard", 200, HTML, ""),
        ("GET", "/dashboard/start.js", 200, JAVASCRIPT, "/dashboard/live"),
        ("GET", "/dashboard/charts.js", 200, JAVASCRIPT, "export"),
        ("GET", "/dashboard/panels.js", 200, JAVASCRIPT, "export"),
        ("GET", "/dashboard/echarts.js", 200, JAVASCRIPT, "echarts"),
        ("GET", "/dashboard/page.css", 200, "text/css; charset=utf-8", "{"),
        ("GET", "/dashboard/icon.svg", 200, "image/svg+xml", "<svg"),
        ("HEAD", "/dashboard/data", 200, JSON, ""),
        ("HEAD", "/dashboard/live", 200, JSON, ""),
        ("POST", "/dashboard", 405, JSON, "method_not_allowed"),
        ("POST", "/dashboard/live", 405, JSON, "method_not_allowed"),
        ("DELETE", "/dashboard/page.css", 405, JSON, "method_not_allowed"),
        ("GET", "/", 404, JSON, "not_found"),
        ("GET", "/dashboard/no-such-file.js", 404, JSON, "not_found"),
        ("GET", "/dashboard/../Cargo.toml", 404, JSON, "not_found"),
        ("POST", "/dashboard/no", 404, JSON, "not_found"),
    ] {
        let response = dashboard.send(method, uri, &[]).await;
        let text = String::from_utf8(response.body().to_vec()).unwrap();
        assert_eq!(response.status().as_u16(), status, "{method} {uri}");
        assert_eq!(header(&response, "content-type"), content_type, "{method} {uri}");
        assert!(text.contains(part), "{method} {uri}");
        assert_eq!(
            header(&response, "allow") == "GET, HEAD",
            status == 405,
            "{method} {uri}"
        );
        // What a function URL returns at most.
        assert!(text.len() < 6_000_000, "{uri}");
    }
}

#[tokio::test]
async fn the_page_names_its_files_by_digest_and_loads_nothing_else() {
    let dashboard = Dashboard::open().await;
    let page = dashboard.send("GET", "/dashboard", &[]).await;
    assert_eq!(header(&page, "cache-control"), "no-cache");
    let html = String::from_utf8(page.body().to_vec()).unwrap();
    let links = ["src=\"", "href=\""].map(|attribute| html.split(attribute).skip(1));
    let links = links.into_iter().flatten().filter_map(|rest| rest.split('"').next());
    let files: Vec<_> = links.filter(|link| link.starts_with("/dashboard/")).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let response = dashboard.send("GET", file, &[]).await;
        let kept = header(&response, "cache-control");
        assert_eq!(kept, "public, max-age=31536000, immutable", "{file}");
        let old = format!("{}?v=0", file.split('?').next().unwrap());
        let response = dashboard.send("GET", &old, &[]).await;
        assert_eq!(header(&response, "cache-control"), "no-cache", "{old}");
        // What did not change is not sent again.
        let tag = header(&response, "etag").to_owned();
        let again = dashboard.send("GET", &old, &[("if-none-match", &tag)]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{old}");
    }
    assert!(
        !html.contains("http") && !html.contains("<style") && !html.contains(" style="),
        "{html}"
    );
    assert!(!html.contains("<script>"), "{html}");
}

#[tokio::test]
async fn what_the_page_may_do() {
    let response = Dashboard::open().await.send("GET", "/dashboard", &[]).await;
    let expected = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    assert_eq!(header(&response, "content-security-policy"), expected);
    assert_eq!(header(&response, "x-content-type-options"), "nosniff");
    assert_eq!(header(&response, "referrer-policy"), "no-referrer");
}
