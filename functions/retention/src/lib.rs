//! `GET /retention?period=&from=&to=`: the mart `retention`.
//!
//! With the feature `serve`, which is on by default, it is the function. Without it, it is what others may know of the function,
//! and brings no client of ClickHouse.

use marts::{Day, Mart, Parameters, Range};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(feature = "serve")]
mod query;

/// The function.
pub struct Retention;

/// The periods: the one without a word first.
pub const PERIODS: [&str; 2] = ["week", "day"];

/// What is asked for.
#[derive(Debug)]
pub struct Question {
    /// `day` or `week`.
    pub period: &'static str,
    /// The first days of the cohorts.
    pub cohorts: Range,
}

/// One period of a cohort.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "serve", derive(clickhouse::Row))]
#[schemars(rename = "CohortPeriod")]
pub struct Row {
    /// `day` or `week`.
    pub period: String,
    /// The first day on which its users were active, UTC; of weeks the Monday.
    pub cohort: Day,
    /// How many periods later; 0 is the first one itself.
    pub n: u16,
    /// How many users the cohort has.
    pub cohort_size: u64,
    /// How many of them were active in the period.
    pub users: u64,
    /// `users` of `cohort_size`.
    pub rate: f64,
}

/// The JSON answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Retention")]
pub struct Answer<'a> {
    /// One entry a cohort and period that has begun, in order.
    pub cohorts: &'a [Row],
}

impl Mart for Retention {
    const NAME: &'static str = "retention";
    const PATH: &'static str = "/retention";
    const TABLE: &'static str = "retention";
    const COLUMNS: &'static [&'static str] = &["period", "cohort", "n", "cohort_size", "users", "rate"];
    type Question = Question;
    type Row = Row;
    type Answer<'a> = Answer<'a>;

    fn question(parameters: &mut Parameters<'_>) -> Question {
        Question {
            period: parameters.choice("period", PERIODS.map(|period| (period, period))),
            cohorts: parameters.range(),
        }
    }

    fn answer(cohorts: &[Row], _: Option<String>) -> Answer<'_> {
        Answer { cohorts }
    }
}

#[cfg(test)]
#[cfg(feature = "serve")]
mod tests;
