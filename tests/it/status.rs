//! `weir status`: how a stack does, and where every accepted event is.

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::firehose::{put, sdk};
use crate::loader::line;
use crate::process::{eventually, run_weir, scratch};
use crate::stack::{Stack, event};

/// The account's sums: accepted, stored, again, quarantined, in flight, given up, missing.
async fn account(stack: &Stack) -> anyhow::Result<(i32, [u64; 7], Value)> {
    let (code, out, err) = stack.try_weir(&["status", "--reconcile", "--json"]).await?;
    let account: Value = serde_json::from_str(&out).with_context(|| format!("{out}{err}"))?;
    let hours = account["hours"].as_object().context("hours")?;
    let names = [
        "accepted",
        "stored",
        "again",
        "quarantined",
        "in_flight",
        "given_up",
        "missing",
    ];
    let sum = |name: &str| hours.values().filter_map(|hour| hour[name].as_u64()).sum();
    Ok((code, names.map(sum), account))
}

/// Waits until the account shows these sums.
async fn shows(stack: &Stack, expected: [u64; 7], exit_code: i32) -> anyhow::Result<Value> {
    let what = format!("the account is {expected:?}");
    eventually(&what, async || {
        let (code, sums, account) = account(stack).await?;
        ensure!((code == 0) == (sums[6] == 0), "exit code {code}: {account}");
        Ok((sums == expected && code == exit_code).then_some(account))
    })
    .await
}

#[tokio::test]
async fn every_accepted_event_is_accounted_for_or_named() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let ids: Vec<_> = (0..5).map(|_| Uuid::new_v4()).collect();
    for id in &ids {
        stack.accept(&event(*id, 1, "2024-05-17T00:00:00Z")).await?;
    }
    // A client that did not hear the answer.
    stack.accept(&event(ids[0], 1, "2024-05-17T00:00:00Z")).await?;
    // Another writer, whose fields have another order, and which is broken.
    let foreign = line(Uuid::new_v4(), "2024-05-17T00:00:00Z") + "no event\n";
    put(&sdk(stack.url("firehose")), "weir-events", &[foreign]).await?;
    let account = shows(&stack, [8, 6, 1, 1, 0, 0, 0], 0).await?;
    ensure!(account["by_other_ways"] == 0, "{account}");

    // Whatever is not delivered is in flight.
    let loader = Pid::from_raw(stack.child("loader")?).context("a pid")?;
    kill_process(loader, Signal::STOP)?;
    let late = Uuid::new_v4();
    stack.accept(&event(late, 1, "2024-05-17T00:00:00Z")).await?;
    shows(&stack, [9, 6, 1, 1, 1, 0, 0], 0).await?;
    kill_process(loader, Signal::CONT)?;
    shows(&stack, [9, 7, 1, 1, 0, 0, 0], 0).await?;

    // An event that is nowhere is named.
    let sql = stack.sql();
    let remove = format!("ALTER TABLE analytics.events DELETE WHERE event_id = '{late}' SETTINGS mutations_sync = 2");
    sql.run(&remove).await?;
    let account = shows(&stack, [9, 6, 1, 1, 0, 0, 1], 1).await?;
    ensure!(account["missing"] == json!([late]), "{account}");
    let (code, out, _) = stack.try_weir(&["status", "--reconcile"]).await?;
    ensure!(
        code == 1 && out.contains(&format!("! missing: {late}")) && out.contains("NOT RECONCILED: 1 of 9"),
        "{out}"
    );

    // Found in the backup, it is given up, and stored once it is replayed.
    let data = STANDARD.encode(line(late, "2024-05-17T00:00:00Z"));
    let folder = stack.dir().join("data/firehose/backup/b");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("object"), json!({ "rawData": data }).to_string())?;
    shows(&stack, [9, 6, 1, 1, 0, 1, 0], 0).await?;
    stack.weir(&["replay"]).await?;
    shows(&stack, [9, 7, 1, 1, 0, 0, 0], 0).await?;

    // Rows that no Firehose took are counted apart.
    sql.run(
        "INSERT INTO analytics.events (dt, event_id, received_at)
         SELECT toDateTime('2024-05-17 00:00:00', 'UTC'), generateUUIDv4(), now64(3) - INTERVAL 1 MINUTE",
    )
    .await?;
    let account = shows(&stack, [9, 7, 1, 1, 0, 0, 0], 0).await?;
    ensure!(account["by_other_ways"] == 1, "{account}");
    let none = stack.weir(&["status", "--reconcile", "--since", "2100-01-01"]).await?;
    ensure!(none.contains("every line that was accepted is accounted for"), "{none}");
    stack.down().await
}

