//! Delivery of one stream: forms batches when they are due, sends them, closes them, and keeps the cursor.
//!
//! A batch's records and request id are on disk before its first attempt, so it is the same batch with the same id after
//! any crash. A batch that waits for its next attempt holds no slot: others pass it. Order is not promised, as on AWS.

pub(crate) mod attempt;
pub(crate) mod backoff;
pub(crate) mod batch;
mod drive;
pub(crate) mod judge;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::clock::now_ms;
use super::config::StreamConfig;
use super::ledger::Ledger;
use super::spool::Spool;
use super::spool::cursor::{Cursor, CursorError, CursorFile, MAX_OPEN, OpenBatch, Position};
use super::spool::frame;
use drive::Outcome;

/// How delivery behaves; tests make it faster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tuning {
    /// Attempts of one stream at a time.
    pub(crate) concurrency: usize,
    /// The wait after the first failure.
    pub(crate) first_wait: Duration,
    /// How long attempts may go on when the program ends.
    pub(crate) grace: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            concurrency: 4,
            first_wait: Duration::from_secs(1),
            grace: Duration::from_secs(5),
        }
    }
}

/// What the delivery shows of itself.
#[derive(Debug, Default)]
pub(crate) struct Status {
    cursor: Mutex<Summary>,
    /// The open batches.
    open: Mutex<Vec<Open>>,
    /// The last failure of each open batch since the program started.
    failures: Mutex<HashMap<Uuid, LastFailure>>,
    /// Attempts that are waiting for the endpoint.
    pub(crate) in_flight: AtomicUsize,
    /// Attempts that failed since the program started.
    pub(crate) failed_attempts: AtomicUsize,
}

/// An open batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    pub(crate) request_id: Uuid,
    /// The offsets that it spans.
    pub(crate) first: u64,
    pub(crate) end: u64,
    /// Attempts that failed, those of earlier programs included.
    pub(crate) attempts: u32,
    /// Why the last of them did, if that was since the program started.
    pub(crate) last: Option<LastFailure>,
}

/// How an attempt failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastFailure {
    /// Attempts that failed until then, it included.
    attempts: u32,
    /// What error records name.
    pub(crate) code: &'static str,
    /// The answer's status, if there was one.
    pub(crate) status: Option<u16>,
}

/// The cursor, summed up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Summary {
    pub(crate) assigned: Position,
    pub(crate) low: u64,
    pub(crate) open_batches: usize,
    pub(crate) open_records: u64,
    pub(crate) open_bytes: u64,
    pub(crate) delivered: u64,
    pub(crate) given_up: u64,
    pub(crate) damaged_bytes: u64,
}

impl Status {
    /// The state after the last change.
    pub(crate) fn summary(&self) -> Summary {
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The offsets, up to `tail`, of records that are not done.
    pub(crate) fn undone(&self, tail: u64) -> Vec<(u64, u64)> {
        // In this order: a batch that is formed between the two is in both.
        let assigned = self.summary().assigned.offset;
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut undone: Vec<_> = open.iter().map(|batch| (batch.first, batch.end)).collect();
        undone.push((assigned, tail));
        undone
    }

    /// The open batches, each with its last failure.
    pub(crate) fn open(&self) -> Vec<Open> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for batch in &mut open {
            batch.last = failures.get(&batch.request_id).copied();
            batch.attempts = batch.last.map_or(batch.attempts, |last| last.attempts);
        }
        open
    }

    /// Notes that an attempt of an open batch failed, the how-manieth it was.
    fn failed(&self, request_id: Uuid, attempts: u32, failure: &judge::Failure) {
        self.failed_attempts.fetch_add(1, Ordering::Relaxed);
        let failure = LastFailure {
            attempts,
            code: failure.code,
            status: failure.status,
        };
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.insert(request_id, failure);
    }

    fn publish(&self, cursor: &Cursor) {
        let open = cursor.batches.iter().map(|batch| Open {
            request_id: batch.request_id,
            first: batch.first,
            end: batch.end,
            attempts: batch.attempts,
            last: None,
        });
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = open.collect();
        let is_open = |id: &Uuid| cursor.batches.iter().any(|batch| batch.request_id == *id);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|id, _| is_open(id));
        let open_records = cursor.batches.iter().map(|batch| batch.records).sum();
        let open_bytes = cursor
            .batches
            .iter()
            .map(|batch| data_bytes(batch.first, batch.end, batch.records))
            .sum();
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = Summary {
            assigned: cursor.assigned,
            low: cursor.low(),
            open_batches: cursor.batches.len(),
            open_records,
            open_bytes,
            delivered: cursor.delivered,
            given_up: cursor.given_up,
            damaged_bytes: cursor.damaged_bytes,
        };
    }
}

/// Bytes of data between two offsets that hold this many records.
pub(crate) fn data_bytes(from: u64, to: u64, records: u64) -> u64 {
    to.saturating_sub(from).saturating_sub(records * frame::HEADER as u64)
}

