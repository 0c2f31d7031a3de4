//! The ledger: which lines a stream has taken, by the hour in which it took them. What `weir status --reconcile` compares
//! the warehouse with.
//!
//! A line is known by its key: the id of its event, or a hash of a line that has none. The spool holds the lines that were
//! taken last; before one of its segments is deleted, the keys in it go to files of the ledger, `<hour>-<segment>.ids`, 16
//! bytes a line. Each file is written whole, so a segment that is noted twice is noted once. What of a segment could not be
//! read is counted in `<hour>-<segment>.lost`: whoever reads the ledger is told that it does not know everything.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use bytes::{Buf as _, BytesMut};
use event_model::{Record, Row};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::clock::now_ms;
use super::deliver::Status;
use super::files;
use super::spool::{Item, Spool};

/// How long keys are kept, in hours: 31 days.
pub(crate) const KEPT_HOURS: i64 = 31 * 24;

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// Bytes of an entry as it is sent: a number, a key, and what they are.
const SENT_BYTES: usize = 25;

/// What an entry that is sent is: a line that is done, one that waits, or the end.
const DONE: u8 = 0;
const WAITING: u8 = 1;
const END: u8 = 2;

/// Entries that are handed on at a time.
const AT_A_TIME: usize = 4096;

/// What keys of lines without an id are made in.
const NAMESPACE: Uuid = Uuid::from_u128(0x0c0a_6d0e_7f1d_4c63_8f1e_52a7_9b06_d4e1);

/// The key of a line: the same wherever the line is met.
pub(crate) fn key(line: &[u8]) -> Uuid {
    Record::event_id_at_start(line)
        // Other writers may order the fields otherwise.
        .or_else(|| Row::from_line(line).ok().map(|row| row.event_id))
        .unwrap_or_else(|| Uuid::new_v5(&NAMESPACE, line))
}

/// The keys of a record's lines. Empty lines are nothing, as for the loader.
fn keys(data: &[u8]) -> impl Iterator<Item = Uuid> {
    data.split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
        .map(key)
}

/// One line that the stream has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// When: hours since 1970.
    pub(crate) hour: i64,
    pub(crate) key: Uuid,
    /// Whether it is still to be delivered.
    pub(crate) waiting: bool,
}

/// The ledger of one stream.
#[derive(Debug)]
pub(crate) struct Ledger {
    folder: PathBuf,
    /// Held while the ledger is read: no segment goes meanwhile.
    reading: Mutex<()>,
    /// Bytes of segments whose keys could not be kept, not even how many: since the program started.
    lost: AtomicU64,
}

/// What a stretch of the spool holds.
#[derive(Debug, Default)]
struct Stretch {
    /// The keys of its lines, by hour.
    keys: BTreeMap<i64, Vec<Uuid>>,
    /// Bytes in it that cannot be read.
    lost: u64,
}

impl Ledger {
    /// The ledger in a stream's folder.
    pub(crate) fn in_stream(folder: &Path) -> Arc<Self> {
        Arc::new(Self {
            folder: folder.join("ledger"),
            reading: Mutex::default(),
            lost: AtomicU64::default(),
        })
    }

    /// Keeps the keys of segments that are delivered, then deletes the segments; does nothing while the ledger is read.
    /// Whatever fails, the segments go: on a full disk that is what matters. Blocks.
    pub(crate) fn forget(&self, spool: &Spool, done: &[(u64, u64)]) -> io::Result<()> {
        let _alone = match self.reading.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Ok(guard) => guard,
        };
        let mut unkept = Vec::new();
        for &(from, to) in done {
            let stretch = Stretch::read(spool, from, to);
            if self.keep(from, &stretch).is_err() {
                unkept.push((from, to, stretch));
            }
        }
        let mut outcome = spool.forget(done);
        // Now there may be room on the disk.
        for (from, to, stretch) in unkept {
            if let Err(error) = self.keep(from, &stretch) {
                self.lost.fetch_add(to - from, Ordering::Relaxed);
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    }

    /// Keeps what a segment holds, durably.
    fn keep(&self, segment: u64, stretch: &Stretch) -> io::Result<()> {
        if !self.folder.is_dir() {
            std::fs::create_dir_all(&self.folder)?;
            files::sync_folder(self.folder.parent().unwrap_or(&self.folder))?;
        }
        let write = |hour: i64, kind: &str, bytes: &[u8]| {
            files::write_whole(&self.folder.join(format!("{hour}-{segment:020}.{kind}")), bytes)
        };
        for (hour, keys) in &stretch.keys {
            let bytes: Vec<u8> = keys.iter().flat_map(|key| *key.as_bytes()).collect();
            write(*hour, "ids", &bytes)?;
        }
        if stretch.lost > 0 {
            write(hour_of(now_ms()), "lost", stretch.lost.to_string().as_bytes())?;
        }
        self.forget_old()
    }

    /// Hands on every line that was taken since an hour, some at a time, until `take` breaks. Gives the bytes that could not
    /// be read. Blocks.
    pub(crate) fn read(
        &self,
        spool: &Spool,
        status: &Status,
        since: i64,
        take: &mut dyn FnMut(&[Entry]) -> ControlFlow<()>,
    ) -> io::Result<u64> {
        let _alone = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, tail) = spool.bounds();
        self.read_between(spool, &status.undone(tail), since, (first, tail), take)
    }

