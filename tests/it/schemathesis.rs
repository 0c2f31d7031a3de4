//! schemathesis against the functions: requests that the OpenAPI document allows are accepted, requests that it forbids are
//! refused, and every answer is one that it names.

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::process::{PATIENCE, scratch, setting};
use crate::stack::Stack;

#[tokio::test]
async fn finds_nothing() -> anyhow::Result<()> {
    let stack = Stack::up_plain().await?;
    let events = run(&stack, "events").await?;
    ensure!(events >= 500, "only {events} requests to /events");
    // Without their marts the others have nothing to answer from.
    stack.weir(&["dbt"]).await?;
    for (name, least) in [
        ("activity", 50),
        ("sessions", 50),
        ("experiments", 10),
        ("retention", 50),
        ("funnel", 50),
    ] {
        let requests = run(&stack, name).await?;
        ensure!(requests >= least, "only {requests} requests to /{name}");
    }
    stack.down().await
}

/// All checks, phases and modes against the paths of one function; how many requests that were. As plain servers the functions have
/// a port each, and schemathesis sends everything to one address: so it is run for each.
async fn run(stack: &Stack, function: &str) -> anyhow::Result<u64> {
    let docs = stack.url("docs").strip_suffix("/docs").context("docs has a path")?;
    let base = stack.url(function).strip_suffix(&format!("/{function}"));
    // It leaves its reports and its database where it runs, and reads a configuration from there.
    let folder = scratch();
    let mut schemathesis = Command::new(setting("WEIR_SCHEMATHESIS").join("bin/schemathesis"));
    schemathesis
        .arg("run")
        .arg(format!("{docs}/openapi.json"))
        .args(["--url", base.context("the function has a path")?])
        .args(["--include-path-regex", &format!("^/{function}")])
        .args([
            "--checks",
            "all",
            "--mode",
            "all",
            "--max-examples",
            "25",
            "--seed",
            "1",
        ])
        .args(["--generation-database", "none", "--no-color"])
        .current_dir(folder.path())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE * 3, schemathesis.output())
        .await
        .context("schemathesis did not end")??;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "schemathesis: {}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let (cases, _) = said
        .split_once(" generated, ")
        .with_context(|| format!("no summary:\n{said}"))?;
    let count = cases.rsplit(char::is_whitespace).next().unwrap_or_default();
    count.parse().with_context(|| format!("no number of cases: {count}"))
}
