//! The loader against the real engine, as Firehose calls it.

mod rows;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use uuid::Uuid;

use crate::process::{PATIENCE, Service, http, scratch, setting, weir_ok};
use crate::sql::Sql;
use crate::stack::Stack;

/// A line as the events function writes it.
pub fn line(id: Uuid, dt: &str) -> String {
    line_with(id, dt, json!({}))
}

/// The same with other values for some fields.
fn line_with(id: Uuid, dt: &str, other: Value) -> String {
    let mut event = json!({
        "event_id": id, "received_at": "2024-05-17T10:20:31.125Z", "dt": dt, "name": "view", "user_id": 1,
        "url": "http://shop.example/", "obj": "page", "obj_id": "main", "product_id": 0, "amount": 1.5, "exp": {"e": "a"},
    });
    if let (Some(event), Value::Object(other)) = (event.as_object_mut(), other) {
        event.extend(other);
    }
    format!("{event}\n")
}

/// Delivers records to the loader as Firehose does.
pub async fn deliver(stack: &Stack, key: &str, request_id: &str, records: &[String]) -> anyhow::Result<(u16, Value)> {
    let records: Vec<_> = records
        .iter()
        .map(|data| json!({"data": STANDARD.encode(data)}))
        .collect();
    let body = json!({"requestId": request_id, "timestamp": 1_700_000_000_000_u64, "records": records});
    let answer = http()
        .post(stack.url("loader"))
        .header("content-type", "application/json")
        .header("x-amz-firehose-protocol-version", "1.0")
        .header("x-amz-firehose-request-id", request_id)
        .header(
            "x-amz-firehose-source-arn",
            "arn:aws:firehose:us-east-1:000000000000:deliverystream/weir-events",
        )
        .header("x-amz-firehose-access-key", key)
        .body(body.to_string())
        .send()
        .await?;
    let status = answer.status().as_u16();
    ensure!(
        answer.headers()["content-type"] == "application/json",
        "{:?}",
        answer.headers()
    );
    let answer: Value = answer.json().await?;
    ensure!(
        answer["requestId"] == request_id && answer["timestamp"].is_u64(),
        "{answer}"
    );
    Ok((status, answer))
}

/// The deployed program itself, as a plain server: it ends before it listens, and says why in one line.
#[tokio::test]
async fn without_a_key_there_is_no_loader() -> anyhow::Result<()> {
    let program = setting("WEIR_BIN").with_file_name("loader");
    let run = |key: Option<&str>| {
        let mut command = tokio::process::Command::new(&program);
        command.env_clear().env("PORT", "0").kill_on_drop(true);
        command.env("CLICKHOUSE_URL", "http://127.0.0.1:1");
        if let Some(key) = key {
            command.env("FIREHOSE_ACCESS_KEY", key);
        }
        command
    };
    for (key, why) in [
        (None, "is not set"),
        (Some(""), "is not set"),
        (Some("    "), "a blank"),
        (Some(" 0123456789abcdef"), "a blank"),
        (Some("short"), "fewer than 16 characters"),
        (Some("0123456789\u{e9}abcdef"), "printable ASCII"),
    ] {
        let output = tokio::time::timeout(PATIENCE, run(key).output()).await??;
        let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
        ensure!(output.status.code() == Some(2), "{key:?}: {} {err}", output.status);
        ensure!(
            out.is_empty()
                && err.lines().count() == 1
                && err.starts_with("error: FIREHOSE_ACCESS_KEY ")
                && err.contains(why),
            "{key:?}: {out}{err}"
        );
        ensure!(
            key.is_none_or(|key| key.trim().is_empty() || !err.contains(key)),
            "{err}"
        );
    }
    // With one it listens.
    let mut child = run(Some("0123456789abcdef"))
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stderr.take().context("no stderr")?).lines();
    let first = tokio::time::timeout(PATIENCE, lines.next_line()).await??;
    ensure!(
        first.as_deref().is_some_and(|line| line.contains("listening")),
        "{first:?}"
    );
    child.kill().await?;
    Ok(())
}

