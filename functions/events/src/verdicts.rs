//! What is wrong with a request's events, kept small enough to answer with.
//!
//! A function URL returns 6 MB at most (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>), and a
//! small request can hold very many wrong events.

use event_model::limits::MAX_REJECTED_EVENTS;
use event_model::{Issue, Loc, Reason};
use serde_json::value::RawValue;

use crate::answer::Verdict;

/// Up to here, in bytes of an answer, everything is told; from here on only the first problem of each event, without
/// the key in `exp`.
const ROOMY_BYTES: usize = 2 * 1024 * 1024;

/// Up to here, in bytes of an answer, the issues of a request of which nothing was accepted are told.
const DETAIL_BYTES: usize = 4 * 1024 * 1024;

/// What the rest of an entry takes in an answer, at least.
const ENTRY_BYTES: usize = 256;

/// A byte of text takes at most so many in JSON: `\u0000`.
const ESCAPED_BYTES: usize = 6;

/// The verdicts on a request's wrong events.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    /// For an answer that accepts some of the events.
    pub(crate) listed: Vec<Verdict>,
    listed_bytes: usize,
    /// For an answer that accepts none.
    pub(crate) detail: Vec<Issue>,
    detail_bytes: usize,
    /// How many events are wrong.
    pub(crate) events: usize,
}

/// More events are wrong than an answer can name.
#[derive(Debug)]
pub(crate) struct TooMany;

impl Verdicts {
    /// Notes what is wrong with the event at `index` of a batch.
    pub(crate) fn note(&mut self, index: usize, issues: Vec<Issue>) -> Result<(), TooMany> {
        self.events += 1;
        if self.events > MAX_REJECTED_EVENTS {
            return Err(TooMany);
        }
        for (at, issue) in issues.into_iter().enumerate() {
            let bytes = ENTRY_BYTES + loc_bytes(&issue.loc);
            let roomy = self.listed_bytes + bytes <= ROOMY_BYTES;
            if roomy || at == 0 {
                let mut verdict = Verdict::new(index, &issue);
                if !roomy {
                    verdict.loc.truncate(2);
                }
                self.listed.push(verdict);
                self.listed_bytes += bytes;
            }
            let bytes = bytes + issue.input.get().len();
            if self.detail_bytes + bytes <= DETAIL_BYTES {
                self.detail.push(issue.in_batch(index));
                self.detail_bytes += bytes;
            }
        }
        Ok(())
    }

    /// The issues to refuse the whole batch with because there are too many.
    pub(crate) fn too_many(mut self) -> Vec<Issue> {
        let why = Issue::of_body(Reason::TooManyInvalid, RawValue::NULL.to_owned());
        self.detail.insert(0, why);
        self.detail
    }
}

fn loc_bytes(loc: &[Loc]) -> usize {
    loc.iter()
        .map(|step| match step {
            Loc::Key(key) => key.len() * ESCAPED_BYTES,
            Loc::Index(_) => ESCAPED_BYTES,
        })
        .sum()
}
