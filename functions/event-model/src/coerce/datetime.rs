//! The event's time: ISO 8601 as pydantic reads it (its parser is speedate), or seconds or milliseconds since 1970.
//! What comes out is whole seconds; a time without an offset is UTC.

use crate::calendar;
use crate::issue::{Bound, Reason};
use crate::json::Raw;
use crate::limits::MAX_DT_SECONDS;

/// Up to this absolute value a number is seconds, above it milliseconds.
const MILLISECONDS_ABOVE: i64 = 20_000_000_000;
/// 0000-01-01T00:00:00Z.
const FIRST_SECOND: i64 = -62_167_219_200;
/// 0001-01-01T00:00:00Z, where Python's calendar begins.
const FIRST_PYTHON_SECOND: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z.
const LAST_SECOND: i64 = 253_402_300_799;

const TOO_SMALL: &str = "dates before 0000 are not supported as unix timestamps";
const TOO_LARGE: &str = "dates after 9999 are not supported as unix timestamps";
const YEAR_ZERO: &str = "year 0 is out of range";
const TOO_SHORT: &str = "input is too short";
const EXTRA: &str = "unexpected extra characters at the end of the input";

/// The instant, in seconds since 1970.
pub(crate) fn datetime(value: Raw<'_>) -> Result<u32, Reason> {
    let parsing = |error| Reason::DatetimeParsing { error };
    let seconds = match value {
        Raw::Text(text) => from_text(text.unescape().text.as_bytes())?,
        Raw::Int(text) => match text.parse() {
            Ok(number) => from_number(number, 0).map_err(parsing)?,
            Err(_) => from_float(text.parse().unwrap_or(f64::NAN)).map_err(parsing)?,
        },
        Raw::Float(text) => from_float(text.parse().unwrap_or(f64::NAN)).map_err(parsing)?,
        Raw::NotFinite(value) => from_float(value).map_err(parsing)?,
        Raw::Null | Raw::Bool(_) | Raw::Array(_) | Raw::Object(_) => return Err(Reason::DatetimeType),
    };
    if seconds < 0 {
        Err(Reason::GreaterThanEqual(Bound::Time("1970-01-01T00:00:00Z")))
    } else if seconds > MAX_DT_SECONDS {
        Err(Reason::LessThanEqual(Bound::Time("2106-02-07T06:28:15Z")))
    } else {
        Ok(seconds as u32)
    }
}

/// A number that is seconds or milliseconds, and microseconds on top.
fn from_number(number: i64, microseconds: i64) -> Result<i64, &'static str> {
    let (seconds, extra) = if number.checked_abs().ok_or(TOO_SMALL)? > MILLISECONDS_ABOVE {
        (number.div_euclid(1000), number.rem_euclid(1000) * 1000)
    } else {
        (number, 0)
    };
    let seconds = seconds + (extra + microseconds) / 1_000_000;
    match seconds {
        ..FIRST_SECOND => Err(TOO_SMALL),
        FIRST_SECOND..FIRST_PYTHON_SECOND => Err(YEAR_ZERO),
        FIRST_PYTHON_SECOND..=LAST_SECOND => Ok(seconds),
        _ => Err(TOO_LARGE),
    }
}

fn from_float(number: f64) -> Result<i64, &'static str> {
    if number.is_nan() {
        return Err("NaN values not permitted");
    }
    let microseconds = if number.is_finite() {
        (number.fract().abs() * 1e6).round()
    } else {
        0.0
    };
    from_number(number.floor() as i64, microseconds as i64)
}

