//! `GET /activity?from=&to=`: the mart `users_activity`.
//!
//! With the feature `serve`, which is on by default, it is the function. Without it, it is what others may know of the function,
//! and brings no client of ClickHouse.

use marts::{Day, Mart, Parameters, Range};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(feature = "serve")]
mod query;

/// The function.
pub struct Activity;

/// One day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "serve", derive(clickhouse::Row))]
#[schemars(rename = "ActiveDay")]
pub struct Row {
    /// The day, UTC.
    pub date: Day,
    /// Users active on the day.
    pub dau: u64,
    /// Users active on the day or the six before it.
    pub wau: u64,
    /// Users active on the day or the twenty-nine before it.
    pub mau: u64,
    /// `dau` of `mau`; 0 when there is nobody.
    pub stickiness: f64,
    /// Users whose first day it is.
    pub new_users: u64,
    /// Users who are not new, and were active in the thirty days before the day.
    pub returning_users: u64,
    /// Users who are not new, and were not active in the thirty days before the day.
    pub resurrected_users: u64,
}

/// The JSON answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Activity")]
pub struct Answer<'a> {
    /// One entry a day, in order. A day that the mart does not hold has none.
    pub days: &'a [Row],
}

impl Mart for Activity {
    const NAME: &'static str = "activity";
    const PATH: &'static str = "/activity";
    const TABLE: &'static str = "users_activity";
    const COLUMNS: &'static [&'static str] = &[
        "date",
        "dau",
        "wau",
        "mau",
        "stickiness",
        "new_users",
        "returning_users",
        "resurrected_users",
    ];
    type Question = Range;
    type Row = Row;
    type Answer<'a> = Answer<'a>;

    fn question(parameters: &mut Parameters<'_>) -> Range {
        parameters.range()
    }

    fn answer(days: &[Row], _: Option<String>) -> Answer<'_> {
        Answer { days }
    }
}

#[cfg(test)]
#[cfg(feature = "serve")]
mod tests;
