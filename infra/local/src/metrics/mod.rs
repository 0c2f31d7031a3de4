//! Prometheus metrics, of the records that functions write.
//!
//! - `lines`, `record`, `families`: bytes → lines → records → counters and histograms. Pure.
//! - `exposition`: the text that Prometheus reads.
//! - `run`: `weir metrics`, which runs one function and serves its metrics, for containers.

pub(crate) mod exposition;
pub(crate) mod families;
pub(crate) mod lines;
pub(crate) mod record;
mod run;

use self::families::Families;
use self::lines::{Lines, Piece};
use self::record::Record;

pub(crate) use self::run::{Args, run};

/// Where metrics are served when nobody says otherwise.
pub(crate) const DEFAULT_PORT: u16 = 9464;

/// What the commands set as `WEIR_METRICS` for a plain server: records for the metrics, and the lines that people read.
pub(crate) const BOTH: &str = "emf,log";

/// The records in one stream of bytes.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    lines: Lines,
}

impl Reader {
    /// Counts the records in the next bytes, and hands out all that is none, unchanged.
    pub(crate) fn read(&mut self, bytes: &[u8], families: &Families, mut others: impl FnMut(&[u8])) {
        self.lines.push(bytes, |piece| match piece {
            Piece::Line(line) => match Record::in_line(line) {
                Some((before, record)) => {
                    families.count(&record);
                    if let Some(before) = line.get(..before).filter(|before| !before.is_empty()) {
                        others(before);
                    }
                }
                None => others(line),
            },
            Piece::Part(part) => others(part),
        });
    }

    /// The beginning of a line whose end never came.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.lines.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(accepted: u32) -> String {
        format!(
            r#"{{"_aws":{{"CloudWatchMetrics":[{{"Namespace":"Weir"}}]}},"function":"events","Accepted":{accepted},"DurationMilliseconds":1}}"#
        ) + "\n"
    }

    /// Counted once, whichever way the bytes are cut; what is no record comes out as it was.
    #[test]
    fn records_are_counted_and_the_rest_is_handed_on() {
        let half = record(100).split_at(60).0.to_owned();
        let all = format!(
            "a line\n{}{}\n\n{half}{}{half}\nlast",
            record(2),
            "x".repeat(300_000),
            record(3)
        );
        let expected = format!("a line\n{}\n\n{half}{half}\n", "x".repeat(300_000));
        for size in [1, 7, 64, 4096, all.len()] {
            let families = Families::new(&["events"]).unwrap();
            let (mut reader, mut others) = (Reader::default(), Vec::new());
            for bytes in all.as_bytes().chunks(size) {
                reader.read(bytes, &families, |other| others.extend_from_slice(other));
            }
            assert_eq!(String::from_utf8(others).unwrap(), expected, "{size}");
            assert_eq!(reader.finish(), b"last", "{size}");
            let text = exposition::text(&families.gather()).unwrap();
            assert!(
                text.contains("weir_events_accepted_total{function=\"events\"} 5\n"),
                "{text}"
            );
            assert!(
                text.contains("weir_request_duration_seconds_count{function=\"events\"} 2\n"),
                "{text}"
            );
        }
    }
}
