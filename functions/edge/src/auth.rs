//! Keys: who may send events, and who may deliver them.

use http::header::AUTHORIZATION;
use lambda_http::Request;
use secrecy::{ExposeSecret, SecretString};
use subtle::{Choice, ConstantTimeEq};

use crate::config::Reader;
use crate::problem::{self, Problem};
use crate::route;

/// The header that carries a write key, for clients whose `Authorization` is somebody else's.
pub const WRITE_KEY_HEADER: &str = "x-write-key";

/// The query parameter that carries a write key, for beacons, which cannot set headers.
pub const WRITE_KEY_QUERY: &str = "key";

/// Whether two secrets are the same, in a time that tells only their lengths. An empty secret is nobody's.
fn same(secret: &SecretString, offered: &[u8]) -> Choice {
    let secret = secret.expose_secret().as_bytes();
    secret.ct_eq(offered) & Choice::from(u8::from(!secret.is_empty()))
}

/// Fewest characters of an [`AccessKey`]: nobody guesses sixteen, and nobody types fewer by accident.
pub const MIN_ACCESS_KEY_CHARS: usize = 16;

/// The one key that lets a machine in. It is never empty and never short: there is no value of this type without a key.
#[derive(Debug, Clone)]
pub struct AccessKey(SecretString);

impl AccessKey {
    /// Reads a key of at least [`MIN_ACCESS_KEY_CHARS`] printable ASCII characters, without blanks around it; `what` says
    /// what it is for. `None` when the reader has noted why not; the value is in no message.
    pub fn read(reader: &mut Reader<'_>, name: &str, what: &str) -> Option<Self> {
        let Some(key) = reader.optional(name) else {
            reader.problem(format!("{name} is not set: {what}"));
            return None;
        };
        let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        let problem = if key.trim().len() != key.len() {
            // A header loses them on its way, so such a key never matches.
            format!("{name} begins or ends with a blank")
        } else if !key.bytes().all(printable) {
            format!("{name} holds other characters than printable ASCII")
        } else if key.len() < MIN_ACCESS_KEY_CHARS {
            format!("{name} has fewer than {MIN_ACCESS_KEY_CHARS} characters")
        } else {
            return Some(AccessKey(key.into()));
        };
        reader.problem(problem);
        None
    }

    /// Whether that is the key.
    pub fn matches(&self, offered: &[u8]) -> bool {
        bool::from(same(&self.0, offered))
    }
}

/// The keys that are accepted; with none, everybody may send.
#[derive(Debug, Clone, Default)]
pub struct WriteKeys(Vec<SecretString>);

/// Why a sender is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No key was sent.
    #[error("no write key was sent")]
    Missing,
    /// The key is not one of ours.
    #[error("the write key is not valid")]
    Invalid,
}

impl AuthError {
    /// Its entry in the catalogue, and what the client should do.
    pub fn problem(self) -> (Problem, Option<&'static str>) {
        match self {
            AuthError::Missing => (
                problem::WRITE_KEY_MISSING,
                Some("send it as Authorization: Bearer <key>, as X-Write-Key, or as the query parameter key"),
            ),
            AuthError::Invalid => (problem::WRITE_KEY_INVALID, None),
        }
    }
}

impl WriteKeys {
    /// Reads `WRITE_KEYS`: keys with commas between them, each of printable ASCII without spaces. Several keys are for
    /// changing one: add the new, change the clients, drop the old.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        const NAME: &str = "WRITE_KEYS";
        let Some(list) = reader.optional(NAME) else {
            return WriteKeys::default();
        };
        let keys: Vec<&str> = list.split(',').map(str::trim).filter(|key| !key.is_empty()).collect();
        // What is set and holds nothing must not open the door.
        if keys.is_empty() {
            reader.problem(format!("{NAME} holds no key"));
        }
        if !keys.iter().all(|key| key.bytes().all(|byte| byte.is_ascii_graphic())) {
            reader.problem(format!("{NAME} holds a key with other characters than printable ASCII"));
        }
        WriteKeys(keys.into_iter().map(SecretString::from).collect())
    }

    /// Whether a key is required.
    pub fn required(&self) -> bool {
        !self.0.is_empty()
    }

    /// Lets a request in when a key is not required, or one of those that it carries is ours. The body is not looked at.
    pub fn check(&self, request: &Request) -> Result<(), AuthError> {
        if !self.required() {
            return Ok(());
        }
        let bearer = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| bearer(value.as_bytes()));
        let header = request.headers().get(WRITE_KEY_HEADER).map(|value| value.as_bytes());
        let query = route::query(request, WRITE_KEY_QUERY);
        let offered = [bearer, header, query.as_deref().map(str::as_bytes)];
        let mut offered = offered.into_iter().flatten().filter(|key| !key.is_empty()).peekable();
        if offered.peek().is_none() {
            return Err(AuthError::Missing);
        }
        // Every key is compared with every other: the time tells nothing about which was near.
        let mut known = Choice::from(0);
        for key in offered {
            for ours in &self.0 {
                known |= same(ours, key);
            }
        }
        if bool::from(known) {
            Ok(())
        } else {
            Err(AuthError::Invalid)
        }
    }
}

