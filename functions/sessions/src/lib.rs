//! `GET /sessions?from=&to=&user_id=&limit=&after=`: the mart `sessions`, in pages.
//!
//! With the feature `serve`, which is on by default, it is the function. Without it, it is what others may know of the function,
//! and brings no client of ClickHouse.

use marts::{Day, Instant, Mart, Number, Parameters, Range};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod cursor;
#[cfg(feature = "serve")]
mod query;

pub use cursor::Cursor;

/// How many sessions a page has when `limit` is not given.
pub const DEFAULT_LIMIT: u64 = 1000;

/// How many sessions a page has at most.
pub const MAX_LIMIT: u64 = 10_000;

/// The function.
pub struct Sessions;

/// What is asked for.
#[derive(Debug)]
pub struct Question {
    /// The days on which the sessions started.
    pub days: Range,
    /// Whose they are; `None`: everybody's.
    pub user_id: Option<u64>,
    /// How many at most.
    pub limit: u64,
    /// The last session of the page before.
    pub after: Option<Cursor>,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "serve", derive(clickhouse::Row))]
#[schemars(rename = "Session")]
pub struct Row {
    /// The same for the same session, however often it is built.
    #[schemars(extend("format" = "uuid"))]
    pub session_id: String,
    /// Whose it is.
    pub user_id: u64,
    /// The day on which it started, UTC.
    pub date: Day,
    /// Its first event.
    pub started_at: Instant,
    /// Its last event.
    pub ended_at: Instant,
    /// From the first to the last event.
    pub duration_seconds: u32,
    /// How many events it has.
    pub events: u64,
    /// How many of them are views of a page.
    pub pages: u64,
    /// The first page; of a session without pages, that of the first event.
    pub entry_url: String,
    /// The last page; of a session without pages, that of the last event.
    pub exit_url: String,
    /// The amounts of its events, added up; null when that is more than a number holds.
    pub revenue: Number,
}

/// The JSON answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Sessions")]
pub struct Answer<'a> {
    /// The sessions, by when they started, then by user.
    pub sessions: &'a [Row],
    /// What `after` has to be for the next page; null when this is the last one.
    pub next: Option<String>,
}

impl Mart for Sessions {
    const NAME: &'static str = "sessions";
    const PATH: &'static str = "/sessions";
    const TABLE: &'static str = "sessions";
    const COLUMNS: &'static [&'static str] = &[
        "session_id",
        "user_id",
        "date",
        "started_at",
        "ended_at",
        "duration_seconds",
        "events",
        "pages",
        "entry_url",
        "exit_url",
        "revenue",
    ];
    type Question = Question;
    type Row = Row;
    type Answer<'a> = Answer<'a>;

    fn question(parameters: &mut Parameters<'_>) -> Question {
        let mut days = parameters.range();
        let user_id = parameters.integer("user_id", 0..=u64::MAX);
        let limit = parameters.integer("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
        let after = parameters.parsed("after", Cursor::parse);
        // Where the range is the last thirty days, it may begin a day later by now than for the page before.
        if let Some(after) = after
            && !parameters.has("from")
        {
            days.from = days.from.min(after.day().date());
        }
        Question {
            days,
            user_id,
            limit,
            after,
        }
    }

    fn page(question: &Question) -> usize {
        usize::try_from(question.limit).unwrap_or(usize::MAX)
    }

    fn cursor(row: &Row) -> Option<String> {
        Some(Cursor::of(row).to_string())
    }

    fn answer(sessions: &[Row], next: Option<String>) -> Answer<'_> {
        Answer { sessions, next }
    }
}

#[cfg(test)]
#[cfg(feature = "serve")]
mod tests;
