//! How long a connection has been between two requests. hyper bounds how long a client sends, not how long it takes to take
//! its answer.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// When the last answer was handed to the connection; `None` while one is being made, and before the first. Requests only write
/// it down: nothing is woken for each of them.
#[derive(Debug, Default)]
struct Since(Mutex<Option<Instant>>);

impl Since {
    fn get(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Told of the requests of one connection.
#[derive(Debug, Clone)]
pub(super) struct Answering(Arc<Since>);

/// Knows since when none is being answered.
#[derive(Debug)]
pub(super) struct Answered(Arc<Since>);

/// The two ends, for one connection.
pub(super) fn watch() -> (Answering, Answered) {
    let since = Arc::new(Since::default());
    (Answering(Arc::clone(&since)), Answered(since))
}

impl Answering {
    /// Makes an answer.
    pub(super) async fn during<T>(&self, answer: impl Future<Output = T>) -> T {
        *self.0.get() = None;
        let answer = answer.await;
        *self.0.get() = Some(Instant::now());
        answer
    }
}

impl Answered {
    /// Ready when the next request has not begun so long after an answer was handed over.
    pub(super) async fn for_longer_than(self, limit: Duration) {
        let mut look = Instant::now() + limit;
        loop {
            sleep_until(look).await;
            let now = Instant::now();
            // An answer that is handed over from now on is not too old before this.
            look = self.0.get().unwrap_or(now) + limit;
            if look <= now {
                return;
            }
        }
    }
}
