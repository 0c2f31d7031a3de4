//! The line that carries one event through the stream.
//!
//! A line is the normalised event with its `event_id` and `received_at`, as JSON with the fields in a fixed order, and a
//! line feed. The same record always gives the same bytes, so a hash of lines says whether two deliveries hold the same
//! events.

use jiff::Timestamp;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::calendar;
use crate::event::Event;

/// One accepted event: what Firehose carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Identifies the event: rows with the same id are one event.
    pub event_id: Uuid,
    /// When `events` accepted it; milliseconds, anything finer is dropped when it is written.
    pub received_at: Timestamp,
    /// Of the request that carried it: the invocation's id; empty where it is not known, as in lines of older versions.
    /// [`is_request_id`](crate::is_request_id) holds.
    pub request_id: String,
    /// What the client posted.
    pub event: Event,
}

/// How a line begins: its id follows.
const LINE_START: &[u8] = b"{\"event_id\":\"";

impl Record {
    /// Appends the line, line feed included.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        let event = &self.event;
        out.extend_from_slice(LINE_START);
        let mut id = Uuid::encode_buffer();
        out.extend_from_slice(self.event_id.as_hyphenated().encode_lower(&mut id).as_bytes());
        out.extend_from_slice(b"\",\"received_at\":\"");
        let millisecond = self.received_at.as_millisecond();
        calendar::write_seconds(out, millisecond.div_euclid(1000));
        out.push(b'.');
        calendar::write_digits(out, millisecond.rem_euclid(1000), 3);
        out.extend_from_slice(b"Z\",\"dt\":\"");
        write_dt(out, event.dt);
        out.extend_from_slice(b"\",\"name\":");
        write_json(out, &event.name);
        out.extend_from_slice(b",\"user_id\":");
        write_json(out, &event.user_id);
        out.extend_from_slice(b",\"url\":");
        write_json(out, &event.url);
        out.extend_from_slice(b",\"obj\":");
        write_json(out, &event.obj);
        out.extend_from_slice(b",\"obj_id\":");
        write_json(out, &event.obj_id);
        out.extend_from_slice(b",\"product_id\":");
        write_json(out, &event.product_id);
        out.extend_from_slice(b",\"amount\":");
        write_json(out, &event.amount);
        out.extend_from_slice(b",\"exp\":{");
        for (at, (key, value)) in event.exp.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_json(out, key);
            out.push(b':');
            write_json(out, value);
        }
        out.push(b'}');
        // A line without it is the line that older versions wrote.
        if !self.request_id.is_empty() {
            out.extend_from_slice(b",\"request_id\":");
            write_json(out, &self.request_id);
        }
        out.extend_from_slice(b"}\n");
    }

    /// The id of a line's event, from its beginning alone: for counting lines without reading them. `None` for a line that
    /// does not begin as [`Record::write_line`] begins one.
    pub fn event_id_at_start(line: &[u8]) -> Option<Uuid> {
        let id = line.strip_prefix(LINE_START)?.get(..Hyphenated::LENGTH)?;
        Uuid::try_parse_ascii(id).ok()
    }
}

/// Appends `YYYY-MM-DDTHH:MM:SSZ`.
pub(crate) fn write_dt(out: &mut Vec<u8>, dt: u32) {
    calendar::write_seconds(out, i64::from(dt));
    out.push(b'Z');
}

/// Appends a value as JSON. Writing a string or a number to memory cannot fail.
fn write_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
pub(crate) mod tests;
