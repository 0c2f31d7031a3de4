//! `weir quarantine`: bad lines are looked at, corrected, and replayed through the front door.

use anyhow::{Context as _, ensure};
use serde_json::Value;
use uuid::Uuid;

use crate::loader::{deliver, line};
use crate::stack::Stack;

/// The lines that `ls --json` shows, by their code.
async fn listed(stack: &Stack, args: &[&str]) -> anyhow::Result<Vec<Value>> {
    let output = stack.weir(&[&["quarantine", "ls", "--json"], args].concat()).await?;
    output.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn id_of(lines: &[Value], code: &str) -> anyhow::Result<String> {
    let line = lines.iter().find(|line| line["code"] == code);
    Ok(line.with_context(|| format!("no line with {code} in {lines:?}"))?["id"]
        .as_str()
        .context("an id")?
        .to_owned())
}

#[tokio::test]
async fn a_bad_line_is_corrected_and_replayed_once() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let (key, sql) = (stack.variable("FIREHOSE_ACCESS_KEY")?, stack.sql());
    let event_id = Uuid::new_v4();
    let negative = line(event_id, "2024-05-17T00:00:00Z").replace("\"user_id\":1", "\"user_id\":-1");
    let (status, _) = deliver(&stack, &key, "bad", &[negative, "not \u{1b}[31m json\n".to_owned()]).await?;
    ensure!(status == 200);

    let lines = listed(&stack, &[]).await?;
    ensure!(
        lines.len() == 2 && lines.iter().all(|line| line["state"] == "new"),
        "{lines:?}"
    );
    let (wrong_field, no_json) = (id_of(&lines, "invalid_field")?, id_of(&lines, "not_json")?);
    ensure!(listed(&stack, &["--stage", "json"]).await?.len() == 1);
    ensure!(
        listed(&stack, &["--code", "invalid_field", "--since", "1h"])
            .await?
            .len()
            == 1
    );
    ensure!(listed(&stack, &["--limit", "1"]).await?.len() == 1);
    ensure!(listed(&stack, &["--since", "2100-01-01"]).await?.is_empty());
    let shown = stack
        .weir(&["quarantine", "show", no_json.get(..10).context("an id")?])
        .await?;
    ensure!(
        shown.contains(r"not \u{1b}[31m json") && !shown.contains('\u{1b}'),
        "{shown}"
    );

    // Neither is an event as it is.
    let (code, out, err) = stack.try_weir(&["quarantine", "replay", "--all", "--dry-run"]).await?;
    ensure!(
        code == 1 && out.contains("0 would be accepted") && out.contains("2 refused"),
        "{out}{err}"
    );
    ensure!(err.contains("user_id") && err.contains("weir quarantine fix"), "{err}");

    stack
        .weir(&["quarantine", "fix", &wrong_field, "--set", "user_id=7"])
        .await?;
    ensure!(id_of(&listed(&stack, &[]).await?, "invalid_field")? == wrong_field);
    let (code, out, _) = stack
        .try_weir(&["quarantine", "replay", &wrong_field, "--dry-run"])
        .await?;
    ensure!(code == 0 && out.contains("1 would be accepted"), "{out}");
    let (code, out, _) = stack.try_weir(&["quarantine", "replay", "--all"]).await?;
    ensure!(
        code == 1 && out.contains("1 accepted") && out.contains("1 refused"),
        "{out}"
    );
    ensure!(stack.arrived(&[event_id]).await? == 1);
    ensure!(sql.number("SELECT sum(user_id) FROM analytics.events").await? == 7);
    let (code, out, _) = stack.try_weir(&["quarantine", "replay", &wrong_field]).await?;
    ensure!(code == 0 && out.contains("0 accepted, 1 replayed before"), "{out}");
    let (code, _, err) = stack
        .try_weir(&["quarantine", "fix", &wrong_field, "--set", "user_id=8"])
        .await?;
    ensure!(code == 1 && err.contains("replayed already"), "{err}");

    // What is no JSON is given whole. It has no id, so it gets one of its own, always the same.
    let file = stack.dir().join("event.json");
    std::fs::write(
        &file,
        r#"{"dt": "2024-05-18", "name": "view", "user_id": 9,
            "url": "http://shop.example/", "obj": "page"}"#,
    )?;
    let fix = ["quarantine", "fix", &no_json, "--raw", &file.to_string_lossy()];
    let replayed = Uuid::new_v5(&no_json.parse()?, b"replay");
    for _ in 0..2 {
        stack.weir(&fix).await?;
        let out = stack.weir(&["quarantine", "replay", &no_json]).await?;
        ensure!(out.contains("1 accepted"), "{out}");
        stack.arrived(&[replayed]).await?;
        // As if the mark had been lost after the event was accepted.
        sql.run("TRUNCATE TABLE analytics.events_quarantine_actions").await?;
    }
    ensure!(sql.number("SELECT uniqExact(event_id) FROM analytics.events").await? == 2);
    crate::process::eventually("both copies are there, and count once", async || {
        let copies = sql
            .number("SELECT count() FROM analytics.events WHERE user_id = 9")
            .await?;
        Ok((copies == 2).then_some(()))
    })
    .await?;
    ensure!(sql.number("SELECT count() FROM analytics.events FINAL").await? == 2);

    let (code, _, err) = stack.try_weir(&["quarantine", "show", "ffffffff"]).await?;
    ensure!(code == 1 && err.contains("no line"), "{err}");
    stack.down().await
}
