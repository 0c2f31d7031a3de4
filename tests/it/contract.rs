//! `POST /events` as a contract: the recorded cases of the service that Weir replaces, batches, retries, senders.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

use crate::clients::ended_ok;
use crate::process::{checkout, eventually, http, setting};
use crate::stack::{Stack, event};

/// One recorded case: a body, and what the service answered to it.
#[derive(Deserialize)]
struct Case {
    id: u32,
    body: Option<String>,
    body_b64: Option<String>,
    status: u16,
    event: Option<Box<RawValue>>,
    #[serde(default)]
    errors: Vec<(String, Value)>,
    stored: Option<String>,
}

/// What Weir must make of a case.
#[derive(Debug, PartialEq)]
enum Expected {
    /// Accepted; the columns of the row, `dt` in seconds.
    Row(Value),
    /// 422 at these places.
    Refused(BTreeSet<String>),
    /// 422 somewhere: there that service broke, or accepted what no table holds.
    RefusedSomewhere,
    /// 400.
    Undecodable,
}

impl Case {
    fn body(&self) -> anyhow::Result<Vec<u8>> {
        match (&self.body, &self.body_b64) {
            (Some(text), _) => Ok(text.clone().into_bytes()),
            (None, Some(base64)) => Ok(STANDARD.decode(base64)?),
            (None, None) => anyhow::bail!("case {} has no body", self.id),
        }
    }

    fn expected(&self) -> anyhow::Result<Expected> {
        let body = self.body()?;
        // Only UTF-8 is read. What CPython takes for UTF-16 or UTF-32 begins with their mark, or has a zero byte beside
        // one of its first two characters.
        let wide = match body.get(..2) {
            Some([0xFE, 0xFF] | [0xFF, 0xFE]) => true,
            Some([0, _] | [_, 0]) => body.len() >= 4 || body.len() == 2,
            _ => false,
        };
        Ok(match self.status {
            400 => Expected::Undecodable,
            _ if wide => Expected::Undecodable,
            500 => Expected::RefusedSomewhere,
            422 => Expected::Refused(self.errors.iter().map(|(_, loc)| loc.to_string()).collect()),
            _ => self.row().map_or(Expected::RefusedSomewhere, Expected::Row),
        })
    }

    /// The row of an accepted event; `None` when no table holds it.
    fn row(&self) -> Option<Value> {
        let mut row: BTreeMap<String, Value> = serde_json::from_str(self.event.as_ref()?.get()).ok()?;
        let dt: i64 = self.stored.as_ref()?.split('\t').next()?.parse().ok()?;
        row.insert("dt".into(), json!(u32::try_from(dt).ok()?));
        if row.get("exp") == Some(&Value::Null) {
            row.insert("exp".into(), json!({}));
        }
        let fits = row["user_id"].is_u64() && row["product_id"].is_u64() && row["amount"].is_number();
        fits.then(|| json!(row))
    }
}

fn cases() -> anyhow::Result<Vec<Case>> {
    let text = std::fs::read_to_string(checkout().join("tests/fixtures/contract.jsonl"))?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// A request to `events` with that path behind it.
fn post(stack: &Stack, path: &str, content_type: &str) -> RequestBuilder {
    let url = format!("{}{path}", stack.url("events"));
    http().post(url).header("content-type", content_type)
}

async fn answer(request: RequestBuilder) -> anyhow::Result<(u16, Value)> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let text = response.text().await?;
    Ok((
        status,
        serde_json::from_str(&text).with_context(|| format!("{status}: {text:?}"))?,
    ))
}

/// The places that issues or verdicts name, but for those where only Weir is so strict: what no table holds.
fn locs<'a>(issues: impl IntoIterator<Item = &'a Value>) -> BTreeSet<String> {
    let stricter = ["less_than_equal", "finite_number", "string_unicode"];
    issues
        .into_iter()
        .filter(|issue| {
            let kind = issue["type"].as_str().unwrap_or_default();
            let before_1970 = kind == "greater_than_equal" && issue["loc"][1] == "dt";
            !before_1970 && !stricter.contains(&kind)
        })
        .map(|issue| issue["loc"].to_string())
        .collect()
}

