//! Lines that cannot be rows, kept once each.
//!
//! A line's id is made of where it failed and its bytes. Lines whose id is in the table are not inserted again, whichever
//! delivery brings them and however it is cut; the block's token, a hash of what is inserted without the request id, covers
//! the answer that is lost between the two.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use clickhouse::Client;
use edge::clickhouse::{WarehouseError, within};
use uuid::Uuid;

use crate::insert::{Rejected, send, token};
use crate::native::{self, Block};

/// The statement that a block of lines follows.
const INSERT: &str = "INSERT INTO events_quarantine (id, stage, code, reason, field, raw, request_id) FORMAT Native";

/// How many ids are asked for in one query: far below the 256 KiB that ClickHouse parses of one.
const IDS_A_QUERY: usize = 2_000;

/// What the ids are made in. `migrations/0002_replay_quarantine.sql` holds it too.
const NAMESPACE: Uuid = Uuid::from_u128(0x3b1d_6f0c_5e0a_4c7e_9a7b_d06c_8a4f_2e91);

/// Lines by id, so each once, and always in the same order.
type Lines<'a> = BTreeMap<Uuid, &'a Rejected>;

impl Rejected {
    /// Identifies the line in quarantine: a UUIDv5 of the stage, a zero byte, and the bytes.
    pub fn id(&self) -> Uuid {
        let name = [self.stage.as_bytes(), b"\0", &self.raw].concat();
        Uuid::new_v5(&NAMESPACE, &name)
    }
}

/// Keeps lines. What is in the table stays as it is.
pub(crate) async fn keep(
    client: &Client,
    rejected: &[Rejected],
    request_id: &str,
    limit: Duration,
) -> Result<(), WarehouseError> {
    let mut lines: Lines<'_> = rejected.iter().map(|line| (line.id(), line)).collect();
    let ids: Vec<_> = lines.keys().copied().collect();
    for ids in ids.chunks(IDS_A_QUERY) {
        for id in known(client, ids, limit).await? {
            lines.remove(&id);
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    // The request id is not in the hash: it may be another on a retry.
    let token = token("quarantine", &[&block(&lines, "")]);
    send(client, INSERT, Bytes::from(block(&lines, request_id)), &token, limit).await
}

/// Which of the ids are in the table.
async fn known(client: &Client, ids: &[Uuid], limit: Duration) -> Result<HashSet<Uuid>, WarehouseError> {
    let list: Vec<_> = ids.iter().map(|id| format!("'{id}'")).collect();
    let query = format!(
        "SELECT DISTINCT id FROM events_quarantine WHERE id IN ({})",
        list.join(",")
    );
    let found = within(limit, async {
        client.query(&query).fetch_bytes("TabSeparated")?.collect().await
    })
    .await?;
    let found = String::from_utf8_lossy(&found);
    Ok(found.lines().filter_map(|line| line.parse().ok()).collect())
}

fn block(lines: &Lines<'_>, request_id: &str) -> Vec<u8> {
    let rows: Vec<_> = lines.iter().collect();
    let mut block = Block::new(7, rows.len());
    block.fixed("id", "UUID", &rows, |(id, _)| native::uuid(**id));
    block.strings("stage", &rows, |(_, line)| line.stage.as_bytes());
    block.strings("code", &rows, |(_, line)| line.code.as_bytes());
    block.strings("reason", &rows, |(_, line)| line.reason.as_bytes());
    block.strings("field", &rows, |(_, line)| line.field.as_bytes());
    block.strings("raw", &rows, |(_, line)| &line.raw);
    block.strings("request_id", &rows, |_| request_id.as_bytes());
    block.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(stage: &'static str, raw: &[u8]) -> Rejected {
        Rejected {
            stage,
            code: "c",
            reason: String::new(),
            field: "",
            raw: raw.to_vec(),
        }
    }

    /// The ids are in people's tables.
    #[test]
    fn ids_stay() {
        let line = rejected("json", b"not json");
        assert_eq!(line.id(), rejected("json", b"not json").id());
        assert_ne!(line.id(), rejected("decode", b"not json").id());
        assert_ne!(line.id(), rejected("json", b"not json ").id());
        assert_eq!(line.id().to_string(), "598355ba-bc41-533e-bd58-c957a4465947");
    }
}
