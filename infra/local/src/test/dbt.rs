//! The dbt project on a throwaway engine: migrated, filled with a few days of events, built, and built again after more
//! has arrived, as every hour in production.

use std::{ffi::OsString, path::Path, time::Duration};

use anyhow::Context as _;
use tokio::process::Command;

use super::{Bench, count::Count, shown};
use crate::up::throwaway;

/// Events of three users on four days, before the first run.
const FIRST: &str = "INSERT INTO events (dt, name, user_id, url, obj, obj_id, product_id, amount, exp, event_id, received_at) \
    SELECT toDateTime('2026-01-01 10:00:00', 'UTC') + INTERVAL number DAY, 'view', user, 'https://shop.example/', 'page', \
    '', 0, 0, map(), generateUUIDv4(), now64(3) FROM numbers(4) ARRAY JOIN range(1, toUInt64(number) % 3 + 2) AS user";

/// What arrives late: another user on the first of those days, and a new day.
const LATER: &str = "INSERT INTO events (dt, name, user_id, url, obj, obj_id, product_id, amount, exp, event_id, received_at) \
    SELECT toDateTime('2026-01-01 12:00:00', 'UTC') + INTERVAL number * 5 DAY, 'view', 9, 'https://shop.example/', 'page', \
    '', 0, 0, map(), generateUUIDv4(), now64(3) FROM numbers(2)";

/// Runs them. A failed run of dbt is counted, not an error.
pub(super) async fn run(bench: &Bench) -> anyhow::Result<Count> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let engine = throwaway::clickhouse(&bench.weir, &bench.library, folder.path()).await?;
    let outcome = exercise(bench, &engine.url, folder.path()).await;
    engine.stop().await;
    outcome
}

/// To extend: seed more, run more, and add the counts.
async fn exercise(bench: &Bench, url: &str, folder: &Path) -> anyhow::Result<Count> {
    weir(bench, url, &["migrate".into()])
        .await
        .context("the migrations failed")?;
    throwaway::execute(url, FIRST).await?;
    let first = build(bench, url, folder).await?;
    // `inserted_at` has seconds: what arrives in the same second as the first run would be no later arrival.
    tokio::time::sleep(Duration::from_secs(1)).await;
    throwaway::execute(url, LATER).await?;
    let second = build(bench, url, folder).await?;
    Ok(first.and(second))
}

/// `weir dbt build`.
async fn build(bench: &Bench, url: &str, folder: &Path) -> anyhow::Result<Count> {
    let mut args: Vec<OsString> = vec!["dbt".into(), "build".into()];
    args.extend(["--log-path".into(), folder.join("logs").into()]);
    args.extend(["--target-path".into(), folder.join("target").into()]);
    if let Some(filter) = &bench.filter {
        args.extend(["--select".into(), filter.into()]);
    }
    let (success, output) = shown(&mut command(bench, url, &args), &bench.stop).await?;
    Ok(Count::of_dbt(&output).with_end(success))
}

async fn weir(bench: &Bench, url: &str, args: &[OsString]) -> anyhow::Result<()> {
    let (success, _) = shown(&mut command(bench, url, args), &bench.stop).await?;
    anyhow::ensure!(
        success,
        "weir {} failed",
        args.first().map(|word| word.display().to_string()).unwrap_or_default()
    );
    Ok(())
}

fn command(bench: &Bench, url: &str, args: &[OsString]) -> Command {
    let mut command = Command::new(&bench.weir);
    command
        .args(args)
        .current_dir(bench.project.root())
        .env("CLICKHOUSE_URL", url);
    for (name, value) in throwaway::CREDENTIALS {
        command.env(name, value);
    }
    command.env_remove("WEIR_CLUSTER");
    command
}
