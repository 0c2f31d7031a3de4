//! What the pipeline has in the end: the table, the quarantine, the backup folder. All read past the proxies.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use event_model::Row;
use serde::Deserialize;
use uuid::Uuid;

use super::tally::Stored;

/// How long one query may take: a long run has millions of rows.
const QUERY_WITHIN: Duration = Duration::from_secs(300);

/// A query's answer as text.
async fn query(http: &reqwest::Client, url: &str, query: &str) -> anyhow::Result<String> {
    let request = http.post(format!("{url}/?database=analytics")).timeout(QUERY_WITHIN);
    let response = request.body(query.to_owned()).send().await?;
    let (status, text) = (response.status(), response.text().await?);
    ensure!(
        status.is_success(),
        "ClickHouse refuses {query}: {status} {}",
        text.trim()
    );
    Ok(text)
}

/// Reads everything.
pub(super) async fn read(http: &reqwest::Client, clickhouse: &str, backup: &Path) -> anyhow::Result<Stored> {
    let mut stored = Stored::default();
    let seen = "SELECT obj_id, count() FROM events FINAL GROUP BY obj_id FORMAT TabSeparated";
    for line in query(http, clickhouse, seen).await?.lines() {
        let (id, count) = line.split_once('\t').context("a row of two columns")?;
        let count: u64 = count.parse()?;
        match id.parse() {
            Ok(id) => drop(stored.seen.insert(id, count)),
            Err(_) => stored.strangers += count,
        }
    }
    let quarantined = "SELECT DISTINCT hex(raw) FROM events_quarantine FORMAT TabSeparated";
    for line in query(http, clickhouse, quarantined).await?.lines() {
        stored.quarantined.insert(unhex(line).context("hexadecimal digits")?);
    }
    let copies = "SELECT count() - uniqExact(id) FROM events_quarantine";
    stored.quarantine_copies = query(http, clickhouse, copies).await?.trim().parse()?;
    let backup = backup.to_owned();
    let (given_up, poison) = tokio::task::spawn_blocking(move || backed_up(&backup)).await??;
    stored.given_up = given_up;
    stored.poison_given_up = poison;
    Ok(stored)
}

/// Takes away one acknowledged event and doubles another, so that a check can be seen to fail.
pub(super) async fn sabotage(http: &reqwest::Client, clickhouse: &str) -> anyhow::Result<()> {
    let two = "SELECT DISTINCT event_id FROM events ORDER BY event_id LIMIT 2 FORMAT TabSeparated";
    let two = query(http, clickhouse, two).await?;
    let (doubled, lost) = two.trim().split_once('\n').context("two events")?;
    // The condition has a query of its own: beside the replacement it would ask for the new id.
    let doubled = format!("SELECT * FROM events FINAL WHERE event_id = '{doubled}'");
    let doubled = format!("INSERT INTO events SELECT * REPLACE (generateUUIDv4() AS event_id) FROM ({doubled})");
    let lost = format!("ALTER TABLE events DELETE WHERE event_id = '{lost}' SETTINGS mutations_sync = 2");
    for statement in [doubled, lost] {
        query(http, clickhouse, &statement).await?;
    }
    Ok(())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
        .collect();
    let digits = digits?;
    (digits.len() % 2 == 0).then(|| digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect())
}

/// The events and the other lines of Firehose's error records below that folder.
fn backed_up(folder: &Path) -> anyhow::Result<(HashSet<Uuid>, HashSet<Vec<u8>>)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ErrorRecord {
        raw_data: String,
    }
    let (mut events, mut others) = (HashSet::new(), HashSet::new());
    for path in files(folder)? {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        for line in text.lines() {
            let record: ErrorRecord = serde_json::from_str(line).with_context(|| path.display().to_string())?;
            let data = STANDARD
                .decode(record.raw_data)
                .with_context(|| path.display().to_string())?;
            for line in data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                match Row::from_line(line) {
                    // By the id that the run knows, whoever made the event's own.
                    Ok(row) => drop(row.obj_id.parse().map(|id| events.insert(id))),
                    Err(_) => drop(others.insert(line.to_vec())),
                }
            }
        }
    }
    Ok((events, others))
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            // Nothing was given up.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.with_context(|| folder.display().to_string())?,
        };
        for entry in entries {
            let entry = entry.with_context(|| folder.display().to_string())?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_are_bytes() {
        assert_eq!(unhex("00FFa7"), Some(vec![0, 255, 0xa7]));
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("zz"), None);
    }

    #[test]
    fn the_backup_is_read_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("bucket/2026");
        std::fs::create_dir_all(&deep).unwrap();
        let lines = super::super::poison::lines(1, 1);
        let mut data = Vec::new();
        for line in &lines {
            let (super::super::poison::Line::Poison(line) | super::super::poison::Line::Good(_, line)) = line;
            data.extend_from_slice(line);
            data.push(b'\n');
        }
        let record = serde_json::json!({ "rawData": STANDARD.encode(&data), "attemptsMade": 1 });
        std::fs::write(deep.join("object"), format!("{record}\n")).unwrap();
        let (events, others) = backed_up(folder.path()).unwrap();
        assert_eq!((events.len(), others.len()), (1, 1));
        assert_eq!(backed_up(&folder.path().join("none")).unwrap(), Default::default());
    }
}
