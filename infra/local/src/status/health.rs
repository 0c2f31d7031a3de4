//! The stack's parts and their figures, on one screen.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clickhouse::Client;
use edge::clickhouse::within;
use serde::{Deserialize, Serialize};

use crate::report;
use crate::up::{Part, Running, STREAM};

/// How long one part may take to answer: a function under cargo-lambda may have to start.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How the stack does.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    parts: Vec<PartHealth>,
    /// `None` when Firehose does not answer.
    stream: Option<Stream>,
    /// `None` when ClickHouse does not answer.
    tables: Option<Tables>,
}

#[derive(Debug, Serialize)]
struct PartHealth {
    name: String,
    url: String,
    restarts: u32,
    /// What is wrong, if anything is.
    problem: Option<String>,
}

/// What `GET /health` of Firehose says of the stream; counts are of records.
#[derive(Debug, Serialize, Deserialize)]
struct Stream {
    accepted: u64,
    delivered: u64,
    given_up: u64,
    spooled_records: u64,
    oldest_age_seconds: Option<u64>,
    failed_attempts: u64,
    damaged_bytes: u64,
}

/// What is stored.
#[derive(Debug, Serialize, Deserialize, clickhouse::Row)]
struct Tables {
    /// Rows of `events`, copies that merging has yet to remove included.
    rows: u64,
    /// Since the newest event was received, in seconds; absurdly long when there is none.
    newest_age_seconds: i64,
    /// Lines in quarantine.
    quarantined: u64,
    /// Of these, not replayed.
    quarantined_open: u64,
}

// A scalar subquery is Nullable, whatever it holds.
const TABLES: &str = "\
SELECT assumeNotNull((SELECT count() FROM events)) AS rows,
    assumeNotNull((SELECT dateDiff('second', max(received_at), now64(3)) FROM events)) AS newest_age_seconds,
    assumeNotNull((SELECT uniqExact(id) FROM events_quarantine)) AS quarantined,
    assumeNotNull((SELECT uniqExact(id) FROM events_quarantine
        WHERE id NOT IN (SELECT id FROM events_quarantine_actions WHERE action = 'replay'))) AS quarantined_open";

impl Health {
    /// Asks every part.
    pub(super) async fn of(http: &reqwest::Client, stack: &Running, warehouse: &Client) -> Self {
        let parts = stack.parts.iter().map(|part| PartHealth::of(http, part));
        let (parts, stream, tables) = tokio::join!(
            futures::future::join_all(parts),
            Stream::of(http, &stack.firehose),
            within(ANSWER_WITHIN, warehouse.query(TABLES).fetch_one::<Tables>()),
        );
        let mut health = Self {
            parts,
            stream: None,
            tables: None,
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

    /// The screen.
    pub(super) fn screen(&self) -> String {
        let mut text = String::new();
        for part in &self.parts {
            let mark = if part.problem.is_some() { '!' } else { ' ' };
            let state = part.problem.as_deref().unwrap_or("answers");
            let restarts = match part.restarts {
                0 => String::new(),
                times => format!(", started again {times} times"),
            };
            let _ = writeln!(text, "{mark} {:<10} {:<42} {state}{restarts}", part.name, part.url);
        }
        if let Some(stream) = &self.stream {
            let oldest = stream.oldest_age_seconds.map_or_else(String::new, |seconds| {
                format!(", the oldest for {}", report::seconds(Duration::from_secs(seconds)))
            });
            let _ = write!(
                text,
                "\n  stream     {} records accepted, {} delivered, {} waiting{oldest}; {} attempts failed",
                stream.accepted, stream.delivered, stream.spooled_records, stream.failed_attempts
            );
            if stream.given_up > 0 {
                let _ = write!(
                    text,
                    "\n! backup     {} records were given up: `weir replay` stores them, `weir status --reconcile` says \
                     which are still missing",
                    stream.given_up
                );
            }
            if stream.damaged_bytes > 0 {
                let _ = write!(
                    text,
                    "\n! spool      {} bytes could not be read back: see firehose.log",
                    stream.damaged_bytes
                );
            }
        }
        if let Some(tables) = &self.tables {
            let _ = write!(text, "\n  events     {} rows", tables.rows);
            if let (1.., Ok(seconds)) = (tables.rows, u64::try_from(tables.newest_age_seconds)) {
                let age = report::seconds(Duration::from_secs(seconds));
                let _ = write!(text, ", the newest received {age} ago");
            }
            let mark = if tables.quarantined_open > 0 { '!' } else { ' ' };
            let _ = write!(
                text,
                "\n{mark} quarantine {} lines, {} of them not replayed",
                tables.quarantined, tables.quarantined_open
            );
            if tables.quarantined_open > 0 {
                text.push_str(": `weir quarantine ls`");
            }
        }
        text
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
