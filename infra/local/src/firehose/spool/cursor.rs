//! The delivery cursor: what of a spool is done, and which batches are open.
//!
//! One preallocated file of two slots, written in turn, each with a sequence number and a checksum. A torn write spoils
//! at most the older state's slot, and no write needs new space: delivery, which frees space, goes on when the disk is full.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;
use uuid::Uuid;

/// Open batches at most; with this bound a slot always holds the cursor.
pub(crate) const MAX_OPEN: usize = 256;

const SLOT: usize = 64 * 1024;
const MAGIC: &[u8; 8] = b"weircur1";
const HEADER: usize = 28;

/// A place in the stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Bytes of frames before it.
    pub(crate) offset: u64,
    /// Records before it.
    pub(crate) records: u64,
}

/// A batch that has its request id and its records for good, and is not delivered yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenBatch {
    /// The same on every attempt, over restarts too.
    pub(crate) request_id: Uuid,
    /// Where its first record starts.
    pub(crate) first: u64,
    /// Where its last record ends.
    pub(crate) end: u64,
    /// How many records it holds.
    pub(crate) records: u64,
    /// When it was formed, in milliseconds since the epoch: names its backup object.
    pub(crate) formed_ms: i64,
    /// Attempts that failed so far, as of the last write.
    pub(crate) attempts: u32,
}

/// What survives a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// Everything before it is in a batch, open or done.
    pub(crate) assigned: Position,
    /// How far the log was synced when this was written: shorter means that the disk lost something.
    pub(crate) synced: u64,
    /// Formed, and not done.
    pub(crate) batches: Vec<OpenBatch>,
    /// Records that the endpoint took.
    pub(crate) delivered: u64,
    /// Records that were given up and are in the backup folder.
    pub(crate) given_up: u64,
    /// Bytes of the log that could not be read back.
    pub(crate) damaged_bytes: u64,
}

impl Cursor {
    /// The log before this offset is not needed any more.
    pub(crate) fn low(&self) -> u64 {
        self.batches
            .iter()
            .map(|batch| batch.first)
            .min()
            .unwrap_or(self.assigned.offset)
    }
}

/// Why the cursor cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CursorError {
    /// Both slots are damaged: starting from nothing would deliver everything twice or skip, so a person must look.
    #[error("the delivery cursor {0} is damaged: move it away to deliver everything in the spool again")]
    Damaged(PathBuf),
    /// More open batches than a slot holds.
    #[error("the delivery cursor does not fit its slot")]
    TooLarge,
    /// The file could not be read or written.
    #[error("the delivery cursor {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The cursor's file, open.
#[derive(Debug)]
pub(crate) struct CursorFile {
    file: File,
    path: PathBuf,
    sequence: u64,
}