/// The token of `Bearer <token>` (RFC 6750, section 2.1; the scheme's case does not matter).
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use lambda_http::Body;

    use super::*;

    fn read(list: Option<&str>) -> Result<WriteKeys, String> {
        let lookup = |key: &str| list.filter(|_| key == "WRITE_KEYS").map(str::to_owned);
        let mut reader = Reader::new(&lookup);
        let keys = WriteKeys::read(&mut reader);
        reader.finish(keys).map_err(|error| error.to_string())
    }

    #[test]
    fn configurations() {
        assert!(!read(None).unwrap().required());
        assert!(!read(Some("")).unwrap().required());
        assert!(read(Some("one")).unwrap().required());
        assert_eq!(read(Some(" one, two ,")).unwrap().0.len(), 2);
        assert_eq!(read(Some(" , ")).unwrap_err(), "WRITE_KEYS holds no key");
        let error = read(Some("one,t w o")).unwrap_err();
        assert!(!error.contains("t w o") && error.contains("printable"), "{error}");
        assert!(!format!("{:?}", read(Some("hunter2")).unwrap()).contains("hunter2"));
    }

    #[test]
    fn an_access_key_is_neither_empty_nor_short() {
        const NAME: &str = "FIREHOSE_ACCESS_KEY";
        let read = |value: Option<&str>| {
            let lookup = |key: &str| value.filter(|_| key == NAME).map(str::to_owned);
            let mut reader = Reader::new(&lookup);
            let key = AccessKey::read(&mut reader, NAME, "what Firehose sends");
            reader.finish_some(key).map_err(|error| error.to_string())
        };
        for (value, problem) in [
            (None, "FIREHOSE_ACCESS_KEY is not set: what Firehose sends"),
            (Some(""), "FIREHOSE_ACCESS_KEY is not set: what Firehose sends"),
            (Some(" "), "FIREHOSE_ACCESS_KEY begins or ends with a blank"),
            (
                Some("                    "),
                "FIREHOSE_ACCESS_KEY begins or ends with a blank",
            ),
            (
                Some("0123456789abcdef\n"),
                "FIREHOSE_ACCESS_KEY begins or ends with a blank",
            ),
            (
                Some("0123456789abcde"),
                "FIREHOSE_ACCESS_KEY has fewer than 16 characters",
            ),
            (
                Some("0123456789\nabcdef"),
                "FIREHOSE_ACCESS_KEY holds other characters than printable ASCII",
            ),
            (
                Some("0123456789abcdef\u{e9}"),
                "FIREHOSE_ACCESS_KEY holds other characters than printable ASCII",
            ),
        ] {
            assert_eq!(read(value).unwrap_err(), problem, "{value:?}");
        }
        let key = read(Some("0123456789 abcdef")).unwrap();
        for (offered, same) in [
            ("0123456789 abcdef", true),
            ("", false),
            ("0123456789 abcde", false),
            ("0123456789 abcdefg", false),
            ("0123456789 ABCDEF", false),
        ] {
            assert_eq!(key.matches(offered.as_bytes()), same, "{offered:?}");
        }
        assert!(!format!("{key:?}").contains("0123"));
    }

    #[test]
    fn an_empty_secret_is_nobodys() {
        assert!(!bool::from(same(&SecretString::from(""), b"")));
        assert!(bool::from(same(&SecretString::from("a"), b"a")));
    }

    #[test]
    fn requests() {
        let keys = read(Some("first,second")).unwrap();
        let open = WriteKeys::default();
        let check = |uri: &str, headers: &[(&str, &str)], expected: Result<(), AuthError>| {
            let mut request = http::Request::builder().method("POST").uri(uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(Body::Empty).unwrap();
            assert_eq!(keys.check(&request), expected, "{uri} {headers:?}");
            assert_eq!(open.check(&request), Ok(()));
        };
        check("/events", &[], Err(AuthError::Missing));
        check("/events", &[("authorization", "Bearer first")], Ok(()));
        check("/events", &[("authorization", "bearer  second ")], Ok(()));
        check("/events", &[("authorization", "Bearer firs")], Err(AuthError::Invalid));
        check(
            "/events",
            &[("authorization", "Bearer first,second")],
            Err(AuthError::Invalid),
        );
        check("/events", &[("authorization", "Bearer ")], Err(AuthError::Missing));
        check("/events", &[("authorization", "Basic first")], Err(AuthError::Missing));
        check("/events", &[("x-write-key", "second")], Ok(()));
        check("/events", &[("x-write-key", "Second")], Err(AuthError::Invalid));
        check(
            "/events",
            &[("authorization", "Bearer other"), ("x-write-key", "first")],
            Ok(()),
        );
        check("/events?key=first", &[], Ok(()));
        check("/events?a=b&key=%66irst", &[], Ok(()));
        check("/events?key=", &[], Err(AuthError::Missing));
        check("/events?key=third", &[], Err(AuthError::Invalid));
    }
}
