//! functions/dbt as Lambda runs it: its package cannot be written to, and there is no /dev/shm and so no POSIX semaphore.

mod package;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

use self::package::{Package, logged};
use crate::process::{Service, checkout, scratch, setting, weir_ok};
use crate::sql::Sql;
use crate::stack::{Stack, event};

/// Stands in the data, and in a password.
const MARK: &str = "mark-41d0aa92";

/// Enough time for any run: the function has fifteen minutes.
const MINUTES: &str = "900000";

/// The lines of a command that must end well.
async fn logged_ok(command: Command) -> anyhow::Result<Vec<Value>> {
    let (output, lines) = logged(command).await?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{}\n{errors}\n{lines:#?}", output.status);
    Ok(lines)
}

/// An engine with the tables, and events of three users on four days.
async fn engine(dir: &Path) -> anyhow::Result<(Service, Sql)> {
    let server = Service::clickhouse(dir).await?;
    weir_ok(dir, &["migrate", "--clickhouse-url", &server.url]).await?;
    let sql = Sql::new(&server.url);
    arrive(&sql, "range(1, toUInt64(number) % 3 + 2)", 4).await?;
    Ok((server, sql))
}

/// Events of these users on the first days of a year.
async fn arrive(sql: &Sql, users: &str, days: u32) -> anyhow::Result<()> {
    let insert = format!(
        "INSERT INTO analytics.events (dt, name, user_id, url, obj, obj_id, product_id, amount, exp, event_id, received_at) \
         SELECT toDateTime('2026-01-01 10:00:00', 'UTC') + INTERVAL number DAY, '{MARK}', user, 'https://shop.example/', 'page', \
         '', 0, 0, map(), generateUUIDv4(), now64(3) FROM numbers({days}) ARRAY JOIN {users} AS user"
    );
    sql.run(&insert).await.map(drop)
}

/// What dbt counts, and the same counted without it.
async fn counted(sql: &Sql) -> anyhow::Result<(String, String)> {
    let mart = "SELECT date, dau FROM analytics.users_activity WHERE dau > 0 ORDER BY date";
    let events =
        "SELECT toDate(dt, 'UTC') AS date, uniqExact(user_id) FROM analytics.events GROUP BY date ORDER BY date";
    Ok((sql.run(mart).await?, sql.run(events).await?))
}

fn ran_well(line: &Value) -> anyhow::Result<()> {
    let nodes = line["nodes"].as_array().context("no nodes")?;
    let models: Vec<_> = nodes.iter().filter(|node| node["resource_type"] == "model").collect();
    let mut files = Vec::new();
    package::list(&checkout().join("dbt/models"), &mut files)?;
    let written = files.iter().filter(|file| file.contains(".sql ")).count();
    ensure!(models.len() == written && nodes.len() > 20, "{written}: {line:#}");
    let good = |node: &&Value| node["status"] == "success" || node["status"] == "pass";
    ensure!(nodes.iter().filter(good).count() == nodes.len(), "{line:#}");
    ensure!(
        line["status"] == "success" && line["function"] == "dbt" && line["DbtFailures"] == 0,
        "{line:#}"
    );
    ensure!(line["DbtNodes"] == nodes.len() && line["DurationMilliseconds"].as_u64() > Some(0));
    let metrics = &line["_aws"]["CloudWatchMetrics"][0];
    ensure!(
        metrics["Namespace"] == "Weir" && metrics["Dimensions"] == json!([["function"]]),
        "{line:#}"
    );
    Ok(())
}

#[tokio::test]
async fn the_handler_s_own_tests() -> anyhow::Result<()> {
    let package = Package::new()?;
    let mut python = Command::new(setting("WEIR_DBT").join("bin/python"));
    python
        .args(["-m", "unittest", "--verbose"])
        .current_dir(checkout().join("functions/dbt"));
    package.environment(&mut python, "http://127.0.0.1:1");
    let output = python.output().await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success() && said.contains("Ran 4 tests"), "{said}");
    Ok(())
}

