//! What must never be in a log: keys, bodies, addresses of people. Everything that the stack writes while it accepts, refuses,
//! retries and fails is searched.

use std::path::Path;

use anyhow::ensure;
use reqwest::StatusCode;
use serde_json::json;

use crate::process::{eventually, http};
use crate::stack::Stack;

const WRITE_KEY: &str = "write-key-5e1f0c7a";
const WRONG_KEY: &str = "wrong-key-90ab34cd";
/// Stands in each body, good or bad, and in a query string.
const MARK: &str = "mark-7c2e51b8";
/// An address that only a header tells.
const ADDRESS: &str = "203.0.113.77";

#[tokio::test]
async fn no_log_holds_a_key_a_body_or_an_address() -> anyhow::Result<()> {
    let stack = Stack::up_plain_set(&[("WRITE_KEYS", WRITE_KEY), ("RUST_LOG", "debug")]).await?;
    let access_key = stack.variable("FIREHOSE_ACCESS_KEY")?;
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
    // ClickHouse refuses, in words that quote what it was sent; and a delivery comes with another key.
    let sql = stack.sql();
    eventually("the event is a row", async || {
        Ok((sql.number("SELECT uniqExact(event_id) FROM analytics.events").await? == 1).then_some(()))
    })
    .await?;
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
        .body(MARK);
    ensure!(wrong.send().await?.status() == StatusCode::UNAUTHORIZED);
    let logs = stack.dir().join("logs");
    eventually("what ClickHouse refused is in quarantine", async || {
        Ok((sql.number("SELECT count() FROM analytics.events_quarantine").await? > 0).then_some(()))
    })
    .await?;

    let mut searched = 0;
    for file in std::fs::read_dir(&logs)? {
        let path = file?.path();
        let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
        searched += text.len();
        for secret in [WRITE_KEY, WRONG_KEY, access_key.as_str(), MARK, ADDRESS] {
            let found = text.lines().find(|line| line.contains(secret));
            ensure!(found.is_none(), "{} holds {secret}: {found:?}", name(&path));
        }
    }
    ensure!(searched > 1000, "only {searched} bytes of logs");
    stack.down().await
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
