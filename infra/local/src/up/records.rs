//! The records that the functions write, read as they come.
//!
//! No pipe leads from a child to the supervisor: it would break with the supervisor. The children write to files, and these are
//! read. Under cargo-lambda that is the log, which holds the records among everything else. A plain function has a file of its own
//! for them. It has no name, so it goes with the last process that holds it open; what was read of it is given back to the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use prometheus::proto::MetricFamily;

use super::settings::FUNCTIONS;
use crate::metrics::{Reader, families::Families};
use crate::report;

/// Bytes that are read at a time.
const PIECE: usize = 256 * 1024;

/// A block of any file system that is in use.
const BLOCK: u64 = 64 * 1024;

/// Bytes that are read before they are given back to the disk: more than a block, and little to keep.
const FREED_AT_ONCE: u64 = 1024 * 1024;

/// The records of a stack, and what was counted of them.
#[derive(Debug)]
pub(super) struct Records {
    families: Families,
    tails: Mutex<Vec<Tail>>,
}

impl Records {
    /// Without any to read yet.
    pub(super) fn new() -> anyhow::Result<Self> {
        let families = Families::new(&FUNCTIONS)?;
        for function in FUNCTIONS {
            families.begin(function);
        }
        Ok(Self {
            families,
            tails: Mutex::default(),
        })
    }

    /// A file for what a plain function writes to standard output, in the folder of the logs; what is no record goes on to `log`.
    pub(super) fn of_function(&self, folder: &Path, log: &Path) -> anyhow::Result<Arc<File>> {
        let file = tempfile::tempfile_in(folder)
            .with_context(|| format!("no file for records can be made in {}", folder.display()))?;
        Ok(self.read(file, Some(log.to_owned())))
    }

    /// The log of a process that writes records among other lines.
    pub(super) fn of_log(&self, log: &Path) -> anyhow::Result<Arc<File>> {
        let opened = OpenOptions::new().create(true).read(true).append(true).open(log);
        let file = opened.with_context(|| format!("{} cannot be written", log.display()))?;
        Ok(self.read(file, None))
    }

    fn read(&self, file: File, log: Option<PathBuf>) -> Arc<File> {
        let file = Arc::new(file);
        let tail = Tail::new(Arc::clone(&file), log);
        self.tails.lock().unwrap_or_else(PoisonError::into_inner).push(tail);
        file
    }

    /// Counts what was added since the last time. Blocks.
    pub(super) fn read_on(&self) {
        let mut tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        for tail in tails.iter_mut() {
            let problem = tail.read_on(&self.families).err().map(|error| error.to_string());
            // Once, and again when it is another one; what can be read later is.
            if let Some(why) = problem.as_ref().filter(|why| tail.problem.as_ref() != Some(why)) {
                report::say(format!("what a function writes cannot be read or passed on: {why}"));
            }
            tail.problem = problem;
        }
    }

    /// What was counted.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.families.gather()
    }
}

/// A file, as far as it was read.
#[derive(Debug)]
struct Tail {
    file: Arc<File>,
    reader: Reader,
    offset: u64,
    /// Up to where it was given back to the disk.
    freed: u64,
    /// Where other lines go. `None`: the file is the log itself, and stays as it is.
    log: Option<PathBuf>,
    /// What went wrong the last time.
    problem: Option<String>,
}

impl Tail {
    fn new(file: Arc<File>, log: Option<PathBuf>) -> Self {
        Self {
            file,
            reader: Reader::default(),
            offset: 0,
            freed: 0,
            log,
            problem: None,
        }
    }

