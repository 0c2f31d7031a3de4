//! Packing lines into Firehose records, and records into calls.
//!
//! Firehose bills each record rounded up to 5 KB, so a record holds as many lines as fit.

use std::ops::Range;

use event_model::limits::MAX_LINE_BYTES;

/// Largest record, before base64
/// (<https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>: 1,000 KiB).
pub const MAX_RECORD_BYTES: usize = MAX_LINE_BYTES;

/// Most records in a call.
pub const MAX_CALL_RECORDS: usize = 500;

/// Largest call. The API says 4 MB «for the entire request»; counted here in base64, as it travels, which holds whichever
/// way it is meant.
pub const MAX_CALL_BYTES: usize = 4 * 1024 * 1024;

/// What the JSON around a record takes in a call: `{"Data":"…"},`.
const RECORD_OVERHEAD_BYTES: usize = 12;

/// What is set aside beyond what a body asks for: what the line of one event has more than the event.
const FIRST_LINE_BYTES: usize = 512;

/// One Firehose record: whole lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The lines, each with its line feed.
    pub data: Vec<u8>,
    /// Which of the lines given to the [`Packer`] it holds.
    pub lines: Range<usize>,
}

/// A line that no record can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the line has {bytes} bytes, a record holds {MAX_RECORD_BYTES}")]
pub struct TooLong {
    /// Its length.
    pub bytes: usize,
}

/// Packs lines, in order, into as few records as that allows.
#[derive(Debug)]
pub struct Packer {
    /// Those that are full.
    full: Vec<Packed>,
    /// The one that is filled; without lines when there are none yet.
    last: Packed,
    /// What is set aside for each record.
    room: usize,
}

impl Packer {
    /// For the events of a body of so many bytes.
    pub fn for_body(bytes: usize) -> Packer {
        // A line is longer than its event: it has an id, a time, and all of the fields.
        let room = bytes.saturating_mul(2).min(MAX_RECORD_BYTES) + FIRST_LINE_BYTES;
        Packer {
            full: Vec::new(),
            last: Packed {
                data: Vec::with_capacity(room),
                lines: 0..0,
            },
            room,
        }
    }

    /// Appends the line that `write` appends. A line that is too long leaves no trace.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), TooLong> {
        let Packed { data, lines } = &mut self.last;
        let start = data.len();
        write(data);
        if data.len() > MAX_RECORD_BYTES {
            return self.begin(start);
        }
        lines.end += 1;
        Ok(())
    }

    /// The last record is full: what stands in it from `start` on is a line that begins the next one.
    #[cold]
    fn begin(&mut self, start: usize) -> Result<(), TooLong> {
        let bytes = self.last.data.len() - start;
        if bytes > MAX_RECORD_BYTES {
            self.last.data.truncate(start);
            return Err(TooLong { bytes });
        }
        let mut data = Vec::with_capacity(self.room.max(bytes));
        data.extend_from_slice(self.last.data.get(start..).unwrap_or_default());
        self.last.data.truncate(start);
        let lines = self.lines()..self.lines() + 1;
        self.full
            .push(std::mem::replace(&mut self.last, Packed { data, lines }));
        Ok(())
    }

    /// How many lines there are.
    pub fn lines(&self) -> usize {
        self.last.lines.end
    }

    /// The records.
    pub fn finish(self) -> Vec<Packed> {
        let Packer { mut full, last, .. } = self;
        if !last.lines.is_empty() {
            full.reserve_exact(1);
            full.push(last);
        }
        full
    }
}

/// How much is in a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CallSize {
    records: usize,
    bytes: usize,
}

impl CallSize {
    /// With a record of that length more.
    pub(crate) fn and(self, length: usize) -> Self {
        CallSize {
            records: self.records + 1,
            bytes: self.bytes + length.div_ceil(3) * 4 + RECORD_OVERHEAD_BYTES,
        }
    }

    /// Whether it keeps both limits.
    pub(crate) fn fits(self) -> bool {
        self.records <= MAX_CALL_RECORDS && self.bytes <= MAX_CALL_BYTES
    }
}

/// Splits records of these lengths, in order, into calls that keep both limits.
pub fn calls(lengths: impl IntoIterator<Item = usize>) -> Vec<Range<usize>> {
    let mut calls: Vec<Range<usize>> = Vec::new();
    let mut size = CallSize::default();
    for (index, length) in lengths.into_iter().enumerate() {
        size = size.and(length);
        match calls.last_mut() {
            Some(call) if size.fits() => call.end = index + 1,
            _ => {
                calls.push(index..index + 1);
                size = CallSize::default().and(length);
            }
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pack<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Packed>, TooLong> {
        let mut packer = Packer::for_body(0);
        for line in lines {
            packer.push(|data| data.extend_from_slice(line))?;
        }
        Ok(packer.finish())
    }

    #[test]
    fn limits_are_kept_exactly() {
        let full = vec![b'x'; MAX_RECORD_BYTES];
        assert_eq!(pack([&full[..]]).unwrap().len(), 1);
        assert_eq!(pack([&full[1..], b"x"]).unwrap().len(), 1);
        assert_eq!(pack([&full[1..], b"xx"]).unwrap().len(), 2);
        let too_long = [&full[..], b"x"].concat();
        let bytes = MAX_RECORD_BYTES + 1;
        assert_eq!(pack([&too_long[..]]), Err(TooLong { bytes }));
        let mut packer = Packer::for_body(0);
        packer.push(|data| data.push(b'x')).unwrap();
        assert_eq!(
            packer.push(|data| data.extend_from_slice(&too_long)),
            Err(TooLong { bytes })
        );
        packer.push(|data| data.push(b'y')).unwrap();
        let only = Packed {
            data: b"xy".to_vec(),
            lines: 0..2,
        };
        assert_eq!((packer.lines(), packer.finish()), (2, vec![only]));
        assert_eq!(pack([]), Ok(vec![]));

        assert_eq!(calls([1; 1001]), [0..500, 500..1000, 1000..1001]);
        assert_eq!(calls([MAX_RECORD_BYTES; 7]), [0..3, 3..6, 6..7]);
        assert!(calls([]).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn nothing_is_lost_or_reordered(lengths in prop::collection::vec(1_usize..600_000, 0..20)) {
            let lines: Vec<Vec<u8>> =
                lengths.iter().enumerate().map(|(at, length)| vec![at as u8; *length]).collect();
            let records = pack(lines.iter().map(Vec::as_slice)).unwrap();
            let joined: Vec<u8> = records.iter().flat_map(|record| record.data.clone()).collect();
            prop_assert!(joined == lines.concat());
            let mut next = 0;
            for record in &records {
                prop_assert!(record.data.len() <= MAX_RECORD_BYTES);
                prop_assert_eq!(record.lines.start, next);
                prop_assert!(record.data == lines[record.lines.clone()].concat());
                next = record.lines.end;
            }
            prop_assert_eq!(next, lines.len());
            let mut next = 0;
            for call in calls(records.iter().map(|record| record.data.len())) {
                prop_assert_eq!(call.start, next);
                let base64: usize = records[call.clone()].iter().map(|record| record.data.len().div_ceil(3) * 4).sum();
                prop_assert!(base64 <= MAX_CALL_BYTES && call.len() <= MAX_CALL_RECORDS);
                next = call.end;
            }
            prop_assert_eq!(next, records.len());
        }
    }
}
