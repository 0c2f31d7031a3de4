//! What Prometheus is told: of a stack under traffic, and of one function by itself.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use uuid::Uuid;

use crate::firehose::{put, sdk};
use crate::process::{PATIENCE, eventually, http, run_weir, scratch, setting, weir};
use crate::stack::{Stack, event};

/// The samples of an exposition, by name and labels as they are written. What is not valid is an error: a sample of no
/// family, a family that is there twice, a sample that is there twice.
pub fn samples(text: &str) -> anyhow::Result<BTreeMap<String, f64>> {
    let (mut samples, mut types) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').with_context(|| line.to_owned())?;
            ensure!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            ensure!(types.insert(name, kind).is_none(), "two families: {line}");
        } else if !line.starts_with("# HELP ") {
            let (sample, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
            let name = sample.split('{').next().unwrap_or_default();
            let of_histogram = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|end| types.get(name.strip_suffix(end)?))
                .any(|kind| *kind == "histogram");
            ensure!(of_histogram || types.contains_key(name), "no family: {line}");
            ensure!(
                samples.insert(sample.to_owned(), value.parse()?).is_none(),
                "twice: {line}"
            );
        }
    }
    Ok(samples)
}

/// What `GET /metrics` answers, which must be valid.
pub async fn scrape(url: &str) -> anyhow::Result<BTreeMap<String, f64>> {
    let answer = http().get(url).send().await?;
    ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
    ensure!(
        answer.headers()["content-type"] == "text/plain; version=0.0.4",
        "{:?}",
        answer.headers()
    );
    samples(&answer.text().await?)
}

/// The difference of two scrapes in these samples must be as said; what is not there counts as 0.
fn rose(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, expected: &[(&str, f64)]) -> anyhow::Result<()> {
    for (sample, rise) in expected {
        let of = |samples: &BTreeMap<String, f64>| samples.get(*sample).copied().unwrap_or_default();
        let found = of(after) - of(before);
        ensure!(found == *rise, "{sample} rose by {found}, not {rise}: {after:#?}");
    }
    Ok(())
}

const REQUESTS: &str = r#"weir_requests_total{function="events",method="POST",route="/events",status="200"}"#;
const REFUSED: &str = r#"weir_requests_total{function="events",method="POST",route="/events",status="422"}"#;
const ACCEPTED: &str = r#"weir_events_accepted_total{function="events"}"#;
const STORED: &str = r#"weir_rows_stored_total{function="loader"}"#;
const QUARANTINED: &str = r#"weir_lines_quarantined_total{function="loader"}"#;

/// Accepts some events, and waits until they are rows by the metrics.
async fn send(stack: &Stack, events: usize) -> anyhow::Result<()> {
    let url = stack.url("metrics");
    let before = scrape(url).await?.get(STORED).copied().unwrap_or_default();
    for _ in 0..events {
        stack.accept(&event(Uuid::new_v4(), 1, "2024-05-17T10:20:30Z")).await?;
    }
    eventually("the events are rows by the metrics", async || {
        let stored = scrape(url).await?.get(STORED).copied().unwrap_or_default();
        Ok((stored >= before + events as f64).then_some(()))
    })
    .await
}

