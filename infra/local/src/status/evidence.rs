//! What the account is made of, read from where it is: Firehose's ledger, the tables, the backup.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use ::replay::Contents;
use anyhow::{Context as _, ensure};
use bytes::{Buf as _, BytesMut};
use clickhouse::Client;
use edge::clickhouse::within;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::reconcile::{Evidence, Taken};
use crate::firehose::ledger::{self, Whereabouts};
use crate::replay::source::Source;
use crate::report;

/// How long one query, or Firehose, may take.
const LIMIT: Duration = Duration::from_secs(300);

/// How long an event may be on its way from the function `events` to Firehose. Rows that are younger are only looked for when
/// Firehose has taken them: they may be newer than what it said.
const ON_ITS_WAY: SignedDuration = SignedDuration::from_secs(15);

/// How many ids are asked for in one query: far below the 256 KiB that ClickHouse parses of one.
const IDS_A_QUERY: usize = 2_000;

const BROKE_OFF: &str = "Firehose's answer broke off";

/// Bytes of a UUID in `RowBinary`.
const UUID_BYTES: usize = 16;

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    pub(crate) http: &'a reqwest::Client,
    /// The Firehose API's address.
    pub(crate) firehose: &'a str,
    pub(crate) warehouse: &'a Client,
    /// The folder of the local Firehose's backup.
    pub(crate) backup: &'a Path,
}

impl Places<'_> {
    /// Reads all that was taken since an hour (hours since 1970), or ever, and where it is now. What moves on meanwhile is found
    /// where it goes, because the way is read from its beginning to its end.
    pub(crate) async fn read(&self, since: Option<i64>, now: Timestamp) -> anyhow::Result<Evidence> {
        let mut evidence = Evidence {
            taken: self.taken(since).await?,
            ..Evidence::default()
        };
        each_given_up(self.backup, |_, key, _| {
            evidence.given_up.insert(key);
        })
        .await?;
        evidence.quarantined = self.quarantined().await?;
        evidence.stored = self.stored(since, now).await?;
        let done = evidence.taken.events.iter().filter(|(_, (_, waits))| !waits);
        let unseen: Vec<Uuid> = done
            .map(|(key, _)| *key)
            .filter(|key| !evidence.stored.contains(key))
            .collect();
        for ids in unseen.chunks(IDS_A_QUERY) {
            evidence.stored.extend(self.stored_among(ids).await?);
        }
        Ok(evidence)
    }

    /// Where Firehose says that the lines of one event are.
    pub(crate) async fn whereabouts(&self, event_id: Uuid) -> anyhow::Result<Whereabouts> {
        let response = self.ledger(&format!("/{event_id}")).await?;
        response.json().await.context(BROKE_OFF)
    }

    /// What Firehose answers of its ledger.
    async fn ledger(&self, rest: &str) -> anyhow::Result<reqwest::Response> {
        let url = format!("{}/ledger/{}{rest}", self.firehose, crate::up::STREAM);
        let response = self.http.get(url).timeout(LIMIT).send().await;
        let response = response.context("Firehose does not answer")?;
        let status = response.status();
        ensure!(
            status.is_success(),
            "Firehose has no ledger to show: it answers {status}"
        );
        Ok(response)
    }

    async fn taken(&self, since: Option<i64>) -> anyhow::Result<Taken> {
        let since = since.map_or_else(String::new, |hour| format!("?since={hour}"));
        let mut response = self.ledger(&since).await?;
        let (mut taken, mut rest, mut ended) = (Taken::default(), BytesMut::new(), false);
        while let Some(piece) = response.chunk().await.context(BROKE_OFF)? {
            rest.extend_from_slice(&piece);
            while let Some(sent) = ledger::receive(&mut rest)? {
                match sent {
                    ledger::Sent::Line(entry) => taken.note(entry),
                    ledger::Sent::End(lost_bytes) => {
                        taken.lost_bytes = lost_bytes;
                        ended = true;
                    }
                }
            }
        }
        ensure!(ended, BROKE_OFF);
        Ok(taken)
    }

    /// The events in `events` that were received since the hour, but for the youngest.
    async fn stored(&self, since: Option<i64>, now: Timestamp) -> anyhow::Result<HashSet<Uuid>> {
        let from_ms = since.map_or(0, |hour| hour.saturating_mul(3_600_000));
        let to_ms = now.saturating_sub(ON_ITS_WAY)?.as_millisecond();
        self.ids(&format!(
            "SELECT event_id FROM events WHERE received_at >= fromUnixTimestamp64Milli(toInt64({from_ms}), 'UTC') \
             AND received_at < fromUnixTimestamp64Milli(toInt64({to_ms}), 'UTC')"
        ))
        .await
    }

    async fn stored_among(&self, ids: &[Uuid]) -> anyhow::Result<HashSet<Uuid>> {
        let list: Vec<_> = ids.iter().map(|id| format!("'{id}'")).collect();
        self.ids(&format!(
            "SELECT event_id FROM events WHERE event_id IN ({})",
            list.join(",")
        ))
        .await
    }

    /// The ids that a query gives.
    async fn ids(&self, query: &str) -> anyhow::Result<HashSet<Uuid>> {
        let mut ids = HashSet::new();
        self.rows(query, |rest| {
            while let Some(row) = rest.first_chunk::<UUID_BYTES>() {
                // Two numbers, the high one first, each little-endian.
                let [high, low] = [&row[..8], &row[8..]].map(|mut half| half.get_u64_le());
                ids.insert(Uuid::from_u64_pair(high, low));
                rest.advance(UUID_BYTES);
            }
        })
        .await?;
        Ok(ids)
    }

    async fn quarantined(&self) -> anyhow::Result<HashSet<Uuid>> {
        let mut keys = HashSet::new();
        self.rows("SELECT raw FROM events_quarantine", |rest| {
            while let Some((start, length)) = varint(rest)
                && let Some(line) = rest.get(start..start.saturating_add(length))
            {
                keys.insert(ledger::key(line));
                rest.advance(start + length);
            }
        })
        .await?;
        Ok(keys)
    }

    /// Runs a query that answers in `RowBinary`. `take` takes the whole rows off what has come so far.
    async fn rows(&self, query: &str, mut take: impl FnMut(&mut BytesMut)) -> anyhow::Result<()> {
        let reading = async {
            let mut answer = self.warehouse.query(query).fetch_bytes("RowBinary")?;
            let mut rest = BytesMut::new();
            while let Some(chunk) = answer.next().await? {
                rest.extend_from_slice(&chunk);
                take(&mut rest);
            }
            Ok(rest.len())
        };
        let left = within(LIMIT, reading).await.context("the tables cannot be read")?;
        ensure!(left == 0, "ClickHouse's answer broke off in the middle of a row");
        Ok(())
    }
}

