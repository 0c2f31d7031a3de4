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
use event_model::Record;
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
        .or_else(|| Record::from_line(line).ok().map(|record| record.event_id))
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
mod tests {
    use super::super::spool::cursor::Cursor;
    use super::*;

    /// A millisecond of the third hour of 1970.
    const AT: i64 = 3 * HOUR_MS + 7;

    fn line(number: u128) -> Vec<u8> {
        let id = Uuid::from_u128(number);
        format!("{{\"event_id\":\"{id}\",\"received_at\":\"…\"}}\n").into_bytes()
    }

    fn entry(hour: i64, key: Uuid) -> Entry {
        Entry {
            hour,
            key,
            waiting: false,
        }
    }

    /// Segments of one record each, in the third and the fourth hour. Gives the entries that they hold.
    async fn spool(folder: &Path) -> (Spool, Vec<Entry>) {
        let (spool, _) = Spool::open(folder, &Cursor::default(), 1, 1).unwrap();
        spool.append(vec![[line(1), line(2)].concat()], AT).await.unwrap();
        spool.append(vec![b"broken\n\n".to_vec()], AT).await.unwrap();
        spool.append(vec![line(1)], AT + HOUR_MS).await.unwrap();
        spool.append(vec![line(3)], AT + HOUR_MS).await.unwrap();
        let broken = key(b"broken");
        let [one, two, three] = [1, 2, 3].map(Uuid::from_u128);
        let all = [(3, one), (3, two), (3, broken), (4, one), (4, three)];
        (spool, all.map(|(hour, key)| entry(hour, key)).into())
    }

    fn read_between(ledger: &Ledger, spool: &Spool, undone: &[(u64, u64)], since: i64) -> (Vec<Entry>, u64) {
        let mut entries = Vec::new();
        let mut take = |some: &[Entry]| {
            entries.extend_from_slice(some);
            ControlFlow::Continue(())
        };
        let lost = ledger.read_between(spool, undone, since, spool.bounds(), &mut take);
        (entries, lost.unwrap())
    }

    fn read(ledger: &Ledger, spool: &Spool, since: i64) -> Vec<Entry> {
        let (mut entries, lost) = read_between(ledger, spool, &[], since);
        assert_eq!(lost, 0);
        entries.sort_by_key(|entry| (entry.hour, entry.key));
        entries
    }

    #[track_caller]
    fn check(ledger: &Ledger, spool: &Spool, mut expected: Vec<Entry>) {
        expected.sort_by_key(|entry| (entry.hour, entry.key));
        assert_eq!(read(ledger, spool, i64::MIN), expected);
        expected.retain(|entry| entry.hour >= 4);
        assert_eq!(read(ledger, spool, 4), expected);
    }

