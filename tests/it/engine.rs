//! `weir clickhouse` as a client sees it.

use anyhow::ensure;
use clickhouse::{Client, Row};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::process::{Service, http, scratch};
use crate::sql::Sql;

#[tokio::test]
async fn answers_as_a_server_does() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    let client = http();
    let cases: &[(&str, Method, &str, &str, u16, &str)] = &[
        ("ping", Method::GET, "/ping", "", 200, "Ok.\n"),
        ("root", Method::GET, "/", "", 200, "Ok.\n"),
        ("query in the URL", Method::GET, "/?query=SELECT%201", "", 200, "1\n"),
        ("query in the body", Method::POST, "/", "SELECT 2", 200, "2\n"),
        ("query in both", Method::POST, "/?query=SELECT", "3", 200, "3\n"),
        (
            "format from the URL",
            Method::POST,
            "/?default_format=JSONEachRow",
            "SELECT 4 AS n",
            200,
            "{\"n\":4}\n",
        ),
        ("parameter", Method::POST, "/?param_n=5", "SELECT {n:UInt8}", 200, "5\n"),
        (
            "setting",
            Method::POST,
            "/?max_threads=3",
            "SELECT getSetting('max_threads')",
            200,
            "3\n",
        ),
        (
            "database",
            Method::POST,
            "/?database=system",
            "SELECT currentDatabase()",
            200,
            "system\n",
        ),
        (
            "GET may not write",
            Method::GET,
            "/?query=CREATE%20TABLE%20t%20(n%20Int8)%20ENGINE=Memory",
            "",
            500,
            "Code: 164",
        ),
        ("syntax", Method::POST, "/", "SELEC 1", 400, "Code: 62"),
        (
            "no such table",
            Method::POST,
            "/",
            "SELECT * FROM nope",
            404,
            "Code: 60",
        ),
        (
            "no such setting",
            Method::POST,
            "/?no_such_setting=1",
            "SELECT 1",
            404,
            "Code: 115",
        ),
        (
            "no such database",
            Method::POST,
            "/?database=nope",
            "SELECT 1",
            404,
            "Code: 81",
        ),
        (
            "wrong password",
            Method::POST,
            "/?user=default&password=wrong",
            "SELECT 1",
            403,
            "Code: 516",
        ),
        (
            "no such path",
            Method::GET,
            "/nope",
            "",
            404,
            "There is no handle /nope",
        ),
    ];
    for (name, method, path, body, status, part) in cases {
        let request = client
            .request(method.clone(), format!("{}{path}", server.url))
            .body(*body);
        let answer = request.send().await?;
        let (got, headers, text) = (answer.status().as_u16(), answer.headers().clone(), answer.text().await?);
        ensure!(got == *status, "{name}: {got} {text}");
        if *status == 200 {
            ensure!(text == *part, "{name}: {text}")
        } else {
            ensure!(text.contains(part), "{name}: {text}")
        }
        if text.starts_with("Code: ") {
            let code = text.trim_start_matches("Code: ").split('.').next().unwrap_or_default();
            ensure!(headers["x-clickhouse-exception-code"] == code, "{name}: {headers:?}");
        }
    }
    server.stop().await
}

#[derive(Debug, PartialEq, Row, Serialize, Deserialize)]
struct Pair {
    n: u64,
    text: String,
}

#[tokio::test]
async fn the_rust_client_reads_and_writes() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    let client = Client::default()
        .with_url(&server.url)
        .with_user("default")
        .with_database("analytics");
    client
        .query("CREATE TABLE pairs (n UInt64, text String) ENGINE = MergeTree ORDER BY n")
        .execute()
        .await?;
    let mut insert = client.insert::<Pair>("pairs").await?;
    for n in 0..50_000 {
        insert
            .write(&Pair {
                n,
                text: format!("text {n}\n\n"),
            })
            .await?;
    }
    insert.end().await?;
    let mut rows = client
        .query("SELECT ?fields FROM pairs WHERE n >= ? ORDER BY n")
        .bind(10)
        .fetch::<Pair>()?;
    let mut expected = 10;
    while let Some(row) = rows.next().await? {
        ensure!(
            row == Pair {
                n: expected,
                text: format!("text {expected}\n\n")
            },
            "{row:?}"
        );
        expected += 1;
    }
    ensure!(expected == 50_000, "{expected}");
    let missing = client.query("SELECT n FROM nope").fetch_all::<u64>().await;
    ensure!(missing.is_err_and(|error| error.to_string().contains("UNKNOWN_TABLE")));
    server.stop().await
}

