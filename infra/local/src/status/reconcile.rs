//! The account: every line that Firehose has taken, and where its event is now. Pure.
//!
//! Counts alone cannot tell an event that is lost from one that its client sent twice, so lines are compared by the key that
//! [`crate::firehose::ledger`] gives them. Each line that was taken is exactly one of: taken again later, stored, in quarantine,
//! in flight, given up, or missing. The last has to be none.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::firehose::ledger::Entry;

/// How many missing events a table names.
const NAMED: usize = 10;

/// What Firehose says that it has taken.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Lines, by hours since 1970.
    pub(crate) lines: BTreeMap<i64, u64>,
    /// By the key of an event: the last hour, and whether any line of it waits.
    pub(crate) events: HashMap<Uuid, (i64, bool)>,
    /// Bytes of its spool that it cannot read: what was in them is not among the lines.
    pub(crate) lost_bytes: u64,
}

impl Taken {
    /// Adds a line.
    pub(crate) fn note(&mut self, entry: Entry) {
        *self.lines.entry(entry.hour).or_default() += 1;
        let (hour, waits) = self.events.entry(entry.key).or_insert((entry.hour, false));
        *hour = entry.hour.max(*hour);
        *waits |= entry.waiting;
    }
}

/// Where keys were found.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// What Firehose has taken.
    pub(crate) taken: Taken,
    /// Events that have a row in `events`.
    pub(crate) stored: HashSet<Uuid>,
    /// Lines in `events_quarantine`.
    pub(crate) quarantined: HashSet<Uuid>,
    /// Lines in the backup.
    pub(crate) given_up: HashSet<Uuid>,
}

/// One hour's lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Hour {
    /// Lines that Firehose took: the sum of all the others.
    pub(crate) accepted: u64,
    /// Taken again later: a client, or the function `events`, sent the event again.
    pub(crate) again: u64,
    /// In `events`.
    pub(crate) stored: u64,
    /// In `events_quarantine`.
    pub(crate) quarantined: u64,
    /// Still to be delivered.
    pub(crate) in_flight: u64,
    /// In the backup, and nowhere else.
    pub(crate) given_up: u64,
    /// Nowhere.
    pub(crate) missing: u64,
}

/// All of it.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Account {
    /// By hours since 1970.
    #[serde(serialize_with = "by_name")]
    pub(crate) hours: BTreeMap<i64, Hour>,
    /// The keys that are nowhere, in the order of their hours. A key is the event's id.
    pub(crate) missing: Vec<Uuid>,
    /// Bytes of Firehose's spool that cannot be read any more: whatever was in them is in no other number.
    pub(crate) lost_bytes: u64,
    /// Events that are stored and that Firehose has not taken since then: a backfill, a replay of what is older, SQL.
    pub(crate) by_other_ways: u64,
}

fn by_name<S: serde::Serializer>(hours: &BTreeMap<i64, Hour>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(hours.iter().map(|(hour, counts)| (name(*hour), counts)))
}

/// The hour as people write it, UTC.
fn name(hour: i64) -> String {
    let begins = hour
        .checked_mul(3600)
        .and_then(|second| Timestamp::from_second(second).ok());
    begins.map_or_else(|| hour.to_string(), |at| at.strftime("%Y-%m-%dT%H:00Z").to_string())
}

