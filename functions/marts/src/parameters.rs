//! The parameters of a request, all problems in one answer.

use std::ops::RangeInclusive;

use edge::{Request, route};
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Serialize;

use crate::range::Range;

/// What is wrong with one parameter, in FastAPI's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "WrongParameter")]
pub struct Wrong {
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

/// Why a text is no value of a parameter: a stable name, and a sentence.
pub type Reason = (&'static str, String);

/// Reads parameters and notes what is wrong with them. Parameters that nobody asks for do not matter.
pub struct Parameters<'a> {
    request: &'a Request,
    today: Date,
    wrong: Vec<Wrong>,
}

impl<'a> Parameters<'a> {
    /// Those of a request that comes today.
    pub fn new(request: &'a Request, today: Date) -> Self {
        Parameters {
            request,
            today,
            wrong: Vec::new(),
        }
    }

    /// `from` and `to`: days.
    pub fn range(&mut self) -> Range {
        let (from, to) = (self.parsed("from", date), self.parsed("to", date));
        Range::new(from, to, self.today)
    }

    /// A whole number within `limits`, when one is given.
    pub fn integer(&mut self, name: &'static str, limits: RangeInclusive<u64>) -> Option<u64> {
        self.parsed(name, |text| integer(text, &limits))
    }

    /// One of some words; the first where none is given.
    pub fn choice<T: Copy>(&mut self, name: &'static str, choices: [(&'static str, T); 2]) -> T {
        let [(first, default), (second, _)] = choices;
        let one_of = |text: &str| {
            let found = choices.iter().find(|(word, _)| *word == text);
            found
                .map(|(_, value)| *value)
                .ok_or_else(|| ("literal_error", format!("Input should be '{first}' or '{second}'")))
        };
        self.parsed(name, one_of).unwrap_or(default)
    }

    /// Whether a parameter is given, right or wrong.
    pub fn has(&self, name: &'static str) -> bool {
        route::parameter(self.request, name).is_some()
    }

    /// Any text, when one is given.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        match route::parameter(self.request, name)? {
            Ok(text) => Some(text),
            Err(input) => {
                let msg = "Input should be percent-encoded UTF-8".to_owned();
                self.wrong(name, ("string_unicode", msg), input);
                None
            }
        }
    }

    /// What `parse` makes of a parameter, when it is given.
    pub fn parsed<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, Reason>) -> Option<T> {
        let text = self.text(name)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.wrong(name, reason, text);
                None
            }
        }
    }

    fn wrong(&mut self, name: &'static str, (kind, msg): Reason, input: String) {
        let loc = ["query", name];
        self.wrong.push(Wrong { kind, loc, msg, input });
    }

    /// What was read, or everything that was wrong.
    pub fn finish<T>(self, read: T) -> Result<T, Vec<Wrong>> {
        if self.wrong.is_empty() {
            Ok(read)
        } else {
            Err(self.wrong)
        }
    }
}

/// A date as `YYYY-MM-DD`, from 1970 to 2148: whole years of what ClickHouse's `Date` holds.
fn date(text: &str) -> Result<Date, Reason> {
    let plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    match text.parse::<Date>() {
        Ok(date) if plain && (1970..=2148).contains(&date.year()) => Ok(date),
        Ok(_) if plain => Err((
            "date_out_of_range",
            "Input should be a date from 1970 to 2148".to_owned(),
        )),
        _ => Err((
            "date_parsing",
            "Input should be a valid date in the format YYYY-MM-DD".to_owned(),
        )),
    }
}

