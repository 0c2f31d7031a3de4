//! The line that carries one event through the stream.
//!
//! A line is the normalised event with its `event_id` and `received_at`, as JSON with the fields in a fixed order, and a
//! line feed. The same record always gives the same bytes, so a hash of lines says whether two deliveries hold the same
//! events.

use std::borrow::Cow;

use jiff::Timestamp;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::event::Event;
use crate::write::{LINE_START, Stamp};

/// One accepted event: what Firehose carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<'a> {
    /// Identifies the event: rows with the same id are one event.
    pub event_id: Uuid,
    /// When `events` accepted it; milliseconds, anything finer is dropped when it is written.
    pub received_at: Timestamp,
    /// Of the request that carried it: the invocation's id; empty where it is not known, as in lines of older versions.
    /// [`is_request_id`](crate::is_request_id) holds.
    pub request_id: Cow<'a, str>,
    /// What the client posted.
    pub event: Event<'a>,
}

impl Record<'_> {
    /// Appends the line, line feed included.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        Stamp::new(self.received_at, &self.request_id).write_line(self.event_id, &self.event, out);
    }

    /// The id of a line's event, from its beginning alone: for counting lines without reading them. `None` for a line that
    /// does not begin as [`Record::write_line`] begins one.
    pub fn event_id_at_start(line: &[u8]) -> Option<Uuid> {
        let id = line.strip_prefix(LINE_START.as_bytes())?.get(..Hyphenated::LENGTH)?;
        Uuid::try_parse_ascii(id).ok()
    }
}

#[cfg(test)]
pub(crate) mod tests;
