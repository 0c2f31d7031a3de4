//! An event's way from one POST to a number that people read.

use anyhow::ensure;
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::metrics::scrape;
use crate::process::eventually;
use crate::stack::{Stack, event};

#[tokio::test]
async fn one_post_becomes_a_row_and_a_daily_user() -> anyhow::Result<()> {
    let stack = Stack::up().await?;
    let id = Uuid::new_v4();
    let today = stack.sql().run("SELECT today()").await?.trim().to_owned();
    stack.accept(&event(id, 42, &format!("{today}T10:20:30Z"))).await?;
    ensure!(stack.arrived(&[id]).await? == 1);

    let row = stack
        .sql()
        .run("SELECT dt, name, user_id, url, obj, obj_id, product_id, amount, exp, event_id FROM analytics.events")
        .await?;
    ensure!(
        row == format!("{today} 10:20:30\tview\t42\thttp://shop.example/main\tpage\tmain\t0\t0\t{{}}\t{id}\n"),
        "{row}"
    );

    // Under cargo-lambda too, the functions' records reach the metrics.
    eventually("the metrics count the event", async || {
        let metrics = scrape(stack.url("metrics")).await?;
        let is = |sample: &str, value| metrics.get(sample) == Some(&value);
        let counted = is(r#"weir_events_accepted_total{function="events"}"#, 1.0)
            && is(r#"weir_rows_stored_total{function="loader"}"#, 1.0);
        let up = ["events", "loader", "clickhouse"].map(|part| is(&format!(r#"weir_part_up{{part="{part}"}}"#), 1.0));
        Ok((counted && up == [true; 3]).then_some(()))
    })
    .await?;

    let before = stack.get("activity", "", "application/json").await?;
    ensure!(before.status() == StatusCode::NOT_FOUND, "{}", before.status());
    ensure!(before.text().await?.contains("dbt"), "the answer says what to do");

    stack.weir(&["dbt"]).await?;
    let query = format!("?from={today}&to={today}");
    let days: Value = stack.get("activity", &query, "application/json").await?.json().await?;
    ensure!(
        days == json!({"days": [{"date": today, "dau": 1, "wau": 1, "mau": 1, "stickiness": 1.0, "new_users": 1,
            "returning_users": 0, "resurrected_users": 0}]}),
        "{days}"
    );
    let csv = stack.get("activity", &query, "text/csv").await?;
    ensure!(csv.headers()["content-type"].to_str()?.starts_with("text/csv"));
    let csv = csv.text().await?;
    ensure!(
        csv == format!(
            "date,dau,wau,mau,stickiness,new_users,returning_users,resurrected_users\n{today},1,1,1,1.0,1,0,0\n"
        ),
        "{csv}"
    );
    stack.down().await
}

#[tokio::test]
async fn what_is_refused_says_why_and_costs_its_neighbours_nothing() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let cases: [(&str, u16, &str); 5] = [
        ("{", 422, "json_invalid"),
        (
            r#"{"dt":"2024-05-17T10:20:30","name":"view","user_id":-1,"url":"http://a/","obj":"page"}"#,
            422,
            "greater_than_equal",
        ),
        (r#"{}"#, 422, "missing"),
        ("\"text\"", 422, "model_attributes_type"),
        (
            r#"{"dt":"2024-05-17","name":"view","user_id":1,"url":"ftp://a/","obj":"page"}"#,
            422,
            "url_scheme",
        ),
    ];
    for (body, status, part) in cases {
        let answer = stack.post(body).await?;
        let (got, text) = (answer.status().as_u16(), answer.text().await?);
        ensure!(got == status && text.contains(part), "{body}: {got} {text}");
    }
    let answer = stack.post(vec![0xff, 0xfe, 0xfd]).await?;
    ensure!(answer.status() == StatusCode::BAD_REQUEST, "{}", answer.status());
    let answer = stack.post(vec![b' '; 7 << 20]).await?;
    ensure!(answer.status() == StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.status());

    let id = Uuid::new_v4();
    stack.accept(&event(id, 1, "2024-05-17T10:20:30Z")).await?;
    ensure!(stack.arrived(&[id]).await? == 1);
    ensure!(stack.sql().number("SELECT count() FROM analytics.events").await? == 1);
    stack.down().await
}

#[tokio::test]
async fn generated_traffic_is_stored_once_and_counted_right() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let report = stack.dir().join("report.json");
    let path = report.to_string_lossy().into_owned();
    stack
        .weir(&[
            "generate", "--days", "40", "--events", "20000", "--seed", "7", "--report", &path,
        ])
        .await?;
    let report: Value = serde_json::from_slice(&std::fs::read(&report)?)?;
    let acknowledged = report["acknowledged"].as_u64().unwrap_or_default();
    ensure!(acknowledged >= 19_000, "{report}");
    let sql = stack.sql();
    eventually("every acknowledged event is a row", async || {
        Ok((sql.number("SELECT uniqExact(event_id) FROM analytics.events").await? == acknowledged).then_some(()))
    })
    .await?;
    ensure!(
        sql.number("SELECT count() FROM analytics.events").await? == acknowledged,
        "some are stored twice"
    );

    stack.weir(&["dbt"]).await?;
    let wrong = sql
        .run(
            "WITH days AS (SELECT DISTINCT toDate(dt) AS day FROM analytics.events), brute AS (
                SELECT day, uniqExactIf(user_id, toDate(dt) = day) AS dau,
                    uniqExactIf(user_id, toDate(dt) > day - 7) AS wau, uniqExact(user_id) AS mau
                FROM days CROSS JOIN analytics.events AS e WHERE toDate(e.dt) BETWEEN day - 29 AND day GROUP BY day)
            SELECT day, brute.dau, mart.dau, brute.wau, mart.wau, brute.mau, mart.mau
            FROM brute LEFT JOIN analytics.users_activity AS mart ON mart.date = brute.day
            WHERE (brute.dau, brute.wau, brute.mau) != (mart.dau, mart.wau, mart.mau)",
        )
        .await?;
    ensure!(wrong.is_empty(), "{wrong}");
    stack.down().await
}