#[tokio::test]
async fn a_delivery_is_stored_once_however_often_it_comes() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (key, sql) = (stack.variable("FIREHOSE_ACCESS_KEY")?, stack.sql());
    let ids: Vec<_> = (0..3).map(|_| Uuid::new_v4()).collect();
    // Three months in one delivery, packed as the events function packs them.
    let lines: Vec<_> = ids
        .iter()
        .zip(["2024-03-31", "2024-04-01", "2024-05-31"])
        .map(|(id, day)| line(*id, &format!("{day}T23:59:59Z")))
        .collect();
    let records = [format!("{}{}", lines[0], lines[1]), lines[2].clone(), String::new()];
    for request_id in ["first", "first", "under-another-id"] {
        let (status, answer) = deliver(&stack, &key, request_id, &records).await?;
        ensure!(status == 200, "{status} {answer}");
    }
    ensure!(sql.number("SELECT count() FROM analytics.events").await? == 3);
    let stored = sql
        .run("SELECT dt, amount, exp, received_at FROM analytics.events ORDER BY dt LIMIT 1")
        .await?;
    ensure!(
        stored == "2024-03-31 23:59:59\t1.5\t{'e':'a'}\t2024-05-17 10:20:31.125\n",
        "{stored}"
    );
    stack.down().await
}

#[tokio::test]
async fn what_cannot_be_a_row_is_quarantined_and_the_rest_lands() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (key, sql) = (stack.variable("FIREHOSE_ACCESS_KEY")?, stack.sql());
    let id = Uuid::new_v4();
    let records = [format!("not json\n{}", line(id, "2024-05-17T00:00:00Z"))];
    // The same bad line comes again, under another request id and in other company, and is kept once.
    let other = [line(id, "2024-05-17T00:00:00Z"), "worse\nnot json".to_owned()];
    for (request_id, records) in [
        ("with-poison", &records[..]),
        ("with-poison", &records[..]),
        ("other", &other[..]),
    ] {
        let (status, answer) = deliver(&stack, &key, request_id, records).await?;
        ensure!(status == 200, "{status} {answer}");
    }
    ensure!(sql.number("SELECT uniqExact(event_id) FROM analytics.events").await? == 1);
    let held = sql
        .run("SELECT raw, request_id, reason != '' FROM analytics.events_quarantine ORDER BY raw")
        .await?;
    ensure!(held == "not json\twith-poison\t1\nworse\tother\t1\n", "{held}");
    // The table gives a row without an id the same one.
    sql.run("INSERT INTO analytics.events_quarantine (stage, raw) SELECT 'json', 'not json'")
        .await?;
    let ids = sql
        .number("SELECT uniqExact(id) FROM analytics.events_quarantine WHERE raw = 'not json'")
        .await?;
    ensure!(ids == 1, "the migration and the loader make other ids");
    stack.down().await
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_stores_nothing() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (status, answer) = deliver(&stack, "wrong", "r", &[line(Uuid::new_v4(), "2024-05-17T00:00:00Z")]).await?;
    ensure!(status == 401 && answer["errorMessage"].is_string(), "{status} {answer}");
    ensure!(stack.sql().number("SELECT count() FROM analytics.events").await? == 0);
    stack.down().await
}

#[tokio::test]
async fn a_missing_table_fails_the_delivery_so_that_nothing_is_dropped() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (key, sql) = (stack.variable("FIREHOSE_ACCESS_KEY")?, stack.sql());
    let records = [line(Uuid::new_v4(), "2024-05-17T00:00:00Z")];
    sql.run("RENAME TABLE analytics.events TO analytics.events_away")
        .await?;
    let (status, answer) = deliver(&stack, &key, "early", &records).await?;
    ensure!(status >= 500 && answer["errorMessage"].is_string(), "{status} {answer}");
    sql.run("RENAME TABLE analytics.events_away TO analytics.events")
        .await?;
    let (status, _) = deliver(&stack, &key, "early", &records).await?;
    ensure!(status == 200 && sql.number("SELECT count() FROM analytics.events").await? == 1);
    stack.down().await
}

