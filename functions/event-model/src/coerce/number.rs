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
    let (minus, digits) = match trimmed.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let digits = without_leading_zeros(digits).ok_or(Reason::IntParsing)?;
    let digits = without_zero_fraction(digits);
    let number = format!("{minus}{}", without_underscores(digits));
    if number.len() > MAX_INT_DIGITS || !is_plain_int(&number) {
        return Err(Reason::IntParsing);
    }
    int_text(&number)
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
        // A sign behind zeros counts, odd as it is: pydantic reads "0-0" as 0.
        Some(at) if matches!(digits.as_bytes()[at], b'0'..=b'9' | b'-') => digits.get(at..),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Reader;

    /// Values of a string, as pydantic 2.11 reads them.
    #[test]
    fn integers_in_strings() {
        for (text, expected) in [
            ("1", Ok(1)),
            ("+01", Ok(1)),
            ("1.000", Ok(1)),
            (" \u{a0}1_000\t", Ok(1000)),
            ("0_0", Ok(0)),
            ("-0", Ok(0)),
            ("0-0", Ok(0)),
            ("18446744073709551615", Ok(u64::MAX)),
            ("18446744073709551616", Err(FITS_U64)),
            ("-1", Err(NOT_NEGATIVE_INT)),
            ("0-1", Err(NOT_NEGATIVE_INT)),
            ("+-1", Err(Reason::IntParsing)),
            ("--1", Err(Reason::IntParsing)),
            ("1.", Err(Reason::IntParsing)),
            (".0", Err(Reason::IntParsing)),
            ("1.5", Err(Reason::IntParsing)),
            ("1e3", Err(Reason::IntParsing)),
            ("1__0", Err(Reason::IntParsing)),
            ("_1", Err(Reason::IntParsing)),
            ("0_", Err(Reason::IntParsing)),
            ("\u{661}", Err(Reason::IntParsing)),
            ("", Err(Reason::IntParsing)),
        ] {
            assert_eq!(int_string(text), expected, "{text:?}");
        }
        assert_eq!(int_string(&"1".repeat(4301)), Err(Reason::IntParsingSize));
        assert_eq!(int_string(&"0".repeat(9999)), Ok(0));
    }

    #[test]
    fn numbers() {
        let read = |text| Reader::new(text).value(0).unwrap();
        for (text, int, float) in [
            ("1e3", Ok(1000), Ok(1000.0)),
            ("-0.0", Ok(0), Ok(-0.0)),
            ("true", Ok(1), Ok(1.0)),
            ("1.5", Err(Reason::IntFromFloat), Ok(1.5)),
            ("9.3e18", Err(Reason::IntParsingSize), Ok(9.3e18)),
            ("NaN", Err(Reason::FiniteNumber), Err(NOT_NEGATIVE)),
            ("1e999", Err(Reason::FiniteNumber), Err(Reason::FiniteNumber)),
            ("-1", Err(NOT_NEGATIVE_INT), Err(NOT_NEGATIVE)),
            ("null", Err(Reason::IntType), Err(Reason::FloatType)),
            ("\" 1_000.5 \"", Err(Reason::IntParsing), Err(Reason::FloatParsing)),
            ("\"1_000.5\"", Err(Reason::IntParsing), Ok(1000.5)),
            ("\"-inf\"", Err(Reason::IntParsing), Err(NOT_NEGATIVE)),
        ] {
            assert_eq!(unsigned(read(text)), int, "{text}");
            assert_eq!(amount(read(text)), float, "{text}");
        }
        assert_eq!(amount(Raw::Int(&"9".repeat(400))), Err(Reason::FloatType));
    }
}
