//! A JSON reader with the semantics of CPython's `json.loads`, which the clients of this contract were written against:
//! `NaN`, `Infinity` and `-Infinity` are values, a duplicate key's last value wins, integers have any size, a lone
//! surrogate escape is a character, and each syntax error has CPython 3.11's text and position.
//!
//! Nothing is built: a value is a slice of the text ([`Raw`]), already known to be well formed. Nested values are
//! checked without recursion, so that depth costs heap and not stack.

mod scan;
mod text;

use std::borrow::Cow;

use crate::limits::{MAX_INT_DIGITS, MAX_JSON_DEPTH};

pub(crate) use scan::plain_end;
pub(crate) use text::{cut, echo};

/// One well-formed JSON value, as it stands in the text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Raw<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without fraction and exponent; any size.
    Int(&'a str),
    /// A number with a fraction or an exponent.
    Float(&'a str),
    /// `NaN`, `Infinity` or `-Infinity`.
    NotFinite(f64),
    /// A string.
    Text(Text<'a>),
    /// An array, brackets included.
    Array(&'a str),
    /// An object, braces included.
    Object(&'a str),
}

/// The inside of a JSON string, quotes excluded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Text<'a> {
    /// What stands between the quotes.
    pub(crate) raw: &'a str,
    /// Whether it holds a backslash.
    pub(crate) escaped: bool,
}

/// A string after its escapes are resolved.
#[derive(Debug, PartialEq)]
pub(crate) struct Unescaped<'a> {
    /// The text; each lone surrogate stands as three U+FFFD, one per byte of its three-byte form.
    pub(crate) text: Cow<'a, str>,
    /// Whether it held a lone surrogate.
    pub(crate) lone_surrogate: bool,
}

impl<'a> Text<'a> {
    /// Resolves the escapes; borrows when there are none.
    pub(crate) fn unescape(self) -> Unescaped<'a> {
        if self.escaped {
            text::unescape(self.raw)
        } else {
            Unescaped {
                text: Cow::Borrowed(self.raw),
                lone_surrogate: false,
            }
        }
    }
}

/// Why a text is not JSON, or more of it than is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// Not JSON; `at` is a byte offset.
    Syntax {
        /// Byte offset of the fault.
        at: usize,
        /// CPython's words for it.
        error: &'static str,
    },
    /// Nested deeper than [`MAX_JSON_DEPTH`].
    TooDeep,
    /// An integer literal of more than [`MAX_INT_DIGITS`] digits.
    IntTooLong,
}

/// How many fields are tried before a key is looked up.
const EXPECTED_KEYS: usize = 3;

const EXPECTING_VALUE: &str = "Expecting value";
const EXPECTING_COMMA: &str = "Expecting ',' delimiter";
const EXPECTING_COLON: &str = "Expecting ':' delimiter";
const EXPECTING_KEY: &str = "Expecting property name enclosed in double quotes";
const EXTRA_DATA: &str = "Extra data";
const UNTERMINATED: &str = "Unterminated string starting at";
const CONTROL: &str = "Invalid control character at";
const BAD_ESCAPE: &str = "Invalid \\escape";
const BAD_UNICODE_ESCAPE: &str = "Invalid \\uXXXX escape";

/// One value, taken apart as far as is needed.
#[allow(
    clippy::large_enum_variant,
    reason = "lives on the stack for the length of one parse"
)]
#[derive(Debug)]
pub(crate) enum Top<'a, const N: usize> {
    /// An object: the last value of each field asked for.
    Object {
        /// The values, in the order of the fields.
        values: [Option<Raw<'a>>; N],
        /// The object, braces included.
        span: &'a str,
    },
    /// Anything else.
    Other(Raw<'a>),
}

/// Reads a whole text, and picks `fields` if it is an object. Other members are checked and dropped.
pub(crate) fn read<'a, const N: usize>(text: &'a str, fields: &[&str; N]) -> Result<Top<'a, N>, JsonError> {
    let mut reader = Reader::new(text);
    let top = reader.top(fields, 0)?;
    reader.finish()?;
    Ok(top)
}

