//! `GET /funnel?from=&to=&total=`: the mart `funnel`.
//!
//! With the feature `serve`, which is on by default, it is the function. Without it, it is what others may know of the function,
//! and brings no client of ClickHouse.

use marts::{Day, Mart, Number, Parameters, Range};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(feature = "serve")]
mod query;

/// The function.
pub struct Funnel;

/// What is asked for.
#[derive(Debug)]
pub struct Question {
    /// Whether the days are added up.
    pub total: bool,
    /// The days of the first step.
    pub days: Range,
}

/// One step of a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "serve", derive(clickhouse::Row))]
#[schemars(rename = "FunnelStep")]
pub struct Row {
    /// The day of the first step, UTC; null when the days are added up.
    pub date: Option<Day>,
    /// The step's number, from 1.
    pub step: u8,
    /// The step's name.
    pub step_name: String,
    /// How many users got here. Of days that are added up, who began on two days counts twice.
    pub users: u64,
    /// `users` of those of the first step; null when nobody was there.
    pub conversion_from_first: Number,
    /// `users` of those of the step before; null when nobody was there, and for the first step.
    pub conversion_from_previous: Number,
}

/// The JSON answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Funnel")]
pub struct Answer<'a> {
    /// One entry a day and step, in order.
    pub steps: &'a [Row],
}

impl Mart for Funnel {
    const NAME: &'static str = "funnel";
    const PATH: &'static str = "/funnel";
    const TABLE: &'static str = "funnel";
    const COLUMNS: &'static [&'static str] = &[
        "date",
        "step",
        "step_name",
        "users",
        "conversion_from_first",
        "conversion_from_previous",
    ];
    type Question = Question;
    type Row = Row;
    type Answer<'a> = Answer<'a>;

    fn question(parameters: &mut Parameters<'_>) -> Question {
        Question {
            total: parameters.choice("total", [("false", false), ("true", true)]),
            days: parameters.range(),
        }
    }

    fn answer(steps: &[Row], _: Option<String>) -> Answer<'_> {
        Answer { steps }
    }
}

#[cfg(test)]
#[cfg(feature = "serve")]
mod tests;
