//! The marts against what Python makes of the raw events by their definitions, with none of their SQL. And what else is asked of the dbt
//! project: its style, its documentation, its picture.

use anyhow::ensure;
use serde_json::Value;
use tokio::process::Command;

use crate::process::{PATIENCE, Service, checkout, scratch, setting, weir_ok_set};
use crate::sql::Sql;

/// A program of the environment that computes the marts again, in the checkout.
fn program(name: &str) -> Command {
    let mut command = Command::new(setting("WEIR_MARTS").join("bin").join(name));
    command
        .current_dir(checkout())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("WEIR_BIN", setting("WEIR_BIN"))
        .kill_on_drop(true);
    for name in [
        "CLICKHOUSE_URL",
        "CLICKHOUSE_USER",
        "CLICKHOUSE_PASSWORD",
        "CLICKHOUSE_DATABASE",
        "WEIR_CLUSTER",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end, which must be a good one. Gives what it printed.
async fn ran(command: &mut Command) -> anyhow::Result<String> {
    let output = tokio::time::timeout(PATIENCE * 5, command.output()).await??;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    ensure!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    Ok(out)
}

/// Who counts the marts again is itself held to cases that were counted by hand.
#[tokio::test]
async fn the_definitions_are_right() -> anyhow::Result<()> {
    ran(program("python").args(["-m", "unittest", "discover", "-s", "tests/clients/marts"])).await?;
    Ok(())
}

/// Events come in portions, late, twice and out of order, with dbt between; then a full refresh; then two runs at once while
/// events arrive, and one more. The data tests run too, over all days.
#[tokio::test]
async fn the_marts_are_what_their_definitions_say() -> anyhow::Result<()> {
    let printed = ran(program("python").args(["tests/clients/marts/traffic.py", "--build"])).await?;
    ensure!(printed.trim_end().ends_with("\n0 differences"), "{printed}");
    for mart in [
        "users_activity",
        "sessions",
        "experiments",
        "retention",
        "funnel",
        "pages",
    ] {
        let compared = printed.lines().filter(|line| line.trim_start().starts_with(mart));
        ensure!(compared.count() == 3, "{mart} was not compared three times: {printed}");
    }
    Ok(())
}

/// Effects that are known, and cases by hand: skewed splits, three variants, people in two.
#[tokio::test]
async fn experiments_are_what_scipy_and_statsmodels_say() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    let target = dir.path().join("target").to_string_lossy().into_owned();
    let set = [("CLICKHOUSE_URL", server.url.as_str())];
    let dbt = ["dbt", "run", "--target-path", &target, "--select", "+experiments"];
    weir_ok_set(dir.path(), &["migrate"], &set).await?;
    let script = "tests/clients/check_experiments.py";
    let shop = ["generate", "--backfill", "--events", "60000", "--days", "30"];
    weir_ok_set(dir.path(), &shop, &set).await?;
    for portion in ["0/2", "1/2"] {
        ran(program("python").args([script, "seed", portion]).envs(set)).await?;
        weir_ok_set(dir.path(), &dbt, &set).await?;
        ran(program("python").args([script, "check"]).envs(set)).await?;
    }
    server.stop().await
}

#[tokio::test]
async fn sqlfluff_finds_nothing() -> anyhow::Result<()> {
    ran(program("sqlfluff").args(["lint", "dbt"])).await?;
    Ok(())
}

/// Every model says what its rows are, and every column of a mart what it holds; the picture in the README is theirs.
#[tokio::test]
async fn models_are_documented_and_drawn() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    let set = [("CLICKHOUSE_URL", server.url.as_str())];
    let target = dir.path().join("target");
    let to = ["--target-path", &*target.to_string_lossy()];
    weir_ok_set(dir.path(), &["migrate"], &set).await?;
    weir_ok_set(dir.path(), &[&["dbt", "run"], &to[..]].concat(), &set).await?;
    weir_ok_set(dir.path(), &[&["dbt", "docs", "generate"], &to[..]].concat(), &set).await?;
    let read =
        |name: &str| -> anyhow::Result<Value> { Ok(serde_json::from_slice(&std::fs::read(target.join(name))?)?) };
    let (manifest, catalog) = (read("manifest.json")?, read("catalog.json")?);
    let mut models = 0;
    for (id, node) in manifest["nodes"].as_object().into_iter().flatten() {
        if node["resource_type"] != "model" {
            continue;
        }
        models += 1;
        let said = node["description"].as_str().unwrap_or_default();
        ensure!(said.starts_with("One row"), "{id} says not what a row is: {said:?}");
        let columns = catalog["nodes"][id]["columns"].as_object();
        for name in columns.into_iter().flatten().map(|(name, _)| name) {
            let said = &node["columns"][name]["description"];
            ensure!(
                said.as_str().is_some_and(|said| !said.is_empty()),
                "{id}.{name} is not described"
            );
        }
    }
    ensure!(models > 10, "{models} models");
    let manifest = target.join("manifest.json");
    ran(program("python").args(["docs/lineage.py", "--check", "--manifest", &manifest.to_string_lossy()])).await?;
    // Nothing has arrived: that is an error, until something does.
    let freshness = ["dbt", "source", "freshness", to[0], to[1]];
    ensure!(
        weir_ok_set(dir.path(), &freshness, &set).await.is_err(),
        "fresh without an event"
    );
    let event =
        "INSERT INTO analytics.events (dt, name, user_id, event_id) VALUES (now(), 'view', 1, generateUUIDv4())";
    Sql::new(&server.url).run(event).await?;
    weir_ok_set(dir.path(), &freshness, &set).await?;
    server.stop().await
}
