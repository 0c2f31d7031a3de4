//! The dashboard's data: what its two addresses answer is what ClickHouse holds, and what cannot be read says why.

mod page;

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::loader::deliver;
use crate::process::http;
use crate::stack::{Stack, event};

const KEY: &str = "reader";
const DATA: [&str; 4] = ["activity", "pages", "funnel", "experiments"];
const LIVE: [&str; 2] = ["minutes", "health"];

/// The JSON of a function's answer, which must be 200.
async fn read(stack: &Stack, name: &str, rest: &str) -> anyhow::Result<Value> {
    let url = format!("{}{rest}", stack.url(name));
    let answer = http().get(&url).header("x-read-key", KEY).send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    ensure!(status == StatusCode::OK, "{url}: {status} {text}");
    Ok(serde_json::from_str(&text)?)
}

/// The rows of a query, as JSON.
async fn rows(stack: &Stack, query: &str) -> anyhow::Result<Vec<Value>> {
    let format = "FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 0";
    let text = stack.sql().run(&format!("{query} {format}")).await?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Twenty views of twelve pages, by two users who saw a variant each, and fourteen other names, the first of them once, the next twice.
fn traffic(dt: &str) -> Vec<Value> {
    let mut events = Vec::new();
    for view in 0..20 {
        let user = 1 + view % 2;
        let mut event = event(Uuid::new_v4(), user, dt);
        event["url"] = json!(format!("https://shop.example/p{:02}?from=mail#top", view % 12));
        event["exp"] = json!({ "button": if user == 1 { "control" } else { "green" } });
        events.push(event);
    }
    for (kind, times) in (1..=14).enumerate() {
        for _ in 0..times {
            let mut event = event(Uuid::new_v4(), 3, dt);
            event["name"] = json!(format!("n{kind:02}"));
            event["obj"] = json!("button");
            events.push(event);
        }
    }
    events
}

async fn send(stack: &Stack, events: &[Value]) -> anyhow::Result<()> {
    let answer = stack.post(json!(events).to_string()).await?;
    let (status, text) = (answer.status(), answer.text().await?);
    ensure!(status == StatusCode::OK, "{status}: {text}");
    let ids: Vec<Uuid> = events
        .iter()
        .filter_map(|event| event["event_id"].as_str()?.parse().ok())
        .collect();
    ensure!(stack.arrived(&ids).await? == events.len() as u64);
    Ok(())
}

#[tokio::test]
async fn its_data_is_what_clickhouse_holds() -> anyhow::Result<()> {
    let stack = Stack::up_plain_set(&[("READ_KEYS", KEY)]).await?;
    nothing_is_there_yet(&stack).await?;

    let now = edge::clock::now();
    let (dt, day) = (
        now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        now.strftime("%Y-%m-%d").to_string(),
    );
    send(&stack, &traffic(&dt)).await?;
    let key = stack.variable("FIREHOSE_ACCESS_KEY")?;
    let (status, _) = deliver(&stack, &key, "bad", &["no json\n".to_owned()]).await?;
    ensure!(status == 200);
    stack.weir(&["dbt"]).await?;

    the_marts(&stack, &day).await?;
    the_last_hour(&stack).await?;
    // A row more than dbt has seen.
    send(&stack, &[event(Uuid::new_v4(), 4, &dt)]).await?;
    let health = read(&stack, "dashboard", "/live").await?["health"]["rows"][0].clone();
    ensure!(health["events_since_dbt"] == 1, "{health}");

    keys_are_asked_for(&stack).await?;
    each_panel_says_why_it_has_no_rows(&stack).await?;
    stack.down().await
}

async fn nothing_is_there_yet(stack: &Stack) -> anyhow::Result<()> {
    let data = read(stack, "dashboard", "/data").await?;
    for name in DATA {
        ensure!(data[name]["error"]["code"] == "mart_missing", "{data}");
    }
    let live = read(stack, "dashboard", "/live").await?;
    let health = json!([{ "newest_event_age_seconds": null, "stored_within_seconds_p50": null, "stored_within_seconds_p95": null,
        "quarantine_open": 0, "dbt_finished_seconds_ago": null, "events_since_dbt": null }]);
    ensure!(
        live["minutes"]["rows"] == json!([]) && live["health"]["rows"] == health,
        "{live}"
    );
    Ok(())
}

/// Three panels are the rows of the functions that give these marts; those are held to ClickHouse elsewhere.
async fn the_marts(stack: &Stack, day: &str) -> anyhow::Result<()> {
    let range = format!("?from={day}&to={day}");
    let data = read(stack, "dashboard", &format!("/data{range}")).await?;
    ensure!(data["from"] == day && data["to"] == day, "{data}");
    for (name, rest, member) in [
        ("activity", range.clone(), "days"),
        ("funnel", format!("{range}&total=true"), "steps"),
        ("experiments", String::new(), "variants"),
    ] {
        let expected = read(stack, name, &rest).await?[member].clone();
        ensure!(data[name]["rows"] == expected, "{name}: {data}\n{expected}");
        ensure!(
            expected.as_array().is_some_and(|rows| !rows.is_empty()),
            "{name} is empty"
        );
    }
    let pages = format!(
        "SELECT page, count() AS views FROM (SELECT DISTINCT event_id, cutFragment(cutQueryString(substring(url, 9))) AS page \
         FROM analytics.events WHERE name = 'view' AND obj = 'page' AND toDate(dt) = '{day}') \
         GROUP BY page ORDER BY views DESC, page LIMIT 10"
    );
    let pages = rows(stack, &pages).await?;
    ensure!(
        pages.len() == 10 && pages[0] == json!({ "page": "shop.example/p00", "views": 2 }),
        "{pages:?}"
    );
    ensure!(data["pages"]["rows"] == json!(pages), "{data}\n{pages:?}");
    // Other days have no rows, and that is no error.
    let other = read(stack, "dashboard", "/data?from=2020-01-01&to=2020-01-02").await?;
    ensure!(other["pages"]["rows"] == json!([]), "{other}");
    Ok(())
}

async fn the_last_hour(stack: &Stack) -> anyhow::Result<()> {
    let live = read(stack, "dashboard", "/live").await?;
    let counted = "SELECT formatDateTime(toStartOfMinute(dt), '%Y-%m-%dT%H:%i:%SZ') AS minute, name, \
                   uniqExact(event_id) AS events FROM analytics.events GROUP BY minute, name";
    let counted = rows(stack, counted).await?;
    ensure!(counted.len() == 15, "{counted:?}");
    // The three rarest of the fifteen names are one.
    let mut expected = BTreeMap::new();
    for row in &counted {
        let name = row["name"].as_str().context("a name")?;
        let shown = if ["n00", "n01", "n02"].contains(&name) {
            "other"
        } else {
            name
        };
        let minute = row["minute"].as_str().context("a minute")?;
        *expected.entry((minute, shown)).or_default() += row["events"].as_u64().context("a number")?;
    }
    let expected: Vec<Value> = expected
        .into_iter()
        .map(|((minute, name), events): (_, u64)| json!({ "minute": minute, "name": name, "events": events }))
        .collect();
    ensure!(
        expected.len() == 13 && live["minutes"]["rows"] == json!(expected),
        "{live}\n{expected:?}"
    );

    let health = &live["health"]["rows"][0];
    ensure!(
        health["quarantine_open"] == 1 && health["events_since_dbt"] == 0,
        "{health}"
    );
    let ages = rows(
        stack,
        "SELECT dateDiff('millisecond', max(received_at), now64(3)) / 1000 AS newest_event_age_seconds, \
         quantileExact(0.95)(greatest(dateDiff('millisecond', received_at, inserted_at), 0) / 1000) AS slowest, \
         (SELECT dateDiff('millisecond', min(finished), now64(3)) / 1000 FROM ( \
             SELECT max(finished_at) AS finished FROM analytics.dbt_runs GROUP BY model \
         )) AS dbt_finished_seconds_ago \
         FROM analytics.events",
    );
    // Asked later, so everything is older by then.
    let ages = ages.await?.pop().context("a row")?;
    for name in ["newest_event_age_seconds", "dbt_finished_seconds_ago"] {
        let (found, later) = (health[name].as_f64(), ages[name].as_f64());
        ensure!(
            found.is_some_and(|age| age >= 0.0) && found <= later,
            "{name}: {health} {ages}"
        );
    }
    // Of quantiles that are the same age, one may be off in its last digit.
    let milliseconds = |seconds: Option<f64>| seconds.map(|seconds| (seconds * 1e3).round());
    let [p50, p95] = ["stored_within_seconds_p50", "stored_within_seconds_p95"].map(|name| health[name].as_f64());
    ensure!(
        p50.is_some_and(|age| age >= 0.0)
            && milliseconds(p50) <= milliseconds(p95)
            && milliseconds(p95) <= milliseconds(ages["slowest"].as_f64()),
        "{health} {ages}"
    );
    Ok(())
}

async fn keys_are_asked_for(stack: &Stack) -> anyhow::Result<()> {
    for (path, key, status) in [
        ("", None, 200),
        ("/page.css", None, 200),
        ("/data", None, 401),
        ("/live", None, 401),
        ("/live", Some("other"), 401),
        ("/live", Some(KEY), 200),
    ] {
        let mut request = http().get(format!("{}{path}", stack.url("dashboard")));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let found = request.send().await?.status();
        ensure!(found == status, "{path} {key:?}: {found}");
    }
    Ok(())
}

/// A ClickHouse that hangs.
async fn each_panel_says_why_it_has_no_rows(stack: &Stack) -> anyhow::Result<()> {
    let engine = Pid::from_raw(stack.child("clickhouse")?).context("a pid")?;
    kill_process(engine, Signal::STOP)?;
    let answers = tokio::join!(read(stack, "dashboard", "/data"), read(stack, "dashboard", "/live"));
    kill_process(engine, Signal::CONT)?;
    for (answer, panels) in [(answers.0?, &DATA[..]), (answers.1?, &LIVE)] {
        for name in panels {
            ensure!(answer[name]["error"]["code"] == "warehouse_timeout", "{name}: {answer}");
            let detail = answer[name]["error"]["detail"].as_str();
            ensure!(
                detail.is_some_and(|detail| detail.starts_with("The warehouse took too long")),
                "{answer}"
            );
        }
    }
    Ok(())
}
