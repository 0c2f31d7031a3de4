//! `infra/s3queue.sql` on the real engine, against the functions' own reader of lines: the same rows, the same lines put aside.

use anyhow::{Context as _, ensure};
use event_model::Row;
use serde_json::{Value, json};

use crate::process::{Service, checkout, scratch, weir_ok};
use crate::sql::Sql;

/// Its statements, in their order.
fn statements() -> anyhow::Result<Vec<String>> {
    let sql = std::fs::read_to_string(checkout().join("infra/s3queue.sql"))?;
    let code: Vec<_> = sql.lines().filter(|line| !line.starts_with("--")).collect();
    let code = code
        .join("\n")
        .replace("{database}", "analytics")
        .replace("{on_cluster}", "")
        .replace("{url}", "https://weir-backup.s3.eu-central-1.amazonaws.com")
        .replace("{role}", "arn:aws:iam::123456789012:role/reader");
    let statements = code.split(";\n").map(str::trim).filter(|it| !it.is_empty());
    Ok(statements.map(str::to_owned).collect())
}

const GOOD: &str = concat!(
    r#"{"event_id":"0190a5b0-0000-7000-8000-000000000001","received_at":"2024-05-17T10:20:31.123Z","dt":"2024-05-17T10:20:30Z","#,
    r#""name":"view","user_id":18446744073709551615,"url":"http://a/ü","obj":"page","obj_id":"","product_id":0,"amount":1.5,"#,
    r#""exp":{"a":"1","b":"x\"y"}}"#
);

/// Lines, each with the one thing that is changed about it.
fn lines() -> anyhow::Result<Vec<String>> {
    let mut lines = vec![
        GOOD.to_owned(),
        "not json".to_owned(),
        "[1]".to_owned(),
        "7".to_owned(),
        "{}".to_owned(),
        format!("{GOOD}x"),
    ];
    for (from, to) in [
        ("18446744073709551615", "0"),
        ("18446744073709551615", "-1"),
        ("18446744073709551615", "1.5"),
        ("18446744073709551615", "\"7\""),
        ("18446744073709551615", "18446744073709551616"),
        ("\"product_id\":0", "\"product_id\":null"),
        ("\"product_id\":0,", ""),
        ("1.5", "0"),
        ("1.5", "1e300"),
        ("1.5", "-0.5"),
        ("1.5", "\"2\""),
        ("2024-05-17T10:20:30Z", "1970-01-01T00:00:00Z"),
        ("2024-05-17T10:20:30Z", "2106-02-07T06:28:15Z"),
        ("2024-05-17T10:20:30Z", "2106-02-07T06:28:16Z"),
        ("2024-05-17T10:20:30Z", "1969-12-31T23:59:59Z"),
        ("2024-05-17T10:20:30Z", "2024-02-30T10:20:30Z"),
        ("2024-05-17T10:20:30Z", "2024-05-17 10:20:30"),
        ("2024-05-17T10:20:31.123Z", "yesterday"),
        ("0190a5b0-0000-7000-8000-000000000001", "0190a5b0"),
        ("\"view\"", "\"\""),
        ("\"view\"", "\"a\\u0000\\n\\t\\\"b\""),
        ("\"view\"", "7"),
        ("{\"a\":\"1\",\"b\":\"x\\\"y\"}", "{}"),
        ("{\"a\":\"1\",\"b\":\"x\\\"y\"}", "{\"a\":1}"),
        ("{\"a\":\"1\",\"b\":\"x\\\"y\"}", "null"),
        ("{\"a\":\"1\",\"b\":\"x\\\"y\"}", "[]"),
        ("}}", "},\"later\":1}"),
        ("}}", "},\"request_id\":\"8f5e0c7a-3f1d-4e57-9f0a-5b8a4c1d2e3f\"}"),
        ("}}", "},\"request_id\":\"\"}"),
        ("}}", "},\"request_id\":\"8f5e0c7a-3f1d-4e57-9f0a-5b8a4c1d2e3f0\"}"),
        ("}}", "},\"request_id\":\"a\\n\"}"),
        ("}}", "},\"request_id\":\"a\\u0000\"}"),
        ("}}", "},\"request_id\":7}"),
        ("}}", "},\"request_id\":null}"),
    ] {
        lines.push(GOOD.replace(from, to));
    }
    // Each field is not there, and is of each other type.
    let good: serde_json::Map<String, Value> = serde_json::from_str(GOOD)?;
    for field in good.keys() {
        let mut changed = good.clone();
        changed.remove(field);
        lines.push(Value::from(changed.clone()).to_string());
        for value in [
            json!(null),
            json!(true),
            json!(7),
            json!("seven"),
            json!([]),
            json!({"a": "b"}),
        ] {
            changed.insert(field.clone(), value);
            lines.push(Value::from(changed.clone()).to_string());
        }
    }
    // Else they would replace one another in the table.
    let own = |(at, line): (usize, String)| line.replace("-8000-000000000001", &format!("-8000-{at:012}"));
    Ok(lines.into_iter().enumerate().map(own).collect())
}

