//! What must never be in a log: keys, bodies, addresses of people, whatever a stranger puts into a path. Everything that the stack
//! writes while it accepts, refuses, retries and fails is searched. And which process may see which secret.

use std::path::Path;

use anyhow::ensure;
use reqwest::StatusCode;
use serde_json::json;

use crate::process::{eventually, http};
use crate::stack::Stack;

const WRITE_KEY: &str = "write-key-5e1f0c7a";
const READ_KEY: &str = "read-key-c41d09e2";
const WRONG_KEY: &str = "wrong-key-90ab34cd";
/// Stands in each body, good or bad, and in a query string.
const MARK: &str = "mark-7c2e51b8";
/// An address that only a header tells.
const ADDRESS: &str = "203.0.113.77";

#[tokio::test]
async fn no_log_holds_a_key_a_body_or_an_address() -> anyhow::Result<()> {
    let keys = [
        ("WRITE_KEYS", WRITE_KEY),
        ("READ_KEYS", READ_KEY),
        ("RUST_LOG", "debug"),
    ];
    let stack = Stack::up_plain_set(&keys).await?;
    each_function_sees_its_own_secrets(&stack)?;
    provoke(&stack).await?;
    search(
        &stack,
        &[
            "activity",
            "clickhouse",
            "dashboard",
            "docs",
            "events",
            "experiments",
            "firehose",
            "funnel",
            "loader",
            "retention",
            "sessions",
        ],
    )?;
    stack.down().await
}

#[tokio::test]
async fn no_log_holds_them_under_cargo_lambda_either() -> anyhow::Result<()> {
    // At `debug` cargo-lambda itself prints what it passes on, so here the functions say what they say in Lambda.
    let keys = [("WRITE_KEYS", WRITE_KEY), ("READ_KEYS", READ_KEY), ("RUST_LOG", "info")];
    let stack = Stack::up_set(&keys).await?;
    provoke(&stack).await?;
    search(&stack, &["clickhouse", "firehose", "functions"])?;
    requests_are_records(&std::fs::read_to_string(stack.dir().join("logs/functions.log"))?)?;
    stack.down().await
}

/// Sends secrets and data everywhere, in what is accepted and in what is not.
async fn provoke(stack: &Stack) -> anyhow::Result<()> {
    let event = json!({"dt": "2024-05-17T10:20:30Z", "name": MARK, "user_id": 1, "url": "http://a/", "obj": "page"});
    let bad = json!({"dt": MARK, "name": 1, "exp": {MARK: 7}});
    for (key, body, expected) in [
        (WRITE_KEY, event.to_string(), 200),
        (WRITE_KEY, bad.to_string(), 422),
        (WRITE_KEY, format!("[{event},{bad}]"), 200),
        (WRITE_KEY, format!("{{\"{MARK}\""), 422),
        (WRONG_KEY, event.to_string(), 401),
    ] {
        let to = format!("{}?key={key}&page={MARK}", stack.url("events"));
        let request = http()
            .post(to)
            .header("content-type", "application/json")
            .header("x-forwarded-for", ADDRESS);
        let status = request
            .header("idempotency-key", MARK)
            .body(body)
            .send()
            .await?
            .status();
        ensure!(status.as_u16() == expected, "{status}, not {expected}");
    }
    strange_paths(stack, &event.to_string()).await?;

    // ClickHouse refuses, in words that quote what it was sent; and a delivery comes with another key.
    let sql = stack.sql();
    eventually("the event is a row", async || {
        Ok((sql.number("SELECT uniqExact(event_id) FROM analytics.events").await? > 0).then_some(()))
    })
    .await?;
    ensure!(sql.run(&format!("SELECT '{MARK}' FROM nowhere")).await.is_err());
    sql.run(&format!(
        "ALTER TABLE analytics.events ADD CONSTRAINT marked CHECK name != '{MARK}'"
    ))
    .await?;
    let again = http()
        .post(stack.url("events"))
        .header("x-write-key", WRITE_KEY)
        .body(event.to_string());
    ensure!(again.send().await?.status() == StatusCode::OK);
    let wrong = http()
        .post(stack.url("loader"))
        .header("x-amz-firehose-access-key", WRONG_KEY)
        .header("x-amz-firehose-request-id", MARK)
        .body(MARK);
    ensure!(wrong.send().await?.status() == StatusCode::UNAUTHORIZED);
    eventually("what ClickHouse refused is in quarantine", async || {
        Ok((sql.number("SELECT count() FROM analytics.events_quarantine").await? > 0).then_some(()))
    })
    .await?;

    // A mart over which ClickHouse fails, quoting a row.
    sql.run(
        "CREATE VIEW analytics.users_activity AS SELECT toDate(toUInt64(CAST(name, 'String'))) AS date, toUInt64(1) AS dau, dau AS wau, dau AS mau, \
         1.0 AS stickiness, dau AS new_users, dau AS returning_users, dau AS resurrected_users \
         FROM analytics.events",
    )
    .await?;
    let said = sql.run("SELECT date FROM analytics.users_activity").await;
    ensure!(
        said.as_ref().is_err_and(|error| error.to_string().contains(MARK)),
        "ClickHouse quotes the row: {said:?}"
    );
    let read = |name: &str, query: &str, key: &str| {
        let url = format!("{}{query}", stack.url(name));
        http().get(url).header("x-read-key", key).send()
    };
    let broken = read("activity", "?from=2024-05-01&to=2024-05-31", READ_KEY).await?;
    ensure!(
        broken.status() == StatusCode::INTERNAL_SERVER_ERROR,
        "{}",
        broken.status()
    );
    let answer = broken.text().await?;
    ensure!(!answer.contains(MARK), "{answer}");
    let dates = read("activity", &format!("?from={MARK}"), READ_KEY).await?;
    ensure!(dates.status() == StatusCode::UNPROCESSABLE_ENTITY);
    for name in ["activity", "sessions", "experiments", "retention", "funnel"] {
        let wrong = read(name, &format!("?experiment={MARK}&user_id={MARK}"), WRONG_KEY).await?;
        ensure!(wrong.status() == StatusCode::UNAUTHORIZED, "{name}: {}", wrong.status());
    }

    // Firehose refuses what is no call, and a record for a stream that it does not have.
    for body in [
        format!("{{\"{MARK}\""),
        json!({"DeliveryStreamName": MARK, "Record": {"Data": MARK}}).to_string(),
    ] {
        let call = http()
            .post(stack.url("firehose"))
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", "Firehose_20150804.PutRecord");
        let status = call.body(body).send().await?.status();
        ensure!(status.is_client_error(), "{status}");
    }
    Ok(())
}

