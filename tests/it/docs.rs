//! The documentation, as people and their tools see it.

use anyhow::ensure;
use tokio::process::Command;

use crate::clients::{ended_ok, python};
use crate::process::{checkout, eventually, setting};
use crate::stack::Stack;

#[tokio::test]
async fn a_browser_sends_an_event_from_the_docs() -> anyhow::Result<()> {
    let stack = Stack::up().await?;
    let answer = open_docs(&stack).await?;
    ensure!(answer.starts_with("{\"accepted\":1}\n"), "{answer}");
    let sql = stack.sql();
    eventually("the event is a row", async || {
        let rows = sql.run("SELECT name, user_id, obj FROM analytics.events").await?;
        Ok((rows == "view\t42\tpage\n").then_some(()))
    })
    .await?;

    // Under the router of cargo-lambda too, a slash at the end and a path that is not there.
    let page = stack.get("docs", "/", "text/html").await?;
    ensure!(page.status() == 200 && page.text().await?.contains("<title>Weir"));
    let nothing = stack.get("docs", "/nothing.js", "*/*").await?;
    ensure!(nothing.status() == 404 && nothing.text().await?.contains("not_found"));
    stack.down().await
}

#[tokio::test]
async fn the_document_is_valid_and_leads_to_every_function() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    // Each function has an address of its own here: the page sends to another origin.
    let answer = open_docs(&stack).await?;
    ensure!(answer.starts_with("{\"accepted\":1}\n"), "{answer}");

    let document = stack.url("docs").replace("/docs", "/openapi.json");
    let printed = python("validate_openapi.py", &[&document]).await?;
    let examples: usize = printed.lines().next().unwrap_or_default().parse()?;
    ensure!(examples >= 40, "{printed}");

    let document: serde_json::Value = crate::process::http().get(&document).send().await?.json().await?;
    for (path, name) in [
        ("/events", "events"),
        ("/activity", "activity"),
        ("/sessions", "sessions"),
        ("/experiments", "experiments"),
        ("/retention", "retention"),
        ("/funnel", "funnel"),
    ] {
        let server = document["paths"][path]["servers"][0]["url"]
            .as_str()
            .unwrap_or_default();
        ensure!(format!("{server}{path}") == stack.url(name), "{path}: {server}");
    }
    stack.down().await
}

async fn open_docs(stack: &Stack) -> anyhow::Result<String> {
    let mut node = Command::new("node");
    node.arg(checkout().join("tests/clients/open_docs.mjs"))
        .arg(stack.url("docs"))
        .arg(stack.url("events"))
        .env("WEIR_CLIENTS_NODE", setting("WEIR_CLIENTS_NODE"))
        .env("WEIR_CHROMIUM", setting("WEIR_CHROMIUM"));
    ended_ok(node).await
}
