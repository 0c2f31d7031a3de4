//! Reading a line that has the form in which `Record::write_line` writes, byte for byte. Whatever has another, be it only an escape in a
//! string, is left to the reader of any JSON, which is asked next.

use std::borrow::Cow;

use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::{Row, is_request_id};
use crate::calendar;
use crate::json;
use crate::limits::MAX_REQUEST_ID_BYTES;

/// More pairs than these are not searched for a key that comes twice.
const MAX_PAIRS: usize = 16;

/// Up to here a number of digits is a float exactly, and so are the powers of ten: their quotient is rounded once.
const MAX_DIGITS: usize = 15;
const POWERS_OF_TEN: [f64; MAX_DIGITS + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

/// The row of the line. `None` says nothing about it.
pub(super) fn read(text: &str) -> Option<Row<'_>> {
    let mut line = Line {
        text,
        rest: text.as_bytes(),
    };
    line.skip(b"{\"event_id\":\"")?;
    // Of this length there is one form of a UUID.
    let event_id = Uuid::try_parse_ascii(line.take::<{ Hyphenated::LENGTH }>()?).ok()?;
    line.skip(b"\",\"received_at\":\"")?;
    let received_at = line.seconds()? * 1000 + line.milliseconds()?;
    line.skip(b"Z\",\"dt\":\"")?;
    let dt = u32::try_from(line.seconds()?).ok()?;
    line.skip(b"Z\",\"name\":\"")?;
    let name = line.string()?;
    line.skip(b",\"user_id\":")?;
    let user_id = line.unsigned()?;
    line.skip(b",\"url\":\"")?;
    let url = line.string()?;
    line.skip(b",\"obj\":\"")?;
    let obj = line.string()?;
    line.skip(b",\"obj_id\":\"")?;
    let obj_id = line.string()?;
    line.skip(b",\"product_id\":")?;
    let product_id = line.unsigned()?;
    line.skip(b",\"amount\":")?;
    let amount = line.amount()?;
    line.skip(b",\"exp\":{")?;
    let exp = line.pairs()?;
    let request_id = match line.skip(b",\"request_id\":\"") {
        Some(()) => line.request_id()?,
        None => "",
    };
    (line.rest == b"}").then_some(Row {
        dt,
        name: Cow::Borrowed(name),
        user_id,
        url: Cow::Borrowed(url),
        obj: Cow::Borrowed(obj),
        obj_id: Cow::Borrowed(obj_id),
        product_id,
        amount,
        exp,
        event_id,
        received_at,
        request_id: Cow::Borrowed(request_id),
    })
}

/// What is left of a line.
struct Line<'a> {
    text: &'a str,
    rest: &'a [u8],
}

impl<'a> Line<'a> {
    #[inline(always)]
    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    #[inline(always)]
    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(taken)
    }

    /// Steps over so many bytes, which are whole characters, and gives them.
    #[inline(always)]
    fn step(&mut self, count: usize) -> Option<&'a str> {
        let start = self.text.len() - self.rest.len();
        self.rest = self.rest.get(count..)?;
        self.text.get(start..start + count)
    }

    /// `YYYY-MM-DDTHH:MM:SS`, as seconds since 1970. Dates at which the readers of any date begin to differ are left to them.
    fn seconds(&mut self) -> Option<i64> {
        let text = self.take::<19>()?;
        let mut good = true;
        let mut digits = *text;
        for (byte, form) in digits.iter_mut().zip(b"0000-00-00T00:00:00") {
            // What is no digit here is to be the same character.
            *byte ^= form;
            good &= *byte <= if *form == b'0' { 9 } else { 0 };
        }
        let two = |at: usize| i64::from(digits[at]) * 10 + i64::from(digits[at + 1]);
        let (year, month, day) = (two(0) * 100 + two(2), two(5), two(8));
        let (hour, minute, second) = (two(11), two(14), two(17));
        let good = good
            && (1970..9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=calendar::days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        good.then(|| calendar::days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
    }

    /// A point and three digits.
    fn milliseconds(&mut self) -> Option<i64> {
        let [b'.', digits @ ..] = self.take::<4>()? else {
            return None;
        };
        digits.iter().try_fold(0, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
        })
    }

    /// The rest of a string whose opening quote is behind, without escapes.
    #[inline(always)]
    fn string(&mut self) -> Option<&'a str> {
        let string = self.step(json::plain_end(self.rest, 0))?;
        self.skip(b"\"")?;
        Some(string)
    }

    /// An integer that fits whatever its digits are.
    fn unsigned(&mut self) -> Option<u64> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (text, rest) = self.rest.split_at_checked(digits)?;
        if !(1..=19).contains(&digits) || (text[0] == b'0' && digits > 1) {
            return None;
        }
        self.rest = rest;
        Some(number(text))
    }

    /// A number with a point, and without an exponent.
    fn amount(&mut self) -> Option<f64> {
        let whole = self.unsigned()?;
        self.skip(b".")?;
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (text, rest) = self.rest.split_at_checked(digits)?;
        // Behind it stands what ends a number.
        if !(1..MAX_DIGITS).contains(&digits) || rest.first() != Some(&b',') {
            return None;
        }
        self.rest = rest;
        let shifted = whole
            .checked_mul(POWERS_OF_TEN[digits] as u64)?
            .checked_add(number(text))?;
        (shifted < 1_000_000_000_000_000).then(|| shifted as f64 / POWERS_OF_TEN[digits])
    }

    /// The rest of an object of strings, closing brace included.
    fn pairs(&mut self) -> Option<Vec<(Cow<'a, str>, Cow<'a, str>)>> {
        let mut pairs = Vec::new();
        if self.skip(b"}").is_some() {
            return Some(pairs);
        }
        loop {
            self.skip(b"\"")?;
            let key = Cow::Borrowed(self.string()?);
            self.skip(b":\"")?;
            let value = Cow::Borrowed(self.string()?);
            if pairs.len() == MAX_PAIRS || pairs.iter().any(|(known, _)| *known == key) {
                return None;
            }
            if pairs.is_empty() {
                // Most have one.
                pairs.reserve_exact(1);
            }
            pairs.push((key, value));
            match self.take()? {
                b"," => {}
                b"}" => return Some(pairs),
                _ => return None,
            }
        }
    }

    /// The rest of a string that is a request id of full length.
    fn request_id(&mut self) -> Option<&'a str> {
        let id = self.step(MAX_REQUEST_ID_BYTES).filter(|id| is_request_id(id))?;
        self.skip(b"\"")?;
        Some(id)
    }
}

/// The number of so many digits.
fn number(digits: &[u8]) -> u64 {
    digits
        .iter()
        .fold(0, |number, digit| number * 10 + u64::from(digit.wrapping_sub(b'0')))
}
