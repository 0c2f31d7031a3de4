//! What is read of what was sent: every mart, as JSON and as CSV.

use anyhow::{Context as _, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::process::http;
use crate::stack::{Stack, event};

/// The name of an experiment of which everything must be escaped on its way.
const ODD: &str = "it's {a}\\ \t?\n";

/// A stack with three events: of two users who saw a variant each on a Monday, and of one of them a week later.
async fn sent(stack: &Stack) -> anyhow::Result<()> {
    let mut ids = Vec::new();
    for (user, dt, variant) in [
        (1, "2024-05-13T10:00:00Z", Some("control")),
        (2, "2024-05-13T11:00:00Z", Some("green")),
        (1, "2024-05-20T10:00:00Z", None),
    ] {
        let id = Uuid::new_v4();
        let mut event = event(id, user, dt);
        if let Some(variant) = variant {
            event["exp"] = json!({ "button": variant });
        } else {
            event["exp"] = json!({ ODD: "a" });
        }
        stack.accept(&event).await?;
        ids.push(id);
    }
    ensure!(stack.arrived(&ids).await? == 3);
    stack.weir(&["dbt"]).await?;
    Ok(())
}

async fn json_of(stack: &Stack, name: &str, query: &str) -> anyhow::Result<Value> {
    let answer = stack.get(name, query, "application/json").await?;
    let (status, text) = (answer.status(), answer.text().await?);
    ensure!(status == StatusCode::OK, "{name}{query}: {status} {text}");
    Ok(serde_json::from_str(&text)?)
}

/// The rows of an answer, with these members only.
fn members(rows: &Value, names: &[&str]) -> Vec<Vec<Value>> {
    let rows = rows.as_array().into_iter().flatten();
    rows.map(|row| names.iter().map(|name| row[name].clone()).collect())
        .collect()
}

#[tokio::test]
async fn every_mart_is_read_as_json_and_csv() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let before = stack.get("funnel", "", "*/*").await?;
    ensure!(before.status() == StatusCode::NOT_FOUND, "{}", before.status());
    ensure!(before.text().await?.contains("it builds funnel"));
    sent(&stack).await?;

    let days = json_of(&stack, "activity", "?from=2024-05-20&to=2024-05-20").await?;
    let expected = json!({ "days": [{ "date": "2024-05-20", "dau": 1, "wau": 1, "mau": 2, "stickiness": 0.5, "new_users": 0,
        "returning_users": 1, "resurrected_users": 0 }] });
    ensure!(days == expected, "{days}");

    let cohorts = json_of(&stack, "retention", "?from=2024-05-13&to=2024-05-13").await?;
    let found = members(
        &cohorts["cohorts"],
        &["period", "cohort", "n", "cohort_size", "users", "rate"],
    );
    let expected = [
        json!(["week", "2024-05-13", 0, 2, 2, 1.0]),
        json!(["week", "2024-05-13", 1, 2, 1, 0.5]),
        json!(["week", "2024-05-13", 2, 2, 0, 0.0]),
    ];
    ensure!(
        found
            .iter()
            .zip(expected)
            .all(|(found, expected)| json!(found) == expected),
        "{found:?}"
    );
    ensure!(found.len() >= 3, "{found:?}");

    let steps = json_of(&stack, "funnel", "?from=2024-05-13&to=2024-05-20").await?;
    let names = [
        "date",
        "step",
        "step_name",
        "users",
        "conversion_from_first",
        "conversion_from_previous",
    ];
    let found = members(&steps["steps"], &names);
    ensure!(found.len() == 8, "{found:?}");
    ensure!(
        json!(found[0]) == json!(["2024-05-13", 1, "view", 2, 1.0, null]),
        "{found:?}"
    );
    ensure!(
        json!(found[1]) == json!(["2024-05-13", 2, "add_to_cart", 0, 0.0, 0.0]),
        "{found:?}"
    );
    ensure!(
        json!(found[2]) == json!(["2024-05-13", 3, "checkout", 0, 0.0, null]),
        "{found:?}"
    );
    let total = json_of(&stack, "funnel", "?from=2024-05-13&to=2024-05-20&total=true").await?;
    let found = members(&total["steps"], &names);
    let expected = json!([
        [null, 1, "view", 3, 1.0, null],
        [null, 2, "add_to_cart", 0, 0.0, 0.0],
        [null, 3, "checkout", 0, 0.0, null],
        [null, 4, "paid", 0, 0.0, null],
    ]);
    ensure!(json!(found) == expected, "{found:?}");

    let variants = json_of(&stack, "experiments", "?experiment=button").await?;
    let names = [
        "experiment",
        "variant",
        "is_control",
        "users",
        "conversions",
        "conversion_rate",
        "difference",
        "srm_p_value",
        "first_exposure",
    ];
    let found = members(&variants["variants"], &names);
    let expected = json!([
        ["button", "control", 1, 1, 0, 0.0, null, 1.0, "2024-05-13T10:00:00Z"],
        ["button", "green", 0, 1, 0, 0.0, 0.0, 1.0, "2024-05-13T11:00:00Z"],
    ]);
    ensure!(json!(found) == expected, "{found:?}");

    // CSV has the same rows under a line of names, and HEAD the same headers without any.
    let range = "?from=2024-05-13&to=2024-05-20";
    for (name, members) in [
        ("activity", "days"),
        ("sessions", "sessions"),
        ("experiments", "variants"),
        ("retention", "cohorts"),
        ("funnel", "steps"),
    ] {
        // A name of an experiment may have an end of line in it.
        let range = &format!("{range}&experiment=button");
        let rows = json_of(&stack, name, range).await?[members]
            .as_array()
            .map_or(0, Vec::len);
        let csv = stack.get(name, range, "text/csv").await?;
        ensure!(csv.headers()["cache-control"] == "public, max-age=60" && csv.headers()["vary"] == "Accept");
        let csv = csv.text().await?;
        ensure!(
            rows > 0 && csv.lines().count() == rows + 1,
            "{name}: {rows} rows\n{csv}"
        );
        let head = http().head(stack.url(name)).header("accept", "text/csv").send().await?;
        ensure!(head.status() == StatusCode::OK && head.headers()["content-type"] == "text/csv; charset=utf-8");
        ensure!(head.text().await?.is_empty());
    }
    pages_follow_one_another(&stack).await?;
    a_name_is_no_sql(&stack).await?;
    stack.down().await
}

