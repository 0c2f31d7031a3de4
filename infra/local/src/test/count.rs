//! Counting tests from what their runners print last. Pure.

use std::{fmt, time::Duration};

use crate::report;

/// How many tests passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
    /// The runner ended well. One that did not, with no test failed, did not compile or was killed.
    pub(super) ended_well: bool,
}

impl Count {
    /// Out of the output of cargo-nextest or of any number of `cargo test` programs.
    pub(super) fn of_cargo(output: &str) -> Self {
        let mut count = Self::default();
        for line in output.lines().map(plain) {
            if line.trim_start().starts_with("Summary [") || line.starts_with("test result:") {
                count.passed += before(&line, "passed");
                count.failed += before(&line, "failed") + before(&line, "timed out");
                count.skipped += before(&line, "ignored");
            }
        }
        count
    }

    /// Out of dbt's last line, as in `Done. PASS=7 WARN=0 ERROR=0 SKIP=0 NO-OP=0 TOTAL=7`.
    pub(super) fn of_dbt(output: &str) -> Self {
        let mut count = Self::default();
        for line in output.lines().map(plain).filter(|line| line.contains("Done. PASS=")) {
            let value = |name: &str| {
                let word = line.split_whitespace().find_map(|word| word.strip_prefix(name));
                word.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
            };
            count.passed += value("PASS=");
            count.failed += value("ERROR=");
            count.skipped += value("SKIP=") + value("WARN=");
        }
        count
    }

    pub(super) fn with_end(self, ended_well: bool) -> Self {
        Self { ended_well, ..self }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
            ended_well: self.ended_well && other.ended_well,
        }
    }

    pub(super) fn is_good(&self) -> bool {
        self.ended_well && self.failed == 0
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        match self.ended_well || self.failed > 0 {
            true => Ok(()),
            false => write!(f, ", the runner failed"),
        }
    }
}

/// The closing line, in the form of cargo's own.
pub(super) fn summary(counts: &[(&str, Count)], took: Duration) -> String {
    let all = counts
        .iter()
        .map(|(_, count)| *count)
        .reduce(Count::and)
        .unwrap_or_default();
    let word = if all.is_good() { "ok" } else { "FAILED" };
    let parts: Vec<_> = counts
        .iter()
        .map(|(name, count)| format!("{name} {}", count.passed))
        .collect();
    let broken: Vec<_> = counts
        .iter()
        .filter(|(_, count)| !count.ended_well)
        .map(|(name, _)| *name)
        .collect();
    let broken = if broken.is_empty() {
        String::new()
    } else {
        format!("; failed parts: {}", broken.join(", "))
    };
    format!(
        "test result: {word}. {} passed; {} failed; {} ignored ({}); finished in {}{broken}",
        all.passed,
        all.failed,
        all.skipped,
        parts.join(", "),
        report::seconds(took)
    )
}

/// The number before a word, as in `34 passed`; 0 when it is not there.
fn before(line: &str, word: &str) -> u64 {
    let Some((head, _)) = line.split_once(&format!(" {word}")) else {
        return 0;
    };
    head.rsplit([' ', ',', ';'])
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// The line without colours.
fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => drop(characters.by_ref().find(char::is_ascii_alphabetic)),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(passed: u64, failed: u64, skipped: u64) -> Count {
        Count {
            passed,
            failed,
            skipped,
            ended_well: false,
        }
    }

    #[test]
    fn cargo_s_runners_are_counted() {
        let check = |output: &str, expected| assert_eq!(Count::of_cargo(output), expected, "{output}");
        check("", count(0, 0, 0));
        check(
            "     Summary [   0.3s] 35 tests run: 34 passed, 1 failed, 28 skipped\n",
            count(34, 1, 0),
        );
        check(
            "\u{1b}[32;1m     Summary\u{1b}[0m [ 1s] \u{1b}[1m2\u{1b}[0m tests run: \u{1b}[1m2\u{1b}[0m passed",
            count(2, 0, 0),
        );
        check(
            "     Summary [ 9s] 3 tests run: 1 passed (1 slow), 1 failed, 1 timed out, 0 skipped",
            count(1, 2, 0),
        );
        check(
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 62 filtered out; finished in 0.23s\n\
             test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
            count(7, 3, 1),
        );
    }

    #[test]
    fn dbt_is_counted() {
        let check = |output: &str, expected| assert_eq!(Count::of_dbt(output), expected, "{output}");
        check(
            "12:00:00  Done. PASS=7 WARN=1 ERROR=2 SKIP=3 NO-OP=0 TOTAL=13",
            count(7, 2, 4),
        );
        check("12:00:00  Completed with 1 error", count(0, 0, 0));
    }

    #[test]
    fn the_closing_line_tells_good_from_bad() {
        let good = count(3, 0, 0).with_end(true);
        let check = |counts: &[(&str, Count)], expected: &str| {
            assert_eq!(summary(counts, Duration::from_secs(61)), expected);
        };
        check(
            &[("rust", good), ("dbt", good)],
            "test result: ok. 6 passed; 0 failed; 0 ignored (rust 3, dbt 3); finished in 1 min 01 s",
        );
        check(
            &[("rust", count(0, 0, 0)), ("dbt", good)],
            "test result: FAILED. 3 passed; 0 failed; 0 ignored (rust 0, dbt 3); finished in 1 min 01 s; failed parts: rust",
        );
        assert!(!count(1, 1, 0).with_end(true).is_good());
    }
}
