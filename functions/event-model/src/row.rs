//! The row that a line becomes.
//!
//! A line of [`Record::write_line`] has its fields in a fixed order and form, and is read by [`quick`]. Whatever is another goes through
//! the reader of any JSON: the same rows, only slower.

mod quick;

use std::borrow::Cow;

use jiff::Timestamp;
use uuid::Uuid;

use crate::coerce;
use crate::event::Event;
use crate::json::{self, JsonError, Raw, Top};
use crate::limits::{MAX_LINE_BYTES, MAX_REQUEST_ID_BYTES};
use crate::line::Record;

/// Whether a text is a request id as it may travel and be stored: at most [`MAX_REQUEST_ID_BYTES`] hexadecimal digits and `-`,
/// such as Lambda's UUIDs. Nothing that a stranger would have to say fits into it.
pub fn is_request_id(text: &str) -> bool {
    text.len() <= MAX_REQUEST_ID_BYTES && is_id_text(text.as_bytes())
}

/// Whether there are only hexadecimal digits and `-`. It looks at all of them, because that is done many at a time.
fn is_id_text(text: &[u8]) -> bool {
    let plain = |byte: u8| byte.wrapping_sub(b'0') < 10 || (byte | 0x20).wrapping_sub(b'a') < 6 || byte == b'-';
    text.iter().fold(true, |all, byte| all & plain(*byte))
}

/// The stored columns of one event, in the table's order. Texts are the line's own where they stand in it as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<'a> {
    /// `DateTime('UTC')`: seconds since 1970.
    pub dt: u32,
    /// `LowCardinality(String)`
    pub name: Cow<'a, str>,
    /// `UInt64`
    pub user_id: u64,
    /// `String`
    pub url: Cow<'a, str>,
    /// `LowCardinality(String)`
    pub obj: Cow<'a, str>,
    /// `String`
    pub obj_id: Cow<'a, str>,
    /// `UInt64`
    pub product_id: u64,
    /// `Float64`, finite, not negative
    pub amount: f64,
    /// `Map(LowCardinality(String), String)`, each key once
    pub exp: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// `UUID`
    pub event_id: Uuid,
    /// `DateTime64(3, 'UTC')`: milliseconds since 1970.
    pub received_at: i64,
    /// `String`; [`is_request_id`] holds.
    pub request_id: Cow<'a, str>,
}

impl<'a> From<Record<'a>> for Row<'a> {
    fn from(record: Record<'a>) -> Self {
        let Record {
            event_id,
            received_at,
            request_id,
            event,
        } = record;
        Row {
            dt: event.dt,
            name: event.name,
            user_id: event.user_id,
            url: event.url,
            obj: event.obj,
            obj_id: event.obj_id,
            product_id: event.product_id,
            amount: event.amount,
            exp: event.exp,
            event_id,
            received_at: received_at.as_millisecond(),
            request_id,
        }
    }
}

impl<'a> Row<'a> {
    /// Reads a line, its line feed optional. Types are strict, nothing is coerced: what [`Record::write_line`] did not
    /// write is an error. Unknown fields are ignored, so that a newer writer and an older reader get on.
    pub fn from_line(line: &'a [u8]) -> Result<Self, LineError> {
        if line.len() > MAX_LINE_BYTES {
            return Err(LineError::TooLong);
        }
        let text = std::str::from_utf8(line).map_err(|_| LineError::NotUtf8)?;
        match quick::read(text) {
            Some(row) => Ok(row),
            None => Row::from_json(text),
        }
    }

    /// Reads a line of any form.
    fn from_json(text: &'a str) -> Result<Self, LineError> {
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
        ] = read(text)?;
        // The first field at fault is named, in this order.
        let event_id = field(0, event_id, "a UUID", |value| Uuid::try_parse(&text_of(value)?).ok())?;
        let received_at: Timestamp = field(1, received_at, "an RFC 3339 time", |value| text_of(value)?.parse().ok())?;
        Ok(Row {
            dt: field(2, dt, "a UTC time in whole seconds from 1970 to 2106", dt_of)?,
            name: field(3, name, "a string", text_of)?,
            user_id: field(4, user_id, "an unsigned 64-bit integer", unsigned_of)?,
            url: field(5, url, "a string", text_of)?,
            obj: field(6, obj, "a string", text_of)?,
            obj_id: field(7, obj_id, "a string", text_of)?,
            product_id: field(8, product_id, "an unsigned 64-bit integer", unsigned_of)?,
            amount: field(9, amount, "a finite number that is not negative", amount_of)?,
            exp: field(10, exp, "an object of strings", pairs_of)?,
            event_id,
            received_at: received_at.as_millisecond(),
            request_id: match request_id {
                Some(_) => field(11, request_id, "at most 36 hexadecimal digits and -", request_id_of)?,
                None => Cow::Borrowed(""),
            },
        })
    }

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
                    .map(|(key, value)| (Cow::Borrowed(&**key), Cow::Borrowed(&**value)))
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

/// The text of a string without lone surrogates.
fn text_of(value: Raw<'_>) -> Option<Cow<'_, str>> {
    let Raw::Text(text) = value else { return None };
    let unescaped = text.unescape();
    (!unescaped.lone_surrogate).then_some(unescaped.text)
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