/// `YYYY-MM-DDTHH:MM:SSZ`, as most write it; `None` for another form and for what is wrong.
fn usual(text: &[u8]) -> Option<i64> {
    let text: &[u8; 20] = text.try_into().ok()?;
    let [
        _,
        _,
        _,
        _,
        b'-',
        _,
        _,
        b'-',
        _,
        _,
        b'T',
        _,
        _,
        b':',
        _,
        _,
        b':',
        _,
        _,
        b'Z',
    ] = text
    else {
        return None;
    };
    // What is no digit becomes a number that is none of two digits.
    let mut wrong = false;
    let mut two = |at: usize| {
        let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
        wrong |= tens > 9 || ones > 9;
        i64::from(tens) * 10 + i64::from(ones)
    };
    let (century, year_of_century, month, day) = (two(0), two(2), two(5), two(8));
    let (hour, minute, second) = (two(11), two(14), two(17));
    let year = century * 100 + year_of_century;
    let is_date = year > 0 && (1..=12).contains(&month) && day >= 1 && day <= calendar::days_in_month(year, month);
    let is_time = hour < 24 && minute < 60 && second < 60;
    (!wrong && is_date && is_time)
        .then(|| calendar::days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn from_text(text: &[u8]) -> Result<i64, Reason> {
    if let Some(seconds) = usual(text) {
        return Ok(seconds);
    }
    if let Some(seconds) = iso(text) {
        if text.starts_with(b"0000") {
            return Err(Reason::DatetimeParsing { error: YEAR_ZERO });
        }
        return Ok(seconds);
    }
    match numeric(text) {
        Some(Ok(seconds)) => return Ok(seconds),
        Some(Err(error)) => return Err(Reason::DatetimeFromDateParsing { error }),
        None => {}
    }
    let from_date = |error| Reason::DatetimeFromDateParsing { error };
    let day = date(text).map_err(from_date)?;
    if text.len() > 10 {
        Err(from_date(EXTRA))
    } else {
        Ok(day * 86_400)
    }
}

/// A string that is a number: an optional sign, digits, and perhaps a point and more digits.
fn numeric(text: &[u8]) -> Option<Result<i64, &'static str>> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    if whole.is_empty()
        || !whole
            .bytes()
            .chain(fraction.unwrap_or_default().bytes())
            .all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let magnitude: i64 = whole.parse().ok()?;
    let negative = text.starts_with('-');
    let Some(fraction) = fraction else {
        return Some(from_number(if negative { -magnitude } else { magnitude }, 0));
    };
    // Added up digit by digit, as there: the last bits of the sum decide which second it rounds to.
    let mut number = magnitude as f64;
    let mut place = 10.0;
    for digit in fraction.bytes() {
        number += f64::from(digit - b'0') / place;
        place *= 10.0;
    }
    let number = if negative { -number } else { number };
    let number = if number.abs() > MILLISECONDS_ABOVE as f64 {
        number / 1000.0
    } else {
        number
    };
    let seconds = number.floor();
    let microseconds = ((number - seconds) * 1e6).round();
    // When it is out of range, what is reported is that it is no date either.
    from_number(seconds as i64, microseconds as i64).ok().map(Ok)
}

/// `YYYY-MM-DD`, a separator, a time.
fn iso(text: &[u8]) -> Option<i64> {
    let day = date(text).ok()?;
    match text.get(10)? {
        b'T' | b't' | b' ' | b'_' => Some(day * 86_400 + time(&text[11..])?),
        _ => None,
    }
}

/// The date in the first ten bytes, as days since 1970.
fn date(text: &[u8]) -> Result<i64, &'static str> {
    if text.len() < 10 {
        return Err(TOO_SHORT);
    }
    let year = number(text, 0, 4).ok_or("invalid character in year")?;
    if text[4] != b'-' {
        return Err("invalid date separator, expected `-`");
    }
    let month = number(text, 5, 2).ok_or("invalid character in month")?;
    if text[7] != b'-' {
        return Err("invalid date separator, expected `-`");
    }
    let day = number(text, 8, 2).ok_or("invalid character in day")?;
    if !(1..=12).contains(&month) {
        return Err("month value is outside expected range of 1-12");
    }
    if day < 1 || day > calendar::days_in_month(year, month) {
        return Err("day value is outside expected range");
    }
    Ok(calendar::days_from_civil(year, month, day))
}

/// `HH:MM[:SS[.f…]]` and an offset, as seconds from midnight UTC (of the day before or after, perhaps). Why a time is
/// wrong is not said: pydantic tries a bare date next, and reports what was wrong with that.
fn time(text: &[u8]) -> Option<i64> {
    let hour = number(text, 0, 2).filter(|hour| *hour < 24)?;
    let minute = number(text, 3, 2).filter(|minute| *minute < 60)?;
    if text[2] != b':' {
        return None;
    }
    let mut at = 5;
    let mut second = 0;
    if text.get(at) == Some(&b':') {
        second = number(text, 6, 2).filter(|second| *second < 60)?;
        at = 8;
        if matches!(text.get(at), Some(b'.' | b',')) {
            let digits = text[at + 1..].iter().take_while(|digit| digit.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            at += 1 + digits;
        }
    }
    Some(hour * 3600 + minute * 60 + second - offset(&text[at..])?)
}

/// Nothing, `Z`, or a sign and `HH:MM` or `HHMM`, as seconds east of UTC.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, text) = match text {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        // U+2212, the minus sign that ISO 8601 prefers.
        [0xE2, 0x88, 0x92, rest @ ..] => (-1, rest),
        _ => return None,
    };
    let hours = number(text, 0, 2).filter(|hours| *hours < 24)?;
    let minutes_at = if text.get(2) == Some(&b':') { 3 } else { 2 };
    let minutes = number(text, minutes_at, 2).filter(|minutes| *minutes < 60)?;
    (text.len() == minutes_at + 2).then_some(sign * (hours * 3600 + minutes * 60))
}

