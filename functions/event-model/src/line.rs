//! The line that carries one event through the stream, and the row it becomes.
//!
//! A line is the normalised event with its `event_id` and `received_at`, as JSON with the fields in a fixed order, and a
//! line feed. The same record always gives the same bytes, so a hash of lines says whether two deliveries hold the same
//! events.

use std::borrow::Cow;

use jiff::Timestamp;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::coerce;
use crate::event::Event;
use crate::json::{self, JsonError, Raw, Top};
use crate::limits::{MAX_LINE_BYTES, MAX_REQUEST_ID_BYTES};
use crate::write::{LINE_START, Stamp};

/// One accepted event: what Firehose carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<'a> {
    /// Identifies the event: rows with the same id are one event.
    pub event_id: Uuid,
    /// When `events` accepted it; milliseconds, anything finer is dropped when it is written.
    pub received_at: Timestamp,
    /// Of the request that carried it: the invocation's id; empty where it is not known, as in lines of older versions.
    /// [`is_request_id`] holds.
    pub request_id: Cow<'a, str>,
    /// What the client posted.
    pub event: Event<'a>,
}

/// Whether a text is a request id as it may travel and be stored: at most [`MAX_REQUEST_ID_BYTES`] hexadecimal digits and `-`,
/// such as Lambda's UUIDs. Nothing that a stranger would have to say fits into it.
pub fn is_request_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    text.len() <= MAX_REQUEST_ID_BYTES && text.bytes().all(plain)
}

/// The stored columns of one event, in the table's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// `DateTime('UTC')`: seconds since 1970.
    pub dt: u32,
    /// `LowCardinality(String)`
    pub name: String,
    /// `UInt64`
    pub user_id: u64,
    /// `String`
    pub url: String,
    /// `LowCardinality(String)`
    pub obj: String,
    /// `String`
    pub obj_id: String,
    /// `UInt64`
    pub product_id: u64,
    /// `Float64`, finite, not negative
    pub amount: f64,
    /// `Map(LowCardinality(String), String)`, each key once
    pub exp: Vec<(String, String)>,
    /// `UUID`
    pub event_id: Uuid,
    /// `DateTime64(3, 'UTC')`: milliseconds since 1970.
    pub received_at: i64,
    /// `String`; [`is_request_id`] holds.
    pub request_id: String,
}

impl From<Record<'_>> for Row {
    fn from(record: Record<'_>) -> Row {
        let Record {
            event_id,
            received_at,
            request_id,
            event,
        } = record;
        Row {
            dt: event.dt,
            name: event.name.into_owned(),
            user_id: event.user_id,
            url: event.url.into_owned(),
            obj: event.obj.into_owned(),
            obj_id: event.obj_id.into_owned(),
            product_id: event.product_id,
            amount: event.amount,
            exp: event
                .exp
                .into_iter()
                .map(|(key, value)| (key.into_owned(), value.into_owned()))
                .collect(),
            event_id,
            received_at: received_at.as_millisecond(),
            request_id: request_id.into_owned(),
        }
    }
}

impl Row {
    /// The line that the row was read from, without its line feed: the same fields, written as [`Record::write_line`] does.
    pub fn to_line(&self) -> Vec<u8> {
        let record = Record {
            event_id: self.event_id,
            // Out of range only for a row that was made by hand.
            received_at: Timestamp::from_millisecond(self.received_at).unwrap_or_default(),
            request_id: Cow::Borrowed(&self.request_id),
            event: Event {
                dt: self.dt,
                name: Cow::Borrowed(&self.name),
                user_id: self.user_id,
                url: Cow::Borrowed(&self.url),
                obj: Cow::Borrowed(&self.obj),
                obj_id: Cow::Borrowed(&self.obj_id),
                product_id: self.product_id,
                amount: self.amount,
                exp: self
                    .exp
                    .iter()
                    .map(|(key, value)| (Cow::from(key), Cow::from(value)))
                    .collect(),
                event_id: None,
            },
        };
        let mut line = Vec::new();
        record.write_line(&mut line);
        line.pop();
        line
    }
}

/// Why a line is not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than any line that a Firehose record holds.
    #[error("the line has more than {MAX_LINE_BYTES} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("the line is not UTF-8")]
    NotUtf8,
    /// Not JSON, or JSON that nests too deep.
    #[error("the line is not JSON: {error} (byte {at})")]
    NotJson {
        /// Byte offset of the fault.
        at: usize,
        /// What the parser says.
        error: &'static str,
    },
    /// JSON, but not an object.
    #[error("the line is not a JSON object")]
    NotAnObject,
    /// A field is not there.
    #[error("the field {field} is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field has the wrong type or an impossible value.
    #[error("the field {field} is not {expected}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

