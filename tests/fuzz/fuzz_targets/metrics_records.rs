//! What a function writes to its output: nothing of it is lost however it is cut, and a record says what a request can count.

#![no_main]

#[path = "../../../infra/local/src/metrics"]
mod metrics {
    pub(crate) mod lines;
    pub(crate) mod record;
}

use libfuzzer_sys::fuzz_target;
use metrics::lines::{Lines, Piece};
use metrics::record::Record;

fuzz_target!(|data: &[u8]| {
    let Some((size, data)) = data.split_first() else {
        return;
    };
    let (mut lines, mut seen, mut records) = (Lines::default(), Vec::new(), Vec::new());
    for bytes in data.chunks(usize::from(*size) + 1) {
        lines.push(bytes, |piece| {
            let (Piece::Line(bytes) | Piece::Part(bytes)) = piece;
            seen.extend_from_slice(bytes);
            if let Piece::Line(line) = piece {
                records.extend(read(line));
            }
        });
    }
    seen.extend_from_slice(&lines.finish());
    assert_eq!(seen, data, "what comes out is what was put in");

    // Cut in one piece or in many, the records are the same.
    let whole: Vec<_> = data.split_inclusive(|byte| *byte == b'\n').collect();
    let whole = whole
        .iter()
        .filter(|line| line.ends_with(b"\n"))
        .filter_map(|line| read(line));
    assert!(whole.eq(records.iter().cloned()), "{records:?}");
});

/// The record as it is printed: it borrows from a line that is gone.
fn read(line: &[u8]) -> Option<String> {
    let (before, record) = Record::in_line(line)?;
    assert!(before < line.len() && !record.function.is_empty());
    for seconds in [Some(record.duration), record.insert, record.data_age]
        .into_iter()
        .flatten()
    {
        assert!(seconds.is_finite() && seconds >= 0.0, "{record:?}");
    }
    Some(format!("{record:?}"))
}