impl Account {
    /// Says of each line where it is. An event counts in the hour in which it was taken last.
    pub(crate) fn of(evidence: &Evidence) -> Self {
        let mut account = Self::default();
        let Taken {
            lines,
            events,
            lost_bytes,
        } = &evidence.taken;
        account.lost_bytes = *lost_bytes;
        for (hour, lines) in lines {
            let counts = account.hours.entry(*hour).or_default();
            (counts.accepted, counts.again) = (*lines, *lines);
        }
        let mut missing = Vec::new();
        for (key, (hour, waits)) in events {
            let counts = account.hours.entry(*hour).or_default();
            // One line of each event is not a repetition.
            counts.again -= 1;
            let place = if evidence.stored.contains(key) {
                &mut counts.stored
            } else if evidence.quarantined.contains(key) {
                &mut counts.quarantined
            } else if *waits {
                &mut counts.in_flight
            } else if evidence.given_up.contains(key) {
                &mut counts.given_up
            } else {
                missing.push((*hour, *key));
                &mut counts.missing
            };
            *place += 1;
        }
        missing.sort_unstable();
        account.missing = missing.into_iter().map(|(_, key)| key).collect();
        account.by_other_ways = evidence.stored.iter().filter(|key| !events.contains_key(key)).count() as u64;
        account
    }

    /// Whether every line is somewhere, and every line is known.
    pub(crate) fn holds(&self) -> bool {
        self.missing.is_empty() && self.lost_bytes == 0
    }

    /// The sum of all hours.
    pub(crate) fn total(&self) -> Hour {
        let mut total = Hour::default();
        for hour in self.hours.values() {
            total.accepted += hour.accepted;
            total.again += hour.again;
            total.stored += hour.stored;
            total.quarantined += hour.quarantined;
            total.in_flight += hour.in_flight;
            total.given_up += hour.given_up;
            total.missing += hour.missing;
        }
        total
    }

