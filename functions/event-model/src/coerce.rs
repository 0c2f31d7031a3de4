//! From a JSON value to the type of a field, by the rules of pydantic v2's lax mode
//! (<https://docs.pydantic.dev/latest/concepts/conversion_table/>).

pub(crate) mod datetime;
pub(crate) mod number;
mod url;

use std::borrow::Cow;
use std::collections::HashMap;

use uuid::Uuid;

use crate::issue::Reason;
use crate::json::{Raw, Reader, Text};

pub(crate) use self::datetime::datetime;
pub(crate) use self::number::{amount, unsigned};
pub(crate) use self::url::url;

/// Any string, kept as it is.
#[inline]
pub(crate) fn string(value: Raw<'_>) -> Result<Cow<'_, str>, Reason> {
    match value {
        Raw::Text(text) => plain(text),
        _ => Err(Reason::StringType),
    }
}

/// The text of a string without lone surrogates.
#[inline]
fn plain(text: Text<'_>) -> Result<Cow<'_, str>, Reason> {
    let unescaped = text.unescape();
    if unescaped.lone_surrogate {
        Err(Reason::StringUnicode)
    } else {
        Ok(unescaped.text)
    }
}

/// A UUID in any form the `uuid` crate reads; null is none.
pub(crate) fn uuid(value: Raw<'_>) -> Result<Option<Uuid>, Reason> {
    match value {
        Raw::Null => Ok(None),
        Raw::Text(text) => match Uuid::try_parse(&text.unescape().text) {
            Ok(id) => Ok(Some(id)),
            Err(error) => Err(Reason::UuidParsing {
                error: error.to_string(),
            }),
        },
        _ => Err(Reason::UuidType),
    }
}

/// The pairs of an object, each key once (the last value wins, the first place stays), or `None` for null.
/// A lone surrogate in a key stands as U+FFFD.
pub(crate) fn pairs(value: Raw<'_>) -> Result<Vec<(Cow<'_, str>, Raw<'_>)>, Reason> {
    let text = match value {
        Raw::Null => return Ok(Vec::new()),
        Raw::Object(text) => text,
        _ => return Err(Reason::DictType),
    };
    let mut reader = Reader::new(text);
    reader.enter_object();
    let mut pairs: Vec<(Cow<'_, str>, Raw<'_>)> = Vec::new();
    // Only an object of many pairs needs one.
    let mut index: Option<HashMap<Cow<'_, str>, usize>> = None;
    // The text was checked when it was read the first time, so this ends at the closing brace.
    while let Ok(Some((key, value))) = reader.member(pairs.is_empty(), 1) {
        let key = key.unescape().text;
        if pairs.len() == LINEAR_SEARCH && index.is_none() {
            index = Some(
                pairs
                    .iter()
                    .enumerate()
                    .map(|(at, (key, _))| (key.clone(), at))
                    .collect(),
            );
        }
        let known = match &index {
            None => pairs.iter().position(|(known, _)| *known == key),
            Some(index) => index.get(&key).copied(),
        };
        match known {
            Some(at) => pairs[at].1 = value,
            None => {
                if let Some(index) = &mut index {
                    index.insert(key.clone(), pairs.len());
                }
                pairs.push((key, value));
            }
        }
    }
    Ok(pairs)
}

/// As [`pairs`], each value read by [`string`], for what is mostly sent: an object of a few strings. `None` for anything else, also for
/// what is wrong.
pub(crate) fn plain_pairs(value: Raw<'_>) -> Option<Vec<(Cow<'_, str>, Cow<'_, str>)>> {
    let Raw::Object(text) = value else { return None };
    let mut reader = Reader::new(text);
    reader.enter_object();
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    while let Ok(Some((key, value))) = reader.member(pairs.is_empty(), 1) {
        let key = key.unescape().text;
        let value = string(value).ok()?;
        match pairs.iter().position(|(known, _)| *known == key) {
            Some(at) => pairs[at].1 = value,
            None if pairs.len() == LINEAR_SEARCH => return None,
            None => pairs.push((key, value)),
        }
    }
    Some(pairs)
}

/// Up to this many pairs are searched one by one; more get an index, so that a long object is not quadratic.
const LINEAR_SEARCH: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The short way gives what the long way gives, or nothing; and it is taken where it is meant to be.
        #[test]
        fn plain_pairs_are_pairs(members in prop::collection::vec(
            ("[a-c]{0,2}|[\"\\\\\\x01]|\\PC{0,3}", prop_oneof![
                4 => any::<String>().prop_map(|text| serde_json::json!(text).to_string()),
                1 => prop::sample::select(vec!["1", "null", "[]", "{\"a\":\"b\"}", "\"\\ud800\"", "NaN"]).prop_map(str::to_owned),
            ]), 0..24)
        ) {
            let written: Vec<_> =
                members.iter().map(|(key, value)| format!("{} : {value}", serde_json::json!(key))).collect();
            let object = format!("{{ {} }}", written.join(" ,"));
            let value = Reader::new(&object).value(0).unwrap();
            let slowly: Vec<_> =
                pairs(value).unwrap().into_iter().map(|(key, value)| (key, string(value))).collect();
            let are_texts = members.iter().all(|(_, value)| string(Reader::new(value).value(0).unwrap()).is_ok());
            match plain_pairs(value) {
                Some(pairs) => {
                    let pairs: Vec<_> = pairs.into_iter().map(|(key, value)| (key, Ok(value))).collect();
                    prop_assert_eq!(pairs, slowly);
                }
                None => prop_assert!(!are_texts || slowly.len() > LINEAR_SEARCH),
            }
        }
    }
}
