//! Resolving escapes, and writing a value back for an error message.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Raw, Unescaped};
use crate::limits::{ECHO_CUT_BYTES, MAX_ECHO_BYTES, MAX_ECHO_DEPTH};

/// What a lone surrogate becomes: CPython writes it as three bytes that are not UTF-8, and each is replaced.
const REPLACED_SURROGATE: &str = "\u{FFFD}\u{FFFD}\u{FFFD}";

/// Resolves the escapes of a well-formed string.
pub(super) fn unescape(raw: &str) -> Unescaped<'_> {
    let mut text = String::with_capacity(raw.len());
    let mut lone_surrogate = false;
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let mut chars = after.chars();
        match chars.next() {
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some('u') => {
                let (unit, after) = hex4(chars.as_str());
                let (character, after) = match unit {
                    0xD800..=0xDBFF => match after.strip_prefix("\\u").map(hex4) {
                        Some((low @ 0xDC00..=0xDFFF, after)) => (
                            char::from_u32(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)),
                            after,
                        ),
                        _ => (None, after),
                    },
                    _ => (char::from_u32(unit), after),
                };
                match character {
                    Some(character) => text.push(character),
                    None => {
                        lone_surrogate = true;
                        text.push_str(REPLACED_SURROGATE);
                    }
                }
                rest = after;
                continue;
            }
            Some(other) => text.push(other),
            None => {}
        }
        rest = chars.as_str();
    }
    text.push_str(rest);
    Unescaped {
        text: Cow::Owned(text),
        lone_surrogate,
    }
}

/// Four hexadecimal digits and what follows them.
fn hex4(text: &str) -> (u32, &str) {
    let (digits, rest) = text.split_at_checked(4).unwrap_or((text, ""));
    (u32::from_str_radix(digits, 16).unwrap_or(0xFFFD), rest)
}

/// A value as JSON that any reader accepts, for the `input` of an issue: what JSON has no form for (`NaN`, an overflowing
/// number) stands as a string, a lone surrogate as U+FFFD, and a value too long or too deep as the beginning of its text.
pub(crate) fn echo(value: Raw<'_>) -> Box<RawValue> {
    let shown = match value {
        Raw::Null => Cow::Borrowed("null"),
        Raw::Bool(true) => Cow::Borrowed("true"),
        Raw::Bool(false) => Cow::Borrowed("false"),
        Raw::NotFinite(value) => Cow::Borrowed(not_finite_name(value)),
        Raw::Int(text) | Raw::Float(text) | Raw::Array(text) | Raw::Object(text) => Cow::Borrowed(text),
        Raw::Text(text) => text.unescape().text,
    };
    let whole = if shown.len() > MAX_ECHO_BYTES {
        None
    } else {
        match value {
            Raw::Null | Raw::Bool(_) => Some(shown.clone().into_owned()),
            Raw::NotFinite(_) | Raw::Text(_) => Some(quote(&shown)),
            Raw::Int(_) | Raw::Float(_) => Some(number(&shown)),
            Raw::Array(_) | Raw::Object(_) => container(&shown),
        }
    };
    // Escapes may have made it longer.
    let json = match whole {
        Some(json) if json.len() <= MAX_ECHO_BYTES => json,
        _ => quote(&cut(&shown, ECHO_CUT_BYTES)),
    };
    RawValue::from_string(json).unwrap_or_default()
}

/// At most `bytes` bytes of a text, an ellipsis behind them if something is missing.
pub(crate) fn cut(text: &str, bytes: usize) -> Cow<'_, str> {
    if text.len() <= bytes {
        return Cow::Borrowed(text);
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default()))
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn not_finite_name(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

fn number(text: &str) -> String {
    let finite = text.parse::<f64>().is_ok_and(f64::is_finite);
    if finite {
        text.to_owned()
    } else {
        quote(&cut(text, ECHO_CUT_BYTES))
    }
}

/// `None` when it nests too deep.
fn container(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let inside = string_length(rest);
                let raw = rest.get(1..inside + 1).unwrap_or_default();
                out.push_str(&if raw.contains('\\') {
                    quote(&unescape(raw).text)
                } else {
                    format!("\"{raw}\"")
                });
                inside + 2
            }
            'N' | 'I' | '-' | '0'..='9' => {
                let end = rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(rest.len());
                out.push_str(&number(rest.get(..end).unwrap_or_default()));
                end
            }
            _ => {
                match first {
                    '[' | '{' => depth += 1,
                    ']' | '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if depth > MAX_ECHO_DEPTH {
                    return None;
                }
                out.push(first);
                first.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    Some(out)
}

/// Bytes between the opening quote at the start of `text` and its closing quote.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at - 1,
            _ => {}
        }
    }
    text.len().saturating_sub(1)
}