    /// Where the lines with that key are. Reads all that is kept: some hundredths of a second for a million lines. Blocks.
    pub(crate) fn find(&self, spool: &Spool, status: &Status, key: Uuid) -> io::Result<Whereabouts> {
        let _alone = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, tail) = spool.bounds();
        // In this order: a batch that ends between the two is still waiting here, and done for who asks next.
        let (undone, open) = (status.undone(tail), status.open());
        let (mut found, mut waits) = (Whereabouts::default(), false);
        found.lost_bytes = self.read_between(spool, &undone, i64::MIN, (first, tail), &mut |entries| {
            for entry in entries.iter().filter(|entry| entry.key == key) {
                *found.taken.entry(entry.hour).or_default() += 1;
                waits |= entry.waiting;
            }
            ControlFlow::Continue(())
        })?;
        if !waits {
            return Ok(found);
        }
        for (from, to) in undone {
            let lines = lines_of(spool, (from, to), key)?;
            if lines == 0 {
                continue;
            }
            match open.iter().find(|batch| (batch.first, batch.end) == (from, to)) {
                Some(batch) => found.batches.push(Waiting {
                    request_id: batch.request_id,
                    lines,
                    attempts: batch.attempts,
                    code: batch.last.map(|last| last.code.to_owned()),
                    status: batch.last.and_then(|last| last.status),
                }),
                None => found.spooled += lines,
            }
        }
        Ok(found)
    }

    fn read_between(
        &self,
        spool: &Spool,
        undone: &[(u64, u64)],
        since: i64,
        (first, tail): (u64, u64),
        take: &mut dyn FnMut(&[Entry]) -> ControlFlow<()>,
    ) -> io::Result<u64> {
        let mut lost = self.lost.load(Ordering::Relaxed);
        let mut entries = Vec::new();
        for file in self.files()? {
            // A segment that is still there is read below.
            if file.hour < since || file.segment >= first {
                continue;
            }
            let bytes = std::fs::read(&file.path)?;
            if file.lost {
                let count: Option<u64> = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok());
                lost += count.unwrap_or(1);
                continue;
            }
            entries.clear();
            entries.extend(bytes.as_chunks().0.iter().map(|key| Entry {
                hour: file.hour,
                key: Uuid::from_bytes(*key),
                waiting: false,
            }));
            if entries.chunks(AT_A_TIME).try_for_each(&mut *take).is_break() {
                return Ok(lost);
            }
        }
        entries.clear();
        let mut stopped = false;
        spool.scan(first, tail, &mut |item| {
            match item {
                Item::Record(frame, _) => {
                    let hour = hour_of(frame.arrival_ms);
                    let offset = frame.id.offset;
                    let waiting = undone.iter().any(|(from, to)| (*from..*to).contains(&offset));
                    if hour >= since {
                        entries.extend(keys(frame.data).map(|key| Entry { hour, key, waiting }));
                    }
                }
                Item::Damaged { from, to } => lost += to - from,
            }
            if entries.len() >= AT_A_TIME {
                stopped = take(&entries).is_break();
                entries.clear();
            }
            if stopped {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        if !stopped && !entries.is_empty() {
            let _last = take(&entries);
        }
        Ok(lost)
    }

    fn files(&self) -> io::Result<Vec<KeyFile>> {
        let mut files = Vec::new();
        let folder = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
            folder => folder?,
        };
        for entry in folder {
            files.extend(KeyFile::of(entry?.path()));
        }
        Ok(files)
    }

    fn forget_old(&self) -> io::Result<()> {
        let files = self.files()?;
        let keys = files.iter().filter(|file| !file.lost);
        let newest = keys.map(|file| file.hour).max().unwrap_or_default();
        for file in files {
            if file.hour < newest - KEPT_HOURS {
                std::fs::remove_file(file.path)?;
            }
        }
        Ok(())
    }
}

