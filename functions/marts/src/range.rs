//! Which days are asked for.

use jiff::ToSpan;
use jiff::civil::Date;

/// How many days are shown when `from` is not given, `to` included.
const DEFAULT_DAYS: i32 = 30;

/// The days from `from` to `to`, both included; none when `from` is after `to`. The whole calendar may be asked for: what is too
/// much for an answer is seen by the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first day.
    pub from: Date,
    /// The last day.
    pub to: Date,
}

impl Range {
    /// Without the two it is the last thirty days up to today.
    pub fn new(from: Option<Date>, to: Option<Date>, today: Date) -> Self {
        let to = to.unwrap_or_else(|| today.max(from.unwrap_or(today)));
        let from = from.unwrap_or_else(|| to.saturating_sub((DEFAULT_DAYS - 1).days()));
        Range { from, to }
    }
}
