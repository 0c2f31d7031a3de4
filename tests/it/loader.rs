//! The loader against the real engine, as Firehose calls it.

use anyhow::ensure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::process::{Service, http, scratch, weir_ok};
use crate::sql::Sql;
use crate::stack::Stack;

fn line(id: Uuid, dt: &str) -> String {
    let event = json!({
        "event_id": id, "received_at": "2024-05-17T10:20:31.125Z", "dt": dt, "name": "view", "user_id": 1,
        "url": "http://shop.example/", "obj": "page", "obj_id": "main", "product_id": 0, "amount": 1.5, "exp": {"e": "a"},
    });
    format!("{event}\n")
}

async fn deliver(stack: &Stack, key: &str, request_id: &str, records: &[String]) -> anyhow::Result<(u16, Value)> {
    let records: Vec<_> = records
        .iter()
        .map(|data| json!({"data": STANDARD.encode(data)}))
        .collect();
    let body = json!({"requestId": request_id, "timestamp": 1_700_000_000_000_u64, "records": records});
    let answer = http()
        .post(stack.url("loader"))
        .header("content-type", "application/json")
        .header("x-amz-firehose-protocol-version", "1.0")
        .header("x-amz-firehose-request-id", request_id)
        .header(
            "x-amz-firehose-source-arn",
            "arn:aws:firehose:us-east-1:000000000000:deliverystream/weir-events",
        )
        .header("x-amz-firehose-access-key", key)
        .body(body.to_string())
        .send()
        .await?;
    let status = answer.status().as_u16();
    ensure!(
        answer.headers()["content-type"] == "application/json",
        "{:?}",
        answer.headers()
    );
    let answer: Value = answer.json().await?;
    ensure!(
        answer["requestId"] == request_id && answer["timestamp"].is_u64(),
        "{answer}"
    );
    Ok((status, answer))
}

#[tokio::test]
async fn a_delivery_is_stored_once_however_often_it_comes() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (key, sql) = (stack.variable("FIREHOSE_ACCESS_KEY")?, stack.sql());
    let ids: Vec<_> = (0..3).map(|_| Uuid::new_v4()).collect();
    // Three months in one delivery, packed as the events function packs them.
    let lines: Vec<_> = ids
        .iter()
        .zip(["2024-03-31", "2024-04-01", "2024-05-31"])
        .map(|(id, day)| line(*id, &format!("{day}T23:59:59Z")))
        .collect();
    let records = [format!("{}{}", lines[0], lines[1]), lines[2].clone(), String::new()];
    for request_id in ["first", "first", "under-another-id"] {
        let (status, answer) = deliver(&stack, &key, request_id, &records).await?;
        ensure!(status == 200, "{status} {answer}");
    }
    ensure!(sql.number("SELECT count() FROM analytics.events").await? == 3);
    let stored = sql
        .run("SELECT dt, amount, exp, received_at FROM analytics.events ORDER BY dt LIMIT 1")
        .await?;
    ensure!(
        stored == "2024-03-31 23:59:59\t1.5\t{'e':'a'}\t2024-05-17 10:20:31.125\n",
        "{stored}"
    );
    stack.down().await
}

#[tokio::test]
async fn what_cannot_be_a_row_is_quarantined_and_the_rest_lands() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (key, sql) = (stack.variable("FIREHOSE_ACCESS_KEY")?, stack.sql());
    let id = Uuid::new_v4();
    let records = [format!("not json\n{}", line(id, "2024-05-17T00:00:00Z"))];
    for _ in 0..2 {
        let (status, answer) = deliver(&stack, &key, "with-poison", &records).await?;
        ensure!(status == 200, "{status} {answer}");
    }
    ensure!(sql.number("SELECT count() FROM analytics.events").await? == 1);
    let held = sql
        .run("SELECT raw, request_id, reason != '' FROM analytics.events_quarantine")
        .await?;
    ensure!(held == "not json\twith-poison\t1\n", "{held}");
    stack.down().await
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_stores_nothing() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (status, answer) = deliver(&stack, "wrong", "r", &[line(Uuid::new_v4(), "2024-05-17T00:00:00Z")]).await?;
    ensure!(status == 401 && answer["errorMessage"].is_string(), "{status} {answer}");
    ensure!(stack.sql().number("SELECT count() FROM analytics.events").await? == 0);
    stack.down().await
}

#[tokio::test]
async fn a_missing_table_fails_the_delivery_so_that_nothing_is_dropped() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (key, sql) = (stack.variable("FIREHOSE_ACCESS_KEY")?, stack.sql());
    let records = [line(Uuid::new_v4(), "2024-05-17T00:00:00Z")];
    sql.run("RENAME TABLE analytics.events TO analytics.events_away")
        .await?;
    let (status, answer) = deliver(&stack, &key, "early", &records).await?;
    ensure!(status >= 500 && answer["errorMessage"].is_string(), "{status} {answer}");
    sql.run("RENAME TABLE analytics.events_away TO analytics.events")
        .await?;
    let (status, _) = deliver(&stack, &key, "early", &records).await?;
    ensure!(status == 200 && sql.number("SELECT count() FROM analytics.events").await? == 1);
    stack.down().await
}

#[tokio::test]
async fn a_backfill_run_twice_stores_once() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    weir_ok(dir.path(), &["migrate", "--clickhouse-url", &server.url]).await?;
    let mut counts = Vec::new();
    for _ in 0..2 {
        let args = [
            "generate",
            "--backfill",
            "--days",
            "70",
            "--events",
            "5000",
            "--seed",
            "3",
            "--to",
            "2024-05-17",
        ];
        let output = crate::process::weir(dir.path(), &args)
            .env("CLICKHOUSE_URL", &server.url)
            .output()
            .await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        counts.push(
            Sql::new(&server.url)
                .number("SELECT count() FROM analytics.events")
                .await?,
        );
    }
    ensure!(counts[0] >= 4500 && counts[0] == counts[1], "{counts:?}");
    server.stop().await
}