    /// The table for people.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "  {:<17} {:>10} = {:>10} + {:>8} + {:>11} + {:>9} + {:>8} + {:>8}\n",
            "hour (UTC)", "accepted", "stored", "again", "quarantined", "in flight", "given up", "missing"
        );
        let mut row = |name: &str, hour: &Hour| {
            let mark = if hour.missing > 0 { '!' } else { ' ' };
            let _ = writeln!(
                text,
                "{mark} {name:<17} {:>10} = {:>10} + {:>8} + {:>11} + {:>9} + {:>8} + {:>8}",
                hour.accepted, hour.stored, hour.again, hour.quarantined, hour.in_flight, hour.given_up, hour.missing
            );
        };
        for (hour, counts) in &self.hours {
            row(&name(*hour), counts);
        }
        if self.hours.len() != 1 {
            row("all", &self.total());
        }
        if self.by_other_ways > 0 {
            let _ = writeln!(
                text,
                "\n  {} more events are stored that came another way: a backfill, a replay of older ones, SQL.",
                self.by_other_ways
            );
        }
        let total = self.total();
        if total.given_up > 0 {
            let _ = writeln!(
                text,
                "\n  {} lines were given up: `weir replay` stores them.",
                total.given_up
            );
        }
        for key in self.missing.iter().take(NAMED) {
            let _ = write!(text, "\n! missing: {key}");
        }
        if self.missing.len() > NAMED {
            let _ = write!(text, "\n! and {} more: --json names all", self.missing.len() - NAMED);
        }
        if self.lost_bytes > 0 {
            let _ = write!(
                text,
                "\n! {} bytes of Firehose's spool cannot be read: the lines in them are in no number here",
                self.lost_bytes
            );
        }
        let verdict = match (self.missing.len(), self.lost_bytes) {
            (0, 0) => "every line that was accepted is accounted for".to_owned(),
            (0, _) => "NOT RECONCILED: what was accepted is not fully known".to_owned(),
            (missing, _) => format!(
                "NOT RECONCILED: {missing} of {} accepted lines are nowhere",
                total.accepted
            ),
        };
        let _ = write!(text, "\n  {verdict}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn keys(numbers: &[u128]) -> HashSet<Uuid> {
        numbers.iter().copied().map(key).collect()
    }

    fn taken(entries: &[(i64, u128, bool)]) -> Taken {
        let mut taken = Taken::default();
        for &(hour, number, waiting) in entries {
            let key = key(number);
            taken.note(Entry { hour, key, waiting });
        }
        taken
    }

    fn hour(accepted: u64, places: [u64; 6]) -> Hour {
        let [again, stored, quarantined, in_flight, given_up, missing] = places;
        Hour {
            accepted,
            again,
            stored,
            quarantined,
            in_flight,
            given_up,
            missing,
        }
    }

    #[test]
    fn each_line_is_in_one_place() {
        let evidence = Evidence {
            taken: taken(&[
                (5, 1, false),
                (5, 2, false),
                // Delivered, and its answer did not come yet.
                (5, 3, true),
                (5, 4, true),
                (5, 5, false),
                (5, 6, false),
                // Given up and replayed.
                (5, 7, false),
                // Corrected and replayed.
                (5, 8, false),
            ]),
            stored: keys(&[1, 3, 7, 8, 99]),
            quarantined: keys(&[2, 8]),
            given_up: keys(&[5, 7]),
        };
        let account = Account::of(&evidence);
        assert_eq!(account.hours[&5], hour(8, [0, 4, 1, 1, 1, 1]));
        assert_eq!(
            (account.missing.clone(), account.by_other_ways, account.holds()),
            (vec![key(6)], 1, false)
        );
    }

    #[test]
    fn what_was_sent_again_counts_where_it_came_last() {
        let evidence = Evidence {
            taken: taken(&[
                (5, 1, false),
                (5, 1, false),
                (6, 1, false),
                (6, 2, false),
                (7, 2, false),
            ]),
            stored: keys(&[1, 2]),
            ..Evidence::default()
        };
        let account = Account::of(&evidence);
        assert_eq!(account.hours[&5], hour(2, [2, 0, 0, 0, 0, 0]));
        assert_eq!(account.hours[&6], hour(2, [1, 1, 0, 0, 0, 0]));
        assert_eq!(account.hours[&7], hour(1, [0, 1, 0, 0, 0, 0]));
        assert!(account.holds());
    }

    #[test]
    fn the_parts_make_the_sum() {
        let (mut evidence, mut lines) = (Evidence::default(), 0);
        for number in 0..400_u128 {
            let times = 1 + number % 3;
            for time in 0..times {
                let hour = 10 + (number % 7) as i64 + time as i64;
                evidence.taken.note(Entry {
                    hour,
                    key: key(number),
                    waiting: number % 11 == 0,
                });
                lines += 1;
            }
            for (place, set) in [&mut evidence.stored, &mut evidence.quarantined, &mut evidence.given_up]
                .into_iter()
                .enumerate()
            {
                if number % 5 == place as u128 {
                    set.insert(key(number));
                }
            }
        }
        let account = Account::of(&evidence);
        for counts in account.hours.values() {
            let parts =
                counts.again + counts.stored + counts.quarantined + counts.in_flight + counts.given_up + counts.missing;
            assert_eq!(counts.accepted, parts);
        }
        assert_eq!(account.total().accepted, lines);
        assert_eq!(account.total().missing, account.missing.len() as u64);
    }

    #[test]
    fn what_firehose_cannot_read_is_not_accounted_for() {
        let mut evidence = Evidence {
            taken: taken(&[(5, 1, false)]),
            stored: keys(&[1]),
            ..Evidence::default()
        };
        assert!(Account::of(&evidence).holds());
        evidence.taken.lost_bytes = 7;
        let account = Account::of(&evidence);
        assert!(!account.holds());
        let text = account.table();
        assert!(text.contains("! 7 bytes") && text.contains("NOT RECONCILED"), "{text}");
    }

    #[test]
    fn a_table_names_what_is_missing() {
        let all: Vec<_> = (0..12).map(|number| (489_000, number, false)).collect();
        let evidence = Evidence {
            taken: taken(&all),
            ..Evidence::default()
        };
        let text = Account::of(&evidence).table();
        assert!(text.contains("! 2025-10-14T00:00Z"), "{text}");
        assert_eq!(text.matches("! missing: ").count(), NAMED);
        assert!(text.contains("and 2 more") && text.contains("12 of 12"), "{text}");
    }
}
