//! The page, as people see it in a browser.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;
use uuid::Uuid;

use super::rows;
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
    for event in traffic(&yesterday, &now) {
        ids.push(event["event_id"].as_str().context("an id")?.parse::<Uuid>()?);
        stack.accept(&event).await?;
    }
    ensure!(stack.arrived(&ids).await? == u64::try_from(ids.len())?);
    stack.weir(&["dbt"]).await?;

    let answer = open_dashboard(&stack, "figures").await?;
    let tables = &answer["tables"];
    let date = yesterday.get(..10).context("an instant")?;
    let day = row(&tables["activity"], "Date", date)?;
    ensure!((&day["DAU"], &day["New"]) == (&json!("2"), &json!("2")), "{day}");
    ensure!(
        tables["pages"] == json!([{ "Page": "shop.example/main", "Views": "6" }]),
        "{tables}"
    );
    let view = row(&tables["funnel"], "Step", "view")?;
    ensure!(view["Users a day, added up"] == "6", "{tables}");
    ensure!(
        row(&tables["experiments"], "Variant", "b")? == &compared(&stack, "b").await?,
        "{tables}"
    );
    ensure!(row(&tables["minutes"], "Name", MARKUP)?["Events"] == "1", "{tables}");
    ensure!(
        row(&tables["health"], "Check", "Quarantine")?["State"] == "good",
        "{tables}"
    );
    ensure!(
        answer["figures"]["dau"] == "2" && answer["figures"]["age"] != "–",
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

/// Two users of yesterday and three more of today, who saw a variant each. Of either variant some buy and some do not, so that the
/// uplift has an interval. One event has an odd name.
fn traffic(yesterday: &str, now: &str) -> Vec<Value> {
    let mut events = Vec::new();
    for (user, dt, variant) in [
        (1, yesterday, "a"),
        (2, yesterday, "b"),
        (1, now, "a"),
        (3, now, "a"),
        (4, now, "b"),
        (5, now, "b"),
    ] {
        let mut view = event(Uuid::new_v4(), user, dt);
        view["exp"] = json!({ "button": variant });
        events.push(view);
    }
    for (user, dt) in [(1, yesterday), (2, yesterday), (5, now)] {
        let mut purchase = event(Uuid::new_v4(), user, dt);
        purchase["name"] = json!("pay");
        purchase["obj"] = json!("order");
        purchase["amount"] = json!(12.5);
        events.push(purchase);
    }
    let mut odd = event(Uuid::new_v4(), 1, now);
    odd["name"] = json!(MARKUP);
    events.push(odd);
    events
}

/// What the table of experiments should say of a variant that is not the control, by ClickHouse's row.
async fn compared(stack: &Stack, variant: &str) -> anyhow::Result<Value> {
    let columns = "users, conversions, conversion_rate, uplift, uplift_low, uplift_high, p_value, srm_p_value";
    let query =
        format!("SELECT {columns} FROM analytics.experiments WHERE experiment = 'button' AND variant = '{variant}'");
    let found = rows(stack, &query).await?;
    let row = found.first().context("no such variant")?;
    ensure!((&row["users"], &row["conversions"]) == (&json!(3), &json!(2)), "{row}");
    let number = |column: &str| row[column].as_f64().with_context(|| format!("{column} of {row}"));
    Ok(json!({
        "Experiment": "button",
        "Variant": variant,
        "Users": row["users"].to_string(),
        "Conversions": row["conversions"].to_string(),
        "Rate": format!("{:.1} %", number("conversion_rate")? * 100.),
        "Uplift": signed(number("uplift")?),
        "From": signed(number("uplift_low")?),
        "To": signed(number("uplift_high")?),
        "p": format!("{:.3}", number("p_value")?),
        "Sample ratio p": format!("{:.3}", number("srm_p_value")?),
    }))
}

/// A part of one as the page writes a change.
fn signed(part: f64) -> String {
    let sign = if part < 0. { '−' } else { '+' };
    format!("{sign}{:.1} %", part.abs() * 100.)
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
