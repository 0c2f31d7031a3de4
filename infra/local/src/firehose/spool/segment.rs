//! Segment files: named by the offset of their first byte, read in order, deleted whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::frame::{self, Frame, FrameError};

/// How much is read at a time.
const CHUNK: u64 = 1024 * 1024;

/// First offset of each segment, and the offset after its last byte.
pub(crate) type Segments = BTreeMap<u64, u64>;

/// What a scan meets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// A record, and the offset after it.
    Record(Frame<'a>, u64),
    /// Bytes that are no record: from this offset to the next good one.
    Damaged { from: u64, to: u64 },
}

/// The file of the segment that starts at `base`.
pub(crate) fn path(folder: &Path, base: u64) -> PathBuf {
    folder.join(format!("{base:020}.log"))
}

/// The segments in `folder`, by what the file system says.
pub(crate) fn list(folder: &Path) -> io::Result<Segments> {
    let mut segments = Segments::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let base = name
            .to_str()
            .and_then(|name| name.strip_suffix(".log"))
            .and_then(|digits| digits.parse::<u64>().ok());
        if let Some(base) = base {
            segments.insert(base, base + entry.metadata()?.len());
        }
    }
    // A write that failed may have left bytes beyond the place where the next segment then began: they do not count.
    let bases = segments.keys().copied().collect::<Vec<_>>();
    for pair in bases.windows(2) {
        if let Some(end) = segments.get_mut(&pair[0]) {
            *end = (*end).min(pair[1]);
        }
    }
    Ok(segments)
}

/// Visits what is between two offsets, in order, until `visit` breaks. `from` must be the start of a frame.
pub(crate) fn scan(
    folder: &Path,
    segments: &Segments,
    from: u64,
    to: u64,
    visit: &mut dyn FnMut(Item<'_>) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let holder = segments.range(..=at).next_back().filter(|(_, end)| **end > at);
        let step = if let Some((&base, &end)) = holder {
            scan_segment(&path(folder, base), base, at, end.min(to), visit)?
        } else {
            // An empty segment holds nothing to go on with: its own start would be found again and again.
            let next = segments.range(at..).find(|(base, end)| end > base);
            let next = next.map_or(to, |(&base, _)| base.min(to));
            visit(Item::Damaged { from: at, to: next }).map_continue(|()| next)
        };
        match step {
            ControlFlow::Continue(next) => at = next,
            ControlFlow::Break(()) => return Ok(()),
        }
    }
    Ok(())
}

/// What is stored between two offsets, whatever it is.
pub(crate) fn raw(folder: &Path, segments: &Segments, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for (&base, &end) in segments.range(..to) {
        let (start, stop) = (from.max(base), to.min(end));
        if start < stop {
            let mut part = vec![0; usize::try_from(stop - start).map_err(io::Error::other)?];
            let read = read_up_to(&File::open(path(folder, base))?, &mut part, start - base)?;
            part.truncate(read);
            bytes.append(&mut part);
        }
    }
    Ok(bytes)
}

fn scan_segment(
    path: &Path,
    base: u64,
    from: u64,
    to: u64,
    visit: &mut dyn FnMut(Item<'_>) -> ControlFlow<()>,
) -> io::Result<ControlFlow<(), u64>> {
    let mut window = Window {
        file: File::open(path)?,
        base,
        start: from,
        bytes: Vec::new(),
        end: to,
    };
    let mut at = from;
    while at < to {
        let mut need = frame::HEADER;
        let step = loop {
            window.fill(at, need)?;
            match frame::decode(window.bytes_from(at), at) {
                Err(FrameError::Short(more)) if more > need => need = more,
                Ok((frame, length)) => {
                    let end = at + length as u64;
                    break visit(Item::Record(frame, end)).map_continue(|()| end);
                }
                Err(FrameError::Short(_) | FrameError::Invalid) => {
                    let mut rest = vec![0; usize::try_from(to - at - 1).map_err(io::Error::other)?];
                    let read = read_up_to(&window.file, &mut rest, at + 1 - base)?;
                    rest.truncate(read);
                    let next = frame::find_next(&rest, at + 1).map_or(to, |found| at + 1 + found as u64);
                    break visit(Item::Damaged { from: at, to: next }).map_continue(|()| next);
                }
            }
        };
        match step {
            ControlFlow::Continue(next) => at = next,
            ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
        }
    }
    Ok(ControlFlow::Continue(at))
}

/// The part of a segment that is in memory.
struct Window {
    file: File,
    base: u64,
    start: u64,
    bytes: Vec<u8>,
    end: u64,
}

impl Window {
    /// Reads until `need` bytes from `at` are here, or the segment is over.
    fn fill(&mut self, at: u64, need: usize) -> io::Result<()> {
        let have = self.start + self.bytes.len() as u64;
        if at + need as u64 <= have || have >= self.end {
            return Ok(());
        }
        let kept = usize::try_from(at.saturating_sub(self.start))
            .map_err(io::Error::other)?
            .min(self.bytes.len());
        self.bytes.drain(..kept);
        self.start = at;
        let more = (at + need as u64 - have).max(CHUNK).min(self.end - have);
        let old = self.bytes.len();
        self.bytes
            .resize(old + usize::try_from(more).map_err(io::Error::other)?, 0);
        let read = read_up_to(&self.file, &mut self.bytes[old..], have - self.base)?;
        self.bytes.truncate(old + read);
        Ok(())
    }

    fn bytes_from(&self, at: u64) -> &[u8] {
        usize::try_from(at - self.start)
            .ok()
            .and_then(|skip| self.bytes.get(skip..))
            .unwrap_or_default()
    }
}

fn read_up_to(file: &File, mut into: &mut [u8], mut position: u64) -> io::Result<usize> {
    let mut total = 0;
    while !into.is_empty() {
        match file.read_at(into, position) {
            Ok(0) => break,
            Ok(read) => {
                total += read;
                position += read as u64;
                into = &mut into[read..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}
