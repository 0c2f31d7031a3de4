//! What became of the events, counted while they are sent.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;

use super::latency::Histogram;
use super::progress::Counts;
use super::report::{Item, Ledger};

/// When as many events in a row were not acknowledged, something is wrong for all of them. One given up on after all
/// attempts weighs as much as ten refused.
const HOPELESS: u64 = 200;

/// What became of the events so far.
#[derive(Debug)]
pub(super) struct Totals {
    /// Events that a first attempt was made for.
    pub(super) sent: u64,
    /// Events acknowledged, a duplicate as often as it was sent.
    pub(super) acknowledged: u64,
    /// Events refused, by status.
    pub(super) refused: BTreeMap<u16, u64>,
    /// Events given up on.
    pub(super) failed: u64,
    /// Attempts that were to be repeated, by status or `transport`.
    pub(super) retried: BTreeMap<String, u64>,
    /// Why the last of them was.
    pub(super) last_setback: Option<String>,
    /// Of the attempts that were acknowledged.
    pub(super) latency: Histogram,
    /// The different events acknowledged.
    pub(super) ledger: Ledger,
    /// What the first refusal said, for people.
    pub(super) first_refusal: Option<String>,
    /// Why the last one was given up.
    pub(super) last_failure: Option<String>,
    /// Set when sending on was pointless.
    pub(super) hopeless: bool,
    /// Weight of what was not acknowledged since the last acknowledgement.
    streak: u64,
}

impl Totals {
    /// Nothing happened yet.
    pub(super) fn new() -> Self {
        Self {
            sent: 0,
            acknowledged: 0,
            refused: BTreeMap::new(),
            failed: 0,
            retried: BTreeMap::new(),
            last_setback: None,
            latency: Histogram::new(),
            ledger: Ledger::default(),
            first_refusal: None,
            last_failure: None,
            hopeless: false,
            streak: 0,
        }
    }

    /// For the progress bar.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            acknowledged: self.acknowledged,
            refused: self.refused.values().sum(),
            failed: self.failed,
            retried: self.retried.values().sum(),
            last_setback: self.last_setback.clone(),
        }
    }

    /// Counts the end of a parcel or block.
    pub(super) fn settle(&mut self, items: &[Item], outcome: Outcome) {
        let events = items.len() as u64;
        match outcome {
            Outcome::Acknowledged { latency, rejected } => {
                self.latency.record(latency);
                self.streak = 0;
                for (index, item) in items.iter().enumerate() {
                    if rejected.contains(&index) {
                        *self.refused.entry(StatusCode::OK.as_u16()).or_default() += 1;
                    } else {
                        self.acknowledged += 1;
                        self.ledger.acknowledge(item);
                    }
                }
            }
            Outcome::Refused { status, reason } => {
                *self.refused.entry(status.as_u16()).or_default() += events;
                self.first_refusal.get_or_insert_with(|| format!("{status}: {reason}"));
                self.miss(events);
            }
            Outcome::GivenUp { reason } => {
                self.failed += events;
                // What is stopped because all is hopeless must not hide why it is.
                if !self.hopeless {
                    self.last_failure = Some(reason);
                }
                self.miss(10 * events);
            }
        }
    }

    fn miss(&mut self, weight: u64) {
        self.streak += weight;
        self.hopeless |= self.streak >= HOPELESS;
    }

    /// Counts an attempt that is to be made again.
    pub(super) fn set_back(&mut self, kind: String, reason: String) {
        *self.retried.entry(kind).or_default() += 1;
        self.last_setback = Some(reason);
    }
}

/// The end of a parcel or block.
pub(super) enum Outcome {
    /// HTTP 200: all stored but those named.
    Acknowledged { latency: Duration, rejected: Vec<usize> },
    /// An answer that will not change.
    Refused { status: StatusCode, reason: String },
    /// All attempts used up, or stopped while waiting for the next.
    GivenUp { reason: String },
}
