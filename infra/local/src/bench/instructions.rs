//! How many instructions the benches take, by valgrind's callgrind: a number that does not depend on what else the machine
//! does. Each crate keeps its counts in `benches/instructions.ARCH.json`, for each kind of processor that somebody counted on; one that
//! grew is an error.
//!
//! The bench `instructions` of a crate is a program: `--list` prints its cases, and with a case it prepares it and calls
//! one function named `measured`, inside of which callgrind counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::Part;
use super::cargo;
use super::figure::Figure;
use crate::project::Project;
use crate::report::{self, Step};
use crate::tools;

/// The crates that have counts, and their folders.
const CRATES: [(&str, &str); 2] = [("events", "functions/events"), ("loader", "functions/loader")];

/// By how much a count may grow.
const TOLERANCE: f64 = 1.05;

/// Counts by case.
type Counts = BTreeMap<String, u64>;

/// Counts the cases of every crate, and compares with what is kept; with `accept`, keeps the new ones. What was counted is among
/// the figures also when it is too much.
pub(super) async fn run(project: &Project, accept: bool, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    let valgrind = tools::valgrind(project).await?;
    let mut grown = Vec::new();
    for (package, folder) in CRATES {
        let program = cargo::built(project.root(), package, "instructions").await?;
        let kept_in = project
            .root()
            .join(folder)
            .join(format!("benches/instructions.{}.json", std::env::consts::ARCH));
        let comparable = !accept && kept_in.is_file();
        if !accept && !comparable {
            report::say(format!("{} is missing: nothing to compare with", kept_in.display()));
        }
        let kept = if comparable { read(&kept_in)? } else { Counts::new() };
        let step = Step::begin(format!("{package}: count instructions"));
        let mut counts = Counts::new();
        for case in valgrind.cases(&program).await? {
            let count = valgrind.count(&program, &case).await?;
            let figure = Figure::new(
                Part::Instructions,
                format!("{package}: {case}"),
                count as f64 / 1e6,
                "million",
            );
            figures.push(match kept.get(&case) {
                Some(kept) => figure
                    .at_most(*kept as f64 * TOLERANCE / 1e6)
                    .of(format!("{kept} kept, {count} now")),
                None if !comparable => figure,
                None => bail!("{package}: {case} has no count in {}: {ACCEPT}", kept_in.display()),
            });
            counts.insert(case, count);
        }
        step.done();
        if let Some(gone) = kept.keys().find(|case| !counts.contains_key(*case)) {
            bail!(
                "{package}: {gone} is in {}, but no case any more: {ACCEPT}",
                kept_in.display()
            );
        }
        grown.extend(
            kept.iter()
                .filter_map(|(case, kept)| growth(package, case, *kept, *counts.get(case)?)),
        );
        if accept {
            let mut text = serde_json::to_string_pretty(&counts)?;
            text.push('\n');
            std::fs::write(&kept_in, text).with_context(|| format!("{} cannot be written", kept_in.display()))?;
            report::say(format!("kept in {}", kept_in.display()));
        }
    }
    if !grown.is_empty() {
        bail!("{}. If that is meant: {ACCEPT}", grown.join("; "));
    }
    Ok(())
}

const ACCEPT: &str = "keep the new counts with `cargo weir bench --instructions --accept`";

fn read(path: &Path) -> anyhow::Result<Counts> {
    let text = std::fs::read(path).with_context(|| format!("{} cannot be read: {ACCEPT}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} holds no counts", path.display()))
}

/// What to say about a count that grew too much.
fn growth(package: &str, case: &str, kept: u64, now: u64) -> Option<String> {
    let ratio = now as f64 / kept as f64;
    (ratio > TOLERANCE).then(|| {
        format!(
            "{package}: {case} takes {now} instructions, {:.1} % more than {kept}",
            (ratio - 1.0) * 100.0
        )
    })
}

impl tools::Valgrind {
    /// The cases of a program.
    async fn cases(&self, program: &Path) -> anyhow::Result<Vec<String>> {
        let mut command = tokio::process::Command::new(program);
        let output = tools::output(command.arg("--list"), "it was built just now").await?;
        Ok(output.lines().map(str::to_owned).collect())
    }

    /// The instructions inside of `measured`.
    async fn count(&self, program: &Path, case: &str) -> anyhow::Result<u64> {
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        let out: PathBuf = folder.path().join("callgrind.out");
        let mut command = self.command();
        command
            .args([
                "--tool=callgrind",
                "--collect-atstart=no",
                "--toggle-collect=*measured*",
            ])
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(program)
            .arg(case);
        tools::output(&mut command, "install valgrind").await?;
        let text = std::fs::read_to_string(&out).context("callgrind left no numbers")?;
        total(&text).with_context(|| format!("callgrind counted nothing of {case}"))
    }
}

/// The total of a file of callgrind's (<https://valgrind.org/docs/manual/cl-format.html>); nothing if it is zero.
fn total(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))?;
    line.split_whitespace().next()?.parse().ok().filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_found() {
        for (text, expected) in [
            ("events: Ir\nfn=(1) a\n1 2\ntotals: 1234\n", Some(1234)),
            ("version: 1\nsummary: 77\n", Some(77)),
            ("totals: 0\n", None),
            ("events: Ir\n", None),
        ] {
            assert_eq!(total(text), expected, "{text}");
        }
    }

    #[test]
    fn five_per_cent_are_allowed() {
        assert_eq!(growth("events", "one", 1000, 1050), None);
        assert_eq!(growth("events", "one", 1000, 500), None);
        assert_eq!(
            growth("events", "one", 1000, 1051).unwrap(),
            "events: one takes 1051 instructions, 5.1 % more than 1000"
        );
    }
}