/// From a POST to an answer, with the function in the place of `weir dbt`; and again in the same process, as on a warm start.
#[tokio::test]
async fn a_scheduled_run_needs_no_semaphores() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (package, id) = (Package::new()?, Uuid::new_v4());
    let clickhouse = stack.url("clickhouse").to_owned();

    // Without the handler there is nothing that dbt can do here.
    let mut bare = Command::new(setting("WEIR_DBT").join("bin/python"));
    bare.arg(checkout().join("tests/lambda/invoke_dbt.py"))
        .args(["-", "0", "1"]);
    package.environment(&mut bare, &clickhouse);
    bare.current_dir(package.path().join("project"));
    let refused = bare.output().await?;
    let why = String::from_utf8_lossy(&refused.stdout).into_owned();
    ensure!(
        !refused.status.success() && why.contains("Function not implemented"),
        "{why}\n{}",
        String::from_utf8_lossy(&refused.stderr)
    );

    let package = Package::new()?;
    let today = stack.sql().run("SELECT today()").await?.trim().to_owned();
    stack.accept(&event(id, 42, &format!("{today}T10:20:30Z"))).await?;
    ensure!(stack.arrived(&[id]).await? == 1);
    let before = package.files()?;
    let lines = logged_ok(package.invoke(&clickhouse, &[MINUTES, "2"])?).await?;
    ensure!(lines.len() == 2, "{lines:#?}");
    lines.iter().try_for_each(ran_well)?;
    ensure!(package.files()? == before, "something was written into the package");

    let answer = stack
        .get("activity", &format!("?from={today}&to={today}"), "application/json")
        .await?;
    ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
    let days: Value = answer.json().await?;
    ensure!(
        days["days"][0]["date"] == today && days["days"][0]["mau"] == 1,
        "{days}"
    );
    stack.down().await
}

/// Where a test may have a mount namespace of its own, as root on most machines: /dev/shm is not there, and the package is mounted
/// read-only.
#[tokio::test]
async fn a_scheduled_run_needs_no_dev_shm() -> anyhow::Result<()> {
    let namespace = |script: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "sh", "-ec"]).arg(format!(
            "mount --make-rprivate /; mount -t tmpfs tmpfs /dev; mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/urandom c 1 9; {script}"
        ));
        unshare
    };
    if !namespace("true")
        .output()
        .await
        .is_ok_and(|output| output.status.success())
    {
        return Ok(());
    }
    let dir = scratch();
    let (server, sql) = engine(dir.path()).await?;
    let package = Package::new()?;
    let mut command = namespace(
        "mount --bind \"$1\" \"$1\"; mount -o remount,bind,ro \"$1\"; ! touch \"$1/x\" 2> /dev/null; ! ls /dev/shm 2> /dev/null; \
         exec \"$2\" \"$3\" \"$1\" 900000 1 --real",
    );
    command
        .arg("sh")
        .arg(package.path())
        .arg(setting("WEIR_DBT").join("bin/python"))
        .arg(checkout().join("tests/lambda/invoke_dbt.py"));
    package.environment(&mut command, &server.url);
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
    let lines = logged_ok(command).await?;
    ensure!(lines.len() == 1, "{lines:#?}");
    ran_well(&lines[0])?;
    let (mart, events) = counted(&sql).await?;
    ensure!(mart == events && !mart.is_empty(), "{mart} is not\n{events}");
    server.stop().await
}

#[tokio::test]
async fn a_failed_run_is_an_error_without_data() -> anyhow::Result<()> {
    let dir = scratch();
    let (server, sql) = engine(dir.path()).await?;
    let table = "{{ config(materialized='table') }}";
    let said = sql
        .run("SELECT toUInt64(cast(name, 'String')) FROM analytics.events")
        .await;
    ensure!(
        said.as_ref().is_err_and(|error| error.to_string().contains(MARK)),
        "ClickHouse quotes the row: {said:?}"
    );
    // What breaks, where, the invocation's error, and a part of the line.
    for (model, url, error, part) in [
        (
            // ClickHouse's words quote the row.
            Some(format!(
                "{table} select toUInt64(cast(name, 'String')) as n from {{{{ ref('stg_site_events') }}}}"
            )),
            &server.url,
            "DbtFailed: 1 of {nodes} nodes failed: broken",
            json!({"status": "failed", "DbtFailures": 1, "error": "Database Error: exception 6"}),
        ),
        (
            // dbt's words quote the file.
            Some(format!("select '{MARK}' from {{{{ ref('nowhere') }}}}")),
            &server.url,
            "DbtFailed: dbt failed before its first node: TargetNotFoundError",
            json!({"status": "error", "DbtFailures": 1, "error": "TargetNotFoundError"}),
        ),
        (
            None,
            &"http://127.0.0.1:1".to_owned(),
            "DbtFailed: dbt failed before its first node: FailedToConnectError",
            json!({"status": "error", "DbtFailures": 1, "error": "FailedToConnectError"}),
        ),
    ] {
        let package = Package::new()?;
        if let Some(model) = &model {
            package.model("broken", model)?;
        }
        let mut command = package.invoke(url, &[MINUTES, "1"])?;
        // The engine takes no password; where there is none, one is not lost.
        if url.ends_with(":1") {
            command.env("CLICKHOUSE_PASSWORD", MARK);
        }
        let (output, lines) = logged(command).await?;
        let (log, said) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        ensure!(lines.len() == 1, "{log}");
        let nodes = lines[0]["nodes"].as_array().context("no nodes")?;
        let error = error.replace("{nodes}", &nodes.len().to_string());
        ensure!(output.status.code() == Some(1) && said.trim() == error, "{said}\n{log}");
        let broken = nodes.iter().find(|node| node["name"] == "broken").unwrap_or(&lines[0]);
        let found =
            json!({"status": lines[0]["status"], "DbtFailures": lines[0]["DbtFailures"], "error": broken["error"]});
        ensure!(found == part, "{found}\n{log}");
        ensure!(!log.contains(MARK) && !said.contains(MARK), "{log}\n{said}");
    }
    server.stop().await
}