/// A loader that is newer than the table loses nothing, and what an older one stored is recognised.
#[tokio::test]
async fn a_request_id_waits_for_its_column() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (key, sql) = (stack.variable("FIREHOSE_ACCESS_KEY")?, stack.sql());
    let request_id = Uuid::new_v4().to_string();
    let one = line_with(
        Uuid::new_v4(),
        "2024-05-17T00:00:00Z",
        json!({"request_id": request_id}),
    );
    let records = [one.clone() + "no event\n"];
    sql.run("ALTER TABLE analytics.events DROP COLUMN request_id").await?;
    let (status, _) = deliver(&stack, &key, "early", &records).await?;
    ensure!(status >= 500, "{status}");
    ensure!(sql.number("SELECT count() FROM analytics.events_quarantine").await? == 0);
    sql.run("ALTER TABLE analytics.events ADD COLUMN request_id String DEFAULT '' AFTER received_at")
        .await?;
    // An older loader wrote the same without: here, lines of the same events without an id.
    let old = line(Uuid::new_v4(), "2024-05-17T00:00:00Z");
    let new = old.replace("\"url\"", &format!("\"request_id\":\"{request_id}\",\"url\""));
    for records in [&records[..], &records[..], &[old], &[new]] {
        let (status, _) = deliver(&stack, &key, "again", records).await?;
        ensure!(status == 200, "{status}");
    }
    let rows = sql
        .run("SELECT request_id FROM analytics.events ORDER BY request_id")
        .await?;
    ensure!(rows == format!("\n{request_id}\n"), "{rows}");
    // The side door works with the column.
    sql.run("INSERT INTO analytics.events_buffer (dt, name, request_id) VALUES ('2024-05-17 00:00:00', 'typed', 'ab')")
        .await?;
    let typed = "SELECT request_id FROM analytics.events_buffer WHERE name = 'typed'";
    ensure!(sql.run(typed).await? == "ab\n");
    sql.run("OPTIMIZE TABLE analytics.events_buffer").await?;
    ensure!(sql.run(&typed.replace("_buffer", "")).await? == "ab\n");
    stack.down().await
}

#[tokio::test]
async fn a_backfill_run_twice_stores_once() -> anyhow::Result<()> {
    let dir = scratch();
    let server = Service::clickhouse(dir.path()).await?;
    weir_ok(dir.path(), &["migrate", "--clickhouse-url", &server.url]).await?;
    let mut counts = Vec::new();
    for _ in 0..2 {
        let args = [
            "generate",
            "--backfill",
            "--days",
            "70",
            "--events",
            "5000",
            "--seed",
            "3",
            "--to",
            "2024-05-17",
        ];
        let output = crate::process::weir(dir.path(), &args)
            .env("CLICKHOUSE_URL", &server.url)
            .output()
            .await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        counts.push(
            Sql::new(&server.url)
                .number("SELECT count() FROM analytics.events")
                .await?,
        );
    }
    ensure!(counts[0] >= 4500 && counts[0] == counts[1], "{counts:?}");
    server.stop().await
}

/// A table that a materialized view fills counts each event once, too, when it has a dedup window.
#[tokio::test]
async fn a_view_on_the_table_counts_a_delivery_once() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (key, sql) = (stack.variable("FIREHOSE_ACCESS_KEY")?, stack.sql());
    sql.run(
        "CREATE TABLE analytics.seen (name String, events UInt64) ENGINE = SummingMergeTree ORDER BY name
         SETTINGS non_replicated_deduplication_window = 10000",
    )
    .await?;
    sql.run(
        "CREATE MATERIALIZED VIEW analytics.seen_view TO analytics.seen AS
         SELECT toString(name) AS name, count() AS events FROM analytics.events GROUP BY name",
    )
    .await?;
    let counts = async || -> anyhow::Result<(u64, u64)> {
        let rows = sql.number("SELECT count() FROM analytics.events").await?;
        Ok((rows, sql.number("SELECT sum(events) FROM analytics.seen").await?))
    };
    // Two months, two events each.
    let delivery = |day: &str| -> Vec<String> {
        ["2024-03", "2024-03", "2024-05", "2024-05"]
            .iter()
            .map(|month| line(Uuid::new_v4(), &format!("{month}-{day}T00:00:00Z")))
            .collect()
    };
    let (first, other) = (delivery("01"), delivery("02"));
    for (request_id, records) in [
        ("a", &first),
        ("a", &first),
        ("b", &other),
        ("c", &first),
        ("b", &other),
    ] {
        let (status, answer) = deliver(&stack, &key, request_id, records).await?;
        ensure!(status == 200, "{status} {answer}");
    }
    ensure!(counts().await? == (8, 8), "{:?}", counts().await?);
    stack.kill("clickhouse").await?;
    crate::process::eventually("the engine is back and the delivery is taken", async || {
        let (status, _) = deliver(&stack, &key, "after-a-crash", &first).await?;
        Ok((status == 200).then_some(()))
    })
    .await?;
    ensure!(counts().await? == (8, 8), "after a restart: {:?}", counts().await?);
    stack.down().await
}