#[tokio::test]
async fn the_recorded_cases_end_as_they_did() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let cases = cases()?;
    let mut rows = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in &cases {
        let key = format!("case-{}", case.id);
        let send = async |path| {
            answer(
                post(&stack, path, JSON)
                    .header("idempotency-key", &key)
                    .body(case.body()?),
            )
            .await
        };
        let (status, body) = send("/").await?;
        let (dry_status, dry) = send("/validate").await?;
        let expected = case.expected()?;
        let agrees = match &expected {
            Expected::Row(row) => {
                let id = dry["events"][0]["event_id"].as_str().unwrap_or_default().to_owned();
                rows.insert(id, row.clone());
                status == 200 && body == json!({"accepted": 1})
            }
            Expected::Refused(expected) => {
                status == 422 && locs(body["detail"].as_array().into_iter().flatten()) == *expected
            }
            Expected::RefusedSomewhere => status == 422,
            Expected::Undecodable => status == 400,
        };
        if !agrees || dry_status != status || (status != 200 && dry != body) {
            wrong.push(format!(
                "case {}: {expected:?}, but {status} {body}; {dry_status} {dry}",
                case.id
            ));
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} of {} differ\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );

    let ids: Vec<Uuid> = rows.keys().map(|id| id.parse()).collect::<Result<_, _>>()?;
    stack.arrived(&ids).await?;
    let stored = stack
        .sql()
        .run(
            "SELECT event_id, toUnixTimestamp(dt) AS dt, name, user_id, url, obj, obj_id, product_id, amount, exp \
             FROM analytics.events FINAL FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 0",
        )
        .await?;
    for line in stored.lines() {
        let mut row: Value = serde_json::from_str(line)?;
        let id = row
            .as_object_mut()
            .and_then(|row| row.remove("event_id"))
            .unwrap_or_default();
        let expected = rows
            .remove(id.as_str().unwrap_or_default())
            .with_context(|| format!("unexpected: {row}"))?;
        ensure!(same(&row, &expected), "stored {row}\nexpected {expected}");
    }
    ensure!(rows.is_empty(), "not stored: {rows:?}");
    stack.down().await
}

/// Whether two rows are equal; a number is a number, with a fraction or without.
fn same(row: &Value, expected: &Value) -> bool {
    let (Some(row), Some(expected)) = (row.as_object(), expected.as_object()) else {
        return false;
    };
    row.len() == expected.len()
        && row
            .iter()
            .all(|(field, value)| match (field.as_str(), expected.get(field)) {
                ("amount", Some(amount)) => value.as_f64() == amount.as_f64(),
                (_, other) => other == Some(value),
            })
}

#[tokio::test]
async fn a_batch_of_the_recorded_cases_has_their_verdicts() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let mut lines = Vec::new();
    let (mut good, mut bad) = (0, BTreeMap::new());
    for case in cases()? {
        let body = case.body()?;
        let is_line = !body.trim_ascii().is_empty() && !body.contains(&b'\n') && body.get(..3) != Some(b"\xEF\xBB\xBF");
        if !is_line {
            continue;
        }
        let index = (good + bad.len()) as u64;
        match case.expected()? {
            Expected::Row(_) => good += 1,
            Expected::Refused(locs) => drop(bad.insert(index, Some(locs))),
            Expected::RefusedSomewhere | Expected::Undecodable => drop(bad.insert(index, None)),
        }
        lines.extend_from_slice(&body);
        lines.push(b'\n');
    }
    ensure!(good > 100 && bad.len() > 100, "{good} good, {} bad", bad.len());
    let (status, body) = answer(post(&stack, "", NDJSON).body(lines)).await?;
    ensure!(status == 200 && body["accepted"] == json!(good), "{status}: {body}");
    let mut found: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for verdict in body["rejected"].as_array().into_iter().flatten() {
        let index = verdict["index"].as_u64().context("an index")?;
        found.entry(index).or_default().push(verdict);
    }
    ensure!(found.keys().eq(bad.keys()), "{:?}\n{:?}", found.keys(), bad.keys());
    for (index, expected) in bad {
        if let Some(expected) = expected {
            let verdicts = &found[&index];
            ensure!(
                locs(verdicts.iter().copied()) == expected,
                "{index}: {verdicts:?}, not {expected:?}"
            );
        }
    }
    stack.down().await
}