impl Stretch {
    /// What is between two offsets. What cannot be read is lost, not an error: it would be one every time. Blocks.
    fn read(spool: &Spool, from: u64, to: u64) -> Self {
        let mut stretch = Self::default();
        let scanned = spool.scan(from, to, &mut |item| {
            match item {
                Item::Record(frame, _) => {
                    let keys_of_hour = stretch.keys.entry(hour_of(frame.arrival_ms)).or_default();
                    keys_of_hour.extend(keys(frame.data));
                }
                Item::Damaged { from, to } => stretch.lost += to - from,
            }
            ControlFlow::Continue(())
        });
        if scanned.is_err() {
            stretch.lost = to - from;
        }
        stretch
    }
}

/// How many lines with that key are between two offsets.
fn lines_of(spool: &Spool, (from, to): (u64, u64), key: Uuid) -> io::Result<u64> {
    let mut lines = 0;
    spool.scan(from, to, &mut |item| {
        if let Item::Record(frame, _) = item {
            lines += keys(frame.data).filter(|found| *found == key).count() as u64;
        }
        ControlFlow::Continue(())
    })?;
    Ok(lines)
}

/// Where the lines of one event are: what `GET /ledger/<stream>/<key>` answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whereabouts {
    /// How many were taken, by hours since 1970.
    pub(crate) taken: BTreeMap<i64, u64>,
    /// How many wait, and are in no batch yet.
    pub(crate) spooled: u64,
    /// The batches in which others wait.
    pub(crate) batches: Vec<Waiting>,
    /// Bytes that cannot be read: there may be more lines in them.
    pub(crate) lost_bytes: u64,
}

/// Lines in an open batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// The request id of all its attempts.
    pub(crate) request_id: Uuid,
    pub(crate) lines: u64,
    /// Attempts that failed.
    pub(crate) attempts: u32,
    /// How the last of them failed, and the status of its answer: as far as it is known.
    pub(crate) code: Option<String>,
    pub(crate) status: Option<u16>,
}

/// Keys of one segment and one hour, or how much of it was lost.
#[derive(Debug)]
struct KeyFile {
    hour: i64,
    segment: u64,
    lost: bool,
    path: PathBuf,
}

impl KeyFile {
    fn of(path: PathBuf) -> Option<Self> {
        let (name, kind) = path.file_name()?.to_str()?.rsplit_once('.')?;
        let (hour, segment) = name.rsplit_once('-')?;
        let (hour, segment) = (hour.parse().ok()?, segment.parse().ok()?);
        let lost = match kind {
            "ids" => false,
            "lost" => true,
            _ => return None,
        };
        Some(Self {
            hour,
            segment,
            lost,
            path,
        })
    }
}

fn hour_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(HOUR_MS)
}

/// Entries as bytes.
pub(crate) fn send(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * SENT_BYTES);
    for entry in entries {
        out.extend_from_slice(&entry.hour.to_le_bytes());
        out.extend_from_slice(entry.key.as_bytes());
        out.push(if entry.waiting { WAITING } else { DONE });
    }
    out
}

/// The end of what is sent, with the bytes that could not be read.
pub(crate) fn send_end(lost: u64) -> Vec<u8> {
    [&lost.to_le_bytes()[..], &[0; 16], &[END]].concat()
}

/// What [`send`] and [`send_end`] made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Line(Entry),
    /// Nothing follows; so many bytes of the spool could not be read.
    End(u64),
}

/// Takes the next off what has come so far: `Ok(None)` when more has to come, `Err` when it is nothing that was sent.
pub(crate) fn receive(rest: &mut BytesMut) -> Result<Option<Sent>, NotSent> {
    let Some(sent) = rest.first_chunk::<SENT_BYTES>() else {
        return Ok(None);
    };
    let (mut number, mut key) = ([0; 8], [0; 16]);
    number.copy_from_slice(&sent[..8]);
    key.copy_from_slice(&sent[8..24]);
    let number = u64::from_le_bytes(number);
    let line = |waiting| {
        Sent::Line(Entry {
            hour: number.cast_signed(),
            key: Uuid::from_bytes(key),
            waiting,
        })
    };
    let sent = match sent[24] {
        DONE => line(false),
        WAITING => line(true),
        END => Sent::End(number),
        _ => return Err(NotSent),
    };
    rest.advance(SENT_BYTES);
    Ok(Some(sent))
}

/// Bytes that nobody sent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("what Firehose answers is no ledger")]
pub(crate) struct NotSent;

#[cfg(test)]
mod tests;
