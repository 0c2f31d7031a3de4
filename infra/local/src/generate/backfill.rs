//! Puts events straight into ClickHouse, in large blocks: history in seconds instead of minutes.
//!
//! By the loader's own insert, so the rows and the tokens are those of a delivery. A block's token is a hash of its rows, and
//! the rows depend on the plan alone: filling again by the same plan is recognised block by block, as far back as the table
//! remembers tokens; beyond that the table's engine keeps one row for each event.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clickhouse::Client;
use edge::clickhouse::WarehouseError;
use event_model::Row;
use jiff::SignedDuration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::disorder::Numbered;
use super::report::Item;
use super::send::Patience;
use super::totals::{Outcome, Totals};

/// Rows of a block.
pub(super) const BLOCK_ROWS: usize = 100_000;

/// Blocks that are encoded or inserted at a time: one is encoded while the server works on another.
const BLOCKS_AT_ONCE: usize = 2;

/// How long one insert may take.
const INSERT_TIMEOUT: Duration = Duration::from_secs(120);

/// How long after its time an event counts as received when nothing held it up.
const ON_THE_WAY: SignedDuration = SignedDuration::from_millis(250);

/// ClickHouse's numbers for what is not there before the first migration.
const UNKNOWN_TABLE: u32 = 60;
const UNKNOWN_DATABASE: u32 = 81;

/// Inserts blocks into the table `events`.
pub(super) struct Backfill {
    client: Client,
    patience: Patience,
    /// Cancelled to stop: inserts in flight are finished, no other is begun.
    stop: CancellationToken,
    totals: Mutex<Totals>,
}

impl Backfill {
    /// A backfill of the client's database.
    pub(super) fn new(client: Client, patience: Patience, stop: CancellationToken) -> Self {
        Self {
            client,
            patience,
            stop,
            totals: Mutex::new(Totals::new()),
        }
    }

    /// What became of the events so far.
    pub(super) fn totals(&self) -> MutexGuard<'_, Totals> {
        // The counts stay meaningful if a worker died: a block is settled in one go.
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of the events, once it is over.
    pub(super) fn take_totals(&self) -> Totals {
        std::mem::replace(&mut *self.totals(), Totals::new())
    }

    /// Inserts what comes from `blocks`, until it ends or the backfill is stopped.
    pub(super) async fn run(self: &Arc<Self>, blocks: mpsc::Receiver<Vec<Numbered>>) {
        let blocks = Arc::new(tokio::sync::Mutex::new(blocks));
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..BLOCKS_AT_ONCE {
            let (backfill, blocks) = (Arc::clone(self), Arc::clone(&blocks));
            workers.spawn(async move {
                while !backfill.stop.is_cancelled() {
                    let Some(block) = blocks.lock().await.recv().await else {
                        return;
                    };
                    backfill.insert(&block).await;
                }
            });
        }
        workers.join_all().await;
    }

    async fn insert(&self, block: &[Numbered]) {
        self.totals().sent += block.len() as u64;
        let mut attempt = 1;
        let rows = rows(block);
        let outcome = loop {
            let began = Instant::now();
            let Err(error) = loader::insert::rows(&self.client, &rows, INSERT_TIMEOUT).await else {
                break Outcome::Acknowledged {
                    latency: began.elapsed(),
                    rejected: Vec::new(),
                };
            };
            let mut reason = error.in_full();
            if let Some(UNKNOWN_TABLE | UNKNOWN_DATABASE) = error.exception() {
                reason.push_str(": run `cargo weir migrate` first");
            }
            let again = match error {
                // The token makes a second insert of what had been stored after all harmless.
                WarehouseError::Unreachable(_) | WarehouseError::TimedOut(_) => true,
                WarehouseError::Refused { .. } | WarehouseError::Garbled(_) => false,
            };
            if !again || attempt >= self.patience.attempts {
                break Outcome::GivenUp {
                    reason: format!("{reason} (after {attempt} attempts)"),
                };
            }
            self.totals().set_back(error.code().to_owned(), reason.clone());
            let wait = tokio::time::sleep(self.patience.wait(attempt, None));
            if self.stop.run_until_cancelled(wait).await.is_none() {
                break Outcome::GivenUp {
                    reason: format!("{reason} (stopped before attempt {})", attempt + 1),
                };
            }
            attempt += 1;
        };
        let items: Vec<Item> = block.iter().map(Item::from).collect();
        let mut totals = self.totals();
        totals.settle(&items, outcome);
        if totals.hopeless {
            self.stop.cancel();
        }
    }
}

