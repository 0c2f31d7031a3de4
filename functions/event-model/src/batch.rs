//! Reading a body event by event: one object, a JSON array, or NDJSON.

use serde_json::value::RawValue;

use crate::event::{self, Event, FIELDS};
use crate::issue::{Issue, Reason, Rejection, Undecodable};
use crate::json::Reader;

/// What stands for a byte order mark in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The events of one body, parsed one at a time: a large batch is never held as values.
///
/// ```
/// use event_model::Events;
///
/// let body = br#"[{"dt":0,"name":"view","user_id":1,"url":"http://site/","obj":"page"}, 7]"#;
/// let mut events = Events::from_json(body)?;
/// assert!(events.is_batch());
/// assert!(events.next_event()?.is_some_and(|event| event.is_ok()));
/// assert!(events.next_event()?.is_some_and(|event| event.is_err()));
/// assert!(events.next_event()?.is_none());
/// # Ok::<(), event_model::Rejection>(())
/// ```
pub struct Events<'a> {
    source: Source<'a>,
}

enum Source<'a> {
    /// Anything but an array; `None` once it was read.
    One(Option<&'a str>),
    /// Inside an array, before its next element.
    Array {
        reader: Reader<'a>,
        text: &'a str,
        read: Progress,
    },
    /// The lines that are left.
    Lines { rest: &'a [u8], read: Progress },
}

/// How far a batch was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Nothing,
    Something,
    Everything,
}

impl<'a> Events<'a> {
    /// Reads JSON: an array is a batch, anything else is one event.
    pub fn from_json(body: &'a [u8]) -> Result<Events<'a>, Undecodable> {
        let text = event::decode(body)?;
        let mut reader = Reader::new(text);
        let source = if reader.enter_array() {
            Source::Array {
                reader,
                text,
                read: Progress::Nothing,
            }
        } else {
            Source::One(Some(text))
        };
        Ok(Events { source })
    }

    /// Reads NDJSON: each line that is not blank is an event. A line that cannot be read is a bad event, and says nothing
    /// about its neighbours.
    pub fn from_ndjson(body: &'a [u8]) -> Events<'a> {
        let source = Source::Lines {
            rest: body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body),
            read: Progress::Nothing,
        };
        Events { source }
    }

    /// Whether the body is a batch, so that each event has an index: its place among the elements, or among the lines
    /// that are not blank.
    pub fn is_batch(&self) -> bool {
        !matches!(self.source, Source::One(_))
    }

    /// The next event, or what is wrong with it; `None` after the last. A [`Rejection`] is about the whole body, and
    /// takes back what was read before: an array with a fault in its middle holds no events. The paths of issues are
    /// those of a single event, see [`Issue::in_batch`].
    pub fn next_event(&mut self) -> Result<Option<Result<Event<'a>, Vec<Issue>>>, Rejection> {
        match &mut self.source {
            Source::One(text) => match text.take().map(Event::from_text) {
                None => Ok(None),
                Some(Ok(event)) => Ok(Some(Ok(event))),
                Some(Err(Rejection::Invalid(issues))) => Ok(Some(Err(issues))),
                Some(Err(rejection)) => Err(rejection),
            },
            Source::Array { reader, text, read } => {
                let result = next_element(reader, read);
                result.map_err(|error| match error {
                    ArrayError::Json(error) => event::unreadable(error, text),
                    ArrayError::Empty => {
                        let input = RawValue::from_string("[]".to_owned()).unwrap_or_default();
                        Rejection::Invalid(vec![Issue::of_body(Reason::EmptyBatch, input)])
                    }
                })
            }
            Source::Lines { rest, read } => match next_line(rest) {
                Some(line) => {
                    *read = Progress::Something;
                    Ok(Some(Event::from_json(line).map_err(|rejection| match rejection {
                        Rejection::Invalid(issues) => issues,
                        Rejection::Undecodable(reason) => vec![unreadable_line(reason)],
                    })))
                }
                None if *read == Progress::Nothing => {
                    *read = Progress::Everything;
                    let missing = Issue::of_body(Reason::Missing, RawValue::NULL.to_owned());
                    Err(Rejection::Invalid(vec![missing]))
                }
                None => Ok(None),
            },
        }
    }
}

enum ArrayError {
    Json(crate::json::JsonError),
    Empty,
}

impl From<crate::json::JsonError> for ArrayError {
    fn from(error: crate::json::JsonError) -> Self {
        ArrayError::Json(error)
    }
}

fn next_element<'a>(
    reader: &mut Reader<'a>,
    read: &mut Progress,
) -> Result<Option<Result<Event<'a>, Vec<Issue>>>, ArrayError> {
    if *read == Progress::Everything {
        return Ok(None);
    }
    // Until an element is read, the array counts as read: a fault is told once.
    let before = std::mem::replace(read, Progress::Everything);
    if reader.element(before == Progress::Nothing)? {
        let top = reader.top(&FIELDS, 1)?;
        *read = Progress::Something;
        return Ok(Some(Event::from_top(top)));
    }
    reader.finish()?;
    if before == Progress::Nothing {
        return Err(ArrayError::Empty);
    }
    Ok(None)
}

/// The next line with something on it, its line feed not included.
fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    while !rest.is_empty() {
        let (line, after) = match memchr::memchr(b'\n', rest) {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (*rest, &[][..]),
        };
        *rest = after;
        if !line.trim_ascii().is_empty() {
            return Some(line);
        }
    }
    None
}

/// Only this line is lost, so it is a bad event and not a bad body.
fn unreadable_line(reason: Undecodable) -> Issue {
    let error = match reason {
        Undecodable::NotUtf8 => "The line is not UTF-8",
        Undecodable::TooDeep => "The line nests too deep",
        Undecodable::IntTooLong => "The line holds an integer with too many digits",
    };
    Issue::of_body(Reason::JsonInvalid { error }, RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests;
