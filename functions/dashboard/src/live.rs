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

/// Ages by ClickHouse's clock, of what was stored in the last hour: the index on inserted_at leaves everything else out. inserted_at is a
/// whole second, so what was stored within the second it was received in would be stored before.
const FRESHNESS: &str = "\
SELECT if(count() = 0, NULL, greatest(dateDiff('millisecond', max(received_at), now64(3)), 0) / 1000) AS newest_event_age_seconds,
    quantileOrNull(0.5)(seconds) AS stored_within_seconds_p50, quantileOrNull(0.95)(seconds) AS stored_within_seconds_p95
FROM (
    SELECT received_at, greatest(dateDiff('millisecond', received_at, inserted_at), 0) / 1000 AS seconds
    FROM events WHERE inserted_at >= now() - INTERVAL 1 HOUR
)
WHERE received_at >= now() - INTERVAL 1 DAY";

/// When nothing came for an hour, the rows of a day are few enough.
const NEWEST: &str = "\
SELECT if(count() = 0, NULL, greatest(dateDiff('millisecond', max(received_at), now64(3)), 0) / 1000) AS age_seconds
FROM events WHERE inserted_at >= now() - INTERVAL 1 DAY AND received_at >= now() - INTERVAL 1 DAY";

/// A line may be kept twice: the id is that of a line.
const QUARANTINE: &str = "SELECT uniqExact(id) AS open FROM events_quarantine \
                          WHERE id NOT IN (SELECT id FROM events_quarantine_actions WHERE action = 'replay')";

/// Each model has runs of its own; of those that dbt still runs, the one that is furthest behind counts. A run that has not finished has no
/// end. What came since the last one began is what it may not have seen; a day at most is counted.
const DBT: &str = "\
WITH (
    SELECT (min(finished), min(began)) FROM (
        SELECT maxIf(finished_at, finished_at > began_at) AS finished, maxIf(began_at, finished_at > began_at) AS began
        FROM dbt_runs GROUP BY model
        HAVING finished > toDateTime64(0, 6) AND max(began_at) >= (SELECT max(began_at) FROM dbt_runs) - INTERVAL 1 DAY
    )
) AS last, last.1 > toDateTime64(0, 6) AS ran
SELECT if(ran, greatest(dateDiff('millisecond', last.1, now64(3)), 0) / 1000, NULL) AS finished_seconds_ago,
    if(ran, (
        SELECT count() FROM events WHERE inserted_at >= now() - INTERVAL 1 DAY AND inserted_at >= toDateTime(last.2)
    ), NULL) AS events_since";

/// What happened in a minute.
#[derive(Debug, Serialize, Deserialize, Row)]
pub struct Minute {
    /// When it begins.
    pub minute: Instant,
    /// The events' name, or `other`.
    pub name: String,
    /// How many.
    pub events: u64,
}

#[derive(Debug, Serialize, Deserialize, Row)]
struct Newest {
    age_seconds: Number,
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
pub struct Health {
    /// Since the newest event was received; null when none was in the last day.
    pub newest_event_age_seconds: Number,
    /// From an event's receipt to its row, of what was stored in the last hour; null when there is none.
    pub stored_within_seconds_p50: Number,
    /// The same, of the slowest twentieth.
    pub stored_within_seconds_p95: Number,
    /// Lines in quarantine that were not replayed.
    pub quarantine_open: u64,
    /// Since dbt last finished the model that is furthest behind, of those that it adds to; null when it never did.
    pub dbt_finished_seconds_ago: Option<f64>,
    /// Rows that came since that run began, in the last day; null when there was none.
    pub events_since_dbt: Option<u64>,
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Live {
    /// `2026-11-27T06:30:00Z`.
    pub now: String,
    /// By minute and name.
    pub minutes: Panel<Minute>,
    /// One row.
    pub health: Panel<Health>,
}

impl Live {
    /// Reads everything at once.
    pub async fn read(client: &Client, now: Timestamp, limit: Duration) -> Self {
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
        freshness(client, limit),
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

async fn freshness(client: &Client, limit: Duration) -> Result<Freshness, Error> {
    let mut freshness = one::<Freshness>(client, FRESHNESS, limit).await?;
    if freshness.newest_event_age_seconds.0.is_none() {
        freshness.newest_event_age_seconds = one::<Newest>(client, NEWEST, limit).await?.age_seconds;
    }
    Ok(freshness)
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