impl LineError {
    /// At which step the line failed: `decode` (bytes to text), `json` (text to values) or `record` (values to fields).
    pub fn stage(&self) -> &'static str {
        match self {
            LineError::TooLong | LineError::NotUtf8 => "decode",
            LineError::NotJson { .. } | LineError::NotAnObject => "json",
            LineError::Missing { .. } | LineError::Invalid { .. } => "record",
        }
    }

    /// A stable name for the reason.
    pub fn code(&self) -> &'static str {
        match self {
            LineError::TooLong => "too_long",
            LineError::NotUtf8 => "not_utf8",
            LineError::NotJson { .. } => "not_json",
            LineError::NotAnObject => "not_an_object",
            LineError::Missing { .. } => "missing_field",
            LineError::Invalid { .. } => "invalid_field",
        }
    }

    /// The field at fault, when there is one.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            LineError::TooLong | LineError::NotUtf8 | LineError::NotJson { .. } | LineError::NotAnObject => None,
            LineError::Missing { field } | LineError::Invalid { field, .. } => Some(field),
        }
    }
}

/// The fields of a line, in the order in which they are written. The last may be missing.
const LINE_FIELDS: [&str; 12] = [
    "event_id",
    "received_at",
    "dt",
    "name",
    "user_id",
    "url",
    "obj",
    "obj_id",
    "product_id",
    "amount",
    "exp",
    "request_id",
];

impl<'a> Record<'a> {
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

    /// Reads a line back, its line feed optional. Types are strict, nothing is coerced: what [`Record::write_line`] did not
    /// write is an error. Unknown fields are ignored, so that a newer writer and an older reader get on.
    pub fn from_line(line: &'a [u8]) -> Result<Record<'a>, LineError> {
        if line.len() > MAX_LINE_BYTES {
            return Err(LineError::TooLong);
        }
        let text = std::str::from_utf8(line).map_err(|_| LineError::NotUtf8)?;
        let values = read(text)?;
        let [
            event_id,
            received_at,
            dt,
            name,
            user_id,
            url,
            obj,
            obj_id,
            product_id,
            amount,
            exp,
            request_id,
        ] = values;
        Ok(Record {
            event_id: field(0, event_id, "a UUID", |value| Uuid::try_parse(&text_of(value)?).ok())?,
            received_at: field(1, received_at, "an RFC 3339 time", |value| text_of(value)?.parse().ok())?,
            event: Event {
                dt: field(2, dt, "a UTC time in whole seconds from 1970 to 2106", dt_of)?,
                name: field(3, name, "a string", text_of)?,
                user_id: field(4, user_id, "an unsigned 64-bit integer", unsigned_of)?,
                url: field(5, url, "a string", text_of)?,
                obj: field(6, obj, "a string", text_of)?,
                obj_id: field(7, obj_id, "a string", text_of)?,
                product_id: field(8, product_id, "an unsigned 64-bit integer", unsigned_of)?,
                amount: field(9, amount, "a finite number that is not negative", amount_of)?,
                exp: field(10, exp, "an object of strings", pairs_of)?,
                event_id: None,
            },
            request_id: match request_id {
                Some(_) => field(11, request_id, "at most 36 hexadecimal digits and -", request_id_of)?,
                None => Cow::Borrowed(""),
            },
        })
    }
}

fn read(text: &str) -> Result<[Option<Raw<'_>>; LINE_FIELDS.len()], LineError> {
    let fail = |error| match error {
        JsonError::Syntax { at, error } => LineError::NotJson { at, error },
        JsonError::TooDeep => LineError::NotJson {
            at: 0,
            error: "nested too deep",
        },
        JsonError::IntTooLong => LineError::NotJson {
            at: 0,
            error: "an integer is too long",
        },
    };
    match json::read(text, &LINE_FIELDS).map_err(fail)? {
        Top::Object { values, .. } => Ok(values),
        Top::Other(_) => Err(LineError::NotAnObject),
    }
}

fn field<'a, T>(
    at: usize,
    value: Option<Raw<'a>>,
    expected: &'static str,
    read: fn(Raw<'a>) -> Option<T>,
) -> Result<T, LineError> {
    let field = LINE_FIELDS[at];
    let value = value.ok_or(LineError::Missing { field })?;
    read(value).ok_or(LineError::Invalid { field, expected })
}

fn text_of(value: Raw<'_>) -> Option<Cow<'_, str>> {
    coerce::string(value).ok()
}

fn request_id_of(value: Raw<'_>) -> Option<Cow<'_, str>> {
    text_of(value).filter(|text| is_request_id(text))
}

fn dt_of(value: Raw<'_>) -> Option<u32> {
    match value {
        Raw::Text(text) if text.raw.len() == 20 && text.raw.ends_with('Z') => coerce::datetime(value).ok(),
        _ => None,
    }
}

fn unsigned_of(value: Raw<'_>) -> Option<u64> {
    match value {
        Raw::Int(text) => text.parse().ok(),
        _ => None,
    }
}

fn amount_of(value: Raw<'_>) -> Option<f64> {
    match value {
        Raw::Int(_) | Raw::Float(_) => coerce::amount(value).ok(),
        _ => None,
    }
}

fn pairs_of(value: Raw<'_>) -> Option<Vec<(Cow<'_, str>, Cow<'_, str>)>> {
    match value {
        Raw::Object(_) => coerce::pairs(value)
            .ok()?
            .into_iter()
            .map(|(key, value)| Some((key, text_of(value)?)))
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
