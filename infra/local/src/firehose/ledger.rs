//! The ledger: which lines a stream has taken, by the hour in which it took them. What `weir status --reconcile` compares
//! the warehouse with.
//!
//! A line is known by its key: the id of its event, or a hash of a line that has none. The spool holds the lines that were
//! taken last; before one of its segments is deleted, the keys in it go to files of the ledger, `<hour>-<segment>.ids`, 16
//! bytes a line. Each file is written whole, so a segment that is noted twice is noted once.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use event_model::Record;
use uuid::Uuid;

use super::deliver::Status;
use super::files;
use super::spool::{Item, Spool};

/// How long keys are kept, in hours: 31 days.
pub(crate) const KEPT_HOURS: i64 = 31 * 24;

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// Bytes of an entry as it is sent.
const SENT_BYTES: usize = 25;

/// How often the ledger is read anew because a segment was deleted meanwhile.
const TRIES: u32 = 8;

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

/// The files of one stream's ledger.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    folder: PathBuf,
}

impl Ledger {
    /// The ledger in a stream's folder.
    pub(crate) fn in_stream(folder: &Path) -> Self {
        Self {
            folder: folder.join("ledger"),
        }
    }

    /// Keeps the keys of a segment, durably.
    fn keep(&self, segment: u64, keys: &BTreeMap<i64, Vec<Uuid>>) -> io::Result<()> {
        if !self.folder.is_dir() {
            std::fs::create_dir_all(&self.folder)?;
            files::sync_folder(self.folder.parent().unwrap_or(&self.folder))?;
        }
        for (hour, keys) in keys {
            let bytes: Vec<u8> = keys.iter().flat_map(|key| *key.as_bytes()).collect();
            files::write_whole(&self.folder.join(format!("{hour}-{segment:020}.ids")), &bytes)?;
        }
        self.forget_old()
    }

    /// Keeps the keys of segments that are delivered, then deletes the segments. Blocks.
    pub(crate) fn forget(&self, spool: &Spool, done: &[(u64, u64)]) -> io::Result<()> {
        let mut unkept = Vec::new();
        for &(from, to) in done {
            let keys = keys_between(spool, from, to)?;
            if self.keep(from, &keys).is_err() {
                unkept.push((from, keys));
            }
        }
        spool.forget(done)?;
        // On a full disk there is room now, and that the segments go is what matters there.
        for (segment, keys) in unkept {
            self.keep(segment, &keys)?;
        }
        Ok(())
    }

    /// Every line that was taken since an hour. Blocks.
    pub(crate) fn entries(&self, spool: &Spool, status: &Status, since: i64) -> io::Result<Vec<Entry>> {
        let mut tries = 0;
        loop {
            let (first, tail) = spool.bounds();
            let read = self.entries_between(spool, &status.undone(tail), since, (first, tail));
            // A segment that was deleted meanwhile is in the files now.
            if spool.bounds().0 == first || tries == TRIES {
                return read;
            }
            tries += 1;
        }
    }

    fn entries_between(
        &self,
        spool: &Spool,
        undone: &[(u64, u64)],
        since: i64,
        (first, tail): (u64, u64),
    ) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for file in self.files()? {
            // A segment that is still there is read below.
            if file.hour < since || file.segment >= first {
                continue;
            }
            let bytes = std::fs::read(&file.path)?;
            entries.extend(bytes.as_chunks().0.iter().map(|key| Entry {
                hour: file.hour,
                key: Uuid::from_bytes(*key),
                waiting: false,
            }));
        }
        spool.scan(first, tail, &mut |item| {
            if let Item::Record(frame, _) = item {
                let hour = frame.arrival_ms.div_euclid(HOUR_MS);
                let waiting = undone.iter().any(|(from, to)| (*from..*to).contains(&frame.id.offset));
                if hour >= since {
                    entries.extend(keys(frame.data).map(|key| Entry { hour, key, waiting }));
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(entries)
    }

    fn files(&self) -> io::Result<Vec<KeyFile>> {
        let mut files = Vec::new();
        let folder = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
            folder => folder?,
        };
        for entry in folder {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".ids"));
            let parsed = name.and_then(|name| {
                let (hour, segment) = name.rsplit_once('-')?;
                Some((hour.parse().ok()?, segment.parse().ok()?))
            });
            files.extend(parsed.map(|(hour, segment)| KeyFile { hour, segment, path }));
        }
        Ok(files)
    }