/// A cursor over JSON text.
pub(crate) struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first character that is not white space.
    pub(crate) fn new(text: &'a str) -> Self {
        let mut reader = Reader {
            text,
            bytes: text.as_bytes(),
            at: 0,
        };
        reader.skip_space();
        reader
    }

    /// Steps into the object that starts here; false when it is something else.
    pub(crate) fn enter_object(&mut self) -> bool {
        let entered = self.peek() == Some(b'{');
        if entered {
            self.at += 1;
            self.skip_space();
        }
        entered
    }

    /// Steps into the array that starts here; false when it is something else.
    pub(crate) fn enter_array(&mut self) -> bool {
        let entered = self.peek() == Some(b'[');
        if entered {
            self.at += 1;
            self.skip_space();
        }
        entered
    }

    /// The value that starts here, with `fields` picked if it is an object; `depth` is how many containers are open
    /// around it. Of an object, other members are checked and dropped.
    pub(crate) fn top<const N: usize>(&mut self, fields: &[&str; N], depth: usize) -> Result<Top<'a, N>, JsonError> {
        let start = self.at;
        if !self.enter_object() {
            return Ok(Top::Other(self.value(depth)?));
        }
        let mut values = [None; N];
        let mut first = true;
        let mut next = 0;
        while self.another(first)? {
            first = false;
            let at = match self.expected_key(fields, next) {
                Some(at) => Some(at),
                None => {
                    let name = self.key()?.unescape().text;
                    fields.iter().position(|field| *field == name)
                }
            };
            let value = self.value(depth + 1)?;
            self.skip_space();
            if let Some(at) = at {
                values[at] = Some(value);
                next = at + 1;
            }
        }
        let span = self.slice(start, self.at);
        Ok(Top::Object { values, span })
    }

    /// Steps to the next element of the entered array; false after the last. `first` is true on the first call.
    pub(crate) fn element(&mut self, first: bool) -> Result<bool, JsonError> {
        self.skip_space();
        if first {
            let ended = self.peek() == Some(b']');
            self.at += usize::from(ended);
            Ok(!ended)
        } else {
            self.comma_or(b']')
        }
    }

    /// The next member of the entered object, `None` after the last. `first` is true on the first call; `depth` is how
    /// many containers are open around the value.
    pub(crate) fn member(&mut self, first: bool, depth: usize) -> Result<Option<(Text<'a>, Raw<'a>)>, JsonError> {
        if !self.another(first)? {
            return Ok(None);
        }
        let key = self.key()?;
        let value = self.value(depth)?;
        self.skip_space();
        Ok(Some((key, value)))
    }

    /// Steps to the next key of the entered object; false after the last member. `first` is true on the first call.
    #[inline]
    fn another(&mut self, first: bool) -> Result<bool, JsonError> {
        if !first {
            return self.comma_or(b'}');
        }
        let ended = self.peek() == Some(b'}');
        self.at += usize::from(ended);
        Ok(!ended)
    }

    /// Steps over the key that starts here, its colon and the space behind, if it is one of the `fields` from `next` on, as it is
    /// mostly written. Clients send the fields in the same order and leave some out, so few are tried.
    #[inline]
    fn expected_key<const N: usize>(&mut self, fields: &[&str; N], next: usize) -> Option<usize> {
        let key = self.bytes.get(self.at..)?.strip_prefix(b"\"")?;
        let tried = fields.get(next..)?.iter().take(EXPECTED_KEYS);
        let is_here = |field: &&str| matches!(key.strip_prefix(field.as_bytes()), Some([b'"', b':', ..]));
        let at = next + tried.copied().position(|field| is_here(&field))?;
        self.at += fields.get(at)?.len() + "\"\":".len();
        self.skip_space();
        Some(at)
    }

    /// Checks that only white space is left.
    pub(crate) fn finish(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            self.fail(self.at, EXTRA_DATA)
        }
    }

    /// The value that starts here; `depth` is how many containers are open around it.
    #[inline]
    pub(crate) fn value(&mut self, depth: usize) -> Result<Raw<'a>, JsonError> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => Ok(Raw::Text(self.string()?)),
            Some(open @ (b'{' | b'[')) => {
                self.skip_container(depth)?;
                let span = self.slice(start, self.at);
                Ok(if open == b'{' {
                    Raw::Object(span)
                } else {
                    Raw::Array(span)
                })
            }
            _ => self.scalar(),
        }
    }

    /// A literal, a constant or a number.
    fn scalar(&mut self) -> Result<Raw<'a>, JsonError> {
        let (word, value) = match self.peek() {
            Some(b'n') => ("null", Raw::Null),
            Some(b't') => ("true", Raw::Bool(true)),
            Some(b'f') => ("false", Raw::Bool(false)),
            Some(b'N') => ("NaN", Raw::NotFinite(f64::NAN)),
            Some(b'I') => ("Infinity", Raw::NotFinite(f64::INFINITY)),
            Some(b'-') if self.bytes.get(self.at + 1) == Some(&b'I') => {
                ("-Infinity", Raw::NotFinite(f64::NEG_INFINITY))
            }
            _ => return self.number(),
        };
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else {
            self.fail(self.at, EXPECTING_VALUE)
        }
    }

    fn number(&mut self) -> Result<Raw<'a>, JsonError> {
        let start = self.at;
        let mut at = start + usize::from(self.peek() == Some(b'-'));
        let first_digit = at;
        match self.bytes.get(at) {
            Some(b'0') => at += 1,
            Some(b'1'..=b'9') => at = self.digits(at),
            _ => return self.fail(start, EXPECTING_VALUE),
        }
        let int_end = at;
        if self.bytes.get(at) == Some(&b'.') && self.bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
            at = self.digits(at + 1);
        }
        if matches!(self.bytes.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.bytes.get(at + 1), Some(b'+' | b'-')));
            let end = self.digits(at + 1 + sign);
            if end > at + 1 + sign {
                at = end;
            }
        }
        self.at = at;
        let text = self.slice(start, at);
        if at > int_end {
            Ok(Raw::Float(text))
        } else if int_end - first_digit > MAX_INT_DIGITS {
            Err(JsonError::IntTooLong)
        } else {
            Ok(Raw::Int(text))
        }
    }

    #[inline]
    fn digits(&self, mut at: usize) -> usize {
        while self.bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    }

    /// The string whose opening quote is here.
    #[inline]
    fn string(&mut self) -> Result<Text<'a>, JsonError> {
        let quote = self.at;
        let mut at = quote + 1;
        let mut escaped = false;
        loop {
            at = plain_end(self.bytes, at);
            match self.bytes.get(at) {
                None => return self.fail(quote, UNTERMINATED),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at = self.escape(quote, at)?;
                }
                Some(_) => return self.fail(at, CONTROL),
            }
        }
        self.at = at + 1;
        Ok(Text {
            raw: self.slice(quote + 1, at),
            escaped,
        })
    }

    /// The offset after the escape that starts at `at`.
    fn escape(&self, quote: usize, at: usize) -> Result<usize, JsonError> {
        match self.bytes.get(at + 1) {
            None => self.fail(quote, UNTERMINATED),
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => {
                // CPython wants a character after the four digits before it looks at them.
                let digits = self.bytes.get(at + 2..at + 6).filter(|_| at + 6 < self.bytes.len());
                if digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    Ok(at + 6)
                } else {
                    self.fail(at + 1, BAD_UNICODE_ESCAPE)
                }
            }
            Some(_) => self.fail(at, BAD_ESCAPE),
        }
    }

    /// A key, its colon and the space around it.
    fn key(&mut self) -> Result<Text<'a>, JsonError> {
        if self.peek() != Some(b'"') {
            return self.fail(self.at, EXPECTING_KEY);
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return self.fail(self.at, EXPECTING_COLON);
        }
        self.at += 1;
        self.skip_space();
        Ok(key)
    }

    /// After a value in a container: true when another follows, false when `close` ended it.
    #[inline]
    fn comma_or(&mut self, close: u8) -> Result<bool, JsonError> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            Some(found) if found == close => {
                self.at += 1;
                Ok(false)
            }
            _ => self.fail(self.at, EXPECTING_COMMA),
        }
    }

    /// Checks the container that starts here and steps over it.
    fn skip_container(&mut self, depth: usize) -> Result<(), JsonError> {
        // The closing bracket of each container that is open.
        let mut open: Vec<u8> = Vec::new();
        loop {
            // Here stands a value.
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    if depth + open.len() >= MAX_JSON_DEPTH {
                        return Err(JsonError::TooDeep);
                    }
                    let close = if bracket == b'{' { b'}' } else { b']' };
                    self.at += 1;
                    self.skip_space();
                    open.push(close);
                    if self.peek() != Some(close) {
                        if close == b'}' {
                            self.key()?;
                        }
                        continue;
                    }
                    self.at += 1;
                    open.pop();
                }
                Some(b'"') => {
                    self.string()?;
                }
                _ => {
                    self.scalar()?;
                }
            }
            // A value has just ended: close what ends with it.
            loop {
                let Some(&close) = open.last() else { return Ok(()) };
                self.skip_space();
                if self.comma_or(close)? {
                    if close == b'}' {
                        self.key()?;
                    }
                    break;
                }
                open.pop();
            }
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    #[inline]
    fn slice(&self, start: usize, end: usize) -> &'a str {
        // Both ends stand at an ASCII character, so the slice exists.
        self.text.get(start..end).unwrap_or_default()
    }

    fn fail<T>(&self, at: usize, error: &'static str) -> Result<T, JsonError> {
        Err(JsonError::Syntax { at, error })
    }
}

#[cfg(test)]
mod tests;
