//! `Idempotency-Key`: the same request again gives the same event ids
//! (draft-ietf-httpapi-idempotency-key-header, sections 2.1 and 2.2).
//!
//! Nothing is remembered between requests. The id of an event is made of the key, the event's place and the event itself,
//! so a retry stores nothing anew, and a key that is used again for other events loses none of them.

use event_model::Event;
use http::{HeaderMap, HeaderName};
use uuid::Uuid;

/// The header.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The same, made once: a text would be read again for each request.
static HEADER: HeaderName = HeaderName::from_static(IDEMPOTENCY_KEY);

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// The UUIDv5 namespace of ids that come of a key.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1f_3c0e_9a55_4b8e_8d5e_27c4_7d0a_5e31);

/// The key of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(Vec<u8>);

/// A header that holds no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is not one string of 1 to {MAX_KEY_BYTES} printable ASCII characters, such as \"8e03978e-40d5-43e8-bc93-6894a57f9324\""
)]
pub struct NotAKey;

impl IdempotencyKey {
    /// The key of a request, when it has one. The draft asks for a String of RFC 8941, in double quotes; many clients send it
    /// bare, and mean the same.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, NotAKey> {
        let mut values = headers.get_all(&HEADER).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(NotAKey);
        }
        let key = match value.as_bytes().trim_ascii().strip_prefix(b"\"") {
            Some(quoted) => unquote(quoted)?,
            None => value.as_bytes().trim_ascii().to_vec(),
        };
        let printable = key.iter().all(|byte| matches!(byte, b' '..=b'~'));
        if printable && (1..=MAX_KEY_BYTES).contains(&key.len()) {
            Ok(Some(IdempotencyKey(key)))
        } else {
            Err(NotAKey)
        }
    }

    /// The id of the event at that place of the request.
    pub fn event_id(&self, index: usize, event: &Event<'_>) -> Uuid {
        // A NUL is in no key, so no two of these run together alike.
        let mut name = self.0.clone();
        name.push(0);
        name.extend_from_slice(&(index as u64).to_be_bytes());
        let written = serde_json::to_writer(&mut name, event);
        debug_assert!(
            written.is_ok(),
            "writing strings and finite numbers to memory cannot fail"
        );
        Uuid::new_v5(&NAMESPACE, &name)
    }
}

/// The text of a String, from behind its opening quote; parameters behind the closing one mean nothing here (RFC 8941,
/// section 4.2.5).
fn unquote(quoted: &[u8]) -> Result<Vec<u8>, NotAKey> {
    let mut text = Vec::with_capacity(quoted.len());
    let mut rest = quoted.iter();
    loop {
        match rest.next() {
            Some(b'"') => break,
            Some(b'\\') => match rest.next() {
                Some(escaped @ (b'"' | b'\\')) => text.push(*escaped),
                _ => return Err(NotAKey),
            },
            Some(byte) => text.push(*byte),
            None => return Err(NotAKey),
        }
    }
    match rest.as_slice() {
        [] | [b';', ..] => Ok(text),
        _ => Err(NotAKey),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Result<Option<IdempotencyKey>, NotAKey> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                IDEMPOTENCY_KEY,
                http::HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        IdempotencyKey::of(&headers)
    }

    #[test]
    fn headers() {
        let check = |values: &[&str], expected: Result<Option<&str>, NotAKey>| {
            let expected = expected.map(|key| key.map(|key| IdempotencyKey(key.as_bytes().to_vec())));
            assert_eq!(of(values), expected, "{values:?}");
        };
        let longest = "k".repeat(MAX_KEY_BYTES);
        check(&[], Ok(None));
        check(&["abc"], Ok(Some("abc")));
        check(&[" \"abc\" "], Ok(Some("abc")));
        check(&[r#""a \"b\" \\c""#], Ok(Some(r#"a "b" \c"#)));
        check(&["\"abc\";v=1"], Ok(Some("abc")));
        check(&[&longest], Ok(Some(&longest)));
        check(&[&format!("\"{longest}\"")], Ok(Some(&longest)));
        for wrong in [
            "",
            " ",
            "\"\"",
            "\"abc",
            "\"abc\"x",
            r#""a\b""#,
            r#""a\"#,
            "ä",
            "\"ä\"",
            "a\tb",
            &format!("{longest}k"),
        ] {
            check(&[wrong], Err(NotAKey));
        }
        check(&["a", "a"], Err(NotAKey));
    }

    #[test]
    fn an_id_is_of_its_key_its_place_and_its_event() {
        let id = |key: &IdempotencyKey, place: usize, user: u32, name: &str| {
            let json = format!(r#"{{"user_id":{user},"name":{name:?},"dt":0,"url":"http://a/","obj":""}}"#);
            key.event_id(place, &Event::from_json(json.as_bytes()).unwrap())
        };
        let (one, other) = (of(&["1"]).unwrap().unwrap(), of(&["2"]).unwrap().unwrap());
        let ids = [
            id(&one, 0, 1, "view"),
            id(&one, 1, 1, "view"),
            id(&one, 0, 2, "view"),
            id(&other, 0, 1, "view"),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        // Pinned: a client may retry over an update of this service.
        assert_eq!(ids[0].to_string(), "8c784a1e-1da3-51c6-a7e7-13df61cd70fe");
        assert_eq!(id(&of(&["\"1\""]).unwrap().unwrap(), 0, 1, "view"), ids[0]);
    }
}
