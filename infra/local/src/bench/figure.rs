//! A measured number beside its goal, and the table of them.

use std::fmt::Write as _;

use serde::Serialize;

use super::Part;

/// One measured number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Figure {
    /// The part that measured it.
    pub(super) part: Part,
    /// What was measured.
    pub(super) what: String,
    /// The number.
    pub(super) figure: f64,
    /// Its unit, such as `events/s`, `ms` or `×`.
    pub(super) unit: &'static str,
    /// What it is to be, if somebody has said so.
    pub(super) goal: Option<Goal>,
    /// The numbers that it was made of, for who wants to know; may be empty.
    pub(super) raw: String,
}

/// What a number is to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

impl Figure {
    /// A number without a goal.
    pub(super) fn new(part: Part, what: impl Into<String>, figure: f64, unit: &'static str) -> Self {
        Figure {
            part,
            what: what.into(),
            figure,
            unit,
            goal: None,
            raw: String::new(),
        }
    }

    /// The same, to be at least this.
    pub(super) fn at_least(self, goal: f64) -> Self {
        let goal = Some(Goal::AtLeast(goal));
        Figure { goal, ..self }
    }

    /// The same, to be at most this.
    pub(super) fn at_most(self, goal: f64) -> Self {
        let goal = Some(Goal::AtMost(goal));
        Figure { goal, ..self }
    }

    /// The same, with the numbers that it was made of.
    pub(super) fn of(self, raw: impl Into<String>) -> Self {
        Figure {
            raw: raw.into(),
            ..self
        }
    }

    /// Whether it is what it is to be; `None` without a goal.
    pub(super) fn met(&self) -> Option<bool> {
        self.goal.map(|goal| match goal {
            Goal::AtLeast(least) => self.figure >= least,
            Goal::AtMost(most) => self.figure <= most,
        })
    }
}

/// The one in the middle; of an even number, what is between the two.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

/// The figures as a table, goals and numbers side by side.
pub(super) fn table(figures: &[Figure]) -> String {
    let columns = |figure: &Figure| {
        let goal = match figure.goal {
            Some(Goal::AtLeast(least)) => format!("≥ {}", number(least)),
            Some(Goal::AtMost(most)) => format!("≤ {}", number(most)),
            None => String::new(),
        };
        let met = match figure.met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        (number(figure.figure), goal, met)
    };
    let widest = |of: &dyn Fn(&Figure) -> usize| figures.iter().map(of).max().unwrap_or_default();
    let what = widest(&|figure| figure.what.chars().count());
    let unit = widest(&|figure| figure.unit.chars().count());
    let width = widest(&|figure| columns(figure).0.chars().count()).max("figure".len());
    let goal = widest(&|figure| columns(figure).1.chars().count()).max("goal".len());
    let mut out = String::new();
    let mut part = None;
    for figure in figures {
        if part != Some(figure.part) {
            let gap = if part.is_some() { "\n" } else { "" };
            part = Some(figure.part);
            // Writing to a string cannot fail.
            let title = figure.part.title();
            let _ = writeln!(
                out,
                "{gap}{title:<what$}  {:>width$} {:<unit$}  {:>goal$}",
                "figure", "", "goal"
            );
        }
        let (shown, wanted, met) = columns(figure);
        let line = format!(
            "{:<what$}  {shown:>width$} {:<unit$}  {wanted:>goal$}  {met:<6}  {}",
            figure.what, figure.unit, figure.raw
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// A number as people read it: three digits that count, thousands apart.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    let decimals = match magnitude {
        1000.0.. | 0.0 => 0,
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    if magnitude < 1000.0 {
        return text;
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.as_str()),
    };
    let mut apart = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    format!("{sign}{apart}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (value, expected) in [
            (0.0, "0"),
            (0.1234, "0.123"),
            (1.5, "1.50"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1234.5, "1,234"),
            (1_234_567.0, "1,234,567"),
            (-1000.0, "-1,000"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn goals_stand_beside_figures() {
        let figures = [
            Figure::new(Part::Edge, "array of 500", 1_250_000.0, "events/s").at_least(1e6),
            Figure::new(Part::Edge, "one", 3.2, "µs").at_most(3.0).of("3,200 ns"),
            Figure::new(Part::Loader, "rows", 1.0, "×"),
        ];
        let expected = "\
Edge CPU         figure                  goal
array of 500  1,250,000 events/s  ≥ 1,000,000  met
one                3.20 µs             ≤ 3.00  MISSED  3,200 ns

Loader CPU       figure                  goal
rows               1.00 ×
";
        assert_eq!(table(&figures), expected);
    }
}