    #[tokio::test]
    async fn what_was_taken_stays_known_when_its_segment_goes() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, all) = spool(folder.path()).await;
        let ledger = Ledger::in_stream(folder.path());
        check(&ledger, &spool, all.clone());
        let (_, tail) = spool.bounds();
        let done = spool.done_before(tail);
        assert_eq!(done.len(), 3);
        // Killed between the two steps: the segments are there, and their keys are kept already.
        for &(from, to) in &done {
            ledger.keep(from, &Stretch::read(&spool, from, to)).unwrap();
        }
        check(&ledger, &spool, all.clone());
        ledger.forget(&spool, &done).unwrap();
        assert!(spool.done_before(tail).is_empty());
        check(&ledger, &spool, all);
    }

    #[tokio::test]
    async fn what_is_not_delivered_waits() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, _) = spool(folder.path()).await;
        let (_, tail) = spool.bounds();
        let undone = [(spool.done_before(tail)[2].0, tail)];
        let ledger = Ledger::in_stream(folder.path());
        let (entries, _) = read_between(&ledger, &spool, &undone, 0);
        let waiting: Vec<_> = entries.iter().map(|entry| entry.waiting).collect();
        assert_eq!(waiting, [false, false, false, true, true]);
        // A delivery that has not begun has done nothing.
        let mut take = |some: &[Entry]| {
            assert!(some.iter().all(|entry| entry.waiting));
            ControlFlow::Continue(())
        };
        ledger.read(&spool, &Status::default(), 0, &mut take).unwrap();
    }

    /// What cannot be read is not passed over in silence, not even once its segment is gone.
    #[tokio::test]
    async fn what_is_damaged_or_gone_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, all) = spool(folder.path()).await;
        let ledger = Ledger::in_stream(folder.path());
        let (_, tail) = spool.bounds();
        let done = spool.done_before(tail);
        let file = |(from, _): (u64, u64)| folder.path().join(format!("{from:020}.log"));
        let mut bytes = std::fs::read(file(done[1])).unwrap();
        bytes[40] ^= 1;
        std::fs::write(file(done[1]), bytes).unwrap();
        std::fs::remove_file(file(done[2])).unwrap();
        let damaged = done[1].1 - done[1].0;
        ledger.forget(&spool, &done[..2]).unwrap();
        ledger.forget(&spool, &done[2..]).unwrap();
        let (entries, lost) = read_between(&ledger, &spool, &[], 0);
        assert_eq!(lost, damaged + done[2].1 - done[2].0);
        assert_eq!(entries, [all[0], all[1], all[4]]);
    }

    #[tokio::test]
    async fn nothing_goes_while_the_ledger_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, _) = spool(folder.path()).await;
        let ledger = Ledger::in_stream(folder.path());
        let (_, tail) = spool.bounds();
        let done = spool.done_before(tail);
        let mut take = |_: &[Entry]| {
            ledger.forget(&spool, &done).unwrap();
            assert_eq!(spool.done_before(tail), done);
            ControlFlow::Continue(())
        };
        ledger.read(&spool, &Status::default(), 0, &mut take).unwrap();
        ledger.forget(&spool, &done).unwrap();
        assert!(spool.done_before(tail).is_empty());
    }

    /// Space is freed even where nothing can be written.
    #[tokio::test]
    async fn a_segment_goes_though_its_keys_cannot_be_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, all) = spool(folder.path()).await;
        let ledger = Ledger::in_stream(folder.path());
        std::fs::write(folder.path().join("ledger"), "no folder").unwrap();
        let (_, tail) = spool.bounds();
        assert!(ledger.forget(&spool, &spool.done_before(tail)).is_err());
        assert!(spool.done_before(tail).is_empty());
        std::fs::remove_file(folder.path().join("ledger")).unwrap();
        let (entries, lost) = read_between(&ledger, &spool, &[], 0);
        assert_eq!((entries, lost), (all[4..].to_vec(), spool.bounds().0));
    }

    #[tokio::test]
    async fn old_hours_go() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, _) = spool(folder.path()).await;
        let ledger = Ledger::in_stream(folder.path());
        let keep = |segment, hour| {
            let keys = BTreeMap::from([(hour, vec![Uuid::nil()])]);
            ledger.keep(segment, &Stretch { keys, lost: 0 }).unwrap();
        };
        keep(0, 5);
        keep(1, 6 + KEPT_HOURS);
        let hours: Vec<_> = ledger.files().unwrap().iter().map(|file| file.hour).collect();
        assert_eq!(hours, [6 + KEPT_HOURS]);
        drop(spool);
    }

    #[test]
    fn a_key_is_the_events_id_or_the_lines_own() {
        let id = Uuid::from_u128(5);
        let other_order = concat!(
            r#"{"amount":0,"dt":"2024-05-17T10:20:30Z","event_id":"00000000-0000-0000-0000-000000000005","exp":{},"#,
            r#""name":"view","obj":"page","obj_id":"","product_id":0,"received_at":"2024-05-17T10:20:31.500Z","#,
            r#""url":"http://site/main","user_id":1}"#
        );
        assert_eq!(key(&line(5)), id);
        assert_eq!(key(other_order.as_bytes()), id);
        assert_eq!(key(b"x"), key(b"x"));
        assert_ne!(key(b"x"), key(b"y"));
    }

    #[test]
    fn what_is_sent_is_received() {
        let entries = [
            entry(-1, Uuid::max()),
            Entry {
                waiting: true,
                ..entry(7, Uuid::nil())
            },
        ];
        let mut rest = BytesMut::from(&[send(&entries), send_end(u64::MAX), vec![7]].concat()[..]);
        let mut next = || receive(&mut rest);
        assert_eq!(next(), Ok(Some(Sent::Line(entries[0]))));
        assert_eq!(next(), Ok(Some(Sent::Line(entries[1]))));
        assert_eq!(next(), Ok(Some(Sent::End(u64::MAX))));
        assert_eq!(next(), Ok(None));
        assert_eq!(receive(&mut BytesMut::from(&[7; SENT_BYTES][..])), Err(NotSent));
    }
}
