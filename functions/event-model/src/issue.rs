//! What is wrong with an event, in the words and the shape that FastAPI answers with.

use std::borrow::Cow;

use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::limits::{MAX_LINE_BYTES, MAX_REJECTED_EVENTS, MAX_URL_BYTES};

/// The first step of every path.
pub(crate) const BODY: Loc = Loc::Key(Cow::Borrowed("body"));

/// Why a body holds no event.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Rejection {
    /// The bytes cannot be read at all: answer 400.
    #[error("{0}")]
    Undecodable(#[from] Undecodable),
    /// Readable, but not an event: answer 422 with `{"detail": issues}`. Never empty.
    #[error("{} problem(s) with the event", .0.len())]
    Invalid(Vec<Issue>),
}

/// Why bytes cannot be read as JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// Not UTF-8 (or UTF-16, UTF-32, which are not accepted).
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// Nested deeper than [`crate::limits::MAX_JSON_DEPTH`].
    #[error("the body nests deeper than {} levels", crate::limits::MAX_JSON_DEPTH)]
    TooDeep,
    /// An integer of more than [`crate::limits::MAX_INT_DIGITS`] digits.
    #[error("the body holds an integer of more than {} digits", crate::limits::MAX_INT_DIGITS)]
    IntTooLong,
}

/// One problem with one value. Serialises as an entry of FastAPI's `detail`: `type`, `loc`, `msg`, `input`, `ctx`.
#[derive(Debug, Clone)]
pub struct Issue {
    /// What is wrong; gives `type`, `msg` and `ctx`.
    pub reason: Reason,
    /// Where: `"body"`, then the field, then (in `exp`) the key; for bad JSON a character offset.
    pub loc: Vec<Loc>,
    /// The offending value, as JSON.
    pub input: Box<RawValue>,
}

impl Issue {
    /// A problem with the body, or with a member of a batch, as a whole.
    pub fn of_body(reason: Reason, input: Box<RawValue>) -> Issue {
        Issue {
            reason,
            loc: vec![BODY],
            input,
        }
    }

    /// The same problem, its path led through the member of a batch: `["body", 3, "user_id"]`.
    pub fn in_batch(mut self, index: usize) -> Issue {
        self.loc.insert(self.loc.len().min(1), Loc::Index(index));
        self
    }

    /// The stable name of the problem: FastAPI's `type`.
    pub fn kind(&self) -> &'static str {
        self.reason.kind()
    }

    /// The problem in a sentence.
    pub fn msg(&self) -> String {
        self.reason.msg()
    }

    /// The numbers of the rule that was broken, when it has some.
    pub fn ctx(&self) -> Option<Value> {
        self.reason.ctx()
    }
}

/// One step of the path to a value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Loc {
    /// A field name or a key.
    Key(Cow<'static, str>),
    /// A character offset, or an index in a batch.
    Index(usize),
}

/// Lower or upper bound of a value, as `ctx` shows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// Of an integer.
    Int(u64),
    /// Of a number.
    Float(f64),
    /// Of an instant, RFC 3339.
    Time(&'static str),
}

impl Bound {
    fn json(self) -> Value {
        match self {
            Bound::Int(bound) => json!(bound),
            Bound::Float(bound) => json!(bound),
            Bound::Time(bound) => json!(bound),
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bound::Int(bound) => bound.fmt(f),
            Bound::Float(bound) => bound.fmt(f),
            Bound::Time(bound) => f.write_str(bound),
        }
    }
}