impl CursorFile {
    /// Opens or creates the file; `None` when there was no cursor yet.
    pub(crate) fn open(path: &Path) -> Result<(Self, Option<Cursor>), CursorError> {
        let io = |source| CursorError::Io {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut bytes = vec![0; 2 * SLOT];
        if length < bytes.len() as u64 {
            // New, or its creation was cut short before the first cursor was written.
            file.write_all_at(&bytes, 0)
                .and_then(|()| file.sync_all())
                .map_err(io)?;
        }
        file.read_exact_at(&mut bytes, 0).map_err(io)?;
        let newest = bytes
            .chunks(SLOT)
            .filter_map(read_slot)
            .max_by_key(|(sequence, _)| *sequence);
        let untouched = bytes.iter().all(|byte| *byte == 0);
        let (sequence, cursor) = match newest {
            Some((sequence, cursor)) => (sequence, Some(cursor)),
            None if untouched => (0, None),
            None => return Err(CursorError::Damaged(path.to_owned())),
        };
        Ok((
            Self {
                file,
                path: path.to_owned(),
                sequence,
            },
            cursor,
        ))
    }

    /// Makes `cursor` the one that the next start finds; returns when it is on disk.
    pub(crate) fn write(&mut self, cursor: &Cursor) -> Result<(), CursorError> {
        let io = |source| CursorError::Io {
            path: self.path.clone(),
            source,
        };
        let json = serde_json::to_vec(cursor).map_err(|error| io(error.into()))?;
        if json.len() > SLOT - HEADER {
            return Err(CursorError::TooLarge);
        }
        let sequence = self.sequence + 1;
        let mut slot = Vec::with_capacity(HEADER + json.len());
        slot.extend_from_slice(MAGIC);
        slot.extend_from_slice(&sequence.to_le_bytes());
        slot.extend_from_slice(
            &u32::try_from(json.len())
                .map_err(|_| CursorError::TooLarge)?
                .to_le_bytes(),
        );
        slot.extend_from_slice(&checksum(sequence, &json).to_le_bytes());
        slot.extend_from_slice(&json);
        let place = (sequence % 2) * SLOT as u64;
        self.file
            .write_all_at(&slot, place)
            .and_then(|()| self.file.sync_data())
            .map_err(io)?;
        self.sequence = sequence;
        Ok(())
    }
}

fn read_slot(slot: &[u8]) -> Option<(u64, Cursor)> {
    let header = slot.first_chunk::<HEADER>()?;
    if header[..8] != MAGIC[..] {
        return None;
    }
    let sequence = u64::from_le_bytes(header[8..16].try_into().ok()?);
    let length = u32::from_le_bytes(header[16..20].try_into().ok()?) as usize;
    let sum = u64::from_le_bytes(header[20..28].try_into().ok()?);
    let json = slot.get(HEADER..HEADER + length)?;
    if checksum(sequence, json) != sum {
        return None;
    }
    Some((sequence, serde_json::from_slice(json).ok()?))
}

fn checksum(sequence: u64, json: &[u8]) -> u64 {
    #[allow(clippy::cast_possible_truncation, reason = "the low half is what is stored")]
    let low = XxHash3_128::oneshot(json) as u64;
    low ^ sequence
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(records: u64) -> Cursor {
        Cursor {
            assigned: Position {
                offset: records * 50,
                records,
            },
            ..Cursor::default()
        }
    }

    #[test]
    fn the_last_written_cursor_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor");
        let (mut file, none) = CursorFile::open(&path).unwrap();
        assert_eq!(none, None);
        for records in 1..=5 {
            file.write(&cursor(records)).unwrap();
            assert_eq!(CursorFile::open(&path).unwrap().1, Some(cursor(records)));
        }
    }

    #[test]
    fn a_write_torn_at_any_byte_leaves_the_cursor_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor");
        let (mut file, _) = CursorFile::open(&path).unwrap();
        file.write(&cursor(1)).unwrap();
        file.write(&cursor(2)).unwrap();
        let before = std::fs::read(&path).unwrap();
        file.write(&cursor(3)).unwrap();
        let after = std::fs::read(&path).unwrap();
        let changed = (0..before.len())
            .filter(|&at| before[at] != after[at])
            .collect::<Vec<_>>();
        for torn in &changed {
            let mut bytes = before.clone();
            bytes[..*torn].copy_from_slice(&after[..*torn]);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(CursorFile::open(&path).unwrap().1, Some(cursor(2)));
        }
    }

    #[test]
    fn two_damaged_slots_are_an_error_and_not_a_fresh_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor");
        let (mut file, _) = CursorFile::open(&path).unwrap();
        file.write(&cursor(1)).unwrap();
        std::fs::write(&path, vec![7; 2 * SLOT]).unwrap();
        assert!(matches!(CursorFile::open(&path), Err(CursorError::Damaged(_))));
    }

    #[test]
    fn the_largest_cursor_fits_its_slot() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, _) = CursorFile::open(&folder.path().join("cursor")).unwrap();
        let batch = OpenBatch {
            request_id: Uuid::max(),
            first: u64::MAX,
            end: u64::MAX,
            records: u64::MAX,
            formed_ms: i64::MIN,
            attempts: u32::MAX,
        };
        let full = Cursor {
            batches: vec![batch; MAX_OPEN],
            ..cursor(u64::MAX / 50)
        };
        file.write(&full).unwrap();
    }
}
