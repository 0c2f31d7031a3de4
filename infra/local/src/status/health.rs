//! The stack's parts and their figures.

use std::time::Duration;

use activity::Activity;
use anyhow::{Context as _, ensure};
use clickhouse::Client;
use dashboard::{Live, Panel, of_mart};
use edge::clickhouse::within;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};
use marts::Range;
use serde::{Deserialize, Serialize};

use crate::up::{Part, Running, STREAM};

/// How long one part may take to answer: a function under cargo-lambda may have to start.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How the stack does.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    pub(super) parts: Vec<PartHealth>,
    /// `None` when Firehose does not answer.
    pub(super) stream: Option<Stream>,
    /// `None` when ClickHouse does not answer.
    pub(super) tables: Option<Tables>,
    /// The last hour, and how old the data is: what the dashboard shows.
    pub(super) live: Live,
    /// Yesterday and today.
    pub(super) activity: Panel<activity::Row>,
}

#[derive(Debug, Serialize)]
pub(super) struct PartHealth {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) restarts: u32,
    /// What is wrong, if anything is.
    pub(super) problem: Option<String>,
}

/// What `GET /health` of Firehose says of the stream; counts are of records.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stream {
    pub(super) accepted: u64,
    pub(super) delivered: u64,
    pub(super) given_up: u64,
    pub(super) spooled_records: u64,
    pub(super) oldest_age_seconds: Option<u64>,
    pub(super) failed_attempts: u64,
    pub(super) damaged_bytes: u64,
}

/// What is stored.
#[derive(Debug, Serialize, Deserialize, clickhouse::Row)]
pub(super) struct Tables {
    /// Rows of `events`, copies that merging has yet to remove included.
    pub(super) rows: u64,
    /// Lines in quarantine.
    pub(super) quarantined: u64,
    /// Of these, not replayed.
    pub(super) quarantined_open: u64,
}

// A scalar subquery is Nullable, whatever it holds.
const TABLES: &str = "\
SELECT assumeNotNull((SELECT count() FROM events)) AS rows,
    assumeNotNull((SELECT uniqExact(id) FROM events_quarantine)) AS quarantined,
    assumeNotNull((SELECT uniqExact(id) FROM events_quarantine
        WHERE id NOT IN (SELECT id FROM events_quarantine_actions WHERE action = 'replay'))) AS quarantined_open";

impl Health {
    /// Asks every part.
    pub(super) async fn of(http: &reqwest::Client, stack: &Running, warehouse: &Client, now: Timestamp) -> Self {
        let parts = stack.parts.iter().map(|part| PartHealth::of(http, part));
        let today = Offset::UTC.to_datetime(now).date();
        let days = Range {
            from: today.saturating_sub(1.day()),
            to: today,
        };
        let (parts, stream, tables, live, activity) = tokio::join!(
            futures::future::join_all(parts),
            Stream::of(http, &stack.firehose),
            within(
                ANSWER_WITHIN,
                warehouse
                    .query(TABLES)
                    .with_setting("max_execution_time", ANSWER_WITHIN.as_secs().to_string())
                    .fetch_one::<Tables>(),
            ),
            Live::read(warehouse, now, ANSWER_WITHIN),
            of_mart::<Activity>(warehouse, &days, ANSWER_WITHIN),
        );
        let mut health = Self {
            parts,
            stream: None,
            tables: None,
            live,
            activity,
        };
        match stream {
            Ok(stream) => health.stream = Some(stream),
            Err(error) => health.blame("firehose", format!("{error:#}")),
        }
        match tables {
            Ok(tables) => health.tables = Some(tables),
            Err(error) => health.blame("clickhouse", edge::chain(&error)),
        }
        health
    }

    fn blame(&mut self, name: &str, problem: String) {
        let part = self.parts.iter_mut().find(|part| part.name == name);
        if let Some(part) = part {
            part.problem.get_or_insert(problem);
        }
    }

    /// Whether every part answers.
    pub(super) fn is_good(&self) -> bool {
        self.parts.iter().all(|part| part.problem.is_none())
    }
}

impl PartHealth {
    /// Whatever a part answers but an error of its own shows that it runs. Firehose and ClickHouse are asked for more.
    async fn of(http: &reqwest::Client, part: &Part) -> Self {
        let answer = http.get(&part.url).timeout(ANSWER_WITHIN).send().await;
        let problem = match answer {
            Ok(answer) if answer.status().is_server_error() => Some(format!("answers {}", answer.status())),
            Ok(_) => None,
            Err(error) if error.is_timeout() => Some(format!("does not answer within {} s", ANSWER_WITHIN.as_secs())),
            Err(error) if error.is_connect() => Some("cannot be connected to".to_owned()),
            Err(error) => Some(edge::chain(&error)),
        };
        Self {
            name: part.name.clone(),
            url: part.url.clone(),
            restarts: part.restarts,
            problem,
        }
    }
}

impl Stream {
    async fn of(http: &reqwest::Client, firehose: &str) -> anyhow::Result<Self> {
        let request = http.get(format!("{firehose}/health")).timeout(ANSWER_WITHIN);
        let response = request.send().await.context("does not answer")?;
        ensure!(response.status().is_success(), "answers {}", response.status());
        let mut health: serde_json::Value = response.json().await.context("answers what cannot be read")?;
        let stream = health.pointer_mut(&format!("/streams/{STREAM}"));
        let stream = stream.with_context(|| format!("has no stream {STREAM}"))?.take();
        serde_json::from_value(stream).context("answers what cannot be read")
    }
}