#[tokio::test]
async fn the_metrics_of_a_stack_are_what_was_sent() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let url = stack.url("metrics");
    let start = scrape(url).await?;
    ensure!(start[ACCEPTED] == 0.0 && start[STORED] == 0.0, "{start:#?}");
    for part in ["firehose", "clickhouse", "events", "loader", "activity", "docs"] {
        ensure!(start[&format!(r#"weir_part_up{{part="{part}"}}"#)] == 1.0, "{part}");
    }

    send(&stack, 3).await?;
    let valid = event(Uuid::new_v4(), 1, "2024-05-17T10:20:30Z");
    let wrong = stack.post("{}").await?;
    ensure!(wrong.status() == StatusCode::UNPROCESSABLE_ENTITY);
    let batch = json!([valid, {}, { "dt": "2024-05-17", "name": "v", "user_id": 1, "url": "ftp://a/", "obj": "p" }]);
    let answer = stack.post(batch.to_string()).await?;
    ensure!(answer.status() == StatusCode::OK, "{}", answer.text().await?);
    // What another writer put into the stream, and is no line.
    put(&sdk(stack.url("firehose")), "weir-events", &["no event\n".to_owned()]).await?;
    let after = eventually("everything is stored or in quarantine", async || {
        let after = scrape(url).await?;
        let done = after[STORED] == 4.0 && after[QUARANTINED] == 1.0;
        Ok((done && after["weir_quarantine_open_lines"] == 1.0).then_some(after))
    })
    .await?;
    rose(
        &start,
        &after,
        &[
            (REQUESTS, 4.0),
            (REFUSED, 1.0),
            (ACCEPTED, 4.0),
            (r#"weir_events_rejected_total{function="events",reason="missing"}"#, 2.0),
            (
                r#"weir_events_rejected_total{function="events",reason="url_scheme"}"#,
                1.0,
            ),
            (r#"weir_events_not_stored_total{function="events"}"#, 0.0),
            (r#"weir_request_duration_seconds_count{function="events"}"#, 5.0),
            (r#"weir_request_bytes_count{function="events"}"#, 5.0),
            (r#"weir_request_bytes_bucket{function="events",le="+Inf"}"#, 5.0),
            (r#"weir_insert_rows_sum{function="loader"}"#, 4.0),
            (r#"weir_firehose_records_accepted_total{stream="weir-events"}"#, 5.0),
        ],
    )?;
    let deliveries = after[r#"weir_insert_rows_count{function="loader"}"#];
    ensure!((1.0..=5.0).contains(&deliveries), "{deliveries}");
    for other in ["weir_insert_duration_seconds_count", "weir_data_age_seconds_count"] {
        let count = after[&format!(r#"{other}{{function="loader"}}"#)];
        // A delivery without a line that has an age has none.
        ensure!((1.0..=deliveries).contains(&count), "{other}: {count} of {deliveries}");
    }
    ensure!(after["ClickHouseProfileEvents_InsertedRows"] > start["ClickHouseProfileEvents_InsertedRows"]);
    ensure!(after.contains_key("ClickHouseMetrics_Query"), "no system.metrics");
    // The lines that people read are there, once each.
    let log = std::fs::read_to_string(stack.dir().join("logs/events.log"))?;
    let lines = |status: &str| {
        let of = |line: &&str| line.contains(" request ") && line.contains(status) && line.contains("POST");
        log.lines().filter(of).count()
    };
    ensure!(lines("status=200") == 4 && !log.contains("_aws"), "{log}");

    // Killed functions: nothing begins anew, and nothing counts twice.
    let before = scrape(url).await?;
    stack.kill("events").await?;
    stack.kill("loader").await?;
    eventually("events answers again", async || {
        Ok(stack
            .post("{")
            .await
            .is_ok_and(|answer| answer.status() == 422)
            .then_some(()))
    })
    .await?;
    send(&stack, 2).await?;
    rose(
        &before,
        &scrape(url).await?,
        &[(ACCEPTED, 2.0), (REQUESTS, 2.0), (STORED, 2.0)],
    )?;

    // A part that hangs leaves its figures out; the rest is served.
    let clickhouse = Pid::from_raw(stack.child("clickhouse")?).context("a pid")?;
    kill_process(clickhouse, Signal::STOP)?;
    let without = scrape(url).await;
    kill_process(clickhouse, Signal::CONT)?;
    let without = without?;
    ensure!(without[r#"weir_part_up{part="clickhouse"}"#] == 0.0, "{without:#?}");
    ensure!(
        !without
            .keys()
            .any(|name| name.starts_with("ClickHouse") || name.starts_with("weir_quarantine_"))
    );
    ensure!(
        without[r#"weir_part_up{part="firehose"}"#] == 1.0 && without[ACCEPTED] == 6.0,
        "{without:#?}"
    );
    let firehose = Pid::from_raw(stack.child("firehose")?).context("a pid")?;
    kill_process(firehose, Signal::STOP)?;
    let without = scrape(url).await;
    kill_process(firehose, Signal::CONT)?;
    let without = without?;
    ensure!(
        without[r#"weir_part_up{part="firehose"}"#] == 0.0 && without[ACCEPTED] == 6.0,
        "{without:#?}"
    );
    ensure!(!without.keys().any(|name| name.starts_with("weir_firehose_records_")));
    stack.down().await
}

#[tokio::test]
async fn a_function_by_itself_has_metrics() -> anyhow::Result<()> {
    let dir = scratch();
    let built = setting("WEIR_BIN");
    let docs = built.parent().context("a folder")?.join("docs");
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let program = docs.to_string_lossy().into_owned();
    let mut command = weir(dir.path(), &["metrics", "--port", "0", "--", &program]);
    command
        .env("PORT", port.to_string())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut said = BufReader::new(child.stderr.take().context("no stderr")?).lines();
    let ready = said.next_line().await?.context("nothing was said")?;
    let url = ready.split_once("ready on ").context(ready.clone())?.1.to_owned();
    let page = format!("http://127.0.0.1:{port}/docs");
    eventually("the function answers", async || {
        Ok(http().get(&page).send().await.is_ok().then_some(()))
    })
    .await?;
    let sample = r#"weir_requests_total{function="docs",method="GET",route="/docs",status="200"}"#;
    let before = eventually("the first request is counted", async || {
        Ok(scrape(&url).await?.get(sample).copied())
    })
    .await?;
    for _ in 0..3 {
        ensure!(http().get(&page).send().await?.status() == StatusCode::OK);
    }
    eventually("the others are counted", async || {
        Ok((scrape(&url).await?.get(sample) == Some(&(before + 3.0))).then_some(()))
    })
    .await?;

    let pid = child.id().context("already gone")?;
    kill_process(Pid::from_raw(pid.cast_signed()).context("a pid")?, Signal::TERM)?;
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .context("did not end")??;
    ensure!(output.status.code() == Some(0), "{}", output.status);
    ensure!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    let mut lines = 0;
    while let Some(line) = said.next_line().await? {
        lines += usize::from(line.contains(" request "));
    }
    ensure!(lines as f64 == before + 3.0, "{lines} lines of {before} + 3 requests");
    Ok(())
}

#[tokio::test]
async fn a_command_is_what_it_was_by_itself() -> anyhow::Result<()> {
    let dir = scratch();
    for (script, code, out, err) in [
        ("printf 'a\\nb'; printf c >&2; exit 7", 7, "a\nb", "c"),
        ("kill -9 $$", 137, "", ""),
        (
            "trap 'echo told; exit 3' TERM; kill -TERM $PPID; while :; do sleep 0.05; done",
            3,
            "told\n",
            "",
        ),
        ("echo \"$WEIR_METRICS $0 $1\"", 0, "emf,log x two words\n", ""),
    ] {
        let args = ["metrics", "--port", "0", "--", "sh", "-c", script, "x", "two words"];
        let output = run_weir(dir.path(), &args).await?;
        let (stdout, stderr) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
        ensure!(
            output.status.code() == Some(code) && stdout == out,
            "{script}: {} {stdout}",
            output.status
        );
        let after = stderr.split_once("/metrics\n").map(|(_, after)| after);
        ensure!(after == Some(err) || stderr.starts_with(err), "{script}: {stderr}");
    }
    let missing = run_weir(dir.path(), &["metrics", "--port", "0", "--", "/no/such/function"]).await?;
    let text = String::from_utf8(missing.stderr)?;
    ensure!(
        missing.status.code() == Some(1)
            && text.lines().count() == 1
            && text.contains("/no/such/function cannot be started"),
        "{text}"
    );
    Ok(())
}
