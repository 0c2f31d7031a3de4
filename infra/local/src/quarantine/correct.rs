//! Corrected lines. Values keep the text they have: a number is not read and written again.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde_json::value::RawValue;
use uuid::Uuid;

/// The fields of an event, each as it is written.
pub(super) type Fields = BTreeMap<String, Box<RawValue>>;

/// A line's fields, when it is a JSON object.
pub(super) fn fields(line: &[u8]) -> anyhow::Result<Fields> {
    serde_json::from_slice(line).context("the line is not a JSON object")
}

/// The line with these fields set, each given as `field=json`.
pub(super) fn set(line: &[u8], settings: &[String]) -> anyhow::Result<Vec<u8>> {
    let mut fields = fields(line).context("single fields cannot be set: give the whole event with --raw FILE")?;
    for setting in settings {
        let (field, value) = setting
            .split_once('=')
            .with_context(|| format!("{setting:?} is not FIELD=JSON"))?;
        let value = RawValue::from_string(value.to_owned())
            .with_context(|| format!("the value of {field} is not JSON; a string needs its quotes: {field}='\"…\"'"))?;
        fields.insert(field.to_owned(), value);
    }
    Ok(serde_json::to_vec(&fields)?)
}

/// The same JSON object on one line.
pub(super) fn one_line(text: &[u8]) -> anyhow::Result<Vec<u8>> {
    let fields = fields(text)?;
    // A raw value may hold line feeds between its tokens; in a string they would be escaped.
    let line: Vec<u8> = serde_json::to_vec(&fields)?
        .into_iter()
        .map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte })
        .collect();
    if line == b"{}" {
        bail!("the event has no field");
    }
    Ok(line)
}

/// The id that a line's event has, when it has a valid one.
pub(super) fn own_event_id(fields: &Fields) -> Option<Uuid> {
    let text: String = serde_json::from_str(fields.get("event_id")?.get()).ok()?;
    Uuid::try_parse(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_set_and_the_others_keep_their_text() {
        let line = br#"{"amount":0.10000000000000000001,"user_id":-1}"#;
        let settings = ["user_id=7".to_owned(), "name=\"a=b\"".to_owned()];
        let corrected = String::from_utf8(set(line, &settings).unwrap()).unwrap();
        assert_eq!(
            corrected,
            r#"{"amount":0.10000000000000000001,"name":"a=b","user_id":7}"#
        );
    }

    #[test]
    fn what_cannot_be_corrected_says_why() {
        let check = |line: &[u8], setting: &str, expected: &str| {
            let error = format!("{:#}", set(line, &[setting.to_owned()]).unwrap_err());
            assert!(error.contains(expected), "{error}");
        };
        check(b"not json", "a=1", "--raw FILE");
        check(b"[]", "a=1", "not a JSON object");
        check(b"{}", "a", "not FIELD=JSON");
        check(b"{}", "a=view", "needs its quotes");
    }

    #[test]
    fn an_event_becomes_one_line() {
        assert_eq!(
            one_line(b"{\n \"a\": {\n\"b\":\r\n1}\n}\n").unwrap(),
            br#"{"a":{ "b":  1}}"#
        );
        assert!(one_line(b"{}").is_err() && one_line(b"{} {}").is_err());
    }

    #[test]
    fn own_ids() {
        let id = |line: &[u8]| own_event_id(&fields(line).unwrap());
        assert_eq!(
            id(br#"{"event_id":"00000000-0000-0000-0000-000000000007"}"#),
            Some(Uuid::from_u128(7))
        );
        assert_eq!(id(br#"{"event_id":"x"}"#), None);
        assert_eq!(id(br#"{"event_id":7}"#), None);
        assert_eq!(id(b"{}"), None);
    }
}
