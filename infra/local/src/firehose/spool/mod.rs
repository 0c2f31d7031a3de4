//! The spool: what Firehose has accepted and not yet delivered, on disk.
//!
//! An append-only log in segment files. A call is answered after its records are synced; calls that arrive while a sync
//! runs share the next one. A torn end, as a crash in the middle of a write leaves it, is cut off when the spool is opened:
//! nobody was told that those records are stored. Bytes in the middle that are not a record are reported, never passed over.

pub(crate) mod cursor;
pub(crate) mod frame;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::OpenOptions;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use cursor::{Cursor, Position};
use frame::RecordId;
pub(crate) use segment::Item;
use segment::Segments;
use writer::{Append, Message, Writer};

/// A new segment is started when the open one has grown past this.
pub(crate) const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// Why records were not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppendError {
    /// The disk is full, or failed.
    #[error("the records could not be stored: {0}")]
    Io(String),
    /// The stream is being deleted, or the program is ending.
    #[error("the stream is closed")]
    Closed,
}

/// What opening a spool found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// Bytes of a write that a crash cut short: cut off, never acknowledged.
    pub(crate) torn_bytes: u64,
    /// Bytes that were synced once and are gone.
    pub(crate) lost_bytes: u64,
}

/// A stream's log, open.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    shared: Arc<Shared>,
    sender: Sender<Message>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    grown: Notify,
}

#[derive(Debug)]
struct State {
    segments: Segments,
    tail: Position,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what is durable now to readers.
    fn publish(&self, base: u64, tail: Position) {
        let mut state = self.state();
        state.segments.insert(base, tail.offset);
        state.tail = tail;
        drop(state);
        self.grown.notify_one();
    }
}

impl Spool {
    /// Opens the log in `folder`, repairs its end, and counts what is after the cursor. Blocks.
    pub(crate) fn open(folder: &Path, cursor: &Cursor, run: u64, segment_bytes: u64) -> io::Result<(Self, Recovery)> {
        std::fs::create_dir_all(folder)?;
        let mut segments = segment::list(folder)?;
        let (tail, recovery) = recover(folder, &mut segments, cursor)?;
        let open = match segments.last_key_value() {
            Some((&base, &end)) if end == tail.offset && base <= end => {
                Some((OpenOptions::new().write(true).open(segment::path(folder, base))?, base))
            }
            _ => None,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State { segments, tail }),
            grown: Notify::new(),
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            folder: folder.to_owned(),
            run,
            segment_bytes,
            open,
            tail,
            buffer: Vec::new(),
            failing: false,
        };
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || writer.run(&receiver))?;
        Ok((
            Self {
                folder: folder.to_owned(),
                shared,
                sender,
                thread: Mutex::new(Some(thread)),
            },
            recovery,
        ))
    }

    /// Stores records; returns when they are on disk, with their ids in order.
    pub(crate) async fn append(&self, records: Vec<Vec<u8>>, arrival_ms: i64) -> Result<Vec<RecordId>, AppendError> {
        let (reply, answer) = oneshot::channel();
        self.sender
            .send(Message::Append(Append {
                records,
                arrival_ms,
                reply,
            }))
            .map_err(|_| AppendError::Closed)?;
        answer.await.map_err(|_| AppendError::Closed)?
    }

    /// The end of what is durable.
    pub(crate) fn tail(&self) -> Position {
        self.shared.state().tail
    }

    /// Waits until records were appended since the last call.
    pub(crate) async fn grown(&self) {
        self.shared.grown.notified().await;
    }

    /// Visits records, and damage, between two offsets until `visit` breaks. Blocks.
    pub(crate) fn scan(
        &self,
        from: u64,
        to: u64,
        visit: &mut dyn FnMut(Item<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let segments = self.shared.state().segments.clone();
        segment::scan(&self.folder, &segments, from, to, visit)
    }

    /// When the first good record at or after `offset` arrived. Blocks.
    pub(crate) fn arrival(&self, offset: u64) -> io::Result<Option<i64>> {
        let mut arrival = None;
        self.scan(offset, self.tail().offset, &mut |item| match item {
            Item::Record(frame, _) => {
                arrival = Some(frame.arrival_ms);
                ControlFlow::Break(())
            }
            Item::Damaged { .. } => ControlFlow::Continue(()),
        })?;
        Ok(arrival)
    }

    /// Copies the bytes between two offsets, as far as they are there, to a file of their own. Blocks.
    pub(crate) fn salvage(&self, from: u64, to: u64, copy: &Path) -> io::Result<()> {
        let segments = self.shared.state().segments.clone();
        let bytes = segment::raw(&self.folder, &segments, from, to)?;
        crate::firehose::files::write_whole(copy, &bytes)
    }

    /// Where the oldest segment begins, and the end of what is durable.
    pub(crate) fn bounds(&self) -> (u64, u64) {
        let state = self.shared.state();
        let tail = state.tail.offset;
        (state.segments.keys().next().copied().unwrap_or(tail), tail)
    }

    /// The segments that end at or before `offset`, each as its first offset and that of the next segment: what is missing
    /// between two of them belongs to the first. Never the last segment.
    pub(crate) fn done_before(&self, offset: u64) -> Vec<(u64, u64)> {
        let state = self.shared.state();
        let next = state.segments.keys().skip(1);
        let done = state.segments.iter().zip(next);
        done.take_while(|((_, end), _)| **end <= offset)
            .map(|((base, _), next)| (*base, *next))
            .collect()
    }

    /// Deletes segments that [`Spool::done_before`] gave, all that it can. Blocks.
    pub(crate) fn forget(&self, done: &[(u64, u64)]) -> io::Result<()> {
        let mut state = self.shared.state();
        for (base, _) in done {
            state.segments.remove(base);
        }
        drop(state);
        let mut outcome = Ok(());
        for (base, _) in done {
            match std::fs::remove_file(segment::path(&self.folder, *base)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => outcome = outcome.and(Err(error)),
                _ => {}
            }
        }
        outcome
    }

    /// Stores what was handed in before and ends the writer. Blocks.
    pub(crate) fn close(&self) {
        let _ = self.sender.send(Message::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!(folder = %self.folder.display(), "the spool's writer ended in a panic");
        }
    }
}

