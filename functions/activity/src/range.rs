//! Which days are asked for.

use jiff::ToSpan;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Serialize;

/// How many days are shown when `from` is not given, `to` included.
const DEFAULT_DAYS: i32 = 30;

/// The days from `from` to `to`, both included; none when `from` is after `to`. The whole calendar is an answer too: the mart has
/// a row a day at most, and the 50,000 days up to 2106 are less than a function URL returns at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first day.
    pub from: Date,
    /// The last day.
    pub to: Date,
}

/// What is wrong with one parameter, in FastAPI's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RangeError {
    /// A stable name for the problem.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `query` and the parameter.
    pub loc: [&'static str; 2],
    /// The problem in a sentence.
    pub msg: String,
    /// What was sent.
    pub input: String,
}

impl Range {
    /// Reads the two parameters; without them it is the last thirty days up to today.
    pub fn parse(from: Option<&str>, to: Option<&str>, today: Date) -> Result<Range, Vec<RangeError>> {
        let from_date = from.map(|text| date("from", text)).transpose();
        let to_date = to.map(|text| date("to", text)).transpose();
        let (from_date, to_date) = match (from_date, to_date) {
            (Ok(from_date), Ok(to_date)) => (from_date, to_date),
            (from_date, to_date) => return Err([from_date.err(), to_date.err()].into_iter().flatten().collect()),
        };
        let to_day = to_date.unwrap_or_else(|| today.max(from_date.unwrap_or(today)));
        let from_day = from_date.unwrap_or_else(|| to_day.saturating_sub((DEFAULT_DAYS - 1).days()));
        Ok(Range {
            from: from_day,
            to: to_day,
        })
    }
}

/// A date as `YYYY-MM-DD`, from 1970 to 2149: what ClickHouse's `Date` holds.
fn date(name: &'static str, text: &str) -> Result<Date, RangeError> {
    let fail = |kind, msg: &str| RangeError {
        kind,
        loc: ["query", name],
        msg: msg.to_owned(),
        input: text.to_owned(),
    };
    let plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    match text.parse::<Date>() {
        Ok(date) if plain && (1970..=2148).contains(&date.year()) => Ok(date),
        Ok(_) if plain => Err(fail("date_out_of_range", "Input should be a date from 1970 to 2148")),
        _ => Err(fail(
            "date_parsing",
            "Input should be a valid date in the format YYYY-MM-DD",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: &str, to: &str, expected: Result<(&str, &str), &[(&str, &str)]>) {
        let given = |text: &'static str| Some(text).filter(|text| !text.is_empty());
        let (from, to) = (from.to_owned().leak(), to.to_owned().leak());
        let found = Range::parse(given(from), given(to), jiff::civil::date(2026, 11, 23));
        let found = found.map(|range| (range.from.to_string(), range.to.to_string()));
        let expected = expected.map(|(from, to)| (from.to_owned(), to.to_owned()));
        match (found, expected) {
            (Err(found), Err(expected)) => {
                let found: Vec<_> = found.iter().map(|problem| (problem.kind, problem.loc[1])).collect();
                assert_eq!(found, expected);
            }
            (found, Ok(expected)) => assert_eq!(found, Ok(expected)),
            (found, Err(expected)) => panic!("{found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn ranges() {
        check("", "", Ok(("2026-10-25", "2026-11-23")));
        check("2026-11-01", "", Ok(("2026-11-01", "2026-11-23")));
        check("2027-01-01", "", Ok(("2027-01-01", "2027-01-01")));
        check("", "2026-03-01", Ok(("2026-01-31", "2026-03-01")));
        check("2026-01-01", "2026-01-01", Ok(("2026-01-01", "2026-01-01")));
        check("2016-11-16", "2026-11-23", Ok(("2016-11-16", "2026-11-23")));
        check("1970-01-01", "2148-12-31", Ok(("1970-01-01", "2148-12-31")));
        check("2026-01-02", "2026-01-01", Ok(("2026-01-02", "2026-01-01")));
        check(
            "x",
            "2026-02-30",
            Err(&[("date_parsing", "from"), ("date_parsing", "to")]),
        );
        check(
            "20260101",
            "2026-1-1",
            Err(&[("date_parsing", "from"), ("date_parsing", "to")]),
        );
        check(
            "1969-12-31",
            "2149-01-01",
            Err(&[("date_out_of_range", "from"), ("date_out_of_range", "to")]),
        );
    }
}