#[tokio::test]
async fn events_per_minute_counts_each_event_once() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (key, sql) = (stack.variable("FIREHOSE_ACCESS_KEY")?, stack.sql());
    let at = async |hours: u32| {
        let text = format!("SELECT formatDateTime(now() - INTERVAL {hours} HOUR, '%FT%H:%i:00Z', 'UTC')");
        anyhow::Ok(sql.run(&text).await?.trim().to_owned())
    };
    let (minute, earlier) = (at(0).await?, at(30).await?);
    let (id, other) = (Uuid::new_v4(), Uuid::new_v4());
    // What a client sends again comes with another received_at, and so is another delivery; what is a month old is not live.
    let first = vec![
        line(id, &minute),
        line(other, &earlier),
        line(Uuid::new_v4(), "2024-05-17T00:00:00Z"),
    ];
    let again: Vec<_> = [&first[0], &first[1]]
        .map(|line| line.replace("\"received_at\":\"2024", "\"received_at\":\"2025"))
        .into();
    ensure!(again[0] != first[0], "{}", first[0]);
    let live = "SELECT sum(events) FROM analytics.events_per_minute";
    for (request_id, records) in [("a", &first), ("a", &first), ("b", &first), ("c", &again)] {
        let (status, answer) = deliver(&stack, &key, request_id, records).await?;
        ensure!(status == 200, "{status} {answer}");
        // It is there when the delivery is answered.
        let events = sql.number(live).await?;
        ensure!(events == 2, "after {request_id}: {events}");
    }
    stack.kill("clickhouse").await?;
    crate::process::eventually("the engine is back and the delivery is taken", async || {
        let (status, _) = deliver(&stack, &key, "after-a-crash", &first).await?;
        Ok((status == 200).then_some(()))
    })
    .await?;
    ensure!(sql.number(live).await? == 2, "after a restart");
    let minutes = sql
        .number("SELECT uniqExact(minute) FROM analytics.events_per_minute")
        .await?;
    ensure!(minutes == 2, "{minutes} minutes");
    stack.down().await
}

#[tokio::test]
async fn dates_over_more_months_than_an_insert_may_have_land() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (key, sql) = (stack.variable("FIREHOSE_ACCESS_KEY")?, stack.sql());
    let records: Vec<_> = (0..130)
        .map(|month| {
            line(
                Uuid::new_v4(),
                &format!("{}-{:02}-17T00:00:00Z", 2010 + month / 12, 1 + month % 12),
            )
        })
        .collect();
    for _ in 0..2 {
        let (status, answer) = deliver(&stack, &key, "months", &records).await?;
        ensure!(status == 200, "{status} {answer}");
    }
    let months = sql
        .number("SELECT uniqExact(toYYYYMM(dt)) FROM analytics.events")
        .await?;
    ensure!(months == 130 && sql.number("SELECT count() FROM analytics.events").await? == 130);
    stack.down().await
}