/// What is cut is told about, and the next run does it.
#[tokio::test]
async fn a_run_ends_before_the_deadline() -> anyhow::Result<()> {
    let dir = scratch();
    let (server, sql) = engine(dir.path()).await?;
    let package = Package::new()?;
    let slow = "{{ config(materialized='table') }} select sleepEachRow(3) as n from numbers(200) \
                settings max_block_size = 1, function_sleep_max_microseconds_per_block = 0";
    package.model("slow", slow)?;
    for (args, error, part) in [
        (
            &["59000", "1"][..],
            "dbt was not begun: less than 60 s were left. The next run does it",
            json!({"status": "not_begun", "DbtFailures": 1, "under_way": null}),
        ),
        (
            &["35000", "1", "LEAST_SECONDS=1", "MARGIN_SECONDS=5", "AGAIN_SECONDS=1"],
            "dbt had no time left: slow was under way. The next run does it again",
            json!({"status": "out_of_time", "DbtFailures": 1, "under_way": ["slow"]}),
        ),
    ] {
        let began = Instant::now();
        let (output, lines) = logged(package.invoke(&server.url, args)?).await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.code() == Some(1) && said.trim() == format!("DbtFailed: {error}"),
            "{said}\n{lines:#?}"
        );
        let line = lines.first().context("no line")?;
        let found =
            json!({"status": line["status"], "DbtFailures": line["DbtFailures"], "under_way": line["under_way"]});
        ensure!(found == part, "{found}");
        ensure!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
    }
    let lines = logged_ok(Package::new()?.invoke(&server.url, &[MINUTES, "1"])?).await?;
    ran_well(&lines[0])?;
    let (mart, events) = counted(&sql).await?;
    ensure!(mart == events && !mart.is_empty(), "{mart} is not\n{events}");
    server.stop().await
}

/// Reserved concurrency forbids it, and a run by hand does not know of that. Both runs may be the first; at worst one of those
/// fails, as it finds made what it was to make.
#[tokio::test]
async fn two_runs_at_once_do_no_harm() -> anyhow::Result<()> {
    let dir = scratch();
    let (server, sql) = engine(dir.path()).await?;
    let (one, other) = (Package::new()?, Package::new()?);
    let first = tokio::join!(
        logged(one.invoke(&server.url, &[MINUTES, "1"])?),
        logged(other.invoke(&server.url, &[MINUTES, "1"])?)
    );
    let (first, second) = (first.0?, first.1?);
    ensure!(
        first.0.status.success() || second.0.status.success(),
        "{:#?}\n{:#?}",
        first.1,
        second.1
    );
    let arrivals = async {
        for user in 10..20 {
            arrive(&sql, &format!("[{user}]"), 40).await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        anyhow::Ok(())
    };
    let (one, other, arrivals) = tokio::join!(
        logged_ok(one.invoke(&server.url, &[MINUTES, "3"])?),
        logged_ok(other.invoke(&server.url, &[MINUTES, "3"])?),
        arrivals
    );
    arrivals?;
    for line in one?.iter().chain(&other?) {
        ran_well(line)?;
    }
    // dbt's own tests compare the marts with the events, too.
    let lines = logged_ok(Package::new()?.invoke(&server.url, &[MINUTES, "1"])?).await?;
    ran_well(&lines[0])?;
    let (mart, events) = counted(&sql).await?;
    ensure!(mart == events && mart.lines().count() == 40, "{mart} is not\n{events}");
    server.stop().await
}