/// Finds the end of the log: the last good frame. Counts records from the cursor on.
fn recover(folder: &Path, segments: &mut Segments, cursor: &Cursor) -> io::Result<(Position, Recovery)> {
    let mut tail = cursor.assigned;
    let mut recovery = Recovery::default();
    let Some((&last, &end)) = segments.last_key_value() else {
        tail.offset = tail.offset.max(cursor.synced);
        recovery.lost_bytes = tail.offset - cursor.assigned.offset;
        return Ok((tail, recovery));
    };
    let mut damaged_from = None;
    segment::scan(folder, segments, tail.offset, end, &mut |item| {
        match item {
            Item::Record(_, end) => {
                tail = Position {
                    offset: end,
                    records: tail.records + 1,
                };
                damaged_from = None;
            }
            Item::Damaged { from, .. } => damaged_from = damaged_from.or(Some(from)),
        }
        ControlFlow::Continue(())
    })?;
    let good_end = damaged_from.map_or(end, |from: u64| from.max(last));
    // What was written and not synced when the process died counts from now on, so it must be on disk.
    let file = OpenOptions::new().write(true).open(segment::path(folder, last))?;
    if good_end < cursor.synced {
        // Acknowledged bytes are damaged or gone. They stay as they are; delivery meets the damage and reports it.
        tail.offset = end.max(cursor.synced);
        recovery.lost_bytes = tail.offset - good_end;
    } else {
        if good_end < end {
            file.set_len(good_end - last)?;
            segments.insert(last, good_end);
            recovery.torn_bytes = end - good_end;
        }
        tail.offset = good_end.max(tail.offset);
    }
    file.sync_all()?;
    crate::firehose::files::sync_folder(folder)?;
    Ok((tail, recovery))
}
