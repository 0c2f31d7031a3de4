//! Commands that SIGTERM or SIGINT finds at work: each says how far it is, exits with 128 and the signal's number, leaves no
//! process behind, and goes on when it is run again.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::Child;
use uuid::Uuid;

use crate::held::Held;
use crate::loader::line;
use crate::process::{PATIENCE, Service, eventually, run_weir, scratch, weir, weir_ok};
use crate::sql::Sql;
use crate::stack::FREE_PORTS;

fn spawn(state: &Path, args: &[&str]) -> anyhow::Result<Child> {
    let mut command = weir(state, args);
    Ok(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

/// Sends the signal; the command must end with that code. Gives what it said on standard error.
async fn ended(child: Child, signal: Signal, code: i32) -> anyhow::Result<String> {
    let pid = child.id().context("already gone")?;
    kill_process(Pid::from_raw(pid.cast_signed()).context("a pid")?, signal)?;
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .context("did not end")??;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(code), "{}: {text}", output.status);
    Ok(text)
}

#[tokio::test]
async fn a_replay_goes_on_with_the_next_object() -> anyhow::Result<()> {
    let dir = scratch();
    let engine = Service::clickhouse(dir.path()).await?;
    weir_ok(dir.path(), &["migrate", "--clickhouse-url", &engine.url]).await?;
    let backup = dir.path().join("backup");
    std::fs::create_dir(&backup)?;
    for object in ["1", "2", "3"] {
        let record = json!({"rawData": STANDARD.encode(line(Uuid::new_v4(), "2024-03-01T00:00:00Z"))});
        std::fs::write(backup.join(object), format!("{record}\n"))?;
    }
    let held = Held::before(&engine.url, "INSERT+INTO+events+", 1).await?;
    let backup = backup.to_string_lossy().into_owned();
    let replay = ["replay", "--clickhouse-url", &held.url, &backup];

    let child = spawn(dir.path(), &replay)?;
    held.met(2).await?;
    let said = ended(child, Signal::TERM, 143).await?;
    ensure!(
        said.contains("terminated: 1 of 3 objects were replayed, 0 before; run the same again"),
        "{said}"
    );

    held.release();
    let out = weir_ok(dir.path(), &replay).await?;
    ensure!(out.starts_with("2 objects replayed, 1 before"), "{out}");
    let rows = "SELECT count(), uniqExact(event_id) FROM analytics.events";
    let stored = Sql::new(&engine.url).run(rows).await?;
    ensure!(stored == "3\t3\n", "{stored}");
    engine.stop().await
}

#[tokio::test]
async fn generated_traffic_ends_with_what_is_acknowledged() -> anyhow::Result<()> {
    let dir = scratch();
    let shop = Held::answering(r#"{"accepted":1}"#, 40).await?;
    let report = dir.path().join("report.json");
    let path = report.to_string_lossy().into_owned();
    let fixed = ["generate", "--users", "50", "--days", "9", "--connections", "4"];
    let child = spawn(
        dir.path(),
        &[&fixed[..], &["--report", &path, "--url", &shop.url]].concat(),
    )?;
    // Four more are under way, and are waited for.
    shop.met(44).await?;
    let ending = tokio::spawn(ended(child, Signal::TERM, 143));
    shop.release();
    let said = ending.await??;
    let report: Value = serde_json::from_slice(&std::fs::read(&report)?)?;
    ensure!(
        report["interrupted"] == true && report["acknowledged"].as_u64() == Some(shop.answered() as u64),
        "{report} after {} answers: {said}",
        shop.answered()
    );
    Ok(())
}

#[tokio::test]
async fn a_migration_says_where_it_was() -> anyhow::Result<()> {
    let dir = scratch();
    let engine = Service::clickhouse(dir.path()).await?;
    let held = Held::before(&engine.url, "events_quarantine", 0).await?;
    let migrate = ["migrate", "--clickhouse-url", &held.url];
    let child = spawn(dir.path(), &migrate)?;
    held.met(1).await?;
    let said = ended(child, Signal::INT, 130).await?;
    ensure!(
        said.contains("interrupted at 0001_create_events.sql, statement ") && said.contains("run the same again"),
        "{said}"
    );
    held.release();
    let out = weir_ok(dir.path(), &migrate).await?;
    ensure!(out.contains("applied 0001_create_events.sql"), "{out}");
    engine.stop().await
}

#[tokio::test]
async fn lines_of_the_quarantine_are_replayed_once() -> anyhow::Result<()> {
    let dir = scratch();
    let engine = Service::clickhouse(dir.path()).await?;
    weir_ok(dir.path(), &["migrate", "--clickhouse-url", &engine.url]).await?;
    let sql = Sql::new(&engine.url);
    for number in 1..=3 {
        sql.run(&format!(
            "INSERT INTO analytics.events_quarantine (id, stage, code, reason, field, raw, request_id) \
             VALUES (generateUUIDv4(), 's', 'c', 'r', '', '{{\"user_id\":{number}}}', '')"
        ))
        .await?;
    }
    let door = Held::answering(r#"{"accepted":1}"#, 1).await?;
    let replay = [
        "quarantine",
        "--clickhouse-url",
        &engine.url,
        "replay",
        "--all",
        "--url",
        &door.url,
    ];
    let child = spawn(dir.path(), &replay)?;
    door.met(2).await?;
    let said = ended(child, Signal::INT, 130).await?;
    ensure!(said.contains("interrupted: 1 accepted, 0 replayed before"), "{said}");
    door.release();
    let out = weir_ok(dir.path(), &replay).await?;
    ensure!(out.starts_with("2 accepted, 0 replayed before"), "{out}");
    engine.stop().await
}

#[tokio::test]
async fn dbt_is_told_and_waited_for() -> anyhow::Result<()> {
    let dir = scratch();
    let engine = Service::clickhouse(dir.path()).await?;
    weir_ok(dir.path(), &["migrate", "--clickhouse-url", &engine.url]).await?;
    let held = Held::before(&engine.url, "users_activity_aggr", 0).await?;
    let child = spawn(dir.path(), &["dbt", "--clickhouse-url", &held.url, "build"])?;
    held.met(1).await?;
    let ending = tokio::spawn(ended(child, Signal::TERM, 143));
    held.release();
    let said = ending.await??;
    ensure!(said.contains("terminated: dbt has ended; run the same again"), "{said}");
    weir_ok(dir.path(), &["dbt", "--clickhouse-url", &held.url, "build"]).await?;
    engine.stop().await
}

#[tokio::test]
async fn a_stack_that_starts_is_stopped_again() -> anyhow::Result<()> {
    let dir = scratch();
    let child = spawn(dir.path(), &[&["up", "--plain"], &FREE_PORTS[..]].concat())?;
    let state = dir.path().join("run/stack.json");
    eventually("a process is started", async || {
        let text = std::fs::read_to_string(&state).unwrap_or_default();
        Ok(text.contains("\"clickhouse\"").then_some(()))
    })
    .await?;
    ended(child, Signal::TERM, 143).await?;
    ensure!(!state.exists(), "the state of the stack is left");
    let out = run_weir(dir.path(), &["down"]).await?;
    ensure!(String::from_utf8_lossy(&out.stdout).contains("nothing is running"));
    Ok(())
}
