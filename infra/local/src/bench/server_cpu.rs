//! What an insert costs the server: the loader's block, beside the same rows as ClickHouse itself writes them in its Native format, with
//! dictionaries where the table has LowCardinality.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use clickhouse::Client;
use event_model::Row;
use loader::insert;
use uuid::Uuid;

use crate::migrate;
use crate::up::throwaway;

/// Rows of an insert: as many as a large delivery has.
const ROWS: usize = 7_000;

/// How often each block is inserted, after once that does not count.
const INSERTS: usize = 50;

/// How long one insert may take.
const LIMIT: Duration = Duration::from_secs(60);

const COLUMNS: &str = "dt, name, user_id, url, obj, obj_id, product_id, amount, exp, event_id, received_at, request_id";

/// What the engine counts of its threads' time, in its own words; without the HTTP around it, which is `weir`'s.
const CPU: &str =
    "SELECT sum(value) FROM system.events WHERE event IN ('UserTimeMicroseconds', 'SystemTimeMicroseconds')";

/// Processor time of an insert, in microseconds a row: medians.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ServerCpu {
    /// Of the loader's block.
    pub(super) own: f64,
    /// Of ClickHouse's own.
    pub(super) native: f64,
    /// The first by the second.
    pub(super) ratio: f64,
}

/// Measures on an engine of its own.
pub(super) async fn run(weir: &Path, library: &Path) -> anyhow::Result<ServerCpu> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let engine = throwaway::clickhouse(weir, library, folder.path()).await?;
    let measured = on(&engine.url).await;
    engine.stop().await;
    measured
}

async fn on(url: &str) -> anyhow::Result<ServerCpu> {
    let client = Client::default().with_url(url).with_user("default");
    migrate::embedded(&client, url, "analytics").await?;
    let client = client.with_database("analytics");
    let groups = insert::groups(&rows());
    let [group] = &groups[..] else {
        anyhow::bail!("the rows are of one month");
    };
    insert(&client, &group.block, &group.token).await?;
    let native = client
        .query(&format!(
            "SELECT {COLUMNS} FROM events ORDER BY dt, name, obj, obj_id, event_id"
        ))
        .with_setting("max_block_size", (2 * ROWS).to_string())
        .fetch_bytes("Native")?
        .collect()
        .await?;
    // One block of all rows, which says so in its first bytes.
    let mut head = vec![12];
    loader::native::varint(&mut head, ROWS as u64);
    ensure!(native.starts_with(&head), "ClickHouse gives the rows in pieces");
    // Merges are work of other inserts.
    client.query("SYSTEM STOP MERGES").execute().await?;
    let blocks = [&group.block, &native];
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=INSERTS {
        for turn in 0..2 {
            // Neither is always the first.
            let which = (turn + round) % 2;
            let before: u64 = client.query(CPU).fetch_one().await?;
            insert(&client, blocks[which], &format!("{round}-{which}")).await?;
            let after: u64 = client.query(CPU).fetch_one().await?;
            if round > 0 {
                times[which].push(after - before);
            }
        }
        if round % 10 == 0 {
            client.query("TRUNCATE TABLE events").execute().await?;
        }
    }
    let [own, native] = times.map(median).map(|time| time as f64 / ROWS as f64);
    ensure!(native > 0.0, "the engine does not count its time");
    Ok(ServerCpu {
        own,
        native,
        ratio: own / native,
    })
}

/// Inserts a block as the loader does.
async fn insert(client: &Client, block: &Bytes, token: &str) -> anyhow::Result<()> {
    let mut insert = client
        .insert_formatted_with(format!("INSERT INTO events ({COLUMNS}) FORMAT Native"))
        .with_timeouts(Some(LIMIT), Some(LIMIT))
        .with_setting("async_insert", "0")
        .with_setting("insert_deduplicate", "1")
        .with_setting("insert_deduplication_token", token)
        .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
        .with_setting("max_insert_block_size", "10000000")
        .with_setting("input_format_native_allow_types_conversion", "1");
    insert.send(block.clone()).await?;
    Ok(insert.end().await?)
}

fn median(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Rows of the hour before now, which the counts by minute see too; of less than an hour when the month has just begun.
fn rows() -> Vec<Row<'static>> {
    let now = edge::clock::now();
    let last = u32::try_from(now.as_second()).unwrap_or_default();
    let day = u32::from(jiff::tz::Offset::UTC.to_datetime(now).day().unsigned_abs());
    let period = ((day - 1) * 86_400 + last % 86_400).clamp(1, 3600);
    (0..ROWS as u64)
        .map(|number| {
            // The multiplier is odd, so no two numbers are drawn alike.
            let drawn = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
            let (name, obj, obj_id) = [
                ("view", "page", "product"),
                ("click", "button", "add_to_cart"),
                ("view", "page", "category"),
                ("click", "link", "size-guide"),
                ("purchase", "order", "2024-118842"),
                ("scroll", "page", "reviews"),
            ][drawn as usize % 6];
            let product_id = drawn / 6 % 50_000;
            let mut exp = Vec::new();
            if number % 2 == 0 {
                let variant = ["control", "new"][drawn as usize / 7 % 2];
                exp.push((Cow::Borrowed("cart_style"), Cow::Borrowed(variant)));
            }
            let received_at = now.as_millisecond() + number as i64 / 3;
            Row {
                dt: last - (drawn / 11) as u32 % period,
                name: name.into(),
                user_id: drawn % 9_999_991,
                url: format!("https://shop.example/catalog/running/shoes/{product_id}?utm_source=mail").into(),
                obj: obj.into(),
                obj_id: obj_id.into(),
                product_id,
                amount: if number % 3 == 0 {
                    (drawn % 30_000) as f64 / 100.0
                } else {
                    0.0
                },
                exp,
                event_id: Uuid::from_u64_pair((received_at as u64) << 16 | 0x7000, 1 << 63 | drawn),
                received_at,
                request_id: Uuid::from_u64_pair(number / 20, drawn & 0xff).to_string().into(),
            }
        })
        .collect()
}
