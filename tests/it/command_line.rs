//! What `weir` says to a wrong command line, environment or machine: one clear line.

use anyhow::ensure;

use crate::process::{run_weir, scratch, weir};

#[tokio::test]
async fn a_taken_port_is_named() -> anyhow::Result<()> {
    let dir = scratch();
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    for args in [
        vec!["clickhouse", "--port", &port],
        vec!["firehose", "--port", &port],
        vec![
            "up",
            "--functions-port",
            &port,
            "--clickhouse-port",
            "0",
            "--firehose-port",
            "0",
            "--metrics-port",
            "0",
        ],
        vec!["metrics", "--port", &port, "--", "true"],
    ] {
        let output = run_weir(dir.path(), &args).await?;
        let text = String::from_utf8(output.stderr)?;
        ensure!(!output.status.success(), "{args:?} took a taken port");
        ensure!(text.lines().count() == 1 && text.contains(&port), "{args:?}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_flag_is_named() -> anyhow::Result<()> {
    let dir = scratch();
    for command in [
        "up",
        "down",
        "test",
        "migrate",
        "generate",
        "clickhouse",
        "firehose",
        "metrics",
    ] {
        let output = run_weir(dir.path(), &[command, "--no-such-flag"]).await?;
        let text = String::from_utf8(output.stderr)?;
        ensure!(
            output.status.code() == Some(2) && text.contains("--no-such-flag"),
            "{command}: {text}"
        );
        let help = run_weir(dir.path(), &[command, "--help"]).await?;
        ensure!(
            help.status.success() && String::from_utf8_lossy(&help.stdout).contains("Usage: weir"),
            "{command} --help"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_environment_is_named() -> anyhow::Result<()> {
    let dir = scratch();
    let output = weir(dir.path(), &["migrate"])
        .env("CLICKHOUSE_URL", "not a url")
        .output()
        .await?;
    let text = String::from_utf8(output.stderr)?;
    ensure!(
        !output.status.success() && text.lines().count() == 1 && text.contains("CLICKHOUSE_URL"),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn down_with_nothing_running_is_no_error() -> anyhow::Result<()> {
    let dir = scratch();
    let output = run_weir(dir.path(), &["down"]).await?;
    ensure!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("nothing is running"));
    Ok(())
}
