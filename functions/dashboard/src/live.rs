//! `/dashboard/live`: what happens now.

use std::time::Duration;

use clickhouse::{Client, Row, RowOwned, RowRead};
use edge::clickhouse::WarehouseError;
use futures::{join, try_join};
use jiff::Timestamp;
use marts::{Error, Instant, Number};
use serde::{Deserialize, Serialize};

use crate::panel::{self, Panel};

/// The last sixty minutes, the one that it is included. The names with most events have their own rows, the others one together.
const MINUTES: &str = "\
SELECT minute, if(place <= 12, event_name, 'other') AS name, toUInt64(sum(counted)) AS events
FROM (
    SELECT minute, event_name, counted, dense_rank() OVER (ORDER BY total DESC, event_name) AS place
    FROM (
        SELECT minute, toString(name) AS event_name, events AS counted, sum(events) OVER (PARTITION BY name) AS total
        FROM events_per_minute
        WHERE minute > toStartOfMinute({now: DateTime('UTC')}) - INTERVAL 60 MINUTE AND minute <= {now: DateTime('UTC')}
    )
)
GROUP BY minute, name ORDER BY minute, name";

/// Ages by ClickHouse's clock. The index on inserted_at leaves everything out that is older than a day. inserted_at is a whole second,
/// so what was stored within the second it was received in would be stored before.
const FRESHNESS: &str = "\
SELECT if(count() = 0, NULL, greatest(dateDiff('millisecond', max(received_at), now64(3)), 0) / 1000) AS newest_event_age_seconds,
    quantileIfOrNull(0.5)(seconds, inserted_at >= now() - INTERVAL 1 HOUR) AS stored_within_seconds_p50,
    quantileIfOrNull(0.95)(seconds, inserted_at >= now() - INTERVAL 1 HOUR) AS stored_within_seconds_p95
FROM (
    SELECT received_at, inserted_at, greatest(dateDiff('millisecond', received_at, inserted_at), 0) / 1000 AS seconds
    FROM events WHERE inserted_at >= now() - INTERVAL 1 DAY
)
WHERE received_at >= now() - INTERVAL 1 DAY";

/// A line may be kept twice: the id is that of a line.
const QUARANTINE: &str = "SELECT uniqExact(id) AS open FROM events_quarantine \
                          WHERE id NOT IN (SELECT id FROM events_quarantine_actions WHERE action = 'replay')";

/// A run that has not finished has no end. What came since the last one began is what it may not have seen; a day at most is counted.
const DBT: &str = "\
WITH (SELECT maxOrNull(finished_at) FROM dbt_runs WHERE finished_at > began_at) AS finished,
    (SELECT argMax(began_at, finished_at) FROM dbt_runs WHERE finished_at > began_at) AS began
SELECT if(isNull(finished), NULL, greatest(dateDiff('millisecond', finished, now64(3)), 0) / 1000) AS finished_seconds_ago,
    if(isNull(finished), NULL, (
        SELECT count() FROM events WHERE inserted_at >= now() - INTERVAL 1 DAY AND inserted_at >= toDateTime(began)
    )) AS events_since";

/// What happened in a minute.
#[derive(Debug, Serialize, Deserialize, Row)]
pub(crate) struct Minute {
    minute: Instant,
    name: String,
    events: u64,
}

#[derive(Debug, Serialize, Deserialize, Row)]
struct Freshness {
    newest_event_age_seconds: Number,
    stored_within_seconds_p50: Number,
    stored_within_seconds_p95: Number,
}

#[derive(Debug, Serialize, Deserialize, Row)]
struct Quarantine {
    open: u64,
}

#[derive(Debug, Default, Serialize, Deserialize, Row)]
struct Dbt {
    finished_seconds_ago: Option<f64>,
    events_since: Option<u64>,
}

/// How old the data is, and what waits for somebody.
#[derive(Debug, Serialize)]
pub(crate) struct Health {
    /// Since the newest event was received; null when none was in the last day.
    newest_event_age_seconds: Number,
    /// From an event's receipt to its row, of what was stored in the last hour; null when there is none.
    stored_within_seconds_p50: Number,
    /// The same, of the slowest twentieth.
    stored_within_seconds_p95: Number,
    /// Lines in quarantine that were not replayed.
    quarantine_open: u64,
    /// Since dbt last finished a model that it adds to; null when it never did.
    dbt_finished_seconds_ago: Option<f64>,
    /// Rows that came since that run began, in the last day; null when there was none.
    events_since_dbt: Option<u64>,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct Live {
    /// `2026-11-27T06:30:00Z`.
    now: String,
    /// By minute and name.
    minutes: Panel<Minute>,
    /// One row.
    health: Panel<Health>,
}

impl Live {
    /// Reads everything at once.
    pub(crate) async fn read(client: &Client, now: Timestamp, limit: Duration) -> Self {
        let (minutes, health) = join!(minutes(client, now, limit), health(client, limit));
        Live {
            now: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            minutes: Panel::new("minutes", minutes),
            health: Panel::new("health", health.map(|health| vec![health])),
        }
    }
}

async fn minutes(client: &Client, now: Timestamp, limit: Duration) -> Result<Vec<Minute>, Error> {
    let query = client.query(MINUTES).param("now", now.as_second());
    panel::all(query, limit, Error::Warehouse).await
}

async fn health(client: &Client, limit: Duration) -> Result<Health, Error> {
    let (freshness, quarantine, dbt) = try_join!(
        one::<Freshness>(client, FRESHNESS, limit),
        one::<Quarantine>(client, QUARANTINE, limit),
        dbt(client, limit),
    )?;
    Ok(Health {
        newest_event_age_seconds: freshness.newest_event_age_seconds,
        stored_within_seconds_p50: freshness.stored_within_seconds_p50,
        stored_within_seconds_p95: freshness.stored_within_seconds_p95,
        quarantine_open: quarantine.open,
        dbt_finished_seconds_ago: dbt.finished_seconds_ago,
        events_since_dbt: dbt.events_since,
    })
}

/// dbt makes its table when it first runs.
async fn dbt(client: &Client, limit: Duration) -> Result<Dbt, Error> {
    match one_of(client, DBT, limit, |error| Error::of(error, "dbt_runs")).await {
        Err(Error::NoMart(_)) => Ok(Dbt::default()),
        read => read,
    }
}

/// The row of a query that has one. What the migrations make is there, so a table that is missing is ClickHouse's failure.
async fn one<R>(client: &Client, query: &str, limit: Duration) -> Result<R, Error>
where
    R: RowOwned + RowRead + Serialize,
{
    one_of(client, query, limit, Error::Warehouse).await
}

async fn one_of<R>(
    client: &Client,
    query: &str,
    limit: Duration,
    failed: impl FnOnce(WarehouseError) -> Error,
) -> Result<R, Error>
where
    R: RowOwned + RowRead + Serialize,
{
    let mut rows = panel::all(client.query(query), limit, failed).await?;
    rows.pop()
        .ok_or_else(|| Error::Warehouse(clickhouse::error::Error::RowNotFound.into()))
}
