//! What a deploy does with `migrate`: the function as Lambda runs it, CloudFormation's requests, the real engine.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::lambda::Runtime;
use crate::process::{Service, scratch};
use crate::sql::Sql;

/// Whoever has it can answer in the function's place.
const SIGNATURE: &str = "signature-c61d07";

/// The documents that were put, and how.
type Puts = Arc<Mutex<Vec<(String, HeaderMap, Value)>>>;

/// What a request is for, ClickHouse's state before it, and what CloudFormation hears.
const STEPS: [(&str, &str, &str, &str); 5] = [
    ("Create", "", "SUCCESS", "Applied: 4."),
    ("Update", "", "SUCCESS", "Applied: 0."),
    (
        "Update",
        "INSERT INTO analytics.schema_migrations (version, name) VALUES (5, '0005_add_events_country.sql')",
        "SUCCESS",
        "Nothing is applied or undone: 0005_add_events_country.sql was applied on",
    ),
    ("Delete", "", "SUCCESS", "Nothing is dropped"),
    (
        "Create",
        // The second file cannot alter this one.
        "TRUNCATE TABLE analytics.schema_migrations; DROP TABLE analytics.events_quarantine; \
         CREATE VIEW analytics.events_quarantine AS SELECT 1 AS x",
        "FAILED",
        "0002_replay_quarantine.sql: statement 1 of 3 failed, nothing after it ran: exception ",
    ),
];

#[tokio::test]
async fn a_deploy_hears_how_its_migrations_went() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    let sql = Sql::new(&server.url);
    let (s3, puts) = s3().await?;
    for (index, (kind, before, status, reason)) in STEPS.into_iter().enumerate() {
        for statement in before.split(';').filter(|statement| !statement.is_empty()) {
            sql.run(statement).await?;
        }
        let runtime = Runtime::start(&[request(kind, &s3)]).await?;
        let log = dir.path().join(format!("migrate-{index}.log"));
        let mut command = runtime.command("migrate", &[("CLICKHOUSE_URL", &server.url), ("RUST_LOG", "trace")])?;
        let file = std::fs::File::create(&log)?;
        let child = command.stderr(file.try_clone()?).stdout(Stdio::from(file)).spawn()?;
        // It asks for more only when the invocation is over.
        runtime.asked(2).await?;
        drop(child);
        let answers = runtime.answers();
        ensure!(answers == [json!({"told": status})], "{kind}: {answers:?}");

        let puts = puts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ensure!(puts.len() == index + 1, "{puts:?}");
        let (line, headers, document) = puts.last().context("nothing was put")?;
        ensure!(
            line == &format!("PUT /stack%7Cid?X-Amz-Signature={SIGNATURE}"),
            "{line}"
        );
        ensure!(
            headers["content-type"].is_empty() && headers.contains_key("content-length"),
            "{headers:?}"
        );
        let told = document["Reason"].as_str().context("no reason")?;
        ensure!(document["Status"] == status && told.starts_with(reason), "{document}");
        ensure!(
            document["StackId"] == "s" && document["RequestId"] == "r" && document["LogicalResourceId"] == "Migrations",
            "{document}"
        );
        ensure!(document["PhysicalResourceId"] == "weir-migrations", "{document}");
        let log = std::fs::read_to_string(&log)?;
        ensure!(
            log.contains("CloudFormation was told") && !log.contains(SIGNATURE),
            "{log}"
        );
        ensure!(!log.contains("DB::Exception"), "{log}");
    }
    server.stop().await
}

fn request(kind: &str, s3: &str) -> Value {
    json!({
        "RequestType": kind, "ResponseURL": format!("{s3}/stack%7Cid?X-Amz-Signature={SIGNATURE}"), "StackId": "s", "RequestId": "r",
        "ResourceType": "Custom::Migrations", "LogicalResourceId": "Migrations", "PhysicalResourceId": "weir-migrations",
        "ResourceProperties": {"ServiceToken": "arn"},
    })
}

/// S3, as far as a signed address goes.
async fn s3() -> anyhow::Result<(String, Puts)> {
    let puts = Puts::default();
    let router = Router::new().fallback(put).with_state(Arc::clone(&puts));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        let _ended = axum::serve(listener, router).await;
    });
    Ok((url, puts))
}

async fn put(State(puts): State<Puts>, method: Method, uri: Uri, headers: HeaderMap, body: String) -> StatusCode {
    let document = serde_json::from_str(&body).unwrap_or(Value::Null);
    let mut puts = puts.lock().unwrap_or_else(PoisonError::into_inner);
    puts.push((format!("{method} {uri}"), headers, document));
    StatusCode::OK
}