/// The account is kept when Firehose is killed, and when it has deleted what it has delivered.
#[tokio::test]
async fn the_account_survives_firehose() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let ids: Vec<_> = (0..80).map(|_| Uuid::new_v4()).collect();
    // More than a segment of the spool holds.
    for id in &ids {
        let mut large = event(*id, 1, "2024-05-17T00:00:00Z");
        large["exp"] = json!({ "filling": "x".repeat(1_000_000) });
        stack.accept(&large).await?;
    }
    shows(&stack, [80, 80, 0, 0, 0, 0, 0], 0).await?;
    stack.kill("firehose").await?;
    shows(&stack, [80, 80, 0, 0, 0, 0, 0], 0).await?;
    // What is left of the first segment is its ledger.
    let streams = stack.dir().join("data/firehose/streams");
    let stream = streams.read_dir()?.next().context("a stream")??.path();
    ensure!(stream.join("ledger").read_dir()?.next().is_some(), "nothing was kept");
    stack.down().await
}

#[tokio::test]
async fn a_screen_shows_what_answers_and_what_does_not() -> anyhow::Result<()> {
    let nobody = scratch();
    let output = run_weir(nobody.path(), &["status"]).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(1) && said.contains("nothing is running: start it with `weir up`"),
        "{said}"
    );

    let stack = Stack::up_plain().await?;
    let id = Uuid::new_v4();
    stack.accept(&event(id, 1, "2024-05-17T00:00:00Z")).await?;
    stack.arrived(&[id]).await?;
    let screen = stack.weir(&["status"]).await?;
    for shown in [
        "events",
        "firehose",
        "loader",
        "clickhouse",
        "1 records accepted, 1 delivered, 0 waiting",
        "1 rows, the newest received",
        "no events in the last 30 minutes",
        "never ran: `weir dbt`",
        "not built yet: `weir dbt`",
    ] {
        ensure!(screen.contains(shown), "no {shown}: {screen}");
    }
    ensure!(
        screen.lines().count() <= 24 && screen.lines().all(|line| line.chars().count() <= 100),
        "{screen}"
    );
    ensure!(!screen.contains('!'), "{screen}");
    // A part that hangs is named, and the others are shown.
    let firehose = Pid::from_raw(stack.child("firehose")?).context("a pid")?;
    kill_process(firehose, Signal::STOP)?;
    let (code, screen, _) = stack.try_weir(&["status"]).await?;
    kill_process(firehose, Signal::CONT)?;
    // What is shown is what the dashboard shows.
    let now = edge::clock::now().to_string();
    let mut present = event(Uuid::new_v4(), 1, &now);
    present["name"] = json!("present");
    stack.accept(&present).await?;
    eventually("a row of this minute", async || {
        let health: Value = serde_json::from_str(&stack.weir(&["status", "--json"]).await?)?;
        let minutes = &health["live"]["minutes"]["rows"];
        Ok((minutes[0]["name"] == "present" && minutes[0]["events"] == 1).then_some(()))
    })
    .await?;
    let named = screen.lines().find(|line| line.starts_with("! firehose"));
    ensure!(code == 1 && named.is_some(), "{screen}");
    ensure!(screen.contains("1 rows"), "{screen}");
    stack.down().await
}