/// As many events as fit into `bytes`, each another user's, with `between` between them.
fn events_in(bytes: usize, between: u8) -> (Vec<u8>, u64) {
    let (mut body, mut users) = (Vec::with_capacity(bytes), 0);
    loop {
        let next = event(Uuid::from_u128(u128::from(users) + 1), users, "2024-05-17T10:20:30Z").to_string();
        if body.len() + 1 + next.len() > bytes {
            return (body, users);
        }
        if users > 0 {
            body.push(between);
        }
        body.extend_from_slice(next.as_bytes());
        users += 1;
    }
}

async fn users_arrive(stack: &Stack, users: u64) -> anyhow::Result<()> {
    let sql = stack.sql();
    eventually("every event of the batch is a row", async || {
        let stored = sql.number("SELECT uniqExact(user_id) FROM analytics.events").await?;
        Ok((stored == users).then_some(()))
    })
    .await
}

#[tokio::test]
async fn the_largest_batches_are_taken_and_larger_ones_are_not() -> anyhow::Result<()> {
    const MIB: usize = 1024 * 1024;
    let stack = Stack::up_plain().await?;
    let ndjson = |body: Vec<u8>| post(&stack, "", NDJSON).body(body);

    let (events, users) = events_in(6 * MIB - 2, b',');
    let array = [&b"["[..], &events, b"]"].concat();
    ensure!(array.len() > 6 * MIB - 400, "{}", array.len());
    let answered = answer(post(&stack, "", JSON).body(array)).await?;
    ensure!(answered == (200, json!({"accepted": users})), "{answered:?}");
    users_arrive(&stack, users).await?;

    let (lines, users) = events_in(12 * MIB, b'\n');
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&lines)?;
    let answered = answer(ndjson(gzip.finish()?).header("content-encoding", "gzip")).await?;
    ensure!(answered == (200, json!({"accepted": users})), "{answered:?}");
    users_arrive(&stack, users).await?;

    let (status, body) = answer(ndjson(vec![b' '; 6 * MIB + 1])).await?;
    ensure!(
        (status, &body["code"]) == (413, &json!("body_too_large")),
        "{status}: {body}"
    );
    // A gibibyte of spaces in a mebibyte.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..1024 {
        bomb.write_all(&vec![b' '; MIB])?;
    }
    let (status, body) = answer(ndjson(bomb.finish()?).header("content-encoding", "gzip")).await?;
    ensure!(
        (status, &body["code"]) == (413, &json!("body_too_large")),
        "{status}: {body}"
    );
    stack.down().await
}

/// The client never sees the first answer, and sends the same again; the second time another way.
#[tokio::test]
async fn what_is_sent_twice_counts_once() -> anyhow::Result<()> {
    let stack = Stack::up().await?;
    let without_id = |user: u64| {
        let mut event = event(Uuid::nil(), user, "2024-05-17T10:20:30Z");
        event.as_object_mut().map(|event| event.remove("event_id"));
        event
    };
    let batch = json!([without_id(1), without_id(1), without_id(2)]);
    for key in ["\"order-17\"", "order-17"] {
        let request = post(&stack, "", JSON)
            .header("idempotency-key", key)
            .body(batch.to_string());
        ensure!(answer(request).await? == (200, json!({"accepted": 3})));
    }
    let named = event(Uuid::new_v4(), 3, "2024-05-17T10:20:30Z");
    for _ in 0..2 {
        stack.accept(&named).await?;
    }
    let sql = stack.sql();
    eventually("both sendings of each event are rows", async || {
        Ok((sql.number("SELECT count() FROM analytics.events").await? >= 4
            && sql
                .number("SELECT uniqExact(received_at) FROM analytics.events")
                .await?
                >= 2)
            .then_some(()))
    })
    .await?;
    let counts = "SELECT groupArray((user_id, n)) FROM \
                  (SELECT user_id, uniqExact(event_id) AS n FROM analytics.events GROUP BY user_id ORDER BY user_id)";
    ensure!(
        sql.run(counts).await? == "[(1,2),(2,1),(3,1)]\n",
        "{}",
        sql.run(counts).await?
    );
    ensure!(sql.number("SELECT count() FROM analytics.events FINAL").await? == 4);
    stack.down().await
}

