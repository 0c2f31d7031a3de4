//! What was acknowledged, counted by brute force: what the warehouse must agree with.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde::Serialize;

use super::disorder::Numbered;

/// What the counts need of an event that was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    index: u64,
    dt: Timestamp,
    user_id: u64,
    cents: u64,
}

impl From<&Numbered> for Item {
    fn from(Numbered { index, event, .. }: &Numbered) -> Self {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "prices are positive and small"
        )]
        let cents = (event.amount * 100.0).round() as u64;
        Self {
            index: *index,
            dt: event.dt,
            user_id: event.user_id,
            cents,
        }
    }
}

/// One day's acknowledged events.
#[derive(Debug, Default)]
struct Day {
    events: u64,
    cents: u64,
    users: HashSet<u64>,
}

/// The acknowledged events, each counted once however often it was sent.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// One bit an event, by its number.
    seen: Vec<u64>,
    /// By days since 1970.
    days: BTreeMap<i64, Day>,
}

impl Ledger {
    /// Counts an event, unless it was counted before.
    pub(super) fn acknowledge(&mut self, item: &Item) {
        let (word, bit) = (
            usize::try_from(item.index / 64).unwrap_or(usize::MAX),
            1 << (item.index % 64),
        );
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit != 0 {
            return;
        }
        self.seen[word] |= bit;
        let day = self.days.entry(item.dt.as_second().div_euclid(86_400)).or_default();
        day.events += 1;
        day.cents += item.cents;
        day.users.insert(item.user_id);
    }

    /// How many different events were acknowledged.
    pub(super) fn events(&self) -> u64 {
        self.days.values().map(|day| day.events).sum()
    }

    /// The days that have events.
    pub(super) fn days(&self) -> Vec<DayReport> {
        let users_of = |last: i64, window: i64| {
            let mut users: HashSet<u64> = HashSet::new();
            for day in self.days.range(last - window + 1..=last).map(|(_, day)| day) {
                users.extend(&day.users);
            }
            users.len()
        };
        self.days
            .iter()
            .map(|(number, day)| DayReport {
                date: date(*number),
                events: day.events,
                dau: day.users.len(),
                wau: users_of(*number, 7),
                mau: users_of(*number, 30),
                #[allow(clippy::cast_precision_loss, reason = "a day's revenue is below 2^53 cents")]
                amount: day.cents as f64 / 100.0,
            })
            .collect()
    }
}

fn date(day: i64) -> Date {
    Timestamp::from_second(day * 86_400).map_or(Date::ZERO, |midnight| Offset::UTC.to_datetime(midnight).date())
}

fn as_text<S: serde::Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// One day of the report.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub(super) struct DayReport {
    /// UTC.
    #[serde(serialize_with = "as_text")]
    pub(super) date: Date,
    /// Different events acknowledged.
    pub(super) events: u64,
    /// Users with an event on the day.
    pub(super) dau: usize,
    /// Users with an event on it or the six days before.
    pub(super) wau: usize,
    /// Users with an event on it or the 29 days before.
    pub(super) mau: usize,
    /// The sum of the amounts.
    pub(super) amount: f64,
}

/// Percentiles of the time a successful attempt took, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct LatencyReport {
    /// The median.
    pub(super) p50: f64,
    /// What one in a hundred exceeded.
    pub(super) p99: f64,
}

/// What `--report` writes.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Where the events went: the endpoint, or ClickHouse.
    pub(super) target: String,
    /// `--seed`.
    pub(super) seed: u64,
    /// The highest `user_id`.
    pub(super) users: u64,
    /// How many different events there were to send.
    pub(super) events: u64,
    /// Events sent, duplicates included, retries not.
    pub(super) sent: u64,
    /// Of these, acknowledged.
    pub(super) acknowledged: u64,
    /// Different events acknowledged: what must be in the warehouse.
    pub(super) acknowledged_events: u64,
    /// Events refused, by HTTP status.
    pub(super) refused: BTreeMap<u16, u64>,
    /// Events given up on after all attempts. The warehouse may have them nevertheless: an answer can get lost.
    pub(super) failed: u64,
    /// Attempts that were made again, by HTTP status or `transport`.
    pub(super) retried: BTreeMap<String, u64>,
    /// Stopped by Ctrl-C.
    pub(super) interrupted: bool,
    /// Wall-clock time of the sending.
    pub(super) seconds: f64,
    /// Events acknowledged a second.
    pub(super) events_per_second: f64,
    /// Of one request or block.
    pub(super) latency_ms: LatencyReport,
    /// The days that have acknowledged events, in order.
    pub(super) days: Vec<DayReport>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(index: u64, day: i64, user_id: u64, cents: u64) -> Item {
        Item {
            index,
            dt: Timestamp::from_second(day * 86_400 + 5).unwrap(),
            user_id,
            cents,
        }
    }

    #[test]
    fn windows_include_today_and_duplicates_count_once() {
        let mut ledger = Ledger::default();
        for item in [
            item(0, 0, 1, 0),
            item(1, 0, 2, 1_050),
            item(1, 0, 2, 1_050),
            item(700, 6, 1, 1),
            item(3, 7, 3, 0),
            item(4, 29, 4, 0),
            item(5, 30, 4, 0),
        ] {
            ledger.acknowledge(&item);
        }
        assert_eq!(ledger.events(), 6);
        let found: Vec<_> = ledger
            .days()
            .iter()
            .map(|d| (d.date.to_string(), d.events, d.dau, d.wau, d.mau))
            .collect();
        let expected = [
            ("1970-01-01", 2, 2, 2, 2),
            ("1970-01-07", 1, 1, 2, 2),
            ("1970-01-08", 1, 1, 2, 3),
            ("1970-01-30", 1, 1, 1, 4),
            ("1970-01-31", 1, 1, 1, 3),
        ];
        assert_eq!(
            found,
            expected.map(|(date, events, dau, wau, mau)| (date.to_owned(), events, dau, wau, mau))
        );
        assert_eq!(ledger.days()[0].amount, 10.5);
    }
}