fn told(row: &Row<'_>) -> Value {
    let exp: serde_json::Map<_, _> = row
        .exp
        .iter()
        .map(|(key, value)| (key.to_string(), json!(value)))
        .collect();
    json!([
        row.dt,
        row.name,
        row.user_id.to_string(),
        row.url,
        row.obj,
        row.obj_id,
        row.product_id.to_string(),
        row.amount,
        exp,
        row.event_id.to_string(),
        row.received_at.to_string(),
        row.request_id
    ])
}

#[tokio::test]
async fn it_stores_and_puts_aside_what_the_loader_would() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    weir_ok(dir.path(), &["migrate", "--clickhouse-url", &server.url]).await?;
    let sql = Sql::new(&server.url);
    let mut statements = statements()?;
    ensure!(statements.len() == 5, "{statements:#?}");

    // The engine knows every setting, and stops where it would ask the Keeper that it does not have.
    let refused = sql.run(&statements[0]).await.err().context("there is no Keeper")?;
    ensure!(
        format!("{refused:#}").contains("There is no Zookeeper configuration"),
        "{refused:#}"
    );
    // In its place, a table that passes on what a test inserts.
    statements[0] = "CREATE TABLE analytics.events_s3queue (line String, _path String) ENGINE = Null".to_owned();
    for statement in &statements {
        sql.run(statement).await?;
    }

    let lines = lines()?;
    let mut insert = "INSERT INTO analytics.events_s3queue FORMAT JSONEachRow\n".to_owned();
    for line in &lines {
        insert.push_str(&json!({"line": line, "_path": "events/one"}).to_string());
        insert.push('\n');
    }
    insert.push_str(&json!({"line": "", "_path": "events/one"}).to_string());
    sql.run(&insert).await?;

    let (mut rows, mut aside) = (Vec::new(), Vec::new());
    for line in &lines {
        match Row::from_line(line.as_bytes()) {
            Ok(row) => rows.push(told(&row).to_string()),
            // ClickHouse's own reader takes a number of more than 64 bits for no JSON.
            Err(_) if line.contains("18446744073709551616") => {
                aside.push(json!(["json", "not_json", "", line]).to_string());
            }
            Err(error) => {
                aside.push(json!([error.stage(), error.code(), error.field().unwrap_or_default(), line]).to_string())
            }
        }
    }
    let settings =
        "SETTINGS output_format_json_quote_64bit_integers = 1, output_format_json_map_as_array_of_tuples = 0";
    let stored = "SELECT toUnixTimestamp(dt), name, toString(user_id), url, obj, obj_id, toString(product_id), amount, \
                  exp, event_id, toString(toUnixTimestamp64Milli(received_at)), request_id FROM analytics.events FORMAT JSONCompactEachRow";
    let kept = "SELECT stage, code, field, raw FROM analytics.events_quarantine FORMAT JSONCompactEachRow";
    for (query, mut expected) in [(stored, rows), (kept, aside)] {
        ensure!(expected.len() > 8, "{expected:#?}");
        let printed = sql.run(&format!("{query} {settings}")).await?;
        let mut found: Vec<String> = printed
            .lines()
            .map(|line| {
                let mut row: Value = serde_json::from_str(line)?;
                // ClickHouse writes the amount 0.0 as 0.
                if let Some(amount) = row.get_mut(7) {
                    *amount = json!(amount.as_f64());
                }
                Ok(row.to_string())
            })
            .collect::<anyhow::Result<_>>()?;
        found.sort();
        expected.sort();
        let only = |these: &[String], those: &[String]| -> Vec<String> {
            these.iter().filter(|it| !those.contains(it)).cloned().collect()
        };
        ensure!(
            found == expected,
            "only ClickHouse: {:#?}\nonly the loader: {:#?}",
            only(&found, &expected),
            only(&expected, &found)
        );
    }
    let object = sql
        .run("SELECT DISTINCT request_id FROM analytics.events_quarantine")
        .await?;
    ensure!(object == "events/one\n", "{object}");
    server.stop().await
}
