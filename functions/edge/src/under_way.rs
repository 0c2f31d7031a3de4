//! Ending a process that Lambda's runtime drives: what is under way is finished and its answer posted, nothing new is begun.
//!
//! Lambda itself sends SIGTERM only where an extension is registered, and none is. `cargo lambda watch`, containers and
//! people send it.

use std::future::{Future, pending};

use lambda_http::Error;
use tokio::sync::watch;

use crate::server::{DRAIN_TIMEOUT, stop_signal};

/// The invocations that are under way.
#[derive(Debug, Clone)]
pub(crate) struct UnderWay(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    invocations: usize,
    stopping: bool,
}

/// Counts one.
struct Counted(UnderWay);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.send_modify(|state| state.invocations -= 1);
    }
}

impl UnderWay {
    pub(crate) fn new() -> Self {
        UnderWay(watch::Sender::new(State::default()))
    }

    /// An invocation, from when the runtime has all of its event to the end of its answer. It never ends once the process is stopping: who drives it
    /// would ask for the next.
    pub(crate) fn count<T, F: Future<Output = T>>(&self, invocation: F) -> impl Future<Output = T> + use<T, F> {
        self.0.send_modify(|state| state.invocations += 1);
        let (counted, this) = (Counted(self.clone()), self.clone());
        async move {
            let done = invocation.await;
            drop(counted);
            if this.0.borrow().stopping {
                pending().await
            }
            done
        }
    }

    /// Drives the invocations until the process is told to stop, and then until none is under way.
    pub(crate) async fn drive(self, run: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
        self.drive_until(stop_signal(), run).await
    }

    async fn drive_until(
        self,
        stop: impl Future<Output = ()>,
        run: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        let mut run = std::pin::pin!(run);
        tokio::select! {
            ended = &mut run => return ended,
            () = stop => {}
        }
        tracing::info!("stopping");
        self.0.send_modify(|state| state.stopping = true);
        let mut state = self.0.subscribe();
        tokio::select! {
            // In this order: what is idle asks for nothing more.
            biased;
            _ = state.wait_for(|state| state.invocations == 0) => Ok(()),
            ended = &mut run => ended,
            () = tokio::time::sleep(DRAIN_TIMEOUT) => {
                tracing::warn!("some invocations did not finish in time");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_is_under_way_is_finished_and_nothing_else_begun() {
        let under_way = UnderWay::new();
        let (begun, has_begun) = oneshot::channel();
        let (finish, finished) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (counting, mut state) = (under_way.clone(), under_way.0.subscribe());
        let run = async {
            counting.count(async { begun.send(()).unwrap() }).await;
            counting.count(async { finished.await.unwrap() }).await;
            panic!("the next would be asked for");
        };
        let stopping = async {
            has_begun.await.unwrap();
            drop(stop);
            // The invocation ends only when the process is stopping already.
            drop(state.wait_for(|state| state.stopping).await.unwrap());
            finish.send(()).unwrap();
        };
        let driven = under_way.drive_until(async { drop(stopped.await) }, run);
        let (driven, ()) = tokio::join!(driven, stopping);
        driven.unwrap();
    }

    #[tokio::test]
    async fn what_is_idle_ends_at_once() {
        UnderWay::new()
            .drive_until(std::future::ready(()), pending())
            .await
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_finishes_is_left() {
        let under_way = UnderWay::new();
        let run = under_way.count(pending());
        under_way
            .clone()
            .drive_until(std::future::ready(()), run)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_runtime_that_fails_is_an_error() {
        let failed = async { Err("gone".into()) };
        let error = UnderWay::new().drive_until(pending(), failed).await.unwrap_err();
        assert_eq!(error.to_string(), "gone");
    }
}