/// What the delivery and its attempts share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) spool: Arc<Spool>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) config: watch::Receiver<Arc<StreamConfig>>,
    pub(crate) client: reqwest::Client,
    /// The folder of all buckets.
    pub(crate) backup: PathBuf,
    pub(crate) tuning: Tuning,
    pub(crate) status: Arc<Status>,
    /// Cancelled when the stream is to stop.
    pub(crate) stop: CancellationToken,
    pub(crate) slots: Arc<Semaphore>,
    /// Told when a slot is given back.
    pub(crate) freed: Arc<Notify>,
}

/// One stream's delivery.
#[derive(Debug)]
pub(crate) struct Delivery {
    context: Arc<Context>,
    cursor: Cursor,
    file: Arc<Mutex<CursorFile>>,
    /// Where damaged bytes are copied to.
    folder: PathBuf,
    attempts: HashMap<Uuid, Arc<AtomicU32>>,
    tasks: JoinSet<(Uuid, Outcome)>,
    /// When the first record without a batch is due, and which it is.
    due: Option<(u64, Instant)>,
}

impl Delivery {
    /// A delivery that goes on where the cursor was left.
    pub(crate) fn new(context: Arc<Context>, cursor: Cursor, file: CursorFile, folder: PathBuf) -> Self {
        context.status.publish(&cursor);
        Self {
            context,
            cursor,
            file: Arc::new(Mutex::new(file)),
            folder,
            attempts: HashMap::new(),
            tasks: JoinSet::new(),
            due: None,
        }
    }

