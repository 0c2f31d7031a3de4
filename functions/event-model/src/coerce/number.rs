//! Integers and amounts.

use std::borrow::Cow;

use crate::issue::{Bound, Reason};
use crate::json::Raw;
use crate::limits::MAX_INT_DIGITS;

const NOT_NEGATIVE_INT: Reason = Reason::GreaterThanEqual(Bound::Int(0));
const NOT_NEGATIVE: Reason = Reason::GreaterThanEqual(Bound::Float(0.0));
const FITS_U64: Reason = Reason::LessThanEqual(Bound::Int(u64::MAX));

/// A whole number from 0 to 2^64-1.
pub(crate) fn unsigned(value: Raw<'_>) -> Result<u64, Reason> {
    match value {
        Raw::Int(text) => int_text(text),
        Raw::Bool(value) => Ok(u64::from(value)),
        Raw::Float(text) => int_float(text.parse().unwrap_or(f64::NAN)),
        Raw::NotFinite(value) => int_float(value),
        Raw::Text(text) => int_string(&text.unescape().text),
        Raw::Null | Raw::Array(_) | Raw::Object(_) => Err(Reason::IntType),
    }
}

/// Digits, a minus sign perhaps before them.
fn int_text(text: &str) -> Result<u64, Reason> {
    match text.strip_prefix('-') {
        None => text.parse().map_err(|_| FITS_U64),
        Some(digits) if digits.bytes().all(|digit| digit == b'0') => Ok(0),
        Some(_) => Err(NOT_NEGATIVE_INT),
    }
}

fn int_float(value: f64) -> Result<u64, Reason> {
    const I64_LIMIT: f64 = i64::MAX as f64;
    if !value.is_finite() {
        Err(Reason::FiniteNumber)
    } else if value.fract() != 0.0 {
        Err(Reason::IntFromFloat)
    } else if value.abs() >= I64_LIMIT {
        Err(Reason::IntParsingSize)
    } else if value < 0.0 {
        Err(NOT_NEGATIVE_INT)
    } else {
        Ok(value as u64)
    }
}

/// A string of digits as Python's `int()` reads it, and pydantic on top: spaces around, a sign, leading zeros, single
/// underscores between digits, and `.000` behind.
fn int_string(text: &str) -> Result<u64, Reason> {
    if is_plain_int(text) {
        let digits = text.strip_prefix('-').unwrap_or(text);
        return if digits.len() > MAX_INT_DIGITS {
            Err(Reason::IntParsingSize)
        } else {
            int_text(text)
        };
    }
    let trimmed = text.trim();
    let unsigned = trimmed.strip_prefix('+').unwrap_or(trimmed);
    let (minus, digits) = match unsigned.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", unsigned),
    };
    let digits = without_leading_zeros(digits).ok_or(Reason::IntParsing)?;
    let digits = without_zero_fraction(digits);
    let digits = without_underscores(digits);
    if digits.len() > MAX_INT_DIGITS || digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(Reason::IntParsing);
    }
    int_text(&format!("{minus}{digits}"))
}

/// An integer as JSON writes it.
fn is_plain_int(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.bytes().all(|digit| digit.is_ascii_digit())
        && !digits.is_empty()
        && (digits == "0" || !digits.starts_with('0'))
}

/// Drops the zeros (and the underscores among them) before the first other digit; one zero stays if nothing else does.
fn without_leading_zeros(digits: &str) -> Option<&str> {
    if !digits.starts_with('0') {
        return digits
            .starts_with(|first: char| first.is_ascii_digit())
            .then_some(digits);
    }
    match digits.find(|c| c != '0' && c != '_') {
        Some(at) if digits.as_bytes()[at].is_ascii_digit() => digits.get(at..),
        // The character before the point stays: a zero, or an underscore, which is refused later.
        Some(at) if digits.as_bytes()[at] == b'.' => digits.get(at - 1..),
        Some(_) => None,
        None => digits.get(digits.len() - 1..),
    }
}

fn without_zero_fraction(digits: &str) -> &str {
    match digits.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|zero| zero == b'0') => whole,
        _ => digits,
    }
}

fn without_underscores(digits: &str) -> Cow<'_, str> {
    if digits.starts_with('_') || digits.ends_with('_') || digits.contains("__") || !digits.contains('_') {
        Cow::Borrowed(digits)
    } else {
        Cow::Owned(digits.replace('_', ""))
    }
}

/// A finite number that is not negative.
pub(crate) fn amount(value: Raw<'_>) -> Result<f64, Reason> {
    let number = match value {
        Raw::Float(text) => text.parse().map_err(|_| Reason::FloatType)?,
        Raw::Int(text) => {
            // Python's int has no negative zero, and no float to become when it is too large.
            let number: f64 = text.parse().map_err(|_| Reason::FloatType)?;
            if !number.is_finite() {
                return Err(Reason::FloatType);
            }
            number + 0.0
        }
        Raw::Bool(value) => f64::from(u8::from(value)),
        Raw::NotFinite(value) => value,
        Raw::Text(text) => float_string(&text.unescape().text)?,
        Raw::Null | Raw::Array(_) | Raw::Object(_) => return Err(Reason::FloatType),
    };
    if number.is_nan() || number < 0.0 {
        Err(NOT_NEGATIVE)
    } else if number.is_infinite() {
        Err(Reason::FiniteNumber)
    } else {
        Ok(number)
    }
}

/// A number as Python's `float()` reads it: spaces around, or single underscores between digits.
fn float_string(text: &str) -> Result<f64, Reason> {
    if let Ok(number) = text.trim().parse() {
        return Ok(number);
    }
    without_underscores(text).parse().map_err(|_| Reason::FloatParsing)
}
