//! Third parties' own clients against `weir clickhouse` and `weir firehose`.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::endpoint::Endpoint;
use crate::process::{Service, checkout, eventually, scratch, setting};

#[tokio::test]
async fn clickhouse_connect() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    python("connect_clickhouse.py", &["127.0.0.1", server.port()]).await?;
    server.stop().await
}

#[tokio::test]
async fn clickhouse_js() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    let script = checkout().join("tests/clients/connect_clickhouse.mjs");
    let mut node = Command::new("node");
    node.arg(script)
        .arg(&server.url)
        .env("WEIR_CLIENTS_NODE", setting("WEIR_CLIENTS_NODE"));
    ended_ok(node).await?;
    server.stop().await
}

#[tokio::test]
async fn boto3_puts_what_is_delivered() -> anyhow::Result<()> {
    let dir = scratch();
    let endpoint = Endpoint::start().await?;
    let firehose = Service::start(dir.path(), &endpoint.firehose_args("boto3")).await?;
    let printed = python("put_records.py", &[&firehose.url, "boto3", "1201"]).await?;
    ensure!(printed.starts_with("1201\n"), "{printed}");
    eventually("all records are delivered", async || {
        Ok((endpoint.records() == 1201).then_some(()))
    })
    .await?;
    firehose.stop().await
}

/// Runs a script of `tests/clients` with their Python; it must end well and with `ok`. Gives what it printed.
pub async fn python(script: &str, args: &[&str]) -> anyhow::Result<String> {
    let mut python = Command::new(setting("WEIR_CLIENTS_PYTHON").join("bin/python"));
    python
        .arg(Path::new("tests/clients").join(script))
        .args(args)
        .current_dir(checkout());
    ended_ok(python).await
}

/// Runs a command that must end well and print `ok` last. Gives what it printed.
pub async fn ended_ok(mut command: Command) -> anyhow::Result<String> {
    let output = command
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("{command:?}"))?;
    let (out, err) = (
        String::from_utf8(output.stdout)?,
        String::from_utf8_lossy(&output.stderr),
    );
    ensure!(
        output.status.success() && out.ends_with("ok\n"),
        "{command:?}: {}\n{out}\n{err}",
        output.status
    );
    Ok(out)
}
