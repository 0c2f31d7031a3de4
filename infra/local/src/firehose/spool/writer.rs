//! The thread that owns the end of the log. Calls that wait while it syncs share the next sync.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use tokio::sync::oneshot;

use super::cursor::Position;
use super::frame::{self, RecordId};
use super::{AppendError, Shared, segment};
use crate::firehose::files;

/// One sync covers at most about this much data.
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// What the writer is asked.
pub(super) enum Message {
    /// Store these records.
    Append(Append),
    /// End the thread once what came before is stored.
    Stop,
}

/// Records of one call.
pub(super) struct Append {
    pub(super) records: Vec<Vec<u8>>,
    pub(super) arrival_ms: i64,
    pub(super) reply: oneshot::Sender<Result<Vec<RecordId>, AppendError>>,
}

/// The end of the log.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) folder: PathBuf,
    pub(super) run: u64,
    pub(super) segment_bytes: u64,
    /// The open segment, and where it starts; none until the first append, and after a failure.
    pub(super) open: Option<(File, u64)>,
    /// What is durable: the next frame goes here.
    pub(super) tail: Position,
    pub(super) buffer: Vec<u8>,
    /// Whether the last group could not be stored: said once, not for each call.
    pub(super) failing: bool,
}

impl Writer {
    /// Serves until it is stopped or every sender is gone.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(Message::Append(first)) = messages.recv() {
            let mut bytes = first.records.iter().map(Vec::len).sum::<usize>();
            let mut group = vec![first];
            let mut stop = false;
            while bytes < GROUP_BYTES {
                match messages.try_recv() {
                    Ok(Message::Append(next)) => {
                        bytes += next.records.iter().map(Vec::len).sum::<usize>();
                        group.push(next);
                    }
                    Ok(Message::Stop) => {
                        stop = true;
                        break;
                    }
                    Err(_) => break,
                }
            }
            self.commit(group);
            if stop {
                return;
            }
        }
    }

    /// Writes and syncs the group, then answers each of its calls: all stored, or none.
    fn commit(&mut self, group: Vec<Append>) {
        self.buffer.clear();
        let mut offset = self.tail.offset;
        let mut records = 0;
        let mut ids = Vec::with_capacity(group.len());
        for append in &group {
            let mut mine = Vec::with_capacity(append.records.len());
            for data in &append.records {
                let id = RecordId { run: self.run, offset };
                frame::encode(&mut self.buffer, id, append.arrival_ms, data);
                offset = self.tail.offset + self.buffer.len() as u64;
                records += 1;
                mine.push(id);
            }
            ids.push(mine);
        }
        match self.store() {
            Ok(base) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!(folder = %self.folder.display(), "records are stored again");
                }
                self.tail = Position {
                    offset,
                    records: self.tail.records + records,
                };
                self.shared.publish(base, self.tail);
                for (append, ids) in group.into_iter().zip(ids) {
                    // The caller may have hung up; its records are stored all the same.
                    let _ = append.reply.send(Ok(ids));
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(
                        folder = %self.folder.display(), %error,
                        "records cannot be stored: put calls are refused until they can"
                    );
                }
                for append in group {
                    let _ = append.reply.send(Err(AppendError::Io(error.to_string())));
                }
            }
        }
    }

    /// Puts the buffer at the tail, durably. Says which segment it went to.
    fn store(&mut self) -> io::Result<u64> {
        self.open_segment()?;
        let Some((file, base)) = &self.open else {
            return Err(io::Error::other("no segment is open"));
        };
        let base = *base;
        let written = file
            .write_all_at(&self.buffer, self.tail.offset - base)
            .and_then(|()| file.sync_data());
        if let Err(error) = written {
            // What the file now holds past the tail is unknown, after a failed sync even what a read would show is not
            // what the disk has. So this file is cut back to what is known to be durable, and not written again.
            if let Err(error) = file.set_len(self.tail.offset - base).and_then(|()| file.sync_all()) {
                tracing::warn!(%error, "a segment could not be cut back after a failed write");
            }
            self.open = None;
            return Err(error);
        }
        Ok(base)
    }

    /// Starts a new segment at the tail when none is open, or the open one has grown enough.
    fn open_segment(&mut self) -> io::Result<()> {
        if self
            .open
            .as_ref()
            .is_some_and(|(_, base)| self.tail.offset - base >= self.segment_bytes)
        {
            self.open = None;
        }
        if self.open.is_none() {
            let base = self.tail.offset;
            // Truncated: a file of this name can only hold what was never acknowledged.
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(segment::path(&self.folder, base))?;
            file.sync_all()?;
            files::sync_folder(&self.folder)?;
            self.open = Some((file, base));
            // From here on the segment before it may be deleted, which a full disk needs.
            self.shared.publish(base, self.tail);
        }
        Ok(())
    }
}