async fn pages_follow_one_another(stack: &Stack) -> anyhow::Result<()> {
    let range = "from=2024-05-13&to=2024-05-20";
    let names = [
        "user_id",
        "started_at",
        "date",
        "duration_seconds",
        "events",
        "pages",
        "entry_url",
        "revenue",
    ];
    let session = |user: u64, at: &str| json!([user, at, at.split_at(10).0, 0, 1, 1, "http://shop.example/main", 0.0]);
    let first = json_of(stack, "sessions", &format!("?{range}&limit=2")).await?;
    let expected = json!([session(1, "2024-05-13T10:00:00Z"), session(2, "2024-05-13T11:00:00Z")]);
    ensure!(json!(members(&first["sessions"], &names)) == expected, "{first}");
    let next = first["next"].as_str().context("no next page")?;
    let csv = stack.get("sessions", &format!("?{range}&limit=2"), "text/csv").await?;
    ensure!(csv.headers()["x-next-after"] == next);
    let second = json_of(stack, "sessions", &format!("?{range}&limit=2&after={next}")).await?;
    let expected = json!([session(1, "2024-05-20T10:00:00Z")]);
    ensure!(
        json!(members(&second["sessions"], &names)) == expected && second["next"].is_null(),
        "{second}"
    );
    let one = json_of(stack, "sessions", &format!("?{range}&user_id=2")).await?;
    ensure!(one["sessions"].as_array().is_some_and(|list| list.len() == 1), "{one}");
    Ok(())
}

/// The name of an experiment may be any text.
async fn a_name_is_no_sql(stack: &Stack) -> anyhow::Result<()> {
    for (name, variants) in [
        ("button", 2),
        ("%27%20OR%201%3D1%20--%20", 0),
        ("%5C%27%0A%09%00%7B%7D%3F", 0),
        ("%C3%A4%F0%9F%98%80", 0),
        ("", 0),
    ] {
        let found = json_of(stack, "experiments", &format!("?experiment={name}")).await?;
        ensure!(
            found["variants"].as_array().is_some_and(|list| list.len() == variants),
            "{name}: {found}"
        );
    }
    // It is found by what it is, with everything that must be escaped on its way.
    let found = json_of(stack, "experiments", "?experiment=it%27s%20%7Ba%7D%5C%20%09%3F%0A").await?;
    ensure!(found["variants"][0]["experiment"] == ODD, "{found}");
    Ok(())
}

#[tokio::test]
async fn a_read_key_is_asked_for() -> anyhow::Result<()> {
    let stack = Stack::up_plain_set(&[("READ_KEYS", "first-key,second-key"), ("WRITE_KEYS", "writer")]).await?;
    for name in ["activity", "sessions", "experiments", "retention", "funnel"] {
        for (header, value, status, part) in [
            ("x-read-key", "second-key", 404, "mart_missing"),
            ("authorization", "Bearer first-key", 404, "mart_missing"),
            ("authorization", "Bearer writer", 401, "read_key_invalid"),
            ("x-write-key", "writer", 401, "read_key_missing"),
        ] {
            let answer = http().get(stack.url(name)).header(header, value).send().await?;
            let (found, no_store) = (answer.status(), answer.headers()["cache-control"] == "no-store");
            let text = answer.text().await?;
            ensure!(
                found == status && no_store && text.contains(part),
                "{name}, {header}: {value}: {found} {text}"
            );
        }
    }
    stack.down().await
}
