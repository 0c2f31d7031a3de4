//! What was sent and what became of it, as the senders know it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::traffic::Item;

/// What a sender knows of one event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Whether the endpoint has to take it.
    pub(super) valid: bool,
    /// Some answer said that it is stored.
    pub(super) acknowledged: bool,
    /// Some answer refused it for good.
    pub(super) refused: bool,
}

/// Everything that was sent.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) events: HashMap<Uuid, Known>,
    /// Poisonous lines by their bytes, and whether Firehose acknowledged each.
    pub(super) poison: HashMap<Vec<u8>, bool>,
    /// Requests that were tried again.
    pub(super) retries: u64,
    /// Answers that break the endpoint's contract, the first few.
    pub(super) wrong_answers: Vec<String>,
}

/// No more wrong answers than this are kept.
const MAX_WRONG: usize = 20;

/// The book, shared by all senders.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Book>);

impl Ledger {
    /// Notes that these are about to be sent.
    pub(super) fn sent(&self, items: &[Item]) {
        let mut book = self.book();
        for item in items {
            book.events.entry(item.id).or_default().valid = item.valid;
        }
    }

    /// Notes what one answer said of one event.
    pub(super) fn told(&self, id: Uuid, acknowledged: bool) {
        let mut book = self.book();
        let known = book.events.entry(id).or_default();
        if acknowledged {
            known.acknowledged = true;
        } else {
            known.refused = true;
        }
    }

    /// Notes a poisonous line, and whether Firehose has acknowledged it.
    pub(super) fn poison(&self, line: &[u8], acknowledged: bool) {
        *self.book().poison.entry(line.to_vec()).or_default() |= acknowledged;
    }

    /// Notes that a request is tried again.
    pub(super) fn retry(&self) {
        self.book().retries += 1;
    }

    /// Notes an answer that breaks the contract.
    pub(super) fn wrong(&self, what: String) {
        let mut book = self.book();
        if book.wrong_answers.len() < MAX_WRONG {
            book.wrong_answers.push(what);
        }
    }

    /// How many events were sent, and how many of them are settled: acknowledged or refused.
    pub(super) fn progress(&self) -> (u64, u64) {
        let book = self.book();
        let settled = book.events.values().filter(|known| known.acknowledged || known.refused);
        (book.events.len() as u64, settled.count() as u64)
    }

    /// The book, once all is sent.
    pub(super) fn take(&self) -> Book {
        std::mem::take(&mut *self.book())
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Each note is whole by itself: a sender that died in one spoils nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
