//! The verdict: what was sent, compared with what is stored, id by id. Pure.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::ledger::{Book, Known};

/// What the pipeline has in the end.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// How often a reader counts each event (`SELECT count() … FINAL`).
    pub(super) seen: HashMap<Uuid, u64>,
    /// Rows that carry no id of ours.
    pub(super) strangers: u64,
    /// Different lines in quarantine.
    pub(super) quarantined: HashSet<Vec<u8>>,
    /// Rows of the quarantine that hold a line which another holds too.
    pub(super) quarantine_copies: u64,
    /// Lines that Firehose has taken, by its ledger.
    pub(super) taken: u64,
    /// Of these, lines of an event that was taken once more.
    pub(super) taken_again: u64,
    /// Of these, what `weir status --reconcile` finds nowhere.
    pub(super) unaccounted: u64,
    /// Events in the backup: Firehose gave up on them.
    pub(super) given_up: HashSet<Uuid>,
    /// Poisonous lines in the backup.
    pub(super) poison_given_up: HashSet<Vec<u8>>,
}

/// The numbers of the table. All but `wrong_answers` count different events or lines.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    /// A reader counts it once.
    pub(super) stored_once: u64,
    /// A reader counts it more than once.
    pub(super) stored_twice: u64,
    /// Acknowledged, and neither stored nor in the backup.
    pub(super) lost: u64,
    /// Acknowledged, not stored, and in the backup.
    pub(super) given_up: u64,
    /// Poisonous lines that Firehose acknowledged.
    pub(super) poison: u64,
    /// Of these, in quarantine.
    pub(super) quarantined: u64,
    /// In quarantine, and no poisonous line of ours.
    pub(super) quarantined_wrongly: u64,
    /// Rows of the quarantine too many: two loaders kept a line at the same instant.
    pub(super) quarantine_copies: u64,
    /// Lines in Firehose's ledger.
    pub(super) taken: u64,
    /// Of these, lines of an event that was taken once more: its client, or `events`, did not hear the answer.
    pub(super) taken_again: u64,
    /// Of these, nowhere.
    pub(super) unaccounted: u64,
    /// Refused, as it has to be.
    pub(super) refused: u64,
    /// Refused though valid, or taken though not.
    pub(super) judged_wrongly: u64,
    /// Refused, and stored all the same.
    pub(super) refused_but_stored: u64,
    /// Valid, and the client never learnt what became of it.
    pub(super) unacknowledged: u64,
    /// Of these, stored.
    pub(super) unacknowledged_but_stored: u64,
    /// Stored, and never sent.
    pub(super) strangers: u64,
    /// Answers that break the endpoint's contract.
    pub(super) wrong_answers: u64,
}

impl Tally {
    /// Compares.
    pub(super) fn of(book: &Book, stored: &Stored) -> Self {
        let mut tally = Self {
            sent: book.events.len() as u64,
            strangers: stored.strangers,
            wrong_answers: book.wrong_answers.len() as u64,
            quarantine_copies: stored.quarantine_copies,
            taken: stored.taken,
            taken_again: stored.taken_again,
            unaccounted: stored.unaccounted,
            ..Self::default()
        };
        for (id, known) in &book.events {
            let seen = stored.seen.get(id).copied().unwrap_or_default();
            tally.note(known, seen, stored.given_up.contains(id));
        }
        tally.strangers += stored.seen.keys().filter(|id| !book.events.contains_key(id)).count() as u64;
        for (line, _) in book.poison.iter().filter(|(_, acknowledged)| **acknowledged) {
            tally.poison += 1;
            if stored.quarantined.contains(line) || stored.poison_given_up.contains(line) {
                tally.quarantined += 1;
            }
        }
        let ours = |line: &&Vec<u8>| book.poison.contains_key(*line);
        tally.quarantined_wrongly = stored.quarantined.iter().filter(|line| !ours(line)).count() as u64;
        tally
    }

    fn note(&mut self, known: &Known, seen: u64, backed_up: bool) {
        match seen {
            0 => {}
            1 => self.stored_once += 1,
            _ => self.stored_twice += 1,
        }
        if known.acknowledged {
            self.acknowledged += 1;
            match (seen, backed_up) {
                (0, true) => self.given_up += 1,
                (0, false) => self.lost += 1,
                _ => {}
            }
        } else if known.valid && !known.refused {
            self.unacknowledged += 1;
            self.unacknowledged_but_stored += u64::from(seen > 0);
        }
        if known.refused {
            self.refused += u64::from(!known.valid);
            self.refused_but_stored += u64::from(seen > 0);
        }
        self.judged_wrongly += u64::from(known.refused && known.valid || known.acknowledged && !known.valid);
    }

    /// Whether the run proves what it is to prove.
    pub(super) fn holds(&self) -> bool {
        self.acknowledged > 0
            && self.taken >= self.acknowledged
            && self.quarantined == self.poison
            && [
                self.stored_twice,
                self.lost,
                self.unaccounted,
                self.quarantined_wrongly,
                self.judged_wrongly,
                self.refused_but_stored,
                self.strangers,
                self.wrong_answers,
            ]
            .iter()
            .all(|count| *count == 0)
    }

