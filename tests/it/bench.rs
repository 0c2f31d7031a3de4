//! `weir bench`: its parts run, and what they say of what they did agrees with itself. How fast anything is, no test says.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::process::{scratch, weir_ok};

#[tokio::test]
async fn events_go_through_a_stack_of_its_own_and_are_all_there() -> anyhow::Result<()> {
    let folder = scratch();
    let args = [
        "bench",
        "--end-to-end",
        "--unoptimised",
        "--seconds",
        "1",
        "--connections",
        "2",
        "--json",
    ];
    // It ends well only if each event that was acknowledged is a row, and one only.
    let figures: Value = serde_json::from_str(&weir_ok(folder.path(), &args).await?)?;
    let figures = figures.as_array().context("a list of figures")?;
    let number = |what: &str| {
        let found = figures.iter().find(|figure| figure["what"] == what);
        let found = found.and_then(|figure| figure["figure"].as_f64());
        found.with_context(|| format!("{what}: {figures:?}"))
    };
    for batch in ["single", "by 100"] {
        let number = |what: &str| number(&format!("2 connections, {batch}: {what}"));
        ensure!(number("acknowledged")? > 0.0 && number("landed")? > 0.0, "{figures:?}");
        ensure!(
            number("p50 of a request")? <= number("p99 of a request")?,
            "{figures:?}"
        );
        let (half, most) = (number("from 200 to a row, p50")?, number("from 200 to a row, longest")?);
        ensure!(0.0 < half && half <= most, "{figures:?}");
        ensure!(
            number("CPU a 1,000 events")? > 0.0 && number("peak memory")? > 10.0,
            "{figures:?}"
        );
    }
    ensure!(
        figures.iter().all(|figure| figure["part"] == "end-to-end"),
        "{figures:?}"
    );
    Ok(())
}