/// What can be wrong with a value. The names and words are pydantic's
/// (<https://docs.pydantic.dev/latest/errors/validation_errors/>).
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// A required field, or the body, is not there.
    Missing,
    /// The body is not JSON.
    JsonInvalid {
        /// What the parser says.
        error: &'static str,
    },
    /// The body is JSON, but not an object.
    NotAnObject,
    /// Not a string.
    StringType,
    /// A string with a lone surrogate, which no text column can hold.
    StringUnicode,
    /// Not an integer, nor anything read as one.
    IntType,
    /// A string that is not an integer.
    IntParsing,
    /// A number or a string too large to be an integer.
    IntParsingSize,
    /// A number with a fraction where an integer belongs.
    IntFromFloat,
    /// Infinite or not a number.
    FiniteNumber,
    /// Below the lower bound.
    GreaterThanEqual(Bound),
    /// Above the upper bound.
    LessThanEqual(Bound),
    /// Not a number, nor anything read as one.
    FloatType,
    /// A string that is not a number.
    FloatParsing,
    /// Not a string or a number.
    DatetimeType,
    /// Not a date-time.
    DatetimeParsing {
        /// What the parser says.
        error: &'static str,
    },
    /// Not a date-time and not a date.
    DatetimeFromDateParsing {
        /// What the parser says.
        error: &'static str,
    },
    /// Not a string.
    UrlType,
    /// Not an absolute URL.
    UrlParsing {
        /// What the parser says.
        error: String,
    },
    /// Not an http or https URL.
    UrlScheme,
    /// Longer than [`MAX_URL_BYTES`].
    UrlTooLong,
    /// Not an object.
    DictType,
    /// A batch without events.
    EmptyBatch,
    /// A batch with more than [`MAX_REJECTED_EVENTS`] invalid events.
    TooManyInvalid,
    /// Normalised, longer than [`MAX_LINE_BYTES`].
    EventTooLarge,
    /// Not a string.
    UuidType,
    /// Not a UUID.
    UuidParsing {
        /// What the parser says.
        error: String,
    },
}