#[tokio::test]
async fn what_was_written_survives_sigkill() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    let sql = Sql::new(&server.url);
    sql.run("CREATE TABLE analytics.kept (n UInt64) ENGINE = MergeTree ORDER BY n")
        .await?;
    for n in 0..5 {
        sql.run(&format!(
            "INSERT INTO analytics.kept SELECT number + {n} * 1000 FROM numbers(1000)"
        ))
        .await?;
    }
    server.kill().await?;
    let server = Service::clickhouse(dir.path()).await?;
    let sql = Sql::new(&server.url);
    ensure!(sql.run("SELECT count(), sum(n) FROM analytics.kept").await? == "5000\t12497500\n");
    server.stop().await
}

#[tokio::test]
async fn a_second_engine_on_the_same_data_is_refused() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    let second = crate::process::run_weir(dir.path(), &["clickhouse", "--port", "0"]).await?;
    let text = String::from_utf8(second.stderr)?;
    ensure!(!second.status.success() && text.lines().count() == 1, "{text}");
    ensure!(Sql::new(&server.url).number("SELECT 1").await? == 1);
    server.stop().await
}

#[tokio::test]
async fn a_failure_in_the_middle_of_output_is_not_taken_for_the_end() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    let query =
        "SELECT throwIf(number = 5000000, 'in the middle') FROM numbers(10000000) SETTINGS max_block_size = 1000";
    let answer = http().post(&server.url).body(query).send().await?;
    ensure!(
        answer.status() == 200,
        "the head goes out before the failure: {}",
        answer.status()
    );
    ensure!(answer.bytes().await.is_err(), "the body ended as if it were whole");
    // Held back until the end, the same failure has a status of its own.
    let whole = http()
        .post(format!("{}/?wait_end_of_query=1", server.url))
        .body(query)
        .send()
        .await?;
    ensure!(whole.status() == 500, "{}", whole.status());
    ensure!(whole.text().await?.contains("Code: 395"));
    server.stop().await
}

#[tokio::test]
async fn a_session_keeps_what_a_request_does_not() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    let ask = async |path: &str, body: &str| -> anyhow::Result<(u16, String)> {
        let answer = http()
            .post(format!("{}{path}", server.url))
            .body(body.to_owned())
            .send()
            .await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    };
    let (status, text) = ask("/?session_id=one", "CREATE TEMPORARY TABLE mine AS SELECT 1 AS n").await?;
    ensure!(status == 200, "{text}");
    ensure!(ask("/?session_id=one&max_threads=1", "SELECT nonsense").await?.0 == 404);
    ensure!(ask("/?session_id=one", "SELECT n FROM mine").await? == (200, "1\n".to_owned()));
    ensure!(
        ask("/?session_id=two", "SELECT n FROM mine").await?.0 == 404,
        "seen from another session"
    );
    ensure!(ask("/", "SELECT n FROM mine").await?.0 == 404, "seen without a session");
    ensure!(
        ask("/?session_id=never&session_check=1", "SELECT 1")
            .await?
            .1
            .contains("SESSION_NOT_FOUND")
    );
    server.stop().await
}

#[tokio::test]
async fn a_large_insert_and_a_large_answer_stream() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    let sql = Sql::new(&server.url);
    sql.run("CREATE TABLE analytics.wide (n UInt64, text String) ENGINE = MergeTree ORDER BY n")
        .await?;
    let source = http()
        .post(&server.url)
        .body("SELECT number, repeat('x', 100) FROM numbers(1000000) FORMAT RowBinary");
    let source = source.send().await?;
    let target = format!(
        "{}/?query=INSERT%20INTO%20analytics.wide%20FORMAT%20RowBinary",
        server.url
    );
    let inserted = http()
        .post(target)
        .body(reqwest::Body::wrap_stream(source.bytes_stream()))
        .send()
        .await?;
    ensure!(inserted.status() == 200, "{}", inserted.text().await?);
    ensure!(
        sql.run("SELECT count(), sum(n), sum(length(text)) FROM analytics.wide")
            .await?
            == "1000000\t499999500000\t100000000\n"
    );
    server.stop().await
}
