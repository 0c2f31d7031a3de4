//! Inserting rows, exactly once as far as ClickHouse goes.
//!
//! Rows are grouped by month, because one insert block must not touch many partitions, and each group goes as one block in
//! the Native format with an `insert_deduplication_token`: a hash of its rows. Firehose repeats a delivery with the same
//! records, but keeps its request id the same only "in a best-effort manner", so the rows themselves are the identity.
//! They are sorted before they are hashed, so their order does not matter; each holds its event_id, so two groups are
//! never equal by chance. The request id is not hashed: a delivery that a loader stored which did not know it is recognised
//! by one that does. A delivery that failed half-way is delivered again whole: the groups that were inserted before
//! are recognised and skipped. Two copies of one event in different groups, or in one, are left to the table's engine,
//! which keeps one per sorting key.

use std::time::Duration;

use bytes::Bytes;
use clickhouse::Client;
use clickhouse::error::Error;
use clickhouse::insert_formatted::InsertFormatted;
use edge::clickhouse::{SEND_TIMEOUT, WarehouseError, within};
use event_model::Row;
use twox_hash::XxHash3_128;

use crate::native::{self, Block};

/// The statement that a block of rows follows.
const INSERT_EVENTS: &str = "INSERT INTO events (dt, name, user_id, url, obj, obj_id, product_id, amount, exp, event_id, \
                             received_at, request_id) FORMAT Native";

/// How many rows of one delivery may be refused one by one. Each costs some inserts to find, and a table that refuses more
/// than so many is in a wrong state.
pub const MAX_REFUSED: usize = 100;

/// How much is handed to the connection at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// How long an answer is looked for that came before everything was sent.
const ANSWERED_ALREADY: Duration = Duration::from_millis(50);

/// A line that cannot be a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// At which step it failed.
    pub stage: &'static str,
    /// A stable name for the reason.
    pub code: &'static str,
    /// The reason in a sentence.
    pub reason: String,
    /// The field at fault, or empty.
    pub field: &'static str,
    /// The bytes as they came.
    pub raw: Vec<u8>,
}

/// Rows of one month, in the table's order, as a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// `toYYYYMM(dt)`.
    pub month: u32,
    /// How many rows.
    pub rows: usize,
    /// The Native block.
    pub block: Bytes,
    /// The `insert_deduplication_token`.
    pub token: String,
}