/// The number in `count` digits at `at`.
fn number(text: &[u8], at: usize, count: usize) -> Option<i64> {
    text.get(at..at + count)?.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Reader;

    /// As pydantic 2.11 reads them. A fraction of milliseconds counts as one of a second there, in a number but not in a
    /// string.
    #[test]
    fn numbers_and_strings_of_numbers() {
        for (text, expected) in [
            ("1872658154376.9878", Some(1_872_658_155)),
            ("\"1872658154376.9878\"", Some(1_872_658_154)),
            ("20000000001.5", Some(20_000_000)),
            ("0.9999999", Some(1)),
            ("\"0.9999999\"", Some(1)),
            ("\"1.\"", Some(1)),
            ("\"+7\"", Some(7)),
            ("\"845916898583379.7\"", Some(845_916_898)),
            ("\".5\"", None),
            ("\"1.5e3\"", None),
            ("\"1e3\"", None),
            ("\" 1\"", None),
            ("1e999", None),
            ("true", None),
        ] {
            let value = Reader::new(text).value(0).unwrap();
            assert_eq!(datetime(value).ok(), expected, "{text}");
        }
    }

    /// The short way says what the long way says, or nothing.
    #[track_caller]
    fn check_usual(text: &[u8]) {
        if let Some(seconds) = usual(text) {
            assert_eq!(
                (iso(text), text.starts_with(b"0000")),
                (Some(seconds), false),
                "{text:?}"
            );
        }
    }

    #[test]
    fn every_byte_of_the_usual_form() {
        for good in [
            "2024-05-17T10:20:30Z",
            "2000-02-29T23:59:59Z",
            "1970-01-01T00:00:00Z",
            "9999-12-31T09:09:09Z",
        ] {
            assert!(usual(good.as_bytes()).is_some());
            for at in 0..good.len() {
                for byte in 0..=255 {
                    let mut text = good.as_bytes().to_vec();
                    text[at] = byte;
                    check_usual(&text);
                    text.truncate(at);
                    check_usual(&text);
                }
            }
        }
        assert_eq!(usual(b"1900-02-29T00:00:00Z"), None);
        assert_eq!(usual(b"0000-01-01T00:00:00Z"), None);
    }

    proptest::proptest! {
        #[test]
        fn usual_forms(text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]Z") {
            check_usual(text.as_bytes());
            proptest::prop_assert_eq!(usual(text.as_bytes()).is_some(), iso(text.as_bytes()).is_some() && !text.starts_with("0000"));
        }
    }

    #[test]
    fn iso_forms() {
        for (text, expected) in [
            ("1970-01-02", Some(86_400)),
            ("1970-01-01T00:01", Some(60)),
            ("1970-01-01 00:01:01.9999999999Z", Some(61)),
            ("1970-01-01t01:00:00+0030", Some(1800)),
            ("1970-01-01_00:00:00\u{2212}01:00", Some(3600)),
            ("1970-01-01T00:00:00-23:59", Some(86_340)),
            ("1970-01-01T24:00", None),
            ("1970-01-01T00:00:60", None),
            ("1970-01-01T00:00:00.", None),
            ("1970-01-01T00:00:00-24:00", None),
            ("1970-01-01T00:00:00+03", None),
            ("1970-01-01T00:00:00ZZ", None),
            ("1970-1-01", None),
            ("1970-02-29", None),
            ("1970-01-01T", None),
        ] {
            assert_eq!(
                datetime(Raw::Text(crate::json::Text {
                    raw: text,
                    escaped: false
                }))
                .ok(),
                expected,
                "{text}"
            );
        }
    }
}
