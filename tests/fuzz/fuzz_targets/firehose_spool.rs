//! What `weir firehose` finds on its disk after a crash or a fault: each record that is whole, no other, and the cursor.

#![no_main]

#[path = "../../../infra/local/src/firehose/spool"]
#[allow(dead_code, reason = "the spool uses the rest")]
mod spool {
    pub(crate) mod cursor;
    pub(crate) mod frame;
    pub(crate) mod segment;
}

use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use spool::cursor::{Cursor, CursorError, CursorFile, OpenBatch, Position};
use spool::frame::{self, RecordId};
use spool::segment::{self, Item};
use tempfile::TempDir;

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Frames {
        bytes: &'a [u8],
        offset: u64,
    },
    Log {
        base: u32,
        records: Vec<Stored<'a>>,
        damage: Vec<(u16, u8)>,
        cut: u16,
    },
    Cursors {
        numbers: [u32; 6],
        damage: Vec<(u32, u8)>,
    },
}

#[derive(Debug, Arbitrary)]
struct Stored<'a> {
    data: &'a [u8],
    arrival_ms: i64,
    /// A new segment begins with it.
    opens: bool,
}

fuzz_target!(|input: Input<'_>| match input {
    Input::Frames { bytes, offset } => frames(bytes, offset >> 1),
    Input::Log {
        base,
        records,
        damage,
        cut,
    } => log(u64::from(base), &records, &damage, usize::from(cut)),
    Input::Cursors { numbers, damage } => cursors(numbers, &damage),
});

/// A folder in memory where there is one: what is tried is the code, not the disk.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let memory = Path::new("/dev/shm");
    let make = || {
        if memory.is_dir() {
            TempDir::new_in(memory)
        } else {
            TempDir::new()
        }
    };
    FOLDER.get_or_init(|| make().expect("a folder for the spool")).path()
}

fn frames(bytes: &[u8], offset: u64) {
    assert!(frame::decode(bytes, offset).is_err(), "no checksum is right by chance");
    assert_eq!(frame::find_next(bytes, offset), None);
}

/// Writes records over segments, damages bytes, cuts the end, and reads.
fn log(base: u64, records: &[Stored<'_>], damage: &[(u16, u8)], cut: usize) {
    let _ = fs::remove_dir_all(folder());
    fs::create_dir(folder()).expect("an empty folder");
    let mut bytes = Vec::new();
    let mut places: Vec<Range<usize>> = Vec::new();
    let mut segments = vec![0];
    for record in records {
        let start = bytes.len();
        if record.opens && start > 0 {
            segments.push(start);
        }
        let id = RecordId {
            run: 7,
            offset: base + start as u64,
        };
        frame::encode(&mut bytes, id, record.arrival_ms, record.data);
        places.push(start..bytes.len());
    }
    let mut touched: Vec<usize> = Vec::new();
    for (at, flip) in damage {
        let at = usize::from(*at);
        if let Some(byte) = bytes.get_mut(at)
            && *flip != 0
        {
            *byte ^= flip;
            touched.push(at);
        }
    }
    // Two flips of one byte may undo each other: then nothing is asked of that record.
    let whole = bytes.len() - cut.min(bytes.len());
    segments.dedup();
    for (number, start) in segments.iter().enumerate() {
        let end = segments.get(number + 1).copied().unwrap_or(bytes.len());
        let stored = &bytes[*start..end.min(whole.max(*start))];
        fs::write(segment::path(folder(), base + *start as u64), stored).expect("a segment");
    }

    let listed = segment::list(folder()).expect("the segments");
    assert_eq!(listed.len(), segments.len());
    let end = base + bytes.len() as u64;
    let mut at = base;
    let mut found = Vec::new();
    let mut visit = |item: Item<'_>| {
        match item {
            Item::Record(frame, next) => {
                assert_eq!(frame.id.offset, at);
                let place = places
                    .iter()
                    .position(|place| base + place.start as u64 == at)
                    .expect("a record's place");
                assert_eq!(
                    (frame.data, frame.arrival_ms),
                    (records[place].data, records[place].arrival_ms)
                );
                assert_eq!(next, base + places[place].end as u64);
                found.push(place);
                at = next;
            }
            Item::Damaged { from, to } => {
                assert!(from == at && to > from && to <= end, "{from} to {to} at {at}");
                at = to;
            }
        }
        ControlFlow::Continue(())
    };
    segment::scan(folder(), &listed, base, end, &mut visit).expect("files that are there");
    assert_eq!(at, end, "everything is visited");
    for (number, place) in places.iter().enumerate() {
        if place.end <= whole && !touched.iter().any(|at| place.contains(at)) {
            assert!(found.contains(&number), "record {number} is whole and not found");
        }
    }
    let raw = segment::raw(folder(), &listed, base, end).expect("files that are there");
    assert_eq!(raw, bytes[..whole], "everything that is there is copied");
}

/// Writes two cursors, damages the file, and opens it: one of the two comes back, or an error.
fn cursors(numbers: [u32; 6], damage: &[(u32, u8)]) {
    let path = folder().join("cursor");
    let _ = fs::remove_file(&path);
    let cursor = |numbers: &[u32]| {
        let [offset, records, attempts] = [0, 1, 2].map(|at| numbers[at]);
        let open = OpenBatch {
            request_id: uuid::Uuid::from_u128(u128::from(offset) << 64),
            first: u64::from(offset),
            end: u64::from(offset) + 1,
            records: u64::from(records),
            formed_ms: -i64::from(attempts),
            attempts,
        };
        Cursor {
            assigned: Position {
                offset: u64::from(offset),
                records: u64::from(records),
            },
            batches: vec![open; (attempts % 5) as usize],
            ..Cursor::default()
        }
    };
    let (older, newer) = (cursor(&numbers[..3]), cursor(&numbers[3..]));
    let (mut file, found) = CursorFile::open(&path).expect("a new file");
    assert_eq!(found, None);
    file.write(&older).expect("the first");
    file.write(&newer).expect("the second");
    drop(file);
    let mut bytes = fs::read(&path).expect("the file");
    for (at, flip) in damage {
        let length = bytes.len();
        bytes[*at as usize % length] ^= flip;
    }
    fs::write(&path, bytes).expect("the file");
    match CursorFile::open(&path) {
        Ok((_, Some(cursor))) => assert!(cursor == newer || cursor == older && !damage.is_empty(), "{cursor:?}"),
        Ok((_, None)) => panic!("a damaged cursor is not a new one"),
        Err(error) => assert!(
            matches!(error, CursorError::Damaged(_)) && !damage.is_empty(),
            "{error}"
        ),
    }
}