    /// Runs until the context is stopped; open batches stay open then.
    pub(crate) async fn run(mut self) {
        let context = Arc::clone(&self.context);
        let mut config = context.config.clone();
        for batch in self.cursor.batches.clone() {
            self.start(batch, None);
        }
        while !context.stop.is_cancelled() {
            let pause = match self.form_due().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(stream = context.config.borrow().name, %error, "batches cannot be formed: trying again");
                    Some(Duration::from_secs(1))
                }
            };
            tokio::select! {
                () = context.stop.cancelled() => {}
                // A disk that is full starts a new segment too: then what is delivered can go.
                () = context.spool.grown() => self.forget(context.status.summary().low).await,
                () = context.freed.notified() => {}
                changed = config.changed() => {
                    self.due = None;
                    if changed.is_err() {
                        break;
                    }
                }
                Some(done) = self.tasks.join_next() => self.finish(done).await,
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
        }
        self.drain().await;
    }

    /// Lets attempts that are under way end, within the grace, and saves what came of them.
    async fn drain(&mut self) {
        let deadline = Instant::now() + self.context.tuning.grace;
        while let Ok(Some(done)) = tokio::time::timeout_at(deadline, self.tasks.join_next()).await {
            self.finish(done).await;
        }
        self.tasks.shutdown().await;
        if let Err(error) = self.save().await {
            tracing::error!(%error, "the delivery cursor could not be saved");
        }
    }

    /// Forms and starts every batch that is due and has a slot. Says how long until the next may be due, if that is known.
    async fn form_due(&mut self) -> Result<Option<Duration>, FormError> {
        loop {
            if self.cursor.batches.len() >= MAX_OPEN {
                return Ok(None);
            }
            let Ok(slot) = Arc::clone(&self.context.slots).try_acquire_owned() else {
                return Ok(None);
            };
            let hints = self.context.config.borrow().destination.hints();
            let (from, tail) = (self.cursor.assigned, self.context.spool.tail());
            if tail.offset == from.offset {
                return Ok(None);
            }
            let max_bytes = hints.size_mb * 1024 * 1024;
            let waiting = tail.records.saturating_sub(from.records);
            let full = waiting >= batch::MAX_RECORDS || data_bytes(from.offset, tail.offset, waiting) >= max_bytes;
            if !full {
                let due = self.due_at(from.offset, Duration::from_secs(hints.interval_s)).await?;
                let wait = due.saturating_duration_since(Instant::now());
                if !wait.is_zero() {
                    return Ok(Some(wait));
                }
            }
            let spool = Arc::clone(&self.context.spool);
            let plan = blocking(move || batch::plan(&spool, from.offset, tail.offset, max_bytes)).await?;
            let before = self.cursor.clone();
            self.report(&plan.damage).await;
            self.cursor.assigned = Position {
                offset: plan.end,
                records: from.records + plan.records,
            };
            let formed = (plan.records > 0).then(|| OpenBatch {
                request_id: Uuid::new_v4(),
                first: plan.first,
                end: plan.end,
                records: plan.records,
                formed_ms: now_ms(),
                attempts: 0,
            });
            self.cursor.batches.extend(formed.clone());
            if let Err(error) = self.save().await {
                // Not on disk, so not sent: a crash now would form another batch of the same records.
                self.cursor = before;
                return Err(error);
            }
            if let Some(batch) = formed {
                self.start(batch, Some(slot));
            }
        }
    }

    /// When the record at `offset`, the first without a batch, has waited long enough.
    async fn due_at(&mut self, offset: u64, interval: Duration) -> io::Result<Instant> {
        if let Some((of, due)) = self.due
            && of == offset
        {
            return Ok(due);
        }
        let spool = Arc::clone(&self.context.spool);
        let arrival = blocking(move || spool.arrival(offset)).await?;
        // Without a good record there is only damage, to be reported at once. A clock that was set back must not hold
        // records for longer than the interval.
        let age = arrival.map_or(interval, |arrival| {
            Duration::from_millis(u64::try_from(now_ms().saturating_sub(arrival)).unwrap_or_default())
        });
        let due = Instant::now() + interval.saturating_sub(age);
        self.due = Some((offset, due));
        Ok(due)
    }

    /// Says what is damaged, and keeps a copy of the bytes.
    async fn report(&mut self, damage: &[(u64, u64)]) {
        for &(from, to) in damage {
            let path = self.folder.join(format!("damaged-{from:020}.bin"));
            let (spool, copy) = (Arc::clone(&self.context.spool), path.clone());
            let copied = blocking(move || spool.salvage(from, to, &copy)).await;
            self.cursor.damaged_bytes += to - from;
            tracing::error!(
                stream = self.context.config.borrow().name, from, bytes = to - from, copy = %path.display(),
                problem = copied.err().map(|error| error.to_string()),
                "the spool is damaged: records in these bytes cannot be delivered"
            );
        }
    }

    fn start(&mut self, batch: OpenBatch, slot: Option<tokio::sync::OwnedSemaphorePermit>) {
        let attempts = Arc::new(AtomicU32::new(batch.attempts));
        self.attempts.insert(batch.request_id, Arc::clone(&attempts));
        let context = Arc::clone(&self.context);
        self.tasks
            .spawn(async move { (batch.request_id, drive::drive(context, batch, attempts, slot).await) });
    }

    /// Closes the batches that are done, saves, and deletes what is not needed any more.
    async fn finish(&mut self, first: Result<(Uuid, Outcome), tokio::task::JoinError>) {
        let mut next = Some(first);
        let mut closed = false;
        while let Some(done) = next {
            match done {
                Ok((id, outcome)) => closed |= self.close(id, outcome),
                Err(error) => {
                    tracing::error!(%error, "a delivery task ended early: its batch is sent again at the next start")
                }
            }
            next = self.tasks.try_join_next();
        }
        if !closed {
            return;
        }
        match self.save().await {
            Ok(()) => self.forget(self.cursor.low()).await,
            // The batches count as open on disk: a crash before the next save delivers them again, with the same id.
            Err(error) => tracing::error!(%error, "the delivery cursor could not be saved"),
        }
    }

    /// Frees the disk of segments before `low`, which must be saved as the cursor's, and keeps their keys.
    async fn forget(&self, low: u64) {
        let spool = Arc::clone(&self.context.spool);
        let done = spool.done_before(low);
        if done.is_empty() {
            return;
        }
        let ledger = Arc::clone(&self.context.ledger);
        if let Err(error) = blocking(move || ledger.forget(&spool, &done)).await {
            tracing::warn!(%error, "a delivered segment could not be deleted, or its lines not be kept in the ledger");
        }
    }

    fn close(&mut self, id: Uuid, outcome: Outcome) -> bool {
        let Some(at) = self.cursor.batches.iter().position(|batch| batch.request_id == id) else {
            return false;
        };
        match outcome {
            Outcome::Stopped => return false,
            Outcome::Delivered => self.cursor.delivered += self.cursor.batches[at].records,
            Outcome::GivenUp => self.cursor.given_up += self.cursor.batches[at].records,
            Outcome::Unreadable => {
                let batch = &self.cursor.batches[at];
                self.cursor.damaged_bytes += batch.end - batch.first;
            }
        }
        self.cursor.batches.remove(at);
        self.attempts.remove(&id);
        true
    }

    async fn save(&mut self) -> Result<(), FormError> {
        self.cursor.synced = self.context.spool.tail().offset;
        for batch in &mut self.cursor.batches {
            if let Some(attempts) = self.attempts.get(&batch.request_id) {
                batch.attempts = attempts.load(Ordering::Relaxed);
            }
        }
        let (file, cursor) = (Arc::clone(&self.file), self.cursor.clone());
        tokio::task::spawn_blocking(move || file.lock().unwrap_or_else(PoisonError::into_inner).write(&cursor))
            .await
            .map_err(io::Error::other)??;
        self.context.status.publish(&self.cursor);
        Ok(())
    }
}

/// Why no batch could be formed.
#[derive(Debug, thiserror::Error)]
enum FormError {
    /// The spool cannot be read.
    #[error("the spool: {0}")]
    Spool(#[from] io::Error),
    /// The cursor cannot be written.
    #[error(transparent)]
    Cursor(#[from] CursorError),
}

/// Runs what blocks on the disk away from the threads that serve.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