    fn read_on(&mut self, families: &Families) -> io::Result<()> {
        // Up to where it reaches now: a function that writes on and on does not keep the others waiting.
        let end = self.file.metadata()?.len();
        let mut bytes = vec![0; PIECE];
        let mut handed_on = Ok(());
        while self.offset < end {
            // Not by the file's own position, which is where the children write.
            let read = self.file.read_at(&mut bytes, self.offset)?;
            if read == 0 {
                break;
            }
            self.offset += read as u64;
            let mut others = Vec::new();
            let keep = self.log.is_some();
            self.reader
                .read(bytes.get(..read).unwrap_or_default(), families, |other| {
                    if keep {
                        others.extend_from_slice(other);
                    }
                });
            // A log that cannot be written, such as on a full disk, is no reason to count less and to keep more.
            handed_on = handed_on.and(self.hand_on(&others));
            self.free();
        }
        handed_on
    }

    fn hand_on(&self, others: &[u8]) -> io::Result<()> {
        match &self.log {
            Some(log) if !others.is_empty() => {
                let mut log = OpenOptions::new().create(true).append(true).open(log)?;
                log.write_all(others)
            }
            _ => Ok(()),
        }
    }

    /// Gives back to the disk what was read. A file system that cannot do it keeps it until the stack stops.
    fn free(&mut self) {
        // Whole blocks only: of another one the rest would stay for ever.
        let whole = self.offset & !(BLOCK - 1);
        if self.log.is_some()
            && whole.saturating_sub(self.freed) >= FREED_AT_ONCE
            && free(&self.file, self.freed, whole).is_ok()
        {
            self.freed = whole;
        }
    }
}

/// Makes a hole of that part of a file (fallocate(2)). Its length and what is behind it stay.
#[cfg(target_os = "linux")]
fn free(file: &File, from: u64, to: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, hole, from, to - from)?)
}

/// Only Linux is asked to.
#[cfg(not(target_os = "linux"))]
fn free(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::metrics::exposition;

    fn record(accepted: u32) -> String {
        format!(
            r#"{{"_aws":{{"CloudWatchMetrics":[{{"Namespace":"Weir"}}]}},"function":"events","Accepted":{accepted},"DurationMilliseconds":1}}"#
        ) + "\n"
    }

    fn accepted(records: &Records) -> String {
        records.read_on();
        let text = exposition::text(&records.gather()).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("weir_events_accepted_total{"));
        line.and_then(|line| line.split(' ').nth(1)).unwrap().to_owned()
    }

    #[test]
    fn each_record_is_counted_once_over_every_death() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("events.log");
        let records = Records::new().unwrap();
        let file = records.of_function(folder.path(), &log).unwrap();
        let write = |text: &str| (&*file).write_all(text.as_bytes()).unwrap();
        assert_eq!(accepted(&records), "0");
        write(&record(2));
        assert_eq!(accepted(&records), "2");
        assert_eq!(accepted(&records), "2");
        let half = record(3).split_at(70).0.to_owned();
        write("a line\n");
        write(&half);
        assert_eq!(accepted(&records), "2");
        write(&record(4));
        assert_eq!(accepted(&records), "6");
        write(record(5).split_at(70).0);
        write(record(5).split_at(70).1);
        assert_eq!(accepted(&records), "11");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), format!("a line\n{half}"));
        // The log is the one file that has a name.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_log_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("functions.log");
        let records = Records::new().unwrap();
        let file = records.of_log(&log).unwrap();
        let text = format!("INFO starting\n{}{}", record(1), record(1));
        (&*file).write_all(text.as_bytes()).unwrap();
        assert_eq!(accepted(&records), "2");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), text);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_read_takes_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new().unwrap();
        let file = records
            .of_function(folder.path(), &folder.path().join("x.log"))
            .unwrap();
        let many = record(1).repeat(30_000);
        for round in 1..=4 {
            (&*file).write_all(many.as_bytes()).unwrap();
            assert_eq!(accepted(&records), (round * 30_000).to_string());
        }
        let metadata = file.metadata().unwrap();
        assert!(
            metadata.len() > 10 * FREED_AT_ONCE && metadata.blocks() * 512 < 2 * FREED_AT_ONCE,
            "{metadata:?}"
        );
    }
}
