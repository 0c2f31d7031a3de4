//! Calls that requests share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::calls::{SLOW, TURNS};

/// A request under way.
type Put = JoinHandle<Result<(), PutError>>;

/// A Firehose whose turns are all taken, and what ends each of those calls.
struct Busy {
    fake: Arc<Fake>,
    turns: Vec<(oneshot::Sender<()>, Put)>,
}

impl Busy {
    /// What is planned comes after the calls that take the turns.
    async fn with(planned: impl IntoIterator<Item = Plan>) -> Self {
        let (ends, waits): (Vec<_>, Vec<_>) = (0..TURNS).map(|_| oneshot::channel()).unzip();
        let fake = Fake::start(waits.into_iter().map(Plan::After).chain(planned)).await;
        let mut busy = Busy {
            fake: Arc::new(fake),
            turns: Vec::new(),
        };
        for end in ends {
            let put = busy.put(&["first\n"]).await;
            busy.turns.push((end, put));
        }
        busy.calls_are(TURNS).await;
        busy
    }

    /// Puts records for a request of their own, which has begun when this returns.
    async fn put(&self, records: &[&str]) -> Put {
        self.put_within(deadline::DEFAULT_BUDGET, records).await
    }

    async fn put_within(&self, budget: Duration, records: &[&str]) -> Put {
        let (fake, records) = (
            Arc::clone(&self.fake),
            records.iter().map(|data| packed(data)).collect(),
        );
        let put = tokio::spawn(async move { fake.context.firehose.put(records, budget, &mut 0).await });
        tokio::task::yield_now().await;
        put
    }

    /// Ends one of the calls that took the turns.
    async fn end_one(&mut self) {
        let (end, put) = self.turns.pop().unwrap();
        end.send(()).unwrap();
        put.await.unwrap().unwrap();
    }

    async fn calls_are(&self, calls: usize) {
        while self.fake.calls().len() < calls {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The calls after those that took the turns.
    fn later(&self) -> Vec<Vec<String>> {
        self.fake.calls().split_off(TURNS)
    }
}

#[tokio::test]
async fn what_gathers_while_calls_are_under_way_goes_in_one() {
    let mut busy = Busy::with([]).await;
    let puts = [
        busy.put(&["a\n"]).await,
        busy.put(&["b\n", "c\n"]).await,
        busy.put(&["d\n"]).await,
    ];
    assert!(busy.later().is_empty());
    busy.end_one().await;
    for put in puts {
        put.await.unwrap().unwrap();
    }
    assert_eq!(busy.later(), [["a\n", "b\n", "c\n", "d\n"]]);
    // The turn is free again.
    busy.put(&["e\n"]).await.await.unwrap().unwrap();
    assert_eq!(busy.later()[1..], [["e\n"]]);
}

#[tokio::test]
async fn a_refused_record_is_its_own_requests() {
    let refuse = || Plan::Take(&[false]);
    let mut busy = Busy::with([Plan::Take(&[true, true, false, true]), refuse(), refuse()]).await;
    let (one, two, three) = (
        busy.put(&["a\n"]).await,
        busy.put(&["b\n", "c\n"]).await,
        busy.put(&["d\n"]).await,
    );
    busy.end_one().await;
    one.await.unwrap().unwrap();
    three.await.unwrap().unwrap();
    let error = two.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, PutError::Unavailable { not_stored, attempts: 3, .. } if *not_stored == [1]),
        "{error}"
    );
    assert_eq!(busy.later()[1..], [["c\n"], ["c\n"]]);
}

#[tokio::test]
async fn what_fails_a_call_fails_all_its_requests() {
    let refuse = || Plan::Exception(400, "AccessDeniedException");
    for plan in [refuse(), Plan::Take(&[true])] {
        let stays = matches!(plan, Plan::Exception(..));
        let mut busy = Busy::with([plan]).await;
        let puts = [busy.put(&["a\n"]).await, busy.put(&["b\n"]).await];
        busy.end_one().await;
        for put in puts {
            let put = put.await.unwrap();
            assert_eq!(put.is_err(), stays);
            assert!(put.is_ok() || matches!(put, Err(PutError::Misconfigured { .. })));
        }
        // Where an answer accounts for too few, all are offered again.
        let offered: usize = busy.later().iter().map(Vec::len).sum();
        assert_eq!(offered, if stays { 2 } else { 4 });
    }
}

