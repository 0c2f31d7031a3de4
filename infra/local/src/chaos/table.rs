//! The tables for people: the schedule before a run, the faults and the verdict after it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::schedule::Planned;
use super::{Args, Outcome};

/// What is planned, a line each.
pub(super) fn schedule(plan: &[Planned]) -> String {
    let lines = plan
        .iter()
        .map(|planned| format!("{:8.1} s  {}", planned.at.as_secs_f64(), planned.fault));
    lines.collect::<Vec<_>>().join("\n")
}

/// What a run has shown.
pub(super) fn outcome(args: &Args, plan: &[Planned], outcome: &Outcome) -> String {
    let Outcome {
        book,
        tally,
        met,
        restarts,
    } = outcome;
    let mut kinds: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for (number, planned) in plan.iter().enumerate() {
        let kind = kinds.entry(planned.fault.kind()).or_default();
        kind.0 += 1;
        kind.1 += met.get(&number).copied().unwrap_or_default();
    }
    let mut text = format!("\n  {:<56} {:>7} {:>7}\n", "fault", "planned", "met");
    for (kind, (planned, met)) in kinds {
        let _ = writeln!(text, "  {kind:<56} {planned:>7} {met:>7}");
    }
    let _ = writeln!(
        text,
        "\n  seed {}, {} minutes, {} faults, {restarts} processes started again, {} requests tried again\n",
        args.seed,
        args.minutes,
        plan.len(),
        book.retries,
    );
    for (name, count, what, wrong) in tally.rows() {
        let mark = if wrong { "!" } else { " " };
        let _ = writeln!(text, "{mark} {name:<24} {count:>9}  {what}");
    }
    for wrong in &book.wrong_answers {
        let _ = writeln!(text, "! {wrong}");
    }
    let verdict = match (tally.acknowledged, tally.holds()) {
        (0, _) => "NOTHING PROVED: no event was acknowledged",
        (_, true) => "nothing lost, nothing twice",
        (_, false) => "NOT PROVED: see the lines marked with !",
    };
    let _ = write!(text, "\n  {verdict}");
    text
}
