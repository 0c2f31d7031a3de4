//! The page, as people see it in a browser.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;
use uuid::Uuid;

use crate::clients::ended_ok;
use crate::process::{checkout, setting};
use crate::stack::{Stack, event};

const READ_KEY: &str = "a-key-to-read-with";

/// The name of an event that would be a script, if anything of it became HTML.
const MARKUP: &str = "<img src=x onerror=alert(1)>";

#[tokio::test]
async fn the_page_says_what_is_missing_and_shows_what_was_sent() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let answer = open_dashboard(&stack, "empty").await?;
    let states = json!({ "activity": "error", "funnel": "error", "pages": "error", "experiments": "error", "minutes": "empty",
        "health": "ready" });
    ensure!(answer["states"] == states, "{answer}");
    let told = |panel: &str, text: &str| {
        answer["notices"][panel]
            .as_str()
            .is_some_and(|told| told.contains(text))
    };
    ensure!(
        told("activity", "Run dbt once") && told("minutes", "POST /events"),
        "{answer}"
    );

    let (yesterday, now) = (instant(&stack, "- INTERVAL 1 DAY").await?, instant(&stack, "").await?);
    let mut ids = Vec::new();
    for (user, dt, variant) in [(1, &yesterday, "a"), (2, &yesterday, "b"), (1, &now, "a")] {
        ids.push(Uuid::new_v4());
        let mut event = event(ids[ids.len() - 1], user, dt);
        event["exp"] = json!({ "button": variant });
        stack.accept(&event).await?;
    }
    ids.push(Uuid::new_v4());
    let mut odd = event(ids[ids.len() - 1], 1, &now);
    odd["name"] = json!(MARKUP);
    stack.accept(&odd).await?;
    ensure!(stack.arrived(&ids).await? == 4);
    stack.weir(&["dbt"]).await?;

    let answer = open_dashboard(&stack, "figures").await?;
    let tables = &answer["tables"];
    let date = yesterday.get(..10).context("an instant")?;
    let day = row(&tables["activity"], "Date", date)?;
    ensure!((&day["DAU"], &day["New"]) == (&json!("2"), &json!("2")), "{day}");
    ensure!(
        tables["pages"] == json!([{ "Page": "shop.example/main", "Views": "3" }]),
        "{tables}"
    );
    ensure!(row(&tables["funnel"], "Step", "view")?["Users"] == "3", "{tables}");
    ensure!(row(&tables["experiments"], "Variant", "b")?["Users"] == "1", "{tables}");
    ensure!(row(&tables["minutes"], "Name", MARKUP)?["Events"] == "1", "{tables}");
    ensure!(
        row(&tables["health"], "Check", "Quarantine")?["State"] == "good",
        "{tables}"
    );
    ensure!(
        answer["figures"]["dau"] != "–" && answer["figures"]["age"] != "–",
        "{answer}"
    );
    stack.down().await
}

#[tokio::test]
async fn the_page_asks_for_a_read_key() -> anyhow::Result<()> {
    let stack = Stack::up_plain_set(&[("READ_KEYS", READ_KEY)]).await?;
    let answer = open_dashboard(&stack, "key").await?;
    ensure!(answer["states"]["health"] == "ready", "{answer}");
    stack.down().await
}

#[tokio::test]
async fn the_page_says_that_clickhouse_is_away_and_comes_back() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let clickhouse = Pid::from_raw(stack.child("clickhouse")?).context("a pid")?;
    kill_process(clickhouse, Signal::STOP)?;

    let mut node = client(&stack, "outage");
    node.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut node = node.spawn()?;
    let mut lines = BufReader::new(node.stdout.take().context("its output")?).lines();
    let first = lines.next_line().await?;
    kill_process(clickhouse, Signal::CONT)?;
    ensure!(first.as_deref() == Some("down"), "{first:?}");
    let mut input = node.stdin.take().context("its input")?;
    input.write_all(b"up\n").await?;

    let answer: Value = serde_json::from_str(&lines.next_line().await?.unwrap_or_default()).context("an answer")?;
    ensure!(lines.next_line().await?.as_deref() == Some("ok"), "{answer}");
    ensure!(node.wait().await?.success(), "{answer}");
    let banner = answer["banner"].as_str().unwrap_or_default();
    ensure!(banner.starts_with("ClickHouse "), "{answer}");
    ensure!(
        answer["states"]["minutes"] == "empty" && answer["states"]["health"] == "ready",
        "{answer}"
    );
    stack.down().await
}

/// The row of a table with that text in that column.
fn row<'a>(table: &'a Value, column: &str, text: &str) -> anyhow::Result<&'a Value> {
    let rows = table.as_array().with_context(|| format!("no table: {table}"))?;
    rows.iter()
        .find(|row| row[column] == text)
        .with_context(|| format!("no row with {column} {text}: {table}"))
}

/// Now by ClickHouse's clock, and a little SQL after it.
async fn instant(stack: &Stack, shift: &str) -> anyhow::Result<String> {
    let sql = format!("SELECT formatDateTime(now('UTC') {shift}, '%Y-%m-%dT%H:%i:%SZ')");
    Ok(stack.sql().run(&sql).await?.trim().to_owned())
}

/// What `open_dashboard.mjs` prints in that mode.
async fn open_dashboard(stack: &Stack, mode: &str) -> anyhow::Result<Value> {
    let printed = ended_ok(client(stack, mode)).await?;
    serde_json::from_str(printed.lines().next().unwrap_or_default()).with_context(|| printed.clone())
}

fn client(stack: &Stack, mode: &str) -> Command {
    let mut node = Command::new("node");
    node.arg(checkout().join("tests/clients/open_dashboard.mjs"))
        .arg(mode)
        .arg(stack.url("dashboard"))
        .env("WEIR_CLIENTS_NODE", setting("WEIR_CLIENTS_NODE"))
        .env("WEIR_CHROMIUM", setting("WEIR_CHROMIUM"))
        .env("WEIR_READ_KEY", READ_KEY);
    node
}