/// What the emulator of Lambda would answer 500 to by itself: bytes that are no text under a type of text, and too many.
#[tokio::test]
async fn any_bytes_get_through_the_local_function_url() -> anyhow::Result<()> {
    let stack = Stack::up().await?;
    let batch = json!([event(Uuid::new_v4(), 1, "2024-05-17T10:20:30Z"), {}]).to_string();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(batch.as_bytes())?;
    let request = post(&stack, "", JSON).header("content-encoding", "gzip");
    let (status, body) = answer(request.body(gzip.finish()?)).await?;
    ensure!((status, &body["accepted"]) == (200, &json!(1)), "{status}: {body}");
    for (sent, expected) in [
        (b"{\"name\":\"\xFF\"}".to_vec(), (400, "undecodable_body")),
        (vec![b' '; 6 * 1024 * 1024 + 1], (413, "body_too_large")),
    ] {
        let (status, body) = answer(post(&stack, "", JSON).body(sent)).await?;
        ensure!(
            (status, body["code"].as_str()) == (expected.0, Some(expected.1)),
            "{status}: {body}"
        );
    }
    stack.down().await
}

/// With keys and origins set, through the emulator of Lambda: preflight, beacon, wrong key.
#[tokio::test]
async fn only_those_with_a_key_and_pages_of_ours_may_send() -> anyhow::Result<()> {
    let set = [
        ("WRITE_KEYS", "first-key,second-key"),
        ("ALLOWED_ORIGINS", "https://shop.example"),
    ];
    let stack = Stack::up_set(&set).await?;
    let (client, url) = (http(), stack.url("events"));
    let body = event(Uuid::new_v4(), 1, "2024-05-17T10:20:30Z").to_string();

    let (status, answered) = answer(post(&stack, "", JSON).body(body.clone())).await?;
    ensure!(
        (status, &answered["code"]) == (401, &json!("write_key_missing")),
        "{status}: {answered}"
    );
    let preflight = client
        .request(Method::OPTIONS, url)
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,x-write-key")
        .send()
        .await?;
    ensure!(preflight.status() == StatusCode::NO_CONTENT, "{}", preflight.status());
    ensure!(preflight.headers()["access-control-allow-origin"] == "https://shop.example");
    let beacon = |origin: &str| {
        let to = format!("{url}?key=second-key");
        client
            .post(to)
            .header("origin", origin)
            .header("content-type", "text/plain;charset=UTF-8")
            .body(body.clone())
    };
    let (status, answered) = answer(beacon("https://evil.example")).await?;
    ensure!(
        (status, &answered["code"]) == (403, &json!("origin_not_allowed")),
        "{status}: {answered}"
    );
    let (status, answered) = answer(beacon("https://shop.example")).await?;
    ensure!(
        (status, &answered) == (200, &json!({"accepted": 1})),
        "{status}: {answered}"
    );
    let generated = ["generate", "--events", "100", "--days", "2", "--batch", "30"];
    let refused = stack.weir(&generated).await.err().context("a key is needed")?;
    ensure!(format!("{refused:#}").contains("401"), "{refused:#}");
    stack
        .weir(&[&generated[..], &["--write-key", "first-key"]].concat())
        .await?;
    stack.down().await
}

/// A real page in a real browser: a preflight and a fetch, and a beacon that outlives its page.
#[tokio::test]
async fn a_page_sends_by_fetch_and_by_beacon() -> anyhow::Result<()> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port()
        .to_string();
    let origin = format!("http://127.0.0.1:{port}");
    let stack = Stack::up_set(&[("WRITE_KEYS", "page-key"), ("ALLOWED_ORIGINS", &origin)]).await?;
    let mut node = Command::new("node");
    node.arg(checkout().join("tests/clients/send_from_page.mjs"))
        .args([stack.url("events"), "page-key", "77"])
        .env("SITE_PORT", &port)
        .env("WEIR_CLIENTS_NODE", setting("WEIR_CLIENTS_NODE"))
        .env("WEIR_CHROMIUM", setting("WEIR_CHROMIUM"));
    ended_ok(node).await?;
    let sql = stack.sql();
    eventually("what was fetched and beaconed is there", async || {
        let names = sql
            .run("SELECT arraySort(groupArray(name)) FROM analytics.events WHERE user_id = 77")
            .await?;
        Ok((names == "['leave','view']\n").then_some(()))
    })
    .await?;
    stack.down().await
}