fn integer(text: &str, limits: &RangeInclusive<u64>) -> Result<u64, Reason> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return Err((
            "int_parsing",
            "Input should be a valid integer, written in digits".to_owned(),
        ));
    }
    let (least, most) = (*limits.start(), *limits.end());
    match text.parse() {
        Ok(number) if number < least => Err((
            "greater_than_equal",
            format!("Input should be greater than or equal to {least}"),
        )),
        Ok(number) if number <= most => Ok(number),
        // Of digits only those are no number that are too many.
        _ => Err((
            "less_than_equal",
            format!("Input should be less than or equal to {most}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use edge::Body;

    use super::*;

    fn read<T>(query: &str, read: impl Fn(&mut Parameters<'_>) -> T) -> Result<T, Vec<(&'static str, &'static str)>> {
        let request = http::Request::get(format!("/mart?{query}")).body(Body::Empty).unwrap();
        let mut parameters = Parameters::new(&request, jiff::civil::date(2026, 11, 23));
        let value = read(&mut parameters);
        let named = |wrong: Vec<Wrong>| wrong.iter().map(|it| (it.kind, it.loc[1])).collect();
        parameters.finish(value).map_err(named)
    }

    #[test]
    fn ranges() {
        for (query, expected) in [
            ("", Ok("2026-10-25 2026-11-23")),
            ("from=2026-11-01", Ok("2026-11-01 2026-11-23")),
            ("from=2027-01-01", Ok("2027-01-01 2027-01-01")),
            ("to=2026-03-01", Ok("2026-01-31 2026-03-01")),
            ("from=2026-01-01&to=2026-01-01", Ok("2026-01-01 2026-01-01")),
            ("from=1970-01-01&to=2148-12-31", Ok("1970-01-01 2148-12-31")),
            ("from=2026-01-02&to=2026-01-01", Ok("2026-01-02 2026-01-01")),
            (
                "to=2026-02-30&from=x",
                Err(vec![("date_parsing", "from"), ("date_parsing", "to")]),
            ),
            (
                "from=20260101&to=2026-1-1",
                Err(vec![("date_parsing", "from"), ("date_parsing", "to")]),
            ),
            (
                "from=1969-12-31&to=2149-01-01",
                Err(vec![("date_out_of_range", "from"), ("date_out_of_range", "to")]),
            ),
        ] {
            let found = read(query, |it| {
                let range = it.range();
                format!("{} {}", range.from, range.to)
            });
            assert_eq!(found, expected.map(str::to_owned), "{query}");
        }
    }

    #[test]
    fn integers() {
        for (query, expected) in [
            ("", Ok(None)),
            ("n=1", Ok(Some(1))),
            ("n=0010", Ok(Some(10))),
            ("n=0", Err("greater_than_equal")),
            ("n=11", Err("less_than_equal")),
            ("n=18446744073709551616", Err("less_than_equal")),
            ("n=", Err("int_parsing")),
            ("n=%2B1", Err("int_parsing")),
            ("n=-1", Err("int_parsing")),
            ("n=1.0", Err("int_parsing")),
        ] {
            let found = read(query, |it| it.integer("n", 1..=10));
            assert_eq!(found, expected.map_err(|kind| vec![(kind, "n")]), "{query}");
        }
        let all = |query: &str| read(query, |it| it.integer("n", 0..=u64::MAX));
        assert_eq!(all("n=18446744073709551615"), Ok(Some(u64::MAX)));
        assert_eq!(all("n=18446744073709551616"), Err(vec![("less_than_equal", "n")]));
    }

    #[test]
    fn words() {
        let choice = |query: &str| read(query, |it| it.choice("period", [("week", 7), ("day", 1)]));
        assert_eq!(choice(""), Ok(7));
        assert_eq!(choice("period=day&other=1"), Ok(1));
        assert_eq!(choice("period=Day"), Err(vec![("literal_error", "period")]));
        assert_eq!(read("a=%7b%27", |it| it.text("a")), Ok(Some("{'".to_owned())));
        assert_eq!(read("a=gr%F6n", |it| it.text("a")), Err(vec![("string_unicode", "a")]));
        assert_eq!(choice("period=day%"), Err(vec![("string_unicode", "period")]));
    }
}