#[tokio::test]
async fn rows_that_the_table_refuses_are_put_aside_and_the_rest_lands() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (key, sql) = (stack.variable("FIREHOSE_ACCESS_KEY")?, stack.sql());
    sql.run("ALTER TABLE analytics.events ADD CONSTRAINT few CHECK user_id < 1000")
        .await?;
    sql.run("ALTER TABLE analytics.events MODIFY COLUMN url FixedString(32)")
        .await?;
    let mut records: Vec<_> = (0..40)
        .map(|day| {
            line(
                Uuid::new_v4(),
                &format!("2024-{:02}-{:02}T00:00:00Z", 3 + day / 20, 1 + day % 20),
            )
        })
        .collect();
    let bad = [
        (7, "violated_constraint", json!({"user_id": 5000})),
        (8, "violated_constraint", json!({"user_id": 5001})),
        (
            33,
            "too_large_string_size",
            json!({"url": format!("http://shop.example/{}", "x".repeat(100))}),
        ),
    ];
    for (at, _, other) in &bad {
        records[*at] = line_with(Uuid::new_v4(), "2024-03-09T00:00:00Z", other.clone());
    }
    for request_id in ["poison", "poison", "again"] {
        let (status, answer) = deliver(&stack, &key, request_id, &records).await?;
        ensure!(status == 200, "{status} {answer}");
    }
    ensure!(sql.number("SELECT count() FROM analytics.events").await? == 37);
    let held = sql
        .run("SELECT stage, code, count() FROM analytics.events_quarantine GROUP BY stage, code ORDER BY code")
        .await?;
    ensure!(
        held == "insert\ttoo_large_string_size\t1\ninsert\tviolated_constraint\t2\n",
        "{held}"
    );
    let ids = sql
        .run("SELECT JSONExtractString(raw, 'event_id') FROM analytics.events_quarantine")
        .await?;
    for (at, code, _) in &bad {
        let event: Value = serde_json::from_str(&records[*at])?;
        ensure!(ids.contains(event["event_id"].as_str().unwrap_or("?")), "{code}");
    }
    let log = std::fs::read_to_string(stack.dir().join("logs/loader.log"))?;
    ensure!(
        !log.contains("5001") && !log.contains("xxxxxxxx"),
        "the log quotes the data"
    );
    stack.down().await
}

#[tokio::test]
async fn a_missing_column_fails_the_delivery_and_puts_nothing_aside() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (key, sql) = (stack.variable("FIREHOSE_ACCESS_KEY")?, stack.sql());
    let records = [line(Uuid::new_v4(), "2024-05-17T00:00:00Z")];
    sql.run("ALTER TABLE analytics.events RENAME COLUMN amount TO amount_away")
        .await?;
    let (status, answer) = deliver(&stack, &key, "early", &records).await?;
    ensure!(status >= 500, "{status} {answer}");
    ensure!(sql.number("SELECT count() FROM analytics.events_quarantine").await? == 0);
    sql.run("ALTER TABLE analytics.events RENAME COLUMN amount_away TO amount")
        .await?;
    let (status, answer) = deliver(&stack, &key, "early", &records).await?;
    ensure!(status == 200, "{status} {answer}");
    ensure!(sql.number("SELECT count() FROM analytics.events").await? == 1);
    stack.down().await
}

#[tokio::test]
async fn a_field_of_a_megabyte_lands_beside_its_neighbours() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (key, sql) = (stack.variable("FIREHOSE_ACCESS_KEY")?, stack.sql());
    let long = line_with(
        Uuid::new_v4(),
        "2024-05-17T00:00:00Z",
        json!({"obj_id": "x".repeat(1_000_000)}),
    );
    let broken = format!("{{\"obj_id\":\"{}", "y".repeat(1_000_000));
    let records = [long, broken, line(Uuid::new_v4(), "2024-05-17T00:00:00Z")];
    let (status, answer) = deliver(&stack, &key, "long", &records).await?;
    ensure!(status == 200, "{status} {answer}");
    let stored = sql
        .run("SELECT count(), max(length(obj_id)) FROM analytics.events")
        .await?;
    ensure!(stored == "2\t1000000\n", "{stored}");
    let held = sql
        .run("SELECT code, length(raw) FROM analytics.events_quarantine")
        .await?;
    ensure!(held == "not_json\t1000011\n", "{held}");
    stack.down().await
}