/// Inserts rows into `events`, one insert a month, each taking at most `limit`. Inserting the same rows again, in any
/// order, changes nothing.
pub async fn rows(client: &Client, rows: &[Row<'_>], limit: Duration) -> Result<(), WarehouseError> {
    for group in groups(rows) {
        tracing::debug!(month = group.month, rows = group.rows, token = group.token, "inserting");
        send(client, INSERT_EVENTS, group.block, &group.token, limit).await?;
    }
    Ok(())
}

/// As [`rows`], but a row that the table refuses does not cost its neighbours: it is found by halving its group, and given
/// back. More than [`MAX_REFUSED`] of them are no bad rows but a table that refuses them all, and an error.
pub async fn rows_apart(client: &Client, rows: &[Row<'_>], limit: Duration) -> Result<Vec<Rejected>, WarehouseError> {
    let mut refused = Vec::new();
    let sorted = sorted(rows);
    for (month, rows) in months(&sorted) {
        let mut parts = vec![rows];
        while let Some(rows) = parts.pop() {
            let group = Group::of(month, rows);
            let Err(error) = send(client, INSERT_EVENTS, group.block, &group.token, limit).await else {
                continue;
            };
            let Some(exception) = error.bad_data() else {
                return Err(error);
            };
            match rows {
                [_] if refused.len() >= MAX_REFUSED => return Err(error),
                [row] => refused.push(Rejected {
                    stage: "insert",
                    code: exception.name,
                    // Not ClickHouse's own words: they may quote other rows.
                    reason: format!("ClickHouse refused the row with exception {}", exception.number),
                    field: "",
                    raw: row.to_line(),
                }),
                _ => {
                    let (first, second) = rows.split_at(rows.len() / 2);
                    parts.push(second);
                    parts.push(first);
                }
            }
        }
    }
    Ok(refused)
}

/// Groups rows by month, each group sorted by the table's sorting key.
pub fn groups(rows: &[Row<'_>]) -> Vec<Group> {
    months(&sorted(rows))
        .map(|(month, rows)| Group::of(month, rows))
        .collect()
}

impl Group {
    /// The group of sorted rows of one month.
    fn of(month: u32, rows: &[&Row<'_>]) -> Self {
        let (block, token) = rows_block(rows);
        Group {
            month,
            rows: rows.len(),
            block: Bytes::from(block),
            token,
        }
    }
}

/// The rows in the order of the table's sorting key. Months follow one another in it.
fn sorted<'r, 'a>(rows: &'r [Row<'a>]) -> Vec<&'r Row<'a>> {
    // What decides most comparisons stands beside the row.
    let mut keyed: Vec<_> = rows.iter().map(|row| (first_of_key(row), row)).collect();
    keyed.sort_unstable_by(|(a, a_row), (b, b_row)| a.cmp(b).then_with(|| by_sorting_key(a_row, b_row)));
    keyed.into_iter().map(|(_, row)| row).collect()
}

/// The beginning of the sorting key: `dt` and four bytes of `name`. A name that ends earlier goes on with zeros, and none that
/// it is the beginning of comes before it.
fn first_of_key(row: &Row<'_>) -> u64 {
    let mut name = [0; 4];
    for (to, from) in name.iter_mut().zip(row.name.bytes()) {
        *to = from;
    }
    u64::from(row.dt) << 32 | u64::from(u32::from_be_bytes(name))
}

/// Cuts sorted rows where a month ends.
fn months<'s, 'r, 'a>(mut rows: &'s [&'r Row<'a>]) -> impl Iterator<Item = (u32, &'s [&'r Row<'a>])> {
    std::iter::from_fn(move || {
        let month = month(rows.first()?.dt);
        let own;
        (own, rows) = rows.split_at(rows.partition_point(|row| self::month(row.dt) == month));
        Some((month, own))
    })
}

/// `ORDER BY (dt, name, obj, obj_id, event_id)`, and then whatever makes the order of any two different rows certain, so
/// that the same rows always give the same block.
fn by_sorting_key(a: &Row<'_>, b: &Row<'_>) -> std::cmp::Ordering {
    let key = |row: &Row<'_>| {
        (
            row.dt,
            row.event_id,
            row.received_at,
            row.user_id,
            row.product_id,
            row.amount.to_bits(),
        )
    };
    (a.dt, &a.name, &a.obj, &a.obj_id, a.event_id)
        .cmp(&(b.dt, &b.name, &b.obj, &b.obj_id, b.event_id))
        .then_with(|| key(a).cmp(&key(b)))
        .then_with(|| (&a.url, &a.exp, &a.request_id).cmp(&(&b.url, &b.exp, &b.request_id)))
}

/// `toYYYYMM` of seconds since 1970.
fn month(dt: u32) -> u32 {
    let at = jiff::Timestamp::from_second(i64::from(dt)).unwrap_or_default();
    let date = jiff::tz::Offset::UTC.to_datetime(at);
    u32::from(date.year().unsigned_abs()) * 100 + u32::from(date.month().unsigned_abs())
}

/// The columns of `events`, without `inserted_at`, as a block and its token. Strings go where the table has LowCardinality:
/// ClickHouse converts.
fn rows_block(rows: &[&Row<'_>]) -> (Vec<u8>, String) {
    let mut block = Block::with_capacity(12, rows.len(), rows.iter().map(|row| most_bytes(row)).sum());
    block.fixed("dt", "DateTime('UTC')", rows, |row| row.dt.to_le_bytes());
    block.strings("name", rows, |row| row.name.as_bytes());
    block.fixed("user_id", "UInt64", rows, |row| row.user_id.to_le_bytes());
    block.strings("url", rows, |row| row.url.as_bytes());
    block.strings("obj", rows, |row| row.obj.as_bytes());
    block.strings("obj_id", rows, |row| row.obj_id.as_bytes());
    block.fixed("product_id", "UInt64", rows, |row| row.product_id.to_le_bytes());
    block.fixed("amount", "Float64", rows, |row| row.amount.to_le_bytes());
    block.string_map("exp", rows, |row| &row.exp);
    block.fixed("event_id", "UUID", rows, |row| native::uuid(row.event_id));
    block.fixed("received_at", "DateTime64(3, 'UTC')", rows, |row| {
        row.received_at.to_le_bytes()
    });
    // As of a block that ends here, whose first byte is its number of columns.
    let token = token("events", &[&[11], &block.written()[1..]]);
    block.strings("request_id", rows, |row| row.request_id.as_bytes());
    (block.finish(), token)
}

/// No fewer bytes than a row has in a block: its texts, with the two bytes that the length of most has, and what is of one size.
fn most_bytes(row: &Row<'_>) -> usize {
    let texts = [&row.name, &row.url, &row.obj, &row.obj_id, &row.request_id];
    let pairs = row.exp.iter().map(|(key, value)| key.len() + value.len() + 4);
    texts.iter().map(|text| text.len() + 2).sum::<usize>() + pairs.sum::<usize>() + 4 + 5 * 8 + 16
}

/// The token of a block that is given in pieces.
pub(crate) fn token(table: &str, block: &[&[u8]]) -> String {
    let mut hash = XxHash3_128::new();
    for piece in block {
        hash.write(piece);
    }
    format!("weir-{table}-{:032x}", hash.finish_128())
}

/// Inserts one block under its token, in at most `limit`.
pub(crate) async fn send(
    client: &Client,
    statement: &str,
    block: Bytes,
    token: &str,
    limit: Duration,
) -> Result<(), WarehouseError> {
    send_steadily(client, statement, block, token, SEND_TIMEOUT, limit).await
}

/// As [`send`], with that long for each piece to leave.
async fn send_steadily(
    client: &Client,
    statement: &str,
    block: Bytes,
    token: &str,
    piece: Duration,
    limit: Duration,
) -> Result<(), WarehouseError> {
    let mut insert = client
        .insert_formatted_with(statement)
        .with_timeouts(Some(piece), Some(limit))
        // A server may be set to gather inserts, which forgets tokens.
        .with_setting("async_insert", "0")
        .with_setting("insert_deduplicate", "1")
        .with_setting("insert_deduplication_token", token)
        // A view on the table recognises what it has had, too. It needs a dedup window on its own table.
        .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
        // The block is to be stored as it is sent: a split would be several blocks under one token.
        .with_setting("max_insert_block_size", "10000000")
        .with_setting("input_format_native_allow_types_conversion", "1");
    within(limit, async {
        for start in (0..block.len()).step_by(CHUNK_BYTES) {
            let chunk = block.slice(start..block.len().min(start + CHUNK_BYTES));
            match insert.send(chunk).await {
                Ok(()) => {}
                Err(broken @ (Error::Network(_) | Error::TimedOut)) => {
                    return Err(said(insert).await.unwrap_or(broken));
                }
                Err(error) => return Err(error),
            }
        }
        insert.end().await
    })
    .await
}

/// What ClickHouse said before it had all of an insert: it then reads no further, and that is all that sending shows.
async fn said(insert: InsertFormatted) -> Option<Error> {
    let answer = tokio::time::timeout(ANSWERED_ALREADY, insert.end()).await;
    answer
        .ok()?
        .err()
        .filter(|error| matches!(error, Error::BadResponse(_)))
}

#[cfg(test)]
mod tests;
