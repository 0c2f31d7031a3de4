//! Calls that requests share.
//!
//! A request that finds a free turn makes its call at once, alone. While all turns are taken requests gather, and whoever ends
//! a call forms the next one of what has gathered. A call is driven by a request that waits for it, never by a task: where one
//! request is handled at a time it is that request's own call, and nothing outlives it. A request that goes away in the middle
//! hands the call, as far as it is, to another that waits for it. A call that takes long keeps no turn: one that hangs holds up
//! nobody but its own requests.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_firehose::types::Record;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::pack::CallSize;

/// Calls under way at a time, slow ones aside. With two, calls are half as large, and what gathers waits longer for the
/// processor than it would for its turn.
pub(crate) const TURNS: usize = 1;

/// How long a call keeps its turn. Firehose answers in some tens of milliseconds. Where tests run, machines are busy.
pub(crate) const SLOW: Duration = Duration::from_millis(if cfg!(test) { 1500 } else { 250 });

/// Why records were not even offered.
const NO_TURN: &str = "no turn came in time";

/// A call under way.
pub(crate) type Sending = Pin<Box<dyn Future<Output = Said> + Send>>;

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// For each record, why it was refused; `None` where it was not.
    Answered(Vec<Option<String>>),
    /// Nothing of the call is known to be stored.
    Failed(String),
    /// No retry can mend it.
    Misconfigured {
        /// Firehose's word for it.
        reason: String,
        /// What the operator should do.
        advice: &'static str,
    },
}

/// The calls to one stream.
pub(crate) struct Calls {
    /// Begins a call.
    begin: Box<dyn Fn(Vec<Record>) -> Sending + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    /// Turns that nobody has. None is free while requests wait.
    free: usize,
    waiting: VecDeque<Waiting>,
}

/// A request that waits for a call.
struct Waiting {
    records: Vec<Record>,
    /// With no call begun by then, none is: its answer would hardly come.
    until: Instant,
    told: oneshot::Sender<Told>,
}

/// What a request that waits is told.
enum Told {
    /// What came of its records.
    Said(Said),
    /// Its records are in this call, and it is to drive it.
    Drive(Call),
}

/// A call that is to be driven to its end. Dropped before, it is handed on.
struct Call(Option<Box<Inner>>);

struct Inner {
    calls: Arc<Calls>,
    sending: Sending,
    /// Whether it still has a turn.
    has_turn: bool,
    /// From when on it keeps none.
    slow_at: Instant,
    members: Vec<Member>,
    /// Which of them drives it.
    driver: usize,
}

/// A request whose records are in a call.
struct Member {
    records: usize,
    /// How it is told; `None` for who drives or drove the call.
    told: Option<oneshot::Sender<Told>>,
}

