//! Lines to where they belong: rows to `events`, the rest to `events_quarantine`.

use std::time::Duration;

use clickhouse::Client;
use edge::clickhouse::{WarehouseError, within_all};

use crate::delivery::{Delivery, Lines};
use crate::error::Error;
use crate::insert::{Group, Rejected};
use crate::{insert, quarantine};

/// What became of a delivery's lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stored {
    /// Lines that are rows of `events` now, or were before.
    pub rows: usize,
    /// Lines that are in quarantine now, or were before.
    pub quarantined: usize,
}

/// What the body of a delivery is to ClickHouse: its rows as blocks, and the lines that cannot be rows. All that [`store`] does
/// before it sends.
pub fn blocks(body: &[u8]) -> Result<(Vec<Group>, Vec<Rejected>), Error> {
    let delivery = Delivery::parse(body)?;
    let lines = delivery.lines();
    Ok((insert::groups(&lines.rows), lines.rejected))
}

/// Stores each line, all of it within `limit`. Storing the same lines again changes nothing. An error means that some may not
/// be stored, and that the same may work later.
pub async fn store(
    client: &Client,
    lines: Lines<'_>,
    request_id: &str,
    limit: Duration,
) -> Result<Stored, WarehouseError> {
    let all = lines.rows.len() + lines.rejected.len();
    within_all(limit, async {
        let mut rejected = lines.rejected;
        rejected.extend(insert::rows_apart(client, &lines.rows, limit).await?);
        quarantine::keep(client, &rejected, request_id, limit).await?;
        Ok(Stored {
            rows: all - rejected.len(),
            quarantined: rejected.len(),
        })
    })
    .await
}
