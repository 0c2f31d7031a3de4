//! Rows out of ClickHouse, no more than an answer holds.

use std::io::{self, Write};
use std::time::Duration;

use clickhouse::query::Query;
use clickhouse::{RowOwned, RowRead};
use edge::clickhouse::{WarehouseError, within};
use serde::Serialize;

/// Some rows, and whether there are more.
#[derive(Debug)]
pub struct Page<Row> {
    /// The rows, in the query's order.
    pub rows: Vec<Row>,
    /// Whether the query gave more.
    pub more: bool,
}

/// How much is read of what a query gives.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Rows.
    pub rows: usize,
    /// Bytes of rows, as JSON in a JSON string. One row is read whatever its size.
    pub bytes: usize,
}

/// Reads rows, connecting included, for at most `limit`.
pub async fn read<Row>(query: Query, most: Most, limit: Duration) -> Result<Page<Row>, WarehouseError>
where
    Row: RowOwned + RowRead + Serialize,
{
    // ClickHouse does not notice that nobody waits any more. A second later, so that it is the reader's end that comes first.
    let query = query.with_setting("max_execution_time", (limit.as_secs() + 1).to_string());
    within(limit, page(query, most)).await
}

async fn page<Row>(query: Query, most: Most) -> clickhouse::error::Result<Page<Row>>
where
    Row: RowOwned + RowRead + Serialize,
{
    let mut cursor = query.fetch::<Row>()?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = cursor.next().await? {
        bytes += size(&row);
        // One row is no reason to give none.
        let full = rows.len() >= most.rows || bytes > most.bytes;
        if full && !rows.is_empty() {
            return Ok(Page { rows, more: true });
        }
        rows.push(row);
    }
    Ok(Page { rows, more: false })
}

/// The bytes of a row as JSON in a JSON string, and of what stands between rows.
pub(crate) fn size(row: &impl Serialize) -> usize {
    let mut counter = Counter(1);
    // A row that cannot be written is seen when the answer is.
    let _ = serde_json::to_writer(&mut counter, row);
    counter.0
}

struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let escaped = bytes.iter().filter(|byte| matches!(byte, b'"' | b'\\'));
        self.0 += bytes.len() + escaped.count();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
