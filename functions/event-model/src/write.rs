//! Writing lines: one pass over each text, and what is the same in all lines of a request is made once.

use jiff::Timestamp;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::calendar::{self, SECONDS_BYTES};
use crate::event::Event;
use crate::json;

/// How a line begins: its id follows.
pub(crate) const LINE_START: &str = "{\"event_id\":\"";

/// How every line begins; the zeros stand where an id and times are put.
const HEAD: [u8; 127] =
    *b"{\"event_id\":\"00000000-0000-0000-0000-000000000000\",\"received_at\":\"0000-00-00T00:00:00.000Z\",\
\"dt\":\"0000-00-00T00:00:00Z\",\"name\":";
const ID_AT: usize = LINE_START.len();
const RECEIVED_AT: usize = ID_AT + Hyphenated::LENGTH + "\",\"received_at\":\"".len();
const MILLISECONDS_AT: usize = RECEIVED_AT + SECONDS_BYTES + 1;
const DT_AT: usize = MILLISECONDS_AT + "000Z\",\"dt\":\"".len();

/// What a line takes at most beside its texts: the head, the names of the fields, three numbers.
const FRAME_BYTES: usize = 320;

/// What the lines of one request have in common.
#[derive(Debug, Clone)]
pub struct Stamp<'a> {
    head: [u8; HEAD.len()],
    request_id: &'a str,
}

impl<'a> Stamp<'a> {
    /// For events that were accepted then; of the time, what is finer than milliseconds is dropped. The request's id may be empty;
    /// [`crate::is_request_id`] holds.
    pub fn new(received_at: Timestamp, request_id: &'a str) -> Stamp<'a> {
        let millisecond = received_at.as_millisecond();
        let mut head = HEAD;
        put(
            &mut head,
            RECEIVED_AT,
            &calendar::seconds_text(millisecond.div_euclid(1000)),
        );
        put(
            &mut head,
            MILLISECONDS_AT,
            &calendar::three_digits(millisecond.rem_euclid(1000) as u32),
        );
        Stamp { head, request_id }
    }

    /// Appends the line of an event, line feed included.
    pub fn write_line(&self, event_id: Uuid, event: &Event<'_>, out: &mut Vec<u8>) {
        let texts = event.name.len() + event.url.len() + event.obj.len() + event.obj_id.len() + self.request_id.len();
        out.reserve(FRAME_BYTES + texts);
        let mut head = self.head;
        let mut id = Uuid::encode_buffer();
        put(
            &mut head,
            ID_AT,
            event_id.as_hyphenated().encode_lower(&mut id).as_bytes(),
        );
        put(&mut head, DT_AT, &calendar::seconds_text(i64::from(event.dt)));
        out.extend_from_slice(&head);
        write_text(out, &event.name);
        out.extend_from_slice(b",\"user_id\":");
        write_json(out, &event.user_id);
        out.extend_from_slice(b",\"url\":");
        write_text(out, &event.url);
        out.extend_from_slice(b",\"obj\":");
        write_text(out, &event.obj);
        out.extend_from_slice(b",\"obj_id\":");
        write_text(out, &event.obj_id);
        out.extend_from_slice(b",\"product_id\":");
        write_json(out, &event.product_id);
        out.extend_from_slice(b",\"amount\":");
        // Most are about no money. A zero below zero is another number.
        if event.amount.to_bits() == 0 {
            out.extend_from_slice(b"0.0");
        } else {
            write_json(out, &event.amount);
        }
        out.extend_from_slice(b",\"exp\":{");
        for (at, (key, value)) in event.exp.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_text(out, key);
            out.push(b':');
            write_text(out, value);
        }
        // A line without it is the line that older versions wrote.
        if self.request_id.is_empty() {
            out.extend_from_slice(b"}}\n");
        } else {
            out.extend_from_slice(b"},\"request_id\":");
            write_text(out, self.request_id);
            out.extend_from_slice(b"}\n");
        }
    }
}

/// Puts a text over the zeros that stand there.
#[inline]
fn put(head: &mut [u8; HEAD.len()], at: usize, text: &[u8]) {
    if let Some(place) = head.get_mut(at..at + text.len()) {
        place.copy_from_slice(text);
    }
}

/// `YYYY-MM-DDTHH:MM:SSZ`.
pub(crate) fn dt_text(dt: u32) -> String {
    let mut text: String = calendar::seconds_text(i64::from(dt)).map(char::from).iter().collect();
    text.push('Z');
    text
}

/// Appends a text as a JSON string. What has to be escaped is left to `serde_json`.
#[inline]
fn write_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    if json::plain_end(bytes, 0) < bytes.len() {
        write_json(out, text);
    } else {
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
    }
}

/// Appends a value as JSON. Writing a string or a number to memory cannot fail.
fn write_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_head_has_its_places() {
        let zeros = |at: usize, text: &str| assert_eq!(&HEAD[at..at + text.len()], text.as_bytes());
        zeros(ID_AT, "00000000-0000-0000-0000-000000000000\"");
        zeros(RECEIVED_AT, "0000-00-00T00:00:00.000Z\"");
        zeros(MILLISECONDS_AT, "000Z\"");
        zeros(DT_AT, "0000-00-00T00:00:00Z\"");
        assert!(HEAD.starts_with(LINE_START.as_bytes()));
    }

    proptest! {
        #[test]
        fn texts_are_written_as_serde_json_writes_them(
            text in prop_oneof![any::<String>(), "[ -~]{0,30}", "[\\x00-\\x7f\u{80}-\u{a0}\u{2028}]{0,30}"],
        ) {
            let mut out = Vec::new();
            write_text(&mut out, &text);
            prop_assert_eq!(String::from_utf8(out).unwrap(), json!(text).to_string());
        }

        #[test]
        fn times_are_written_as_jiff_writes_them(dt in any::<u32>()) {
            let time = Timestamp::from_second(i64::from(dt)).unwrap();
            prop_assert_eq!(dt_text(dt), time.to_string());
        }
    }
}