impl Calls {
    /// Calls that begin so.
    pub(crate) fn new(begin: impl Fn(Vec<Record>) -> Sending + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Calls {
            begin: Box::new(begin),
            state: Mutex::new(State {
                free: TURNS,
                waiting: VecDeque::new(),
            }),
        })
    }

    /// Offers records, which fit into a call, and says what came of them. No call of theirs is begun after `until`.
    pub(crate) async fn offer(self: &Arc<Self>, records: Vec<Record>, until: Instant) -> Said {
        let call = match self.turn_or_wait(records, until) {
            Ok(records) => {
                let only = Member {
                    records: records.len(),
                    told: None,
                };
                self.begin(vec![only], records, true)
            }
            Err(told) => match told.await {
                Ok(Told::Said(said)) => return said,
                Ok(Told::Drive(call)) => call,
                // No turn came in time.
                Err(_) => return Said::Failed(NO_TURN.to_owned()),
            },
        };
        call.drive().await
    }

    /// The records again with a turn, or where to wait.
    fn turn_or_wait(&self, records: Vec<Record>, until: Instant) -> Result<Vec<Record>, oneshot::Receiver<Told>> {
        let mut state = self.state();
        if state.free > 0 {
            state.free -= 1;
            return Ok(records);
        }
        let (told, hears) = oneshot::channel();
        state.waiting.push_back(Waiting { records, until, told });
        Err(hears)
    }

    fn begin(self: &Arc<Self>, members: Vec<Member>, records: Vec<Record>, has_turn: bool) -> Call {
        Call(Some(Box::new(Inner {
            calls: Arc::clone(self),
            sending: (self.begin)(records),
            has_turn,
            slow_at: Instant::now() + SLOW,
            members,
            driver: 0,
        })))
    }

    /// Gives a turn to those that wait, or back. What does not fit into their call needs no turn: a full call gains nothing by waiting.
    fn pass_turn(self: &Arc<Self>) {
        let mut has_turn = true;
        loop {
            let (mut members, mut records, mut is_full) = (Vec::new(), Vec::new(), false);
            {
                let mut state = self.state();
                let mut size = CallSize::default();
                while let Some(next) = state.waiting.pop_front() {
                    // Its request is answered, or gone, or too late.
                    if next.told.is_closed() || next.until <= Instant::now() {
                        continue;
                    }
                    let grown = next
                        .records
                        .iter()
                        .fold(size, |size, record| size.and(record.data().as_ref().len()));
                    if !members.is_empty() && !grown.fits() {
                        state.waiting.push_front(next);
                        is_full = true;
                        break;
                    }
                    size = grown;
                    members.push(Member {
                        records: next.records.len(),
                        told: Some(next.told),
                    });
                    records.extend(next.records);
                }
                if members.is_empty() {
                    state.free += usize::from(has_turn);
                    return;
                }
            }
            // Dropped, it goes to the first who still waits.
            drop(self.begin(members, records, has_turn));
            if !is_full {
                return;
            }
            has_turn = false;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change of it is one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    async fn drive(mut self) -> Said {
        let said = match &mut self.0 {
            Some(inner) => match tokio::time::timeout_at(inner.slow_at, inner.sending.as_mut()).await {
                Ok(said) => said,
                Err(_) => {
                    inner.pass_turn();
                    inner.sending.as_mut().await
                }
            },
            None => Said::Failed("the call was lost".to_owned()),
        };
        match self.0.take() {
            Some(inner) => inner.finish(said),
            None => said,
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut inner = self.0.take();
        while let Some(mut call) = inner.take() {
            let waits = call.members.iter_mut().enumerate();
            let next = waits.filter_map(|(at, member)| Some((at, member.told.take()?))).next();
            let Some((driver, told)) = next else {
                // Nobody waits for it any more.
                call.pass_turn();
                return;
            };
            call.driver = driver;
            if let Err(Told::Drive(mut refused)) = told.send(Told::Drive(Call(Some(call)))) {
                inner = refused.0.take();
            }
        }
    }
}

impl Inner {
    /// Lets another call begin, once.
    fn pass_turn(&mut self) {
        if std::mem::take(&mut self.has_turn) {
            self.calls.pass_turn();
        }
    }

    /// Lets the next call begin, tells everybody, and gives what the driver is told.
    fn finish(mut self, said: Said) -> Said {
        self.pass_turn();
        let total: usize = self.members.iter().map(|member| member.records).sum();
        let mut said = match said {
            // An answer that does not say which records it speaks of acknowledges none.
            Said::Answered(entries) if entries.len() != total => {
                Said::Failed(format!("{} results for {total} records", entries.len()))
            }
            said => said,
        };
        let mut own = None;
        for (at, member) in self.members.into_iter().enumerate() {
            let part = match &mut said {
                Said::Answered(entries) => {
                    let rest = entries.split_off(member.records);
                    Said::Answered(std::mem::replace(entries, rest))
                }
                other => other.clone(),
            };
            match member.told {
                _ if at == self.driver => own = Some(part),
                // Who does not listen any more is gone.
                Some(told) => drop(told.send(Told::Said(part))),
                None => {}
            }
        }
        own.unwrap_or(said)
    }
}