impl Reason {
    /// The stable name: FastAPI's `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Reason::Missing => "missing",
            Reason::JsonInvalid { .. } => "json_invalid",
            Reason::NotAnObject => "model_attributes_type",
            Reason::StringType => "string_type",
            Reason::StringUnicode => "string_unicode",
            Reason::IntType => "int_type",
            Reason::IntParsing => "int_parsing",
            Reason::IntParsingSize => "int_parsing_size",
            Reason::IntFromFloat => "int_from_float",
            Reason::FiniteNumber => "finite_number",
            Reason::GreaterThanEqual(_) => "greater_than_equal",
            Reason::LessThanEqual(_) => "less_than_equal",
            Reason::FloatType => "float_type",
            Reason::FloatParsing => "float_parsing",
            Reason::DatetimeType => "datetime_type",
            Reason::DatetimeParsing { .. } => "datetime_parsing",
            Reason::DatetimeFromDateParsing { .. } => "datetime_from_date_parsing",
            Reason::UrlType => "url_type",
            Reason::UrlParsing { .. } => "url_parsing",
            Reason::UrlScheme => "url_scheme",
            Reason::UrlTooLong => "url_too_long",
            Reason::DictType => "dict_type",
            Reason::EmptyBatch => "too_short",
            Reason::TooManyInvalid => "too_many_invalid",
            Reason::EventTooLarge => "event_too_large",
            Reason::UuidType => "uuid_type",
            Reason::UuidParsing { .. } => "uuid_parsing",
        }
    }

    /// The problem in a sentence.
    pub fn msg(&self) -> String {
        match self {
            Reason::Missing => "Field required".into(),
            Reason::JsonInvalid { .. } => "JSON decode error".into(),
            Reason::NotAnObject => "Input should be a valid dictionary or object to extract fields from".into(),
            Reason::StringType => "Input should be a valid string".into(),
            Reason::StringUnicode => {
                "Input should be a valid string, unable to parse raw data as a unicode string".into()
            }
            Reason::IntType => "Input should be a valid integer".into(),
            Reason::IntParsing => "Input should be a valid integer, unable to parse string as an integer".into(),
            Reason::IntParsingSize => "Unable to parse input string as an integer, exceeded maximum size".into(),
            Reason::IntFromFloat => "Input should be a valid integer, got a number with a fractional part".into(),
            Reason::FiniteNumber => "Input should be a finite number".into(),
            Reason::GreaterThanEqual(bound) => format!("Input should be greater than or equal to {bound}"),
            Reason::LessThanEqual(bound) => format!("Input should be less than or equal to {bound}"),
            Reason::FloatType => "Input should be a valid number".into(),
            Reason::FloatParsing => "Input should be a valid number, unable to parse string as a number".into(),
            Reason::DatetimeType => "Input should be a valid datetime".into(),
            Reason::DatetimeParsing { error } => format!("Input should be a valid datetime, {error}"),
            Reason::DatetimeFromDateParsing { error } => format!("Input should be a valid datetime or date, {error}"),
            Reason::UrlType => "URL input should be a string or URL".into(),
            Reason::UrlParsing { error } => format!("Input should be a valid URL, {error}"),
            Reason::UrlScheme => "URL scheme should be 'http' or 'https'".into(),
            Reason::UrlTooLong => format!("URL should have at most {MAX_URL_BYTES} characters"),
            Reason::DictType => "Input should be a valid dictionary".into(),
            Reason::EmptyBatch => "List should have at least 1 item after validation, not 0".into(),
            Reason::TooManyInvalid => {
                format!("More than {MAX_REJECTED_EVENTS} events of the batch are invalid, so none of it was stored")
            }
            Reason::EventTooLarge => format!("Event should have at most {MAX_LINE_BYTES} bytes, once normalised"),
            Reason::UuidType => "UUID input should be a string, bytes or UUID object".into(),
            Reason::UuidParsing { error } => format!("Input should be a valid UUID, {error}"),
        }
    }

    /// The numbers of the rule that was broken, when it has some.
    pub fn ctx(&self) -> Option<Value> {
        Some(match self {
            Reason::JsonInvalid { error }
            | Reason::DatetimeParsing { error }
            | Reason::DatetimeFromDateParsing { error } => json!({ "error": error }),
            Reason::UrlParsing { error } | Reason::UuidParsing { error } => json!({ "error": error }),
            Reason::GreaterThanEqual(bound) => json!({ "ge": bound.json() }),
            Reason::LessThanEqual(bound) => json!({ "le": bound.json() }),
            Reason::UrlScheme => json!({ "expected_schemes": "'http' or 'https'" }),
            Reason::UrlTooLong => json!({ "max_length": MAX_URL_BYTES }),
            Reason::EmptyBatch => json!({ "field_type": "List", "min_length": 1, "actual_length": 0 }),
            Reason::TooManyInvalid => json!({ "max_invalid": MAX_REJECTED_EVENTS }),
            Reason::EventTooLarge => json!({ "max_bytes": MAX_LINE_BYTES }),
            Reason::Missing
            | Reason::NotAnObject
            | Reason::StringType
            | Reason::StringUnicode
            | Reason::IntType
            | Reason::IntParsing
            | Reason::IntParsingSize
            | Reason::IntFromFloat
            | Reason::FiniteNumber
            | Reason::FloatType
            | Reason::FloatParsing
            | Reason::DatetimeType
            | Reason::UrlType
            | Reason::DictType
            | Reason::UuidType => return None,
        })
    }
}

/// An entry of FastAPI's `detail`: what an [`Issue`] is as JSON.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Issue")]
struct Entry<'a> {
    /// The stable name of the problem.
    r#type: &'a str,
    /// Where: `"body"`, in a batch the event's index, then the field, then (in `exp`) the key; for bad JSON a character
    /// offset.
    loc: &'a [Loc],
    /// The problem in a sentence.
    msg: String,
    /// The offending value; a long one is cut.
    #[schemars(with = "Value")]
    input: &'a RawValue,
    /// The numbers of the rule that was broken, when it has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    ctx: Option<Value>,
}

impl Serialize for Issue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = Entry {
            r#type: self.kind(),
            loc: &self.loc,
            msg: self.msg(),
            input: &self.input,
            ctx: self.ctx(),
        };
        entry.serialize(serializer)
    }
}

impl schemars::JsonSchema for Issue {
    fn schema_name() -> Cow<'static, str> {
        Entry::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Entry::json_schema(generator)
    }
}
