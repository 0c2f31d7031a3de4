//! `weir trace`: where one event is, wherever it is.

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::firehose::{put, sdk};
use crate::loader::line;
use crate::process::eventually;
use crate::stack::{Stack, event};

async fn trace(stack: &Stack, id: Uuid) -> anyhow::Result<(i32, Value)> {
    let (code, out, err) = stack.try_weir(&["trace", "--json", &id.to_string()]).await?;
    Ok((code, serde_json::from_str(&out).with_context(|| format!("{out}{err}"))?))
}

/// Posts an event; gives the id of its request as the answer names it.
async fn posted(stack: &Stack, id: Uuid) -> anyhow::Result<String> {
    let answer = stack.post(event(id, 7, "2026-05-17T00:00:00Z").to_string()).await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    Ok(answer.headers()["x-amzn-requestid"].to_str()?.to_owned())
}

/// The answer's header, the record of the request and the row say the same.
async fn request_ids_agree(stack: &Stack, log: &str) -> anyhow::Result<()> {
    let id = Uuid::now_v7();
    let request_id = posted(stack, id).await?;
    stack.arrived(&[id]).await?;
    let row = format!("SELECT request_id FROM analytics.events WHERE event_id = '{id}'");
    let stored = stack.sql().run(&row).await?;
    ensure!(stored == format!("{request_id}\n"), "{stored} is not {request_id}");
    let found = eventually("the record is in the log", async || {
        let (code, found) = trace(stack, id).await?;
        ensure!(code == 0, "{found}");
        Ok((found["requests"] != json!([])).then_some(found))
    })
    .await?;
    let request = &found["requests"][0];
    ensure!(
        request["request_id"] == request_id && request["status"] == 200 && request["log"] == log,
        "{found}"
    );
    ensure!(request["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{found}");
    ensure!(found["rows"][0]["request_id"] == request_id, "{found}");
    ensure!(
        found["insights"][0]
            .as_str()
            .is_some_and(|text| text.contains(&request_id)),
        "{found}"
    );
    Ok(())
}

#[tokio::test]
async fn a_request_has_one_id_from_the_answer_to_the_row_under_cargo_lambda() -> anyhow::Result<()> {
    let stack = Stack::up().await?;
    request_ids_agree(&stack, "functions.log").await?;
    stack.down().await
}

#[tokio::test]
async fn an_event_is_found_wherever_it_is() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    request_ids_agree(&stack, "events.log").await?;

    // While ClickHouse is away it waits, and its attempts are told.
    let id = Uuid::new_v4();
    let clickhouse = Pid::from_raw(stack.child("clickhouse")?).context("a pid")?;
    let loader = Pid::from_raw(stack.child("loader")?).context("a pid")?;
    kill_process(loader, Signal::STOP)?;
    posted(&stack, id).await?;
    let waiting = eventually("it is in a batch", async || {
        let (code, found) = trace(&stack, id).await?;
        ensure!(code == 0 && found["rows"] == json!([]), "{found}");
        Ok((found["firehose"]["batches"] != json!([])).then_some(found))
    })
    .await?;
    ensure!(waiting["firehose"]["batches"][0]["lines"] == 1, "{waiting}");
    kill_process(clickhouse, Signal::KILL)?;
    kill_process(loader, Signal::CONT)?;
    stack.arrived(&[id]).await?;
    posted(&stack, id).await?;
    let found = eventually("both copies, and nothing waits", async || {
        let (_, found) = trace(&stack, id).await?;
        let rows = found["rows"].as_array().context("rows")?.len();
        let waits = found["firehose"]["batches"] != json!([]) || found["firehose"]["spooled"] != 0;
        Ok((rows == 2 && !waits).then_some(found))
    })
    .await?;
    ensure!(found["marts"]["built"] == false, "{found}");
    let text = stack.weir(&["trace", &id.to_string()]).await?;
    ensure!(
        text.contains("copies      2 rows") && text.contains("not built yet: weir dbt"),
        "{text}"
    );

    // In quarantine.
    let bad = Uuid::new_v4();
    let broken = line(bad, "2024-05-17T00:00:00Z").replace("\"user_id\":1", "\"user_id\":-1");
    put(&sdk(stack.url("firehose")), "weir-events", &[broken]).await?;
    let found = eventually("it is in quarantine", async || {
        let (_, found) = trace(&stack, bad).await?;
        Ok((found["quarantine"] != json!([])).then_some(found))
    })
    .await?;
    ensure!(found["quarantine"][0]["code"] == "invalid_field", "{found}");

    // Given up.
    let lost = Uuid::new_v4();
    let folder = stack.dir().join("data/firehose/backup/b");
    std::fs::create_dir_all(&folder)?;
    let record = json!({"rawData": STANDARD.encode(line(lost, "2024-05-17T00:00:00Z"))});
    std::fs::write(folder.join("object"), record.to_string())?;
    let (code, found) = trace(&stack, lost).await?;
    ensure!(
        code == 0
            && found["given_up"][0]["object"]
                .as_str()
                .is_some_and(|name| name.ends_with("b/object")),
        "{found}"
    );

    // Nowhere, and nothing.
    let (code, found) = trace(&stack, Uuid::new_v4()).await?;
    ensure!(code == 1 && found["unread"] == json!([]), "{found}");
    let (code, out, err) = stack.try_weir(&["trace", "nobody"]).await?;
    ensure!(
        code == 1 && out.is_empty() && err == "weir: nobody is not a UUID\n",
        "{err}"
    );
    stack.down().await
}