    /// The table: name, number, what it is, and whether the number has to be 0 and is not.
    pub(super) fn rows(&self) -> [(&'static str, u64, String, bool); 18] {
        let must_be_none = |name, count, what: &str| (name, count, what.to_owned(), count > 0);
        let row = |name, count, what: &str| (name, count, what.to_owned(), false);
        [
            row("sent", self.sent, "events, each with an id of its own"),
            row("acknowledged", self.acknowledged, "answered as stored at least once"),
            row("stored once", self.stored_once, "a reader counts it once"),
            must_be_none("stored twice", self.stored_twice, "a reader counts it more than once"),
            must_be_none("lost", self.lost, "acknowledged and nowhere"),
            row("given up", self.given_up, "acknowledged, and in the backup instead"),
            must_be_none(
                "unaccounted",
                self.unaccounted,
                &format!(
                    "of {} lines in Firehose's ledger, nowhere by `weir status --reconcile`",
                    self.taken
                ),
            ),
            row(
                "taken again",
                self.taken_again,
                "of these lines: an event that Firehose took once more",
            ),
            (
                "quarantined",
                self.quarantined,
                format!("of {} poisonous lines that Firehose took", self.poison),
                self.quarantined != self.poison,
            ),
            must_be_none(
                "quarantined wrongly",
                self.quarantined_wrongly,
                "lines that are no poison",
            ),
            row(
                "  kept twice",
                self.quarantine_copies,
                "by two loaders at one instant; readers take one row an id",
            ),
            row("refused", self.refused, "invalid, and the client was told"),
            must_be_none(
                "judged wrongly",
                self.judged_wrongly,
                "valid and refused, or invalid and taken",
            ),
            must_be_none("refused but stored", self.refused_but_stored, ""),
            row(
                "unacknowledged",
                self.unacknowledged,
                "the client gave up before it knew",
            ),
            row("  of these stored", self.unacknowledged_but_stored, ""),
            must_be_none("never sent", self.strangers, "stored, and nobody sent it"),
            must_be_none(
                "wrong answers",
                self.wrong_answers,
                "that break the endpoint's contract",
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(7);

    fn book(known: Known) -> Book {
        Book {
            events: HashMap::from([(ID, known), (Uuid::from_u128(1), GOOD)]),
            ..Book::default()
        }
    }

    const GOOD: Known = Known {
        valid: true,
        acknowledged: true,
        refused: false,
    };

    fn stored(times: u64) -> Stored {
        Stored {
            seen: HashMap::from([(ID, times), (Uuid::from_u128(1), 1)]),
            taken: 2,
            ..Stored::default()
        }
    }

    #[track_caller]
    fn check(known: Known, stored: &Stored, count: fn(&Tally) -> u64, holds: bool) {
        let tally = Tally::of(&book(known), stored);
        assert_eq!((count(&tally), tally.holds()), (1, holds), "{tally:?}");
    }

    #[test]
    fn what_is_lost_or_doubled_is_found() {
        let nowhere = Stored {
            seen: HashMap::from([(Uuid::from_u128(1), 1)]),
            ..stored(1)
        };
        check(GOOD, &nowhere, |tally| tally.lost, false);
        check(GOOD, &stored(0), |tally| tally.lost, false);
        check(GOOD, &stored(2), |tally| tally.stored_twice, false);
        let unheard = Known {
            acknowledged: false,
            ..GOOD
        };
        check(unheard, &stored(2), |tally| tally.stored_twice, false);
        check(unheard, &stored(1), |tally| tally.unacknowledged_but_stored, true);
        check(unheard, &nowhere, |tally| tally.unacknowledged, true);
        let backup = Stored {
            given_up: HashSet::from([ID]),
            ..stored(0)
        };
        check(GOOD, &backup, |tally| tally.given_up, true);
        let unaccounted = Stored {
            unaccounted: 1,
            ..stored(1)
        };
        check(GOOD, &unaccounted, |tally| tally.unaccounted, false);
        // A ledger that knows less than the clients were told.
        let forgetful = Stored { taken: 1, ..stored(1) };
        check(GOOD, &forgetful, |tally| tally.taken, false);
        let again = Stored {
            taken_again: 1,
            ..stored(1)
        };
        check(GOOD, &again, |tally| tally.taken_again, true);
    }

    #[test]
    fn verdicts_are_checked_too() {
        let refused = Known {
            valid: false,
            acknowledged: false,
            refused: true,
        };
        check(refused, &stored(0), |tally| tally.refused, true);
        check(refused, &stored(1), |tally| tally.refused_but_stored, false);
        let valid = Known { valid: true, ..refused };
        check(valid, &stored(0), |tally| tally.judged_wrongly, false);
        let taken = Known { valid: false, ..GOOD };
        check(taken, &stored(1), |tally| tally.judged_wrongly, false);
    }

    #[test]
    fn poison_has_to_be_in_quarantine_and_nothing_else() {
        let mut sent = book(GOOD);
        sent.poison.insert(b"bad".to_vec(), true);
        sent.poison.insert(b"unheard".to_vec(), false);
        let mut found = stored(1);
        assert!(!Tally::of(&sent, &found).holds());
        found.quarantined.insert(b"bad".to_vec());
        found.quarantined.insert(b"unheard".to_vec());
        assert!(Tally::of(&sent, &found).holds());
        found.quarantined.insert(b"a good line".to_vec());
        assert_eq!(Tally::of(&sent, &found).quarantined_wrongly, 1);
        assert!(!Tally::of(&sent, &found).holds());
    }

    #[test]
    fn a_run_without_traffic_proves_nothing() {
        assert!(!Tally::default().holds());
        assert_eq!(Tally::of(&Book::default(), &stored(1)).strangers, 2);
    }
}