/// Cuts events into blocks and hands them on, until they end or nobody takes them any more.
pub(super) fn produce(mut events: impl Iterator<Item = Numbered>, blocks: &mpsc::Sender<Vec<Numbered>>) {
    loop {
        let block: Vec<Numbered> = events.by_ref().take(BLOCK_ROWS).collect();
        if block.is_empty() || blocks.blocking_send(block).is_err() {
            return;
        }
    }
}

fn rows(block: &[Numbered]) -> Vec<Row<'static>> {
    let received_after = |delay| ON_THE_WAY + SignedDuration::from_secs(delay);
    block
        .iter()
        .map(|numbered| numbered.event.clone().into_row(received_after(numbered.delay)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::disorder::Disorder;
    use super::super::shop::{Plan, Shop};
    use super::*;

    fn numbered() -> impl Iterator<Item = Numbered> {
        let plan = Plan::whole_days(1, 30, 10, jiff::civil::date(2026, 11, 5)).unwrap();
        Disorder {
            seed: 1,
            late_percent: 10.0,
            duplicate_percent: 0.0,
        }
        .apply(Shop::new(plan))
    }

    fn filled(answer: &'static str) -> (Totals, u64) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let requests = Arc::new(std::sync::atomic::AtomicU64::new(0));
            let counted = Arc::clone(&requests);
            let router = axum::Router::new().fallback(move |_body: bytes::Bytes| async move {
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let code = if answer.is_empty() {
                    http::StatusCode::OK
                } else {
                    http::StatusCode::NOT_FOUND
                };
                (code, answer)
            });
            let serving = tokio::spawn(std::future::IntoFuture::into_future(axum::serve(listener, router)));
            let patience = Patience {
                attempts: 3,
                first_wait: Duration::from_millis(1),
                longest_wait: Duration::from_millis(1),
            };
            let backfill = Arc::new(Backfill::new(
                Client::default().with_url(url),
                patience,
                CancellationToken::new(),
            ));
            let (blocks, queue) = mpsc::channel(1);
            blocks.send(numbered().collect()).await.unwrap();
            drop(blocks);
            backfill.run(queue).await;
            serving.abort();
            (
                backfill.take_totals(),
                requests.load(std::sync::atomic::Ordering::Relaxed),
            )
        })
    }

    #[test]
    fn a_block_goes_in_one_insert_a_month() {
        let (totals, requests) = filled("");
        assert_eq!(totals.acknowledged, numbered().count() as u64);
        assert_eq!(
            (totals.sent, totals.ledger.events()),
            (totals.acknowledged, totals.acknowledged)
        );
        assert_eq!(requests, 2, "27 October to 5 November");
    }

    #[test]
    fn what_clickhouse_refuses_is_not_tried_again() {
        let (totals, requests) =
            filled("Code: 60. DB::Exception: Table analytics.events does not exist. (UNKNOWN_TABLE)");
        assert_eq!((totals.acknowledged, totals.failed, requests), (0, totals.sent, 1));
        assert!(totals.hopeless);
        let failure = totals.last_failure.unwrap();
        assert!(
            failure.contains("UNKNOWN_TABLE") && failure.contains("cargo weir migrate"),
            "{failure}"
        );
    }

    #[test]
    fn blocks_hold_all_events_in_order() {
        let (blocks, mut queue) = mpsc::channel(16);
        let many = numbered().next().into_iter().cycle().take(BLOCK_ROWS * 2 + 5);
        produce(many, &blocks);
        drop(blocks);
        let sizes: Vec<_> = std::iter::from_fn(|| queue.try_recv().ok())
            .map(|block| block.len())
            .collect();
        assert_eq!(sizes, [BLOCK_ROWS, BLOCK_ROWS, 5]);
    }

    #[test]
    fn late_events_were_received_late() {
        let events: Vec<_> = numbered().collect();
        for (numbered, row) in events.iter().zip(rows(&events)) {
            assert_eq!(row.received_at, (i64::from(row.dt) + numbered.delay) * 1_000 + 250);
        }
        assert!(events.iter().any(|numbered| numbered.delay >= 3_600));
    }
}
