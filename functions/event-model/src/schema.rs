//! The JSON Schema of an event: what pydantic's lax mode takes besides the plain form of each field, and what becomes of it.
//!
//! The plain form stands first in each `anyOf`. Patterns are written in what ECMA-262, Python's `re` and Rust's `regex` have in
//! common: no look-around, no classes such as `\d` that differ between them.
//!
//! Some odd forms are accepted and do not appear, because a pattern cannot say them or nobody could read it;
//! [`Event::from_json`](crate::Event::from_json) is the truth for those. They are a time whose offset moves it over the first or last
//! day, hosts in Punycode and in most alphabets, most compressed IPv6, URLs that a browser would mend (`http:/host`), long
//! URLs beyond ASCII, amounts from 1e100 on in strings with several digits before the point, and underscores beside a point.
//! What is valid here and refused is an integer written with an exponent from 2^63 on: to a validator it is an integer.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use uuid::Uuid;

use crate::limits::{MAX_DT_SECONDS, MAX_URL_BYTES};

/// An event in its normal form, as an [`Event`](crate::Event) is written. It exists for its JSON Schema only.
#[derive(Debug, JsonSchema)]
pub struct NormalisedEvent {
    /// When it happened, in whole seconds, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub dt: String,
    /// What happened.
    pub name: String,
    /// Who did it.
    pub user_id: u64,
    /// The page it happened on, normalised as a browser does. That may make it longer than what may be posted.
    pub url: String,
    /// What kind of thing it happened to.
    pub obj: String,
    /// Which one.
    pub obj_id: String,
    /// The product; 0 for none.
    pub product_id: u64,
    /// Money; 0 for none.
    #[schemars(range(min = 0.0))]
    pub amount: f64,
    /// Experiment → variant.
    pub exp: BTreeMap<String, String>,
    /// The id, when the client gave one.
    #[schemars(with = "Uuid", skip_serializing_if = "Option::is_none")]
    pub event_id: Option<Uuid>,
}

/// Up to this a number is seconds, above it milliseconds.
const MILLISECONDS_FROM: u64 = 20_000_000_001;
/// The last second that can be stored.
const LAST_SECOND: u64 = MAX_DT_SECONDS as u64;
/// Spaces that are trimmed: Unicode's `White_Space`.
const SPACE: &str = r"[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*";

/// An instant.
pub(crate) fn dt(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [
            {
                "title": "ISO 8601",
                "description": "A date and a time with an offset, `Z`, or none (UTC), or a date alone (midnight). The \
                    separator may be `T`, a space or `_`; seconds may be left out.",
                "type": "string",
                "pattern": anchored(&[iso_8601()]),
                "examples": ["2024-05-17T10:20:30Z", "2024-05-17T13:20:30.125+03:00", "2024-05-17"],
            },
            {
                "title": "Seconds since 1970",
                "type": "number",
                "minimum": 0,
                // What rounds to the next second in microseconds is out of range.
                "maximum": LAST_SECOND as f64 + 0.999_999,
                "examples": [1_715_941_230],
            },
            {
                "title": "Milliseconds since 1970",
                "description": "Whole milliseconds.",
                "type": "integer",
                "minimum": MILLISECONDS_FROM,
                "maximum": LAST_SECOND * 1000 + 999,
                "examples": [1_715_941_230_125_u64],
            },
            {
                "title": "Milliseconds and their fraction",
                "type": "number",
                "minimum": MILLISECONDS_FROM,
                "maximum": LAST_SECOND * 1000,
            },
            {
                "title": "Seconds or milliseconds in a string",
                "type": "string",
                "pattern": anchored(&[epoch()]),
                "examples": ["1715941230", "1715941230125"],
            },
        ],
    })
}

/// An unsigned 64-bit integer.
pub(crate) fn unsigned(_: &mut SchemaGenerator) -> Schema {
    // Single underscores may stand between digits.
    let digits = range(1, u64::MAX, "_?");
    json_schema!({
        "anyOf": [
            { "type": "integer", "format": "uint64", "minimum": 0, "maximum": u64::MAX },
            {
                "title": "In a string",
                "description": "Digits, as Python's `int()` reads them, and zeros behind a point.",
                "type": "string",
                "pattern": anchored(&[
                    format!(r"{SPACE}(?:\+?(?:0[0_]*)?(?:{digits})|[+\-]?0(?:[0_]*0)?|\+?0[0_]*-0)(?:\.0+)?{SPACE}"),
                ]),
                "examples": ["42"],
            },
            { "title": "True is 1, false is 0", "type": "boolean" },
        ],
    })
}

