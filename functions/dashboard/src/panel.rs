//! One part of an answer: its rows, or why it has none. One that fails takes no other with it.

use std::time::Duration;

use clickhouse::query::Query;
use clickhouse::{Client, RowOwned, RowRead};
use edge::clickhouse::WarehouseError;
use marts::rows::{Most, read};
use marts::{Error, MAX_ANSWER_BYTES, Read};
use serde::Serialize;

/// Most bytes of rows in a panel: an answer has four at most, and what it holds is shared among them.
pub const MAX_PANEL_BYTES: usize = MAX_ANSWER_BYTES / 4;

/// Rows, or why there are none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Panel<Row> {
    /// `{"rows": […]}`.
    Rows(Vec<Row>),
    /// `{"error": {"code": …, "detail": …}}`, as the function that reads the mart would say it.
    Error {
        /// A stable name.
        code: &'static str,
        /// A sentence.
        detail: String,
    },
}

impl<Row> Panel<Row> {
    /// The panel of that name. A failure of ours or of ClickHouse is logged here: the answer's status does not tell of it.
    pub(crate) fn new(name: &'static str, rows: Result<Vec<Row>, Error>) -> Self {
        let error = match rows {
            Ok(rows) => return Panel::Rows(rows),
            Err(error) => error,
        };
        let problem = error.problem();
        if problem.status.is_server_error() {
            tracing::error!(panel = name, error = edge::chain(&error), "a panel has no rows");
        }
        Panel::Error {
            code: problem.code,
            detail: error.detail(),
        }
    }

    /// Its rows, if it has any to show.
    pub fn rows(&self) -> Option<&[Row]> {
        match self {
            Panel::Rows(rows) => Some(rows),
            Panel::Error { .. } => None,
        }
    }

    /// Whether it has rows.
    pub(crate) fn is_good(&self) -> bool {
        matches!(self, Panel::Rows(_))
    }
}

/// The panel with all rows of a mart.
pub async fn of_mart<M: Read>(client: &Client, question: &M::Question, limit: Duration) -> Panel<M::Row> {
    let rows = all(M::query(client, question), limit, |error| Error::of(error, M::TABLE)).await;
    Panel::new(M::NAME, rows)
}

/// All rows of a query; more than a panel holds is an error.
pub(crate) async fn all<Row>(
    query: Query,
    limit: Duration,
    failed: impl FnOnce(WarehouseError) -> Error,
) -> Result<Vec<Row>, Error>
where
    Row: RowOwned + RowRead + Serialize,
{
    let most = Most {
        rows: usize::MAX,
        bytes: MAX_PANEL_BYTES,
    };
    let page = read(query, most, limit).await.map_err(failed)?;
    if page.more { Err(Error::TooLarge) } else { Ok(page.rows) }
}