#[tokio::test]
async fn a_request_that_leaves_takes_no_call_with_it() {
    let (end, waits) = oneshot::channel();
    let mut busy = Busy::with([Plan::After(waits)]).await;
    let (one, two, three) = (
        busy.put(&["a\n"]).await,
        busy.put(&["b\n"]).await,
        busy.put(&["c\n"]).await,
    );
    busy.end_one().await;
    busy.calls_are(TURNS + 1).await;
    // The first drives the call; then the second does.
    for put in [one, two] {
        put.abort();
        assert!(put.await.unwrap_err().is_cancelled());
    }
    end.send(()).unwrap();
    three.await.unwrap().unwrap();
    assert_eq!(busy.later(), [["a\n", "b\n", "c\n"]]);
}

#[tokio::test]
async fn a_turn_outlives_those_who_had_it() {
    let mut busy = Busy::with([Plan::Hang]).await;
    let (gone, put) = (busy.put(&["a\n"]).await, busy.put(&["b\n"]).await);
    // Who leaves before its call begins is not in it.
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    busy.end_one().await;
    busy.calls_are(TURNS + 1).await;
    assert_eq!(busy.later(), [["b\n"]]);
    let next = busy.put(&["c\n"]).await;
    put.abort();
    assert!(put.await.unwrap_err().is_cancelled());
    next.await.unwrap().unwrap();
    assert_eq!(busy.later()[1..], [["c\n"]]);
}

#[tokio::test]
async fn each_request_keeps_its_own_budget() {
    let (end, waits) = oneshot::channel();
    let mut busy = Busy::with([Plan::After(waits)]).await;
    let patient = busy.put(&["a\n"]).await;
    let hasty = busy.put_within(Duration::from_secs(1), &["b\n"]).await;
    let waiting = busy.put_within(Duration::from_millis(50), &["c\n"]).await;
    let late = async |put: Put| {
        let error = put.await.unwrap().unwrap_err();
        assert!(
            matches!(&error, PutError::Unavailable { not_stored, attempts: 1, reason }
                if *not_stored == [0] && reason == "no answer in time"),
            "{error}"
        );
    };
    // One while it waits for a turn, the other in the middle of a call.
    late(waiting).await;
    busy.end_one().await;
    late(hasty).await;
    end.send(()).unwrap();
    patient.await.unwrap().unwrap();
    assert_eq!(busy.later(), [["a\n", "b\n"]]);
}

#[tokio::test]
async fn calls_that_are_shared_keep_the_limits() {
    let mut busy = Busy::with([]).await;
    let many = vec!["x\n"; 300];
    let large = "y".repeat(MAX_RECORD_BYTES);
    let mut puts = Vec::new();
    for records in [
        &many[..],
        &many[..],
        &["z\n"],
        &[large.as_str(), large.as_str()],
        &[large.as_str(), large.as_str()],
    ] {
        puts.push(busy.put(records).await);
    }
    busy.end_one().await;
    for put in puts {
        put.await.unwrap().unwrap();
    }
    // What does not fit waits for no turn, so which of them comes first is open.
    let mut lengths: Vec<_> = busy.later().iter().map(Vec::len).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [2, 300, 303]);
}

#[tokio::test]
async fn a_call_that_hangs_holds_up_nobody_for_long() {
    let mut busy = Busy::with([]).await;
    let began = std::time::Instant::now();
    let puts = [busy.put(&["a\n"]).await, busy.put(&["b\n"]).await];
    for put in puts {
        put.await.unwrap().unwrap();
    }
    assert!(began.elapsed() < SLOW * 2);
    assert_eq!(busy.later(), [["a\n", "b\n"]]);
    // A turn that was passed on is not passed on again when its call ends.
    while !busy.turns.is_empty() {
        busy.end_one().await;
    }
    let (end, waits) = oneshot::channel();
    let mut waits = Some(waits);
    for _ in 0..TURNS {
        busy.fake.plan(waits.take().map_or(Plan::Hang, Plan::After));
    }
    let mut taken = Vec::new();
    for _ in 0..TURNS {
        taken.push(busy.put(&["c\n"]).await);
    }
    busy.calls_are(2 * TURNS + 1).await;
    let (e, f) = (busy.put(&["e\n"]).await, busy.put(&["f\n"]).await);
    end.send(()).unwrap();
    for put in [taken.remove(0), e, f] {
        put.await.unwrap().unwrap();
    }
    assert_eq!(busy.later().last().unwrap(), &["e\n", "f\n"]);
    for other in taken {
        other.abort();
    }
}