    fn forget_old(&self) -> io::Result<()> {
        let files = self.files()?;
        let newest = files.iter().map(|file| file.hour).max().unwrap_or_default();
        for file in files {
            if file.hour < newest - KEPT_HOURS {
                std::fs::remove_file(file.path)?;
            }
        }
        Ok(())
    }
}

/// Keys of one segment and one hour.
#[derive(Debug)]
struct KeyFile {
    hour: i64,
    segment: u64,
    path: PathBuf,
}

/// The keys of the lines between two offsets, by hour. Blocks.
fn keys_between(spool: &Spool, from: u64, to: u64) -> io::Result<BTreeMap<i64, Vec<Uuid>>> {
    let mut found: BTreeMap<i64, Vec<Uuid>> = BTreeMap::new();
    spool.scan(from, to, &mut |item| {
        if let Item::Record(frame, _) = item {
            let hour = frame.arrival_ms.div_euclid(HOUR_MS);
            found.entry(hour).or_default().extend(keys(frame.data));
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Reads entries as [`send`] wrote them. `None` when the bytes are none.
pub(crate) fn receive(bytes: &[u8]) -> Option<Vec<Entry>> {
    let (entries, rest) = bytes.as_chunks::<SENT_BYTES>();
    let receive = |entry: &[u8; SENT_BYTES]| {
        Some(Entry {
            hour: i64::from_le_bytes(*entry.first_chunk()?),
            key: Uuid::from_slice(&entry[8..24]).ok()?,
            waiting: entry[24] != 0,
        })
    };
    rest.is_empty().then(|| entries.iter().map(receive).collect()).flatten()
}

/// Entries as bytes: for each the hour, the key, and 1 when it waits.
pub(crate) fn send(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * SENT_BYTES);
    for entry in entries {
        out.extend_from_slice(&entry.hour.to_le_bytes());
        out.extend_from_slice(entry.key.as_bytes());
        out.push(u8::from(entry.waiting));
    }
    out
}

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

    fn read(ledger: &Ledger, spool: &Spool, since: i64) -> Vec<Entry> {
        let mut entries = ledger.entries_between(spool, &[], since, spool.bounds()).unwrap();
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
            ledger.keep(from, &keys_between(&spool, from, to).unwrap()).unwrap();
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
        let (first, tail) = spool.bounds();
        let undone = [(spool.done_before(tail)[2].0, tail)];
        let entries = Ledger::in_stream(folder.path()).entries_between(&spool, &undone, 0, (first, tail));
        let waiting: Vec<_> = entries.unwrap().iter().map(|entry| entry.waiting).collect();
        assert_eq!(waiting, [false, false, false, true, true]);
        // A delivery that has not begun has done nothing.
        let entries = Ledger::in_stream(folder.path()).entries(&spool, &Status::default(), 0);
        assert!(entries.unwrap().iter().all(|entry| entry.waiting));
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
        check(&ledger, &spool, all[4..].to_vec());
    }

    #[tokio::test]
    async fn old_hours_go() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, _) = spool(folder.path()).await;
        let ledger = Ledger::in_stream(folder.path());
        let keep = |segment, hour| {
            ledger
                .keep(segment, &BTreeMap::from([(hour, vec![Uuid::nil()])]))
                .unwrap()
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
        assert_eq!(receive(&send(&entries)).as_deref(), Some(&entries[..]));
        assert_eq!(receive(b""), Some(Vec::new()));
        assert_eq!(receive(b"x"), None);
    }
}
