//! `/dashboard/data`: the marts over some days.

use std::time::Duration;

use activity::Activity;
use clickhouse::{Client, Row};
use experiments::Experiments;
use funnel::Funnel;
use futures::join;
use marts::{Error, Mart, Range};
use serde::{Deserialize, Serialize};

use crate::panel::{self, Panel};

/// Users of a page on several days do not add up; views do. The names of the mart's columns are those of the answer's, so they need
/// their table.
const PAGES: &str = "SELECT toString(days.page) AS page, toUInt64(sum(days.views)) AS views FROM pages AS days \
                     WHERE days.date BETWEEN {from: Date} AND {to: Date} GROUP BY page ORDER BY views DESC, page LIMIT 10";

/// The mart of [`PAGES`].
const PAGES_TABLE: &str = "pages";

/// A page, and how often it was seen.
#[derive(Debug, Serialize, Deserialize, Row)]
pub(crate) struct Page {
    /// Host and path.
    page: String,
    views: u64,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct Data {
    /// `2026-11-27`.
    from: String,
    to: String,
    /// By date.
    activity: Panel<<Activity as Mart>::Row>,
    /// The ten that were seen most.
    pages: Panel<Page>,
    /// The days added up, by step.
    funnel: Panel<<Funnel as Mart>::Row>,
    /// Of all days.
    experiments: Panel<<Experiments as Mart>::Row>,
}

impl Data {
    /// Reads everything at once.
    pub(crate) async fn read(client: &Client, days: Range, limit: Duration) -> Self {
        let steps = funnel::Question { total: true, days };
        let (activity, pages, funnel, experiments) = join!(
            panel::of_mart::<Activity>(client, &days, limit),
            pages(client, days, limit),
            panel::of_mart::<Funnel>(client, &steps, limit),
            panel::of_mart::<Experiments>(client, &None, limit),
        );
        Data {
            from: days.from.to_string(),
            to: days.to.to_string(),
            activity,
            pages,
            funnel,
            experiments,
        }
    }

    /// Whether every panel has rows.
    pub(crate) fn is_good(&self) -> bool {
        self.activity.is_good() && self.pages.is_good() && self.funnel.is_good() && self.experiments.is_good()
    }
}

async fn pages(client: &Client, days: Range, limit: Duration) -> Panel<Page> {
    let query = client
        .query(PAGES)
        .param("from", days.from.to_string())
        .param("to", days.to.to_string());
    let rows = panel::all(query, limit, |error| Error::of(error, PAGES_TABLE)).await;
    Panel::new("pages", rows)
}
