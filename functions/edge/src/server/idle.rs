//! How long a connection has been between two requests. hyper bounds how long a client sends, not how long it takes to take
//! its answer.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// When the last answer was handed to the connection; `None` while one is being made, and before the first.
type Since = Option<Instant>;

/// Told of the requests of one connection.
#[derive(Debug, Clone)]
pub(super) struct Answering(watch::Sender<Since>);

/// Knows since when none is being answered.
#[derive(Debug)]
pub(super) struct Answered(watch::Receiver<Since>);

/// The two ends, for one connection.
pub(super) fn watch() -> (Answering, Answered) {
    let (sender, receiver) = watch::channel(None);
    (Answering(sender), Answered(receiver))
}

impl Answering {
    /// Makes an answer.
    pub(super) async fn during<T>(&self, answer: impl Future<Output = T>) -> T {
        self.0.send_replace(None);
        let answer = answer.await;
        self.0.send_replace(Some(Instant::now()));
        answer
    }
}

impl Answered {
    /// Ready when the next request has not begun so long after an answer was handed over.
    pub(super) async fn for_longer_than(mut self, limit: Duration) {
        loop {
            let since = *self.0.borrow_and_update();
            let changed = match since {
                None => self.0.changed().await,
                Some(since) => match timeout_at(since + limit, self.0.changed()).await {
                    Ok(changed) => changed,
                    Err(_) => return,
                },
            };
            // The connection has let go of its service: it ends by itself.
            if changed.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