/// A finite number that is not negative.
pub(crate) fn amount(_: &mut SchemaGenerator) -> Schema {
    // 200 digits and an exponent of two more stay below 1.8e308, as does one digit with an exponent up to 307.
    let exponent = r"(?:[eE](?:-[0-9]+|\+?0*[0-9]{1,2}))?";
    let scientific = r"[0-9](?:\.[0-9]*)?[eE]\+?0*(?:[12][0-9]{2}|30[0-7])";
    let number = format!(r"(?:(?:0*[0-9]{{1,200}}(?:\.[0-9]*)?|\.[0-9]+){exponent}|{scientific})");
    let grouped = format!(r"[0-9](?:_?[0-9]){{0,199}}(?:\.(?:[0-9](?:_?[0-9])*)?)?{exponent}");
    let zero = r"-(?:0+(?:\.0*)?|\.0+)(?:[eE][+\-]?[0-9]+)?";
    json_schema!({
        "anyOf": [
            { "type": "number", "format": "double", "minimum": 0, "maximum": f64::MAX },
            {
                "title": "In a string",
                "description": "As Python's `float()` reads it.",
                "type": "string",
                "pattern": anchored(&[format!(r"{SPACE}(?:\+?{number}|{zero}){SPACE}"), format!(r"\+?{grouped}")]),
                "examples": ["9.99"],
            },
            { "title": "True is 1, false is 0", "type": "boolean" },
        ],
    })
}

/// An http or https URL.
pub(crate) fn url(_: &mut SchemaGenerator) -> Schema {
    // A label of digits alone at the end would be an IPv4 address, and one with `--` may be bad Punycode.
    let host = |letters: &str| {
        let label = format!("[0-9{letters}]+(?:-[0-9{letters}]+)*");
        format!(r"(?:{label}\.)*[{letters}][0-9{letters}]*(?:-[0-9{letters}]+)*\.?")
    };
    let latin = host("A-Za-z_");
    // Alphabets of which any string is a name: no marks to combine, no other direction of writing.
    let international = host(r"A-Za-z_\u00df-\u00f6\u00f8-\u00ff\u0430-\u044f\u0451\u4e00-\u9fa5");
    let byte = range(0, 255, "");
    let group = "[0-9A-Fa-f]{1,4}";
    let ipv4 = format!(r"(?:(?:{byte})\.){{3}}(?:{byte})");
    let ipv6 = format!(r"\[(?:{group}(?::{group}){{7}}|::(?:{group}(?::{group}){{0,6}})?)\]");
    let start = "[Hh][Tt][Tt][Pp][Ss]?://(?:[!$-.0-;=A-Z_a-z~]*@)?";
    let port = format!("(?::(?:0*(?:{}))?)?", range(0, 65535, ""));
    json_schema!({
        "anyOf": [
            {
                "type": "string",
                "pattern": anchored(&[format!(r"{start}(?:{latin}|{ipv4}|{ipv6}){port}(?:[/?#][\u0000-\u007f]*)?")]),
                "maxLength": MAX_URL_BYTES,
                "examples": ["https://shop.example/catalog/product/1"],
            },
            {
                "title": "With characters beyond ASCII",
                "description": format!(
                    "Up to {MAX_URL_BYTES} bytes of UTF-8, however many characters that is. Hosts in all alphabets are accepted, in \
                     Punycode (`xn--`) as well; the pattern tells of a few."
                ),
                "type": "string",
                "pattern": format!("^{start}(?:{international}|{ipv4}|{ipv6}){port}[/?#]"),
                "maxLength": MAX_URL_BYTES / 4,
            },
        ],
    })
}

/// A UUID, or null for none.
pub(crate) fn event_id(_: &mut SchemaGenerator) -> Schema {
    let hex = "[0-9A-Fa-f]";
    let plain = format!("{hex}{{8}}(?:-{hex}{{4}}){{3}}-{hex}{{12}}");
    json_schema!({
        "anyOf": [
            { "type": "string", "format": "uuid", "pattern": anchored(std::slice::from_ref(&plain)) },
            {
                "title": "Other forms",
                "description": "Without hyphens, in braces, or as a URN.",
                "type": "string",
                "pattern": anchored(&[
                    format!("{hex}{{32}}"),
                    format!(r"\{{{plain}\}}"),
                    format!("[Uu][Rr][Nn]:[Uu][Uu][Ii][Dd]:{plain}"),
                ]),
            },
            { "type": "null" },
        ],
    })
}

