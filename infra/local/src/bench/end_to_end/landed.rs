//! What has arrived in ClickHouse, and when.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::load::MARKED_FROM;

/// How often the table is asked.
pub(super) const ASKED_EVERY: Duration = Duration::from_millis(100);

/// How long after the last acknowledgement every event must be a row.
const LANDS_WITHIN: Duration = Duration::from_secs(120);

/// The table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    http: reqwest::Client,
    url: String,
}

/// What it shows of a run.
#[derive(Debug, Default)]
pub(super) struct Landed {
    /// Rows when the measured time began.
    pub(super) rows_at_start: u64,
    /// When all acknowledged events were rows.
    pub(super) all: Option<Instant>,
    /// From its acknowledgement until a marked event was a row: at most this, for it was asked then. Sorted.
    pub(super) delays: Vec<Duration>,
}

impl Table {
    /// The table of the ClickHouse there.
    pub(super) fn at(url: &str) -> anyhow::Result<Self> {
        let http = crate::client::builder().timeout(Duration::from_secs(60)).build();
        Ok(Self {
            http: http.context("no HTTP client can be made")?,
            url: format!("{url}/?database=analytics"),
        })
    }

    async fn ask(&self, query: &str) -> anyhow::Result<String> {
        let response = self.http.post(&self.url).body(query.to_owned()).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(
            status.is_success(),
            "ClickHouse refuses {query}: {status} {}",
            text.trim()
        );
        Ok(text)
    }

    /// Its rows.
    pub(super) async fn rows(&self) -> anyhow::Result<u64> {
        Ok(self.ask("SELECT count() FROM events").await?.trim().parse()?)
    }

    /// Empties it.
    pub(super) async fn empty(&self) -> anyhow::Result<()> {
        for table in ["events", "events_per_minute_states"] {
            self.ask(&format!("TRUNCATE TABLE {table}")).await?;
        }
        Ok(())
    }

    /// The marked events that are rows.
    async fn marked(&self, at: Timestamp) -> anyhow::Result<Vec<u64>> {
        let query = format!(
            "SELECT user_id FROM events WHERE dt = {} AND user_id >= {MARKED_FROM} \
             FORMAT TabSeparated",
            at.as_second()
        );
        let text = self.ask(&query).await?;
        text.lines().map(|line| Ok(line.parse()?)).collect()
    }

    /// Waits until every marked event that it is told of is a row, and it is told of no more.
    pub(super) async fn delays(
        &self,
        marked_at: Timestamp,
        mut told: mpsc::UnboundedReceiver<(u64, Instant)>,
    ) -> anyhow::Result<Vec<Duration>> {
        let (mut waiting, mut delays) = (BTreeMap::new(), Vec::new());
        let mut over = false;
        let mut patience = Instant::now() + LANDS_WITHIN;
        while !over || !waiting.is_empty() {
            tokio::time::sleep(ASKED_EVERY).await;
            loop {
                match told.try_recv() {
                    Ok((id, at)) => {
                        waiting.insert(id, at);
                        patience = at + LANDS_WITHIN;
                    }
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => {
                        over = true;
                        break;
                    }
                }
            }
            if waiting.is_empty() {
                continue;
            }
            for id in self.marked(marked_at).await? {
                delays.extend(waiting.remove(&id).map(|at: Instant| at.elapsed()));
            }
            ensure!(
                Instant::now() < patience,
                "{} marked events that were acknowledged are no rows",
                waiting.len()
            );
        }
        delays.sort_unstable();
        Ok(delays)
    }

    /// Waits until there are so many rows; gives the instant.
    pub(super) async fn reach(&self, rows: u64) -> anyhow::Result<Instant> {
        let patience = Instant::now() + LANDS_WITHIN;
        loop {
            let found = self.rows().await?;
            if found >= rows {
                return Ok(Instant::now());
            }
            ensure!(
                Instant::now() < patience,
                "{rows} events were acknowledged, and {found} are rows"
            );
            tokio::time::sleep(ASKED_EVERY).await;
        }
    }

    /// That every event is a row, and one only. `at_least`: some requests were refused, and what was refused may be stored all
    /// the same.
    pub(super) async fn holds(&self, acknowledged: u64, at_least: bool) -> anyhow::Result<()> {
        let text = self
            .ask("SELECT count(), uniqExact(event_id) FROM events FORMAT TabSeparated")
            .await?;
        let (rows, events) = text.trim().split_once('\t').context("a row of two columns")?;
        let (rows, events): (u64, u64) = (rows.parse()?, events.parse()?);
        let right = events == acknowledged || (at_least && events > acknowledged);
        ensure!(
            right && rows == events,
            "{acknowledged} events were acknowledged; {rows} rows of {events} events are stored"
        );
        Ok(())
    }
}
