//! What is a function's own.

use schemars::JsonSchema;
use serde::Serialize;

use crate::parameters::Parameters;

/// One mart, as a function gives it to its readers.
pub trait Mart: Send + Sync + 'static {
    /// The function's name.
    const NAME: &'static str;

    /// The one path that it answers.
    const PATH: &'static str;

    /// The mart in ClickHouse.
    const TABLE: &'static str;

    /// The columns of the CSV, in the order of the row's fields.
    const COLUMNS: &'static [&'static str];

    /// What is asked for, as its parameters say.
    type Question: Send + Sync;

    /// One row of the answer.
    type Row: Serialize + Send + Sync;

    /// The answer as JSON.
    type Answer<'a>: Serialize + JsonSchema;

    /// Reads the parameters. What is wrong with them is noted there; the question is not asked then.
    fn question(parameters: &mut Parameters<'_>) -> Self::Question;

    /// How many rows an answer has at most. What is left is for the next page.
    fn page(_question: &Self::Question) -> usize {
        usize::MAX
    }

    /// What the page after this row is asked for with; `None` where there are no pages.
    fn cursor(_row: &Self::Row) -> Option<String> {
        None
    }

    /// The answer; `next` is the cursor of the next page, when there is one.
    fn answer(rows: &[Self::Row], next: Option<String>) -> Self::Answer<'_>;
}
