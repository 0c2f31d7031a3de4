//! `weir tail`: events as they arrive, each once.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use uuid::Uuid;

use crate::process::{PATIENCE, Service, scratch, weir, weir_ok};
use crate::sql::Sql;
use crate::stack::{Stack, event};

#[tokio::test]
async fn it_shows_what_matches_once_each() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let args = [
        "tail",
        "--json",
        "--since",
        "1h",
        "--user",
        "5",
        "--url",
        "shop.example/main",
    ];
    let mut child = weir(stack.dir(), &args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
    let mut next = async || -> anyhow::Result<Uuid> {
        let line = tokio::time::timeout(PATIENCE, lines.next_line())
            .await??
            .context("it ended")?;
        let event: Value = serde_json::from_str(&line)?;
        ensure!(event["user_id"] == 5, "{line}");
        Ok(event["event_id"].as_str().context("event_id")?.parse()?)
    };
    let (one, two, three) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    stack.accept(&event(Uuid::new_v4(), 6, "2026-05-17T00:00:00Z")).await?;
    stack.accept(&event(one, 5, "2026-05-17T00:00:00Z")).await?;
    ensure!(next().await? == one);
    // Sent again, it is another row of the same event.
    stack.accept(&event(one, 5, "2026-05-17T00:00:00Z")).await?;
    stack.accept(&event(two, 5, "2026-05-17T00:00:00Z")).await?;
    ensure!(next().await? == two);
    stack.kill("clickhouse").await?;
    stack.accept(&event(three, 5, "2026-05-17T00:00:00Z")).await?;
    ensure!(next().await? == three);
    kill_process(
        Pid::from_raw(child.id().context("gone")?.cast_signed()).context("a pid")?,
        Signal::INT,
    )?;
    let status = tokio::time::timeout(PATIENCE, child.wait()).await??;
    ensure!(status.code() == Some(130), "{status}");
    stack.down().await
}

/// ClickHouse may go and come back: both is said once, and nothing is missed.
#[tokio::test]
async fn it_waits_for_clickhouse() -> anyhow::Result<()> {
    let dir = scratch();
    let engine = Service::clickhouse(dir.path()).await?;
    weir_ok(dir.path(), &["migrate", "--clickhouse-url", &engine.url]).await?;
    let (url, port) = (engine.url.clone(), engine.port().to_owned());
    let args = ["tail", "--json", "--since", "1h", "--clickhouse-url", &url];
    let mut child = weir(dir.path(), &args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
    let mut said = BufReader::new(child.stderr.take().context("stderr")?).lines();
    let insert = async |name: &str| {
        let row = format!("INSERT INTO analytics.events (dt, name, event_id) SELECT now(), '{name}', generateUUIDv4()");
        Sql::new(&url).run(&row).await
    };
    let mut next = async || -> anyhow::Result<Value> {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await??;
        Ok(serde_json::from_str(&line.context("it ended")?)?)
    };
    insert("before").await?;
    ensure!(next().await?["name"] == "before");
    engine.kill().await?;
    let away = tokio::time::timeout(PATIENCE, said.next_line()).await??;
    ensure!(
        away.as_deref() == Some("ClickHouse is away: waiting for it"),
        "{away:?}"
    );
    let engine = Service::start(dir.path(), &["clickhouse", "--port", &port]).await?;
    let back = tokio::time::timeout(PATIENCE, said.next_line()).await??;
    ensure!(back.as_deref() == Some("ClickHouse is back"), "{back:?}");
    insert("after").await?;
    ensure!(next().await?["name"] == "after");
    child.kill().await?;
    engine.stop().await
}

/// Behind `head`, a command ends quietly.
#[tokio::test]
async fn a_closed_pipe_is_no_panic() -> anyhow::Result<()> {
    let dir = scratch();
    let engine = Service::clickhouse(dir.path()).await?;
    weir_ok(dir.path(), &["migrate", "--clickhouse-url", &engine.url]).await?;
    let fill = [
        "generate",
        "--backfill",
        "--users",
        "20",
        "--days",
        "2",
        "--clickhouse-url",
        &engine.url,
    ];
    let tail = ["tail", "--since", "1h", "--clickhouse-url", &engine.url];
    for args in [&fill[..], &tail[..]] {
        let mut child = weir(dir.path(), args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        drop(child.stdout.take());
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await??;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success() && !said.contains("panicked"),
            "{args:?}: {} {said}",
            output.status
        );
    }
    engine.stop().await
}
