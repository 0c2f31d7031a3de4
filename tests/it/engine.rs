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
