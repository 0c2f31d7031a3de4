//! An object's lines to the tables.

use std::time::Duration;

use clickhouse::Client;
use edge::clickhouse::WarehouseError;
use serde::Serialize;

use crate::object::Contents;

/// What became of an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Error records read.
    pub records: usize,
    /// Lines that are rows of `events`, now or since before.
    pub rows: usize,
    /// Lines that are in quarantine, now or since before.
    pub quarantined: usize,
    /// Lines of the object that are no error record: they stay where they are.
    pub undecodable: usize,
}

impl Outcome {
    /// Both together.
    pub fn add(&mut self, other: Outcome) {
        self.records += other.records;
        self.rows += other.rows;
        self.quarantined += other.quarantined;
        self.undecodable += other.undecodable;
    }
}

/// Stores what an object holds, each of its deliveries within `limit`. `name` goes into quarantine in place of a request id.
/// Storing an object again changes nothing; after an error, that is what to do.
pub async fn store(
    client: &Client,
    contents: Contents,
    name: &str,
    limit: Duration,
) -> Result<Outcome, WarehouseError> {
    let mut outcome = Outcome {
        records: contents.records,
        undecodable: contents.undecodable.len(),
        ..Outcome::default()
    };
    for delivery in contents.deliveries {
        let stored = loader::store(client, delivery.lines(), name, limit).await?;
        outcome.rows += stored.rows;
        outcome.quarantined += stored.quarantined;
    }
    Ok(outcome)
}
