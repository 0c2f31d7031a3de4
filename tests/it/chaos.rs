//! `weir chaos`: a minute of planned faults proves that nothing is lost and nothing counted twice; the proof can fail; and
//! two faults that it was built to find stay mended.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::process::{eventually, run_weir, scratch, weir, weir_ok};

/// Runs `weir chaos`; gives its exit code, the numbers of its table, and everything that it printed.
async fn chaos(folder: &Path, args: &[&str]) -> anyhow::Result<(Option<i32>, Value, String)> {
    let report = folder.join("report.json");
    let path = report.to_string_lossy().into_owned();
    let output = run_weir(folder, &[&["chaos", "--report", &path], args].concat()).await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let numbers = serde_json::from_slice(&std::fs::read(&report)?).with_context(|| text.clone())?;
    Ok((output.status.code(), numbers, text))
}

#[tokio::test]
async fn a_minute_of_faults_loses_nothing_and_doubles_nothing() -> anyhow::Result<()> {
    let folder = scratch();
    let (code, numbers, text) = chaos(folder.path(), &["--minutes", "1", "--seed", "1"]).await?;
    ensure!(code == Some(0), "{code:?}: {text}");
    let number = |name: &str| numbers[name].as_u64().with_context(|| format!("{name}: {numbers}"));
    ensure!(number("sent")? >= 5000 && number("acknowledged")? >= 4000, "{text}");
    ensure!(number("lost")? == 0 && number("stored_twice")? == 0, "{text}");
    ensure!(
        number("poison")? > 0 && number("quarantined")? == number("poison")?,
        "{text}"
    );
    ensure!(number("refused")? > 0, "{text}");
    // Events came more than once: had none, nothing would have been put to the proof.
    ensure!(number("taken_again")? > 0, "{text}");
    Ok(())
}

#[tokio::test]
async fn a_lost_and_a_doubled_event_are_found() -> anyhow::Result<()> {
    let folder = scratch();
    let args = ["--minutes", "0.2", "--seed", "2", "--sabotage"];
    let (code, numbers, text) = chaos(folder.path(), &args).await?;
    ensure!(code == Some(1), "{code:?}: {text}");
    ensure!(numbers["lost"] == 1 && numbers["stored_twice"] == 1, "{text}");
    // The account finds it too, by other means: from what Firehose has taken.
    ensure!(numbers["unaccounted"] == 1, "{text}");
    let (_, kept) = text.split_once("are kept in ").context(text.clone())?;
    let kept = Path::new(kept.lines().next().unwrap_or_default());
    ensure!(kept.join("logs/loader.log").is_file(), "{text}");
    std::fs::remove_dir_all(kept)?;
    Ok(())
}

#[tokio::test]
async fn the_same_seed_plans_the_same() -> anyhow::Result<()> {
    let folder = scratch();
    let plan = async |args: &[&str]| weir_ok(folder.path(), &[&["chaos", "--dry-run"], args].concat()).await;
    let one = plan(&["--seed", "7"]).await?;
    ensure!(plan(&["--seed", "7"]).await? == one);
    ensure!(plan(&["--seed", "8"]).await? != one);
    ensure!(
        plan(&["--seed", "7", "--minutes", "3"])
            .await?
            .starts_with(one.trim_end())
    );
    let kinds: BTreeSet<&str> = one
        .lines()
        .filter_map(|line| Some(line.split_once(" s  ")?.1))
        .collect();
    ensure!(kinds.len() > 20, "{one}");
    Ok(())
}

#[tokio::test]
async fn ctrl_c_leaves_nothing_behind() -> anyhow::Result<()> {
    let folder = scratch();
    let log = folder.path().join("chaos.log");
    let mut child = weir(folder.path(), &["chaos", "--minutes", "5", "--verbose"])
        .env("TMPDIR", folder.path())
        .stderr(std::fs::File::create(&log)?)
        .stdout(std::process::Stdio::null())
        .spawn()?;
    eventually("the first fault is committed", async || {
        Ok(std::fs::read_to_string(&log)?.contains("1.0 s  ").then_some(()))
    })
    .await?;
    let pid = child
        .id()
        .and_then(|id| Pid::from_raw(id.cast_signed()))
        .context("a pid")?;
    kill_process(pid, Signal::INT)?;
    let status = tokio::time::timeout(Duration::from_secs(60), child.wait()).await??;
    ensure!(status.code() == Some(130), "{status}");
    let left = std::fs::read_dir(folder.path())?
        .flatten()
        .map(|entry| entry.file_name());
    let left: Vec<_> = left
        .filter(|name| name.to_string_lossy().starts_with("weir-chaos-"))
        .collect();
    ensure!(left.is_empty(), "{left:?}");
    // Every process of the stack names the folder in its command line or has it as its log.
    let names_it = |pid: &std::path::PathBuf| {
        let line = std::fs::read(pid.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&*folder.path().to_string_lossy())
    };
    let processes = std::fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
    let left: Vec<_> = processes.filter(names_it).collect();
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

/// The local Firehose with its log on the disk that gets full. Only Linux limits the files of another process.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_refuses_records_and_ends_nothing() -> anyhow::Result<()> {
    use base64::Engine as _;
    use rustix::process::{Resource, Rlimit, prlimit};

    use crate::process::{Service, http};

    let folder = scratch();
    let data = folder.path().join("firehose").to_string_lossy().into_owned();
    let args = [
        "firehose",
        "--port",
        "0",
        "--data-dir",
        &data,
        "--stream",
        "s",
        "--endpoint-url",
        "http://127.0.0.1:9/",
    ];
    let firehose = Service::start(folder.path(), &args).await?;
    let limit = |bytes: Option<u64>| -> anyhow::Result<()> {
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(Some(firehose.pid()?), Resource::Fsize, limit)?;
        Ok(())
    };
    let put = async || -> anyhow::Result<u16> {
        let record = base64::engine::general_purpose::STANDARD.encode("line\n");
        let request = http()
            .post(&firehose.url)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", "Firehose_20150804.PutRecord")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/firehose/aws4_request",
            )
            .body(serde_json::json!({ "DeliveryStreamName": "s", "Record": { "Data": record } }).to_string());
        Ok(request.send().await?.status().as_u16())
    };
    ensure!(put().await? == 200);
    limit(Some(0))?;
    for _ in 0..3 {
        ensure!(put().await? == 503);
    }
    // Deliveries fail meanwhile, and cannot say so in the log.
    tokio::time::sleep(Duration::from_secs(2)).await;
    limit(None)?;
    ensure!(put().await? == 200);
    let health: Value = http()
        .get(format!("{}/health", firehose.url))
        .send()
        .await?
        .json()
        .await?;
    ensure!(health["streams"]["s"]["accepted"] == 2, "{health}");
    firehose.stop().await
}
