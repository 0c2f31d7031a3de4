//! One record on disk.
//!
//! | bytes | field |
//! |---|---|
//! | 8 | checksum: the low half of XXH3-128 over everything after it |
//! | 4 | length of the data |
//! | 8 | offset: where in the stream this frame starts |
//! | 8 | run: random, drawn each time the spool is opened |
//! | 8 | arrival: milliseconds since the epoch |
//! | n | data |
//!
//! Numbers are little-endian. The frame names its own offset, so bytes left over from elsewhere are never taken for a
//! record, and the next good frame after a damaged one can be found.

use std::fmt;

use twox_hash::XxHash3_128;

/// Bytes before the data.
pub(crate) const HEADER: usize = 36;

/// No frame holds more: the API refuses records over 1,024,000 bytes.
pub(crate) const MAX_DATA: usize = 1_024_000;

/// What Firehose calls a record id: unique over restarts of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordId {
    /// Drawn when the spool was opened.
    pub(crate) run: u64,
    /// Where the record's frame starts.
    pub(crate) offset: u64,
}

impl RecordId {
    /// The form that error records use for `dataId`: a long decimal number with a part.
    pub(crate) fn data_id(self) -> String {
        let number = (u128::from(self.run) << 64) | u128::from(self.offset);
        format!("{number}.0")
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.run, self.offset)
    }
}

/// One record, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) id: RecordId,
    pub(crate) arrival_ms: i64,
    pub(crate) data: &'a [u8],
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// So far plausible, but at least this many bytes are needed in all.
    Short(usize),
    /// Not a frame of this offset, whatever follows.
    Invalid,
}

/// Appends the frame of `data` to `out`.
pub(crate) fn encode(out: &mut Vec<u8>, id: RecordId, arrival_ms: i64, data: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&id.offset.to_le_bytes());
    out.extend_from_slice(&id.run.to_le_bytes());
    out.extend_from_slice(&arrival_ms.to_le_bytes());
    out.extend_from_slice(data);
    let sum = checksum(&out[start + 8..]);
    out[start..start + 8].copy_from_slice(&sum.to_le_bytes());
}

/// Reads the frame that starts `bytes` and is at `offset` of the stream; also says how long it is.
pub(crate) fn decode(bytes: &[u8], offset: u64) -> Result<(Frame<'_>, usize), FrameError> {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return Err(FrameError::Short(HEADER));
    };
    let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
    if length > MAX_DATA || read_u64(header, 12) != offset {
        return Err(FrameError::Invalid);
    }
    let whole = HEADER + length;
    let Some(frame) = bytes.get(..whole) else {
        return Err(FrameError::Short(whole));
    };
    if checksum(&frame[8..]) != read_u64(header, 0) {
        return Err(FrameError::Invalid);
    }
    let id = RecordId {
        run: read_u64(header, 20),
        offset,
    };
    let arrival_ms = read_u64(header, 28).cast_signed();
    Ok((
        Frame {
            id,
            arrival_ms,
            data: &frame[HEADER..],
        },
        whole,
    ))
}

/// The place of the next good frame in `bytes`, which start at `offset` of the stream.
pub(crate) fn find_next(bytes: &[u8], offset: u64) -> Option<usize> {
    (0..bytes.len().saturating_sub(HEADER - 1)).find(|&at| decode(&bytes[at..], offset + at as u64).is_ok())
}

fn read_u64(header: &[u8; HEADER], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&header[at..at + 8]);
    u64::from_le_bytes(bytes)
}

fn checksum(bytes: &[u8]) -> u64 {
    // The low half alone is a good 64-bit hash.
    #[allow(clippy::cast_possible_truncation, reason = "the low half is what is stored")]
    let low = XxHash3_128::oneshot(bytes) as u64;
    low
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(data in prop::collection::vec(any::<u8>(), 0..2000), offset: u64, run: u64, arrival_ms: i64) {
            let id = RecordId { run, offset };
            let mut bytes = Vec::new();
            encode(&mut bytes, id, arrival_ms, &data);
            let whole = bytes.len();
            bytes.extend_from_slice(b"what follows");
            prop_assert_eq!(decode(&bytes, offset), Ok((Frame { id, arrival_ms, data: &data }, whole)));
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), offset: u64) {
            prop_assert!(decode(&bytes, offset).is_err());
        }

        #[test]
        fn one_changed_byte_is_noticed(data in prop::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index, flip in 1_u8..) {
            let mut bytes = Vec::new();
            encode(&mut bytes, RecordId { run: 1, offset: 77 }, 5, &data);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(decode(&bytes, 77).is_err());
        }
    }

    #[test]
    fn the_next_good_frame_is_found_after_damage() {
        let mut bytes = Vec::new();
        encode(&mut bytes, RecordId { run: 1, offset: 100 }, 5, b"first");
        let second = bytes.len();
        encode(
            &mut bytes,
            RecordId {
                run: 1,
                offset: 100 + second as u64,
            },
            6,
            b"second",
        );
        bytes[3] ^= 1;
        assert_eq!(find_next(&bytes, 100), Some(second));
        bytes[second + HEADER] ^= 1;
        assert_eq!(find_next(&bytes, 100), None);
    }
}
