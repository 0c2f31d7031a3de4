//! What the tables know of an event. Every query is bounded in time; the sorting key of `events` does not begin with the id.

use std::time::Duration;

use anyhow::Context as _;
use clickhouse::Client;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::report::Step;
use crate::warehouse::{explained, json_rows};

/// How long one query may take, in seconds.
const SECONDS: u32 = 60;

/// From when on a person is told that it takes a while.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long before and after the instant that an id names it is looked for first: a clock that is wrong, and a stream that stood still.
const BEFORE_S: i64 = 3_600;
const AFTER_S: i64 = 86_400;

/// Where a row with that id lies. The index on inserted_at tells which parts may hold it.
const KEY: &str = "\
SELECT toUnixTimestamp(dt) AS dt, name, obj, obj_id FROM events
WHERE event_id = {id:UUID} AND inserted_at >= toDateTime({from:UInt32}) AND inserted_at < toDateTime({to:UInt32}) LIMIT 1";

/// All copies of that event lie there. Another event to which a client gave the same id does not.
const COPIES: &str = "\
SELECT formatDateTime(dt, '%FT%H:%i:%SZ', 'UTC') AS dt, name, toString(user_id) AS user_id, url, obj, obj_id, request_id,
    toUnixTimestamp64Milli(received_at) AS received_ms, toUnixTimestamp(inserted_at) AS inserted_s
FROM events
WHERE events.dt = toDateTime({dt:UInt32}) AND name = {name:String} AND obj = {obj:String} AND obj_id = {obj_id:String}
    AND event_id = {id:UUID}
ORDER BY received_at, inserted_at LIMIT 100";

/// When the last finished run of each model began.
const RUNS: &str = "\
SELECT toString(model) AS model, toUnixTimestamp64Milli(toDateTime64(max(began_at), 3)) AS began_ms
FROM dbt_runs WHERE finished_at > began_at GROUP BY model ORDER BY model";

/// One row of `events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    /// RFC 3339.
    pub(super) dt: String,
    pub(super) name: String,
    pub(super) user_id: String,
    pub(super) url: String,
    pub(super) obj: String,
    pub(super) obj_id: String,
    /// Empty where it is not known.
    pub(super) request_id: String,
    /// Milliseconds since 1970.
    pub(super) received_ms: i64,
    /// Seconds since 1970.
    pub(super) inserted_s: i64,
}

/// The last finished run of a model.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Run {
    pub(super) model: String,
    /// Milliseconds since 1970.
    pub(super) began_ms: i64,
}

#[derive(Debug, Deserialize)]
struct Key {
    dt: u32,
    name: String,
    obj: String,
    obj_id: String,
}

/// The rows with that id: those of one sorting key, which are copies of one event. The oldest first.
pub(super) async fn find(client: &Client, event_id: Uuid) -> anyhow::Result<Vec<Row>> {
    let near = super::made_at(event_id).map(|at| at.as_second()).map(|at| {
        let bound = |second: i64| u32::try_from(second.max(0)).unwrap_or(u32::MAX);
        (bound(at - BEFORE_S), bound(at + AFTER_S))
    });
    let mut key = None;
    for window in near.into_iter().chain([(0, u32::MAX)]) {
        key = steadily(locate(client, event_id, window)).await?;
        if key.is_some() {
            break;
        }
    }
    let Some(Key { dt, name, obj, obj_id }) = key else {
        return Ok(Vec::new());
    };
    let query = client
        .query(COPIES)
        .param("id", event_id.to_string())
        .param("dt", dt)
        .param("name", name)
        .param("obj", obj)
        .param("obj_id", obj_id);
    json_rows(query, SECONDS)
        .await
        .map_err(explained)?
        .context("ClickHouse's answer cannot be read")
}

async fn locate(client: &Client, event_id: Uuid, (from, to): (u32, u32)) -> anyhow::Result<Option<Key>> {
    let query = client.query(KEY).param("id", event_id.to_string());
    let keys = json_rows(query.param("from", from).param("to", to), SECONDS)
        .await
        .map_err(explained)?;
    let keys: serde_json::Result<Vec<Key>> = keys;
    Ok(keys.context("ClickHouse's answer cannot be read")?.pop())
}

/// When the last finished run of each of dbt's incremental models began. `None` where dbt never ran.
pub(super) async fn runs(client: &Client) -> anyhow::Result<Option<Vec<Run>>> {
    match json_rows(client.query(RUNS), SECONDS).await {
        Ok(runs) => Ok(Some(runs.context("ClickHouse's answer cannot be read")?)),
        // Unknown table.
        Err(error) if error.exception() == Some(60) => Ok(None),
        Err(error) => Err(explained(error)),
    }
}

/// Tells a person who waits what for.
async fn steadily<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
        return done;
    }
    let step = Step::begin("look through events for the id");
    let done = work.await;
    step.done();
    done
}
