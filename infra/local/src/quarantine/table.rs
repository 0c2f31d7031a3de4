//! The table of quarantined lines, and what was done about them.

use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clickhouse::Client;
use edge::clickhouse::within;
use jiff::Timestamp;
use loader::native::{self, Block};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::warehouse::explained;

/// How long one statement may take.
const LIMIT: Duration = Duration::from_secs(60);

/// One row a line, with the last correction and the replay. Raw bytes come in base64: they need not be text.
const LINES: &str = "\
SELECT toString(q.id) AS id, toString(q.quarantined_at) AS at, q.stage AS stage, q.code AS code, q.reason AS reason,
    q.field AS field, q.request_id AS request_id, toUInt32(length(q.raw)) AS bytes, WITH_RAW AS raw,
    a.fixes > 0 AS fixed, WITH_FIX AS fix, a.replays > 0 AS replayed, toString(a.event_id) AS event_id
FROM (
    SELECT id, quarantined_at, stage, code, reason, field, raw, request_id FROM events_quarantine
    WHERE CONDITION
    ORDER BY quarantined_at LIMIT 1 BY id
) AS q
LEFT JOIN (
    SELECT id, argMaxIf(raw, at, action = 'fix') AS fix, countIf(action = 'fix') AS fixes,
        countIf(action = 'replay') AS replays, argMaxIf(event_id, at, action = 'replay') AS event_id
    FROM events_quarantine_actions GROUP BY id
) AS a ON a.id = q.id
ORDER BY q.quarantined_at DESC, q.id";

/// What was done about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Nothing.
    New,
    /// It was corrected.
    Fixed,
    /// It was accepted as an event.
    Replayed,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) id: Uuid,
    /// UTC, as ClickHouse writes it.
    pub(crate) at: String,
    pub(crate) stage: String,
    pub(crate) code: String,
    pub(crate) reason: String,
    pub(crate) field: String,
    pub(crate) request_id: String,
    pub(crate) bytes: u32,
    /// Empty in a list.
    pub(crate) raw: Vec<u8>,
    /// The last correction; empty in a list.
    pub(crate) fix: Option<Vec<u8>>,
    pub(crate) state: State,
    /// The event that it became.
    pub(crate) event_id: Option<Uuid>,
}

impl Line {
    /// The last correction, else the bytes as they came.
    pub(super) fn newest(&self) -> &[u8] {
        self.fix.as_deref().unwrap_or(&self.raw)
    }
}

/// Which lines to list.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(crate) stage: Option<String>,
    pub(crate) code: Option<String>,
    pub(super) since: Option<Timestamp>,
}

/// The tables.
pub(crate) struct Quarantine {
    client: Client,
}

impl Quarantine {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The newest lines, without their bytes.
    pub(super) async fn list(&self, filter: &Filter, limit: u32) -> anyhow::Result<Vec<Line>> {
        let mut conditions = vec!["1".to_owned()];
        let mut values = Vec::new();
        for (column, value) in [("stage", &filter.stage), ("code", &filter.code)] {
            if let Some(value) = value {
                conditions.push(format!("{column} = ?"));
                values.push(value.clone());
            }
        }
        if let Some(since) = filter.since {
            conditions.push("quarantined_at >= fromUnixTimestamp64Milli(toInt64(?), 'UTC')".to_owned());
            values.push(since.as_millisecond().to_string());
        }
        let query = format!("{} LIMIT {limit}", lines(&conditions.join(" AND "), false));
        self.read(&query, &values).await
    }