/// ISO 8601 in the forms that are read, within the days that can be stored. On the first and on the last two days an offset
/// could move the time out of range, so only the harmless ones are let through there.
fn iso_8601() -> String {
    let rest_of_year = "(?:0[3578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)\
                        |02-(?:0[1-9]|1[0-9]|2[0-8])";
    let leap_years = "19(?:7[26]|8[048]|9[26])|20(?:[02468][048]|[13579][26])|2104";
    let days = format!(
        "(?:197[1-9]|19[89][0-9]|20[0-9]{{2}}|210[0-5])-(?:01-(?:0[1-9]|[12][0-9]|3[01])|{rest_of_year})\
         |(?:{leap_years})-02-29|1970-(?:01-(?:0[2-9]|[12][0-9]|3[01])|{rest_of_year})\
         |2106-(?:01-(?:0[1-9]|[12][0-9]|3[01])|02-0[1-5])"
    );
    let seconds = "(?::[0-5][0-9](?:[.,][0-9]+)?)?";
    let time = format!("[Tt _](?:[01][0-9]|2[0-3]):[0-5][0-9]{seconds}");
    let last_time = format!(
        "[Tt _](?:0[0-5]:[0-5][0-9]{seconds}|06:(?:[01][0-9]|2[0-7]){seconds}|06:28(?::(?:0[0-9]|1[0-5])(?:[.,][0-9]+)?)?)"
    );
    let offset = "(?:[01][0-9]|2[0-3]):?[0-5][0-9]";
    format!(
        r"(?:{days})(?:{time}(?:[Zz]|[+\-\u2212]{offset})?)?|1970-01-01(?:{time}(?:[Zz]|[\-\u2212]{offset}|\+00:?00)?)?|2106-02-(?:06(?:{time}(?:[Zz]|\+{offset})?)?|07(?:{last_time}(?:[Zz]|\+{offset})?)?)"
    )
}

/// Seconds or milliseconds in digits, with a sign and a fraction perhaps.
fn epoch() -> String {
    let seconds = range(0, LAST_SECOND - 1, "");
    let milliseconds = range(MILLISECONDS_FROM, LAST_SECOND * 1000 - 1, "");
    let last_milliseconds = range(LAST_SECOND * 1000, LAST_SECOND * 1000 + 999, "");
    format!(
        r"\+?0*(?:(?:{seconds}|{milliseconds})(?:\.[0-9]*)?|{LAST_SECOND}(?:\.(?:[0-8][0-9]*)?)?|(?:{last_milliseconds})(?:\.0*)?)|-0+(?:\.0*)?"
    )
}

/// A pattern that the whole of a string matches.
fn anchored(alternatives: &[String]) -> String {
    format!("^(?:{})$", alternatives.join("|"))
}

/// A pattern of the whole numbers from `low` to `high` in decimal, without leading zeros, `between` between any two digits.
/// Alternatives without a group around them.
fn range(low: u64, high: u64, between: &str) -> String {
    let digits = |number: u64| number.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut parts = Vec::new();
    // The lengths of which every number is in.
    let mut whole: Option<(usize, usize)> = None;
    for count in digits(low)..=digits(high) {
        let first = 10_u64.pow(count as u32 - 1);
        let last = "9".repeat(count);
        let (from, to) = (
            low.max(if count == 1 { 0 } else { first }),
            last.parse().unwrap_or(u64::MAX).min(high),
        );
        if from == first && to.to_string() == last {
            whole = Some((whole.map_or(count, |(least, _)| least), count));
        } else {
            parts.push(same_length(&from.to_string(), &to.to_string(), between));
        }
    }
    if let Some((least, most)) = whole {
        // First, because it is what people look for.
        parts.insert(0, format!("[1-9]{}", any_digits(least - 1, most - 1, between)));
    }
    parts.join("|")
}

/// The numbers between two of as many digits.
fn same_length(low: &str, high: &str, between: &str) -> String {
    let (Some((low_head, low_rest)), Some((high_head, high_rest))) =
        (low.split_at_checked(1), high.split_at_checked(1))
    else {
        return String::new();
    };
    let rest = low_rest.len();
    if low_head == high_head && rest > 0 {
        let tail = same_length(low_rest, high_rest, between);
        return match tail.contains('|') {
            true => format!("{low_head}{between}(?:{tail})"),
            false => format!("{low_head}{between}{tail}"),
        };
    }
    // Between the first digits every rest goes; behind them perhaps not.
    let mut parts = Vec::new();
    let (mut from, mut to) = (low_head.as_bytes()[0], high_head.as_bytes()[0]);
    if low_rest.bytes().any(|digit| digit != b'0') {
        parts.push(same_length(low, &format!("{low_head}{}", "9".repeat(rest)), between));
        from += 1;
    }
    let last = high_rest.bytes().any(|digit| digit != b'9');
    if last {
        to -= 1;
    }
    if from <= to {
        let (from, to) = (char::from(from), char::from(to));
        let class = if from == to {
            from.to_string()
        } else {
            format!("[{from}-{to}]")
        };
        parts.push(class + &any_digits(rest, rest, between));
    }
    if last {
        parts.push(same_length(&format!("{high_head}{}", "0".repeat(rest)), high, between));
    }
    parts.join("|")
}

/// From `least` to `most` digits, `between` before each.
fn any_digits(least: usize, most: usize, between: &str) -> String {
    let digit = if between.is_empty() {
        "[0-9]".to_owned()
    } else {
        format!("(?:{between}[0-9])")
    };
    match (least, most) {
        (_, 0) => String::new(),
        (1, 1) => format!("{between}[0-9]"),
        (least, most) if least == most => format!("{digit}{{{least}}}"),
        (least, most) => format!("{digit}{{{least},{most}}}"),
    }
}

#[cfg(test)]
mod tests;
