//! Lines that cannot be rows, put straight into Firehose among lines that can: as a writer of a later version would, or
//! one that is broken. The first must be in quarantine in the end, the others must be rows.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use event_model::{Event, Record};
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::ledger::Ledger;
use super::traffic::{self, Item};

/// Lines in one record.
const PER_RECORD: usize = 6;

/// How often a put is tried, and how long between.
const ATTEMPTS: u32 = 60;
const PAUSE: Duration = Duration::from_millis(500);

/// One line, without its line feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// It has to be quarantined.
    Poison(Vec<u8>),
    /// It has to become the row of that id.
    Good(Uuid, Vec<u8>),
}

/// That many poisonous lines, and as many good ones, shuffled.
pub(super) fn lines(seed: u64, count: u32) -> Vec<Line> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut lines = Vec::new();
    for _ in 0..count {
        let id = traffic::id(&mut random);
        let good = good(&mut random, id);
        let spoilt = spoil(&mut random, &good);
        lines.push(Line::Poison(spoilt));
        let id = traffic::id(&mut random);
        let good = self::good(&mut random, id);
        lines.push(Line::Good(id, good));
    }
    lines.shuffle(&mut random);
    lines
}

/// A line as the function `events` writes it.
fn good(random: &mut ChaCha8Rng, id: Uuid) -> Vec<u8> {
    let event = json!({
        "dt": traffic::dt(random), "name": "view", "user_id": random.random_range(1..=5000_u32),
        "url": "https://shop.example/", "obj": "page", "obj_id": id.to_string(), "event_id": id.to_string(),
    });
    let mut line = Vec::new();
    if let Ok(event) = Event::from_json(event.to_string().as_bytes()) {
        let record = Record {
            event_id: id,
            received_at: jiff::Timestamp::UNIX_EPOCH,
            request_id: "".into(),
            event,
        };
        record.write_line(&mut line);
    }
    line.truncate(line.trim_ascii_end().len());
    line
}

/// The line made so that it is no row; its id stays in it and makes it different from every other.
fn spoil(random: &mut ChaCha8Rng, good: &[u8]) -> Vec<u8> {
    let mut spoilt = good.to_vec();
    let replaced = |from: &str, to: &str| String::from_utf8_lossy(good).replace(from, to).into_bytes();
    match random.random_range(0..6_u32) {
        // A line that was torn off.
        0 => spoilt.truncate(good.len() - 1),
        // Not UTF-8.
        1 => spoilt.insert(good.len() / 2, 0xff),
        // No object.
        2 => spoilt = [b"[".as_slice(), good, b"]"].concat(),
        // A field that is missing, of another type, or beyond what the column holds.
        3 => spoilt = replaced("\"url\":", "\"uri\":"),
        4 => spoilt = replaced("\"user_id\":", "\"user_id\":-"),
        _ => spoilt = replaced("\"amount\":0", "\"amount\":1e999"),
    }
    spoilt
}

/// Puts the lines into Firehose until it has acknowledged all of them, or `stop` is cancelled.
pub(super) async fn put(
    http: reqwest::Client,
    firehose: String,
    lines: Vec<Line>,
    ledger: &Ledger,
    stop: CancellationToken,
) {
    for line in &lines {
        match line {
            Line::Poison(line) => ledger.poison(line, false),
            Line::Good(id, _) => ledger.sent(&[Item { id: *id, valid: true }]),
        }
    }
    let mut waiting: Vec<&[Line]> = lines.chunks(PER_RECORD).collect();
    for _ in 0..ATTEMPTS {
        let acknowledged = attempt(&http, &firehose, &waiting).await;
        for (record, _) in waiting
            .iter()
            .zip(&acknowledged)
            .filter(|(_, acknowledged)| **acknowledged)
        {
            for line in *record {
                match line {
                    Line::Poison(line) => ledger.poison(line, true),
                    Line::Good(id, _) => ledger.told(*id, true),
                }
            }
        }
        let mut flags = acknowledged.iter();
        waiting.retain(|_| flags.next() != Some(&true));
        if waiting.is_empty() || stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return;
        }
    }
}

/// One PutRecordBatch: which of the records Firehose acknowledged. None when there was no answer.
async fn attempt(http: &reqwest::Client, firehose: &str, records: &[&[Line]]) -> Vec<bool> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        request_responses: Vec<Value>,
    }
    let data = records.iter().map(|record| {
        let lines: Vec<&[u8]> = record
            .iter()
            .map(|line| match line {
                Line::Poison(line) | Line::Good(_, line) => line.as_slice(),
            })
            .collect();
        json!({ "Data": STANDARD.encode(lines.join(b"\n".as_slice())) })
    });
    let body = json!({ "DeliveryStreamName": crate::up::STREAM, "Records": data.collect::<Vec<_>>() });
    let request = http
        .post(firehose)
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "Firehose_20150804.PutRecordBatch")
        // Must be there, and is not checked: see `firehose::api`.
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/firehose/aws4_request, SignedHeaders=host, Signature=0",
        )
        .body(body.to_string());
    let answered = async {
        let response = request.send().await?.error_for_status()?;
        response.json::<Answer>().await
    };
    match answered.await {
        Ok(answer) if answer.request_responses.len() == records.len() => answer
            .request_responses
            .iter()
            .map(|entry| entry.get("RecordId").is_some())
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use event_model::Row;

    use super::*;

    #[test]
    fn poison_is_no_row_and_its_neighbours_are() {
        let lines = lines(5, 200);
        assert_eq!(lines, self::lines(5, 200));
        let mut different = BTreeSet::new();
        for line in &lines {
            let bytes = match line {
                Line::Poison(bytes) => {
                    assert!(Row::from_line(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
                    bytes
                }
                Line::Good(id, bytes) => {
                    assert_eq!(Row::from_line(bytes).unwrap().event_id, *id);
                    bytes
                }
            };
            assert!(!bytes.contains(&b'\n') && different.insert(bytes.clone()));
        }
        assert_eq!(different.len(), 400);
    }
}