    /// The line whose id begins so.
    pub(super) async fn one(&self, prefix: &str) -> anyhow::Result<Line> {
        let prefix = prefix.to_ascii_lowercase();
        if prefix.is_empty() || !prefix.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
            bail!("{prefix:?} is no id, and no beginning of one");
        }
        let query = format!("{} LIMIT 2", lines("startsWith(toString(id), ?)", true));
        let mut found = self.read(&query, std::slice::from_ref(&prefix)).await?;
        match (found.pop(), found.pop()) {
            (Some(line), None) => Ok(line),
            (None, _) => bail!("no line in quarantine has the id {prefix}"),
            _ => bail!("several lines in quarantine have an id that begins with {prefix}"),
        }
    }

    /// The newest lines, twenty at most, that hold that text or became that event, with their bytes.
    pub(crate) async fn of_event(&self, event_id: Uuid) -> anyhow::Result<Vec<Line>> {
        let condition = "positionCaseInsensitive(raw, ?) > 0 OR id IN (
            SELECT id FROM events_quarantine_actions WHERE action = 'replay' AND event_id = toUUID(?))";
        let query = format!("{} LIMIT 20 SETTINGS max_execution_time = 60", lines(condition, true));
        let id = event_id.to_string();
        self.read(&query, &[id.clone(), id]).await
    }

    /// The lines with these ids, with their bytes.
    pub(super) async fn all_of(&self, ids: &[Uuid]) -> anyhow::Result<Vec<Line>> {
        let list: Vec<_> = ids.iter().map(|id| format!("'{id}'")).collect();
        self.read(&lines(&format!("id IN ({})", list.join(",")), true), &[])
            .await
    }

    /// The ids of all lines that were not replayed, the oldest first.
    pub(super) async fn open(&self) -> anyhow::Result<Vec<Uuid>> {
        let query = "SELECT toString(id) FROM events_quarantine
            WHERE id NOT IN (SELECT id FROM events_quarantine_actions WHERE action = 'replay')
            GROUP BY id ORDER BY min(quarantined_at), id";
        let cursor = self.client.query(query).fetch_bytes("TabSeparated");
        let answer = within(LIMIT, async { cursor?.collect().await })
            .await
            .map_err(explained)?;
        Ok(String::from_utf8_lossy(&answer)
            .lines()
            .filter_map(|id| id.parse().ok())
            .collect())
    }

    /// Keeps a corrected line.
    pub(super) async fn fix(&self, id: Uuid, raw: &[u8]) -> anyhow::Result<()> {
        let token = format!("weir-fix-{}", Uuid::new_v4());
        self.act(id, "fix", raw, Uuid::nil(), &token).await
    }

    /// Keeps that the line was accepted as that event. Saying so twice changes nothing.
    pub(super) async fn replayed(&self, id: Uuid, event_id: Uuid) -> anyhow::Result<()> {
        self.act(id, "replay", b"", event_id, &format!("weir-replay-{id}"))
            .await
    }

    async fn act(&self, id: Uuid, action: &str, raw: &[u8], event_id: Uuid, token: &str) -> anyhow::Result<()> {
        let mut block = Block::new(4, 1);
        block.fixed("id", "UUID", &[id], |id| native::uuid(*id));
        block.strings("action", &[action], |action| action.as_bytes());
        block.strings("raw", &[raw], |raw| raw);
        block.fixed("event_id", "UUID", &[event_id], |id| native::uuid(*id));
        let mut insert = self
            .client
            .insert_formatted_with("INSERT INTO events_quarantine_actions (id, action, raw, event_id) FORMAT Native")
            .with_setting("async_insert", "0")
            .with_setting("insert_deduplicate", "1")
            .with_setting("insert_deduplication_token", token)
            .with_setting("input_format_native_allow_types_conversion", "1");
        let block = Bytes::from(block.finish());
        within(LIMIT, async {
            insert.send(block).await?;
            insert.end().await
        })
        .await
        .map_err(explained)
    }

    async fn read(&self, query: &str, values: &[String]) -> anyhow::Result<Vec<Line>> {
        let mut query = self.client.query(query);
        for value in values {
            query = query.bind(value);
        }
        let cursor = query.fetch_bytes("JSONEachRow");
        let answer = within(LIMIT, async { cursor?.collect().await })
            .await
            .map_err(explained)?;
        answer
            .split(|byte| *byte == b'\n')
            .filter(|row| !row.is_empty())
            .map(|row| Line::try_from(serde_json::from_slice::<Found>(row)?))
            .collect::<anyhow::Result<_>>()
            .context("ClickHouse's answer cannot be read")
    }
}

fn lines(condition: &str, with_bytes: bool) -> String {
    let (raw, fix) = if with_bytes {
        ("base64Encode(q.raw)", "base64Encode(a.fix)")
    } else {
        ("''", "''")
    };
    LINES
        .replace("WITH_RAW", raw)
        .replace("WITH_FIX", fix)
        .replace("CONDITION", condition)
}

/// A row of [`LINES`].
#[derive(Deserialize)]
struct Found {
    id: Uuid,
    at: String,
    stage: String,
    code: String,
    reason: String,
    field: String,
    request_id: String,
    bytes: u32,
    raw: String,
    fixed: u8,
    fix: String,
    replayed: u8,
    event_id: Uuid,
}

impl TryFrom<Found> for Line {
    type Error = anyhow::Error;

    fn try_from(found: Found) -> anyhow::Result<Self> {
        Ok(Line {
            id: found.id,
            at: found.at,
            stage: found.stage,
            code: found.code,
            reason: found.reason,
            field: found.field,
            request_id: found.request_id,
            bytes: found.bytes,
            raw: STANDARD.decode(found.raw)?,
            fix: match found.fixed {
                0 => None,
                _ => Some(STANDARD.decode(found.fix)?),
            },
            state: match (found.fixed, found.replayed) {
                (0, 0) => State::New,
                (_, 0) => State::Fixed,
                _ => State::Replayed,
            },
            event_id: (found.replayed != 0).then_some(found.event_id),
        })
    }
}