/// Paths that no function has, with data, control characters and a body that is too large.
async fn strange_paths(stack: &Stack, body: &str) -> anyhow::Result<()> {
    for name in [
        "events",
        "activity",
        "sessions",
        "experiments",
        "retention",
        "funnel",
        "dashboard",
        "docs",
        "loader",
    ] {
        let root = stack.url(name).trim_end_matches(&format!("/{name}")).to_owned();
        for path in [format!("/{MARK}?page={MARK}"), format!("/%0aINFO%20{MARK}")] {
            let url = format!("{}{path}", root.trim_end_matches('/'));
            let answer = http().post(url).body(body.to_owned()).send().await?;
            // The loader asks for its key at every path.
            ensure!(
                matches!(answer.status().as_u16(), 401 | 404),
                "{name} {path}: {}",
                answer.status()
            );
        }
    }
    let root = stack.url("events").trim_end_matches("/events").to_owned();
    let large = http()
        .post(format!("{root}/{MARK}"))
        .body("x".repeat(6 * 1024 * 1024 + 1));
    ensure!(large.send().await?.status() == StatusCode::PAYLOAD_TOO_LARGE);
    Ok(())
}

/// Reads every log; there must be one of each of these processes.
fn search(stack: &Stack, processes: &[&str]) -> anyhow::Result<()> {
    let access_key = stack.variable("FIREHOSE_ACCESS_KEY")?;
    let logs = stack.dir().join("logs");
    for process in processes {
        let log = logs.join(format!("{process}.log"));
        ensure!(log.exists(), "there is no {}", log.display());
    }
    let (mut searched, mut found) = (0, Vec::new());
    for file in std::fs::read_dir(&logs)? {
        let path = file?.path();
        let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
        searched += text.len();
        for secret in [WRITE_KEY, READ_KEY, WRONG_KEY, access_key.as_str(), MARK, ADDRESS] {
            let lines = text.lines().filter(|line| line.contains(secret));
            found.extend(lines.map(|line| format!("{}: {line:?}", name(&path))));
        }
    }
    ensure!(found.is_empty(), "{found:#?}");
    ensure!(searched > 1000, "only {searched} bytes of logs");
    Ok(())
}

/// In Lambda each request is one line of metrics, and what was provoked is in them.
fn requests_are_records(log: &str) -> anyhow::Result<()> {
    let lines: Vec<serde_json::Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line.get(line.find("{\"_aws\"")?..)?).ok())
        .collect();
    for (function, status, metric) in [
        ("events", 200, "Accepted"),
        ("events", 200, "Rejected"),
        ("events", 401, "DurationMilliseconds"),
        ("loader", 200, "Stored"),
        ("loader", 200, "Quarantined"),
        ("loader", 401, "DurationMilliseconds"),
        ("activity", 500, "DurationMilliseconds"),
    ] {
        let found = lines.iter().any(|line| {
            line["function"] == function
                && line["status"] == status
                && line[metric].as_f64().is_some_and(|value| value > 0.0)
        });
        ensure!(
            found,
            "no {metric} of a {status} of {function} in {} records",
            lines.len()
        );
    }
    ensure!(!log.contains("\"message\":\"request\""), "a request has a second line");
    Ok(())
}

/// Each process has the variables that it reads, and no other one's.
fn each_function_sees_its_own_secrets(stack: &Stack) -> anyhow::Result<()> {
    let access_key = stack.variable("FIREHOSE_ACCESS_KEY")?;
    for (process, write_keys, read_keys, key, clickhouse, aws) in [
        ("events", true, false, false, false, true),
        ("loader", false, false, true, true, false),
        ("activity", false, true, false, true, false),
        ("sessions", false, true, false, true, false),
        ("experiments", false, true, false, true, false),
        ("retention", false, true, false, true, false),
        ("funnel", false, true, false, true, false),
        ("dashboard", false, true, false, true, false),
        ("docs", false, false, false, false, false),
        ("firehose", false, false, true, false, false),
        ("clickhouse", false, false, false, true, false),
    ] {
        let environment = std::fs::read(format!("/proc/{}/environ", stack.child(process)?))?;
        let environment = String::from_utf8_lossy(&environment).into_owned();
        let sees = |start: &str| environment.split('\0').any(|variable| variable.starts_with(start));
        let found = (
            sees("WRITE_KEYS="),
            sees("READ_KEYS="),
            environment.contains(&access_key),
            sees("CLICKHOUSE_PASSWORD="),
            sees("AWS_SECRET_ACCESS_KEY="),
        );
        ensure!(
            found == (write_keys, read_keys, key, clickhouse, aws),
            "{process}: {found:?}"
        );
    }
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
