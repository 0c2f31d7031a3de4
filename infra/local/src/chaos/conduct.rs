//! The conductor: commits the planned faults at their times, and heals everything in the end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::bail;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;
use super::poison;
use super::proxy::Proxy;
use super::schedule::{End, Fault, Mischief, Planned, Victim, Way};
use crate::report;
use crate::up::apart::Apart;

/// How long a process that is to end in the middle of a request may wait for that request.
const REQUEST_WITHIN: Duration = Duration::from_secs(4);

/// How long everything may take to be delivered once no fault is left.
const DRAINED_WITHIN: Duration = Duration::from_secs(240);

/// After this time Firehose is started again, which tries at once what is waiting for its next attempt.
const HURRY_AFTER: Duration = Duration::from_secs(15);

const POLL: Duration = Duration::from_millis(200);

/// One run's faults.
pub(super) struct Conductor {
    pub(super) stack: Arc<Apart>,
    pub(super) proxies: Vec<Proxy>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) http: reqwest::Client,
    /// Firehose itself, past its proxy.
    pub(super) firehose: String,
    pub(super) stop: CancellationToken,
    pub(super) verbose: bool,
    /// Faults that were begun.
    pub(super) begun: AtomicUsize,
}

impl Conductor {
    /// Commits each fault at its time, and returns when the last one is over. Gives the numbers of those that had no
    /// effect, because this system knows no such thing.
    pub(super) async fn run(&self, plan: &[Planned]) -> Vec<usize> {
        let began = Instant::now();
        let mut lasting = JoinSet::new();
        let mut without_effect = Vec::new();
        for (number, planned) in plan.iter().enumerate() {
            tokio::time::sleep_until(began + planned.at).await;
            self.begun.fetch_add(1, Ordering::Relaxed);
            if self.verbose {
                report::say(format!("{:6.1} s  {}", planned.at.as_secs_f64(), planned.fault));
            }
            match planned.fault {
                Fault::Requests {
                    way,
                    mischief,
                    requests,
                } => {
                    self.proxy(way).arm(number, mischief, requests);
                    if let Mischief::End { victim, how, .. } = mischief {
                        let shared = self.proxy(way).disarming(number);
                        let stack = Arc::clone(&self.stack);
                        lasting.spawn(async move {
                            tokio::time::sleep(REQUEST_WITHIN).await;
                            // No request came by: then it ends without one.
                            if shared.disarm() {
                                end(&stack, victim, how);
                            }
                        });
                    }
                }
                Fault::Unreachable { way, ms } => {
                    let gate = self.proxy(way).gate();
                    gate.send_replace(false);
                    lasting.spawn(async move {
                        tokio::time::sleep(Duration::from_millis(ms)).await;
                        gate.send_replace(true);
                    });
                }
                Fault::DiskFull { bytes, ms } => {
                    if let Err(error) = self.stack.limit_file_size(Victim::Firehose.name(), Some(bytes)) {
                        without_effect.push(number);
                        report::say(format!("{}: {error:#}", planned.fault));
                        continue;
                    }
                    lasting.spawn(fill_disk(Arc::clone(&self.stack), bytes, Duration::from_millis(ms)));
                }
                Fault::Poison { lines, seed } => {
                    let lines = poison::lines(seed, lines);
                    let (http, firehose) = (self.http.clone(), self.firehose.clone());
                    let (ledger, stop) = (Arc::clone(&self.ledger), self.stop.clone());
                    lasting.spawn(async move { poison::put(http, firehose, lines, &ledger, stop).await });
                }
            }
        }
        while lasting.join_next().await.is_some() {}
        without_effect
    }

    /// Takes every fault back and waits until all parts answer.
    pub(super) async fn heal(&self) -> anyhow::Result<()> {
        for proxy in &self.proxies {
            proxy.heal();
        }
        lift(&self.stack);
        self.stack.healthy().await
    }

    /// Waits until nothing is under way any more: not in Firehose, and not in a proxy.
    pub(super) async fn drained(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut hurry = began + HURRY_AFTER;
        loop {
            let busy: usize = self.proxies.iter().map(Proxy::busy).sum();
            let stream = self.stack.stream(&self.http).await;
            let why = match stream {
                Ok(stream) if stream.spooled_records == 0 && busy == 0 => {
                    if stream.damaged_bytes > 0 {
                        bail!("Firehose cannot read back {} bytes of its spool", stream.damaged_bytes);
                    }
                    return Ok(());
                }
                Ok(stream) => format!(
                    "{} records wait in Firehose, {busy} requests are under way",
                    stream.spooled_records
                ),
                Err(error) => format!("Firehose does not answer: {error:#}"),
            };
            if began.elapsed() > DRAINED_WITHIN {
                bail!("after {} s without a fault {why}", DRAINED_WITHIN.as_secs());
            }
            if Instant::now() > hurry {
                hurry = Instant::now() + HURRY_AFTER * 2;
                self.stack.deploy(Victim::Firehose.name());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// How many requests each fault has met, by its number.
    pub(super) fn met(&self) -> HashMap<usize, u32> {
        self.proxies.iter().flat_map(Proxy::met).collect()
    }

    fn proxy(&self, way: Way) -> &Proxy {
        // One proxy a way, in that order.
        let place = Way::ALL.iter().position(|it| *it == way).unwrap_or_default();
        &self.proxies[place]
    }
}

/// Ends processes as the proxies ask for it.
pub(super) async fn obey(stack: Arc<Apart>, mut orders: mpsc::UnboundedReceiver<(Victim, End)>) {
    while let Some((victim, how)) = orders.recv().await {
        end(&stack, victim, how);
    }
}

fn end(stack: &Apart, victim: Victim, how: End) {
    match how {
        End::Killed => stack.kill(victim.name()),
        End::Deployed => stack.deploy(victim.name()),
    }
}

/// Keeps the disk full for a while, for a Firehose that is started meanwhile too.
async fn fill_disk(stack: Arc<Apart>, bytes: u64, how_long: Duration) {
    let filling = async {
        loop {
            // One that has just ended has nothing to write.
            let _ = stack.limit_file_size(Victim::Firehose.name(), Some(bytes));
            tokio::time::sleep(POLL).await;
        }
    };
    let _: Result<(), _> = tokio::time::timeout(how_long, filling).await;
    lift(&stack);
}

fn lift(stack: &Apart) {
    // Where it cannot be lifted it could not be set.
    let _ = stack.limit_file_size(Victim::Firehose.name(), None);
}