/// Hands on every line of every error record in a backup: the object's name, the line's key, and its request's id where the line is
/// an event.
pub(crate) async fn each_given_up(backup: &Path, mut each: impl FnMut(&str, Uuid, Option<&str>)) -> anyhow::Result<()> {
    if !backup.is_dir() {
        return Ok(());
    }
    for object in Source::Path(backup.to_owned()).objects().await? {
        let content = match object.read().await {
            Ok(content) => content,
            Err(error) => {
                report::say(format!("{error:#}"));
                continue;
            }
        };
        match Contents::read(&content) {
            Ok(contents) => {
                for wrong in &contents.undecodable {
                    report::say(format!("{}: {wrong}", object.name));
                }
                for delivery in contents.deliveries {
                    let lines = delivery.lines();
                    for row in &lines.rows {
                        each(&object.name, row.event_id, Some(&row.request_id));
                    }
                    for line in &lines.rejected {
                        each(&object.name, ledger::key(&line.raw), None);
                    }
                }
            }
            Err(error) => report::say(format!("{}: {error}", object.name)),
        }
    }
    Ok(())
}

/// A number in LEB128 at the beginning, and how many bytes it takes before it. `None` while it is not all there.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut number = 0_usize;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        number |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((at + 1, number));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use loader::native;

    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for number in [0, 1, 127, 128, 300, 1 << 20, 1 << 40] {
            let mut bytes = Vec::new();
            native::varint(&mut bytes, number);
            assert_eq!(varint(&bytes), Some((bytes.len(), number as usize)), "{number}");
            assert_eq!(varint(&bytes[..bytes.len() - 1]), None, "{number}");
        }
    }
}
