//! ClickHouse's own words, kept out of logs.

use std::error::Error as _;
use std::fmt;

use clickhouse::error::Error;

/// What ClickHouse said. It may quote data, so a log gets the exception's number alone: that is what `Display` and `Debug` show.
#[derive(Clone, PartialEq, Eq)]
pub struct Said(String);

impl Said {
    /// The words, in one line. For an operator at a terminal, not for a log.
    pub fn words(&self) -> &str {
        &self.0
    }

    /// The number in `Code: 60. DB::Exception: …` (<https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp>).
    pub fn exception(&self) -> Option<u32> {
        let (_, rest) = self.0.split_once("Code: ")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }
}

impl From<&Error> for Said {
    fn from(error: &Error) -> Self {
        let mut text = match error {
            Error::BadResponse(text) => text.trim().to_owned(),
            other => other.to_string(),
        };
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Many errors already end in what their source says.
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        Said(text)
    }
}

impl fmt::Display for Said {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exception() {
            Some(number) => write!(out, "exception {number}"),
            None => out.write_str("no exception's number"),
        }
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Said({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions() {
        for (text, code) in [
            (
                "Code: 60. DB::Exception: Table analytics.users_activity does not exist.",
                Some(60),
            ),
            ("Code: 516. DB::Exception: default: Authentication failed", Some(516)),
            ("404 page not found", None),
            ("Code: x", None),
        ] {
            let said = Said::from(&Error::BadResponse(text.to_owned()));
            assert_eq!(said.exception(), code, "{text}");
            assert_eq!(said.words(), text);
        }
    }
}
