//! Keys: who may send events, who may deliver them, and who may read.

use http::header::AUTHORIZATION;
use lambda_http::Request;
use secrecy::{ExposeSecret, SecretString};
use subtle::{Choice, ConstantTimeEq};

use crate::config::Reader;
use crate::problem::{self, Problem};
use crate::route;

/// What a key is for: where it is configured, how it is sent, and what a sender without it is told.
#[derive(Debug)]
pub struct Purpose {
    /// The variable that holds the keys.
    pub variable: &'static str,
    /// The header that carries a key, for clients whose `Authorization` is somebody else's.
    pub header: &'static str,
    /// The query parameter that carries a key, where there is one.
    pub query: Option<&'static str>,
    /// No key was sent.
    pub missing: Problem,
    /// The key is not one of ours.
    pub invalid: Problem,
    /// How to send one.
    pub advice: &'static str,
}

/// Sending events. A beacon cannot set headers, so this key may be in the query.
pub static WRITE: Purpose = Purpose {
    variable: "WRITE_KEYS",
    header: "x-write-key",
    query: Some("key"),
    missing: problem::WRITE_KEY_MISSING,
    invalid: problem::WRITE_KEY_INVALID,
    advice: "send it as Authorization: Bearer <key>, as X-Write-Key, or as the query parameter key",
};

/// Reading numbers. Not in the query: logs along the way keep addresses.
pub static READ: Purpose = Purpose {
    variable: "READ_KEYS",
    header: "x-read-key",
    query: None,
    missing: problem::READ_KEY_MISSING,
    invalid: problem::READ_KEY_INVALID,
    advice: "send it as Authorization: Bearer <key>, or as X-Read-Key",
};

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

/// The keys that are accepted for a purpose; with none, everybody is let in.
#[derive(Debug, Clone)]
pub struct Keys {
    purpose: &'static Purpose,
    keys: Vec<SecretString>,
}

/// Why a sender is not let in.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub enum AuthError {
    /// No key was sent.
    #[error("no key of {} was sent", .0.variable)]
    Missing(&'static Purpose),
    /// The key is not one of ours.
    #[error("the key is none of {}", .0.variable)]
    Invalid(&'static Purpose),
}

impl AuthError {
    /// Its entry in the catalogue, and what the client should do.
    pub fn problem(self) -> (Problem, Option<&'static str>) {
        match self {
            AuthError::Missing(purpose) => (purpose.missing, Some(purpose.advice)),
            AuthError::Invalid(purpose) => (purpose.invalid, None),
        }
    }
}

impl Keys {
    /// Reads the purpose's variable: keys with commas between them, each of printable ASCII without spaces. Several keys are
    /// for changing one: add the new, change the clients, drop the old.
    pub fn read(reader: &mut Reader<'_>, purpose: &'static Purpose) -> Self {
        let name = purpose.variable;
        let list = reader.optional(name);
        let keys: Vec<&str> = list
            .iter()
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .filter(|key| !key.is_empty())
            .collect();
        // What is set and holds nothing must not open the door.
        if list.is_some() && keys.is_empty() {
            reader.problem(format!("{name} holds no key"));
        }
        if !keys.iter().all(|key| key.bytes().all(|byte| byte.is_ascii_graphic())) {
            reader.problem(format!("{name} holds a key with other characters than printable ASCII"));
        }
        let keys = keys.into_iter().map(SecretString::from).collect();
        Keys { purpose, keys }
    }

    /// Whether a key is required.
    pub fn required(&self) -> bool {
        !self.keys.is_empty()
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
        let header = request.headers().get(self.purpose.header).map(|value| value.as_bytes());
        let query = self.purpose.query.and_then(|name| route::query(request, name));
        let offered = [bearer, header, query.as_deref().map(str::as_bytes)];
        let mut offered = offered.into_iter().flatten().filter(|key| !key.is_empty()).peekable();
        if offered.peek().is_none() {
            return Err(AuthError::Missing(self.purpose));
        }
        // Every key is compared with every other: the time tells nothing about which was near.
        let mut known = Choice::from(0);
        for key in offered {
            for ours in &self.keys {
                known |= same(ours, key);
            }
        }
        if bool::from(known) {
            Ok(())
        } else {
            Err(AuthError::Invalid(self.purpose))
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

    fn read(list: Option<&str>) -> Result<Keys, String> {
        let lookup = |key: &str| list.filter(|_| key == "WRITE_KEYS").map(str::to_owned);
        let mut reader = Reader::new(&lookup);
        let keys = Keys::read(&mut reader, &WRITE);
        reader.finish(keys).map_err(|error| error.to_string())
    }

    #[test]
    fn configurations() {
        assert!(!read(None).unwrap().required());
        assert!(!read(Some("")).unwrap().required());
        assert!(read(Some("one")).unwrap().required());
        assert_eq!(read(Some(" one, two ,")).unwrap().keys.len(), 2);
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
        let open = read(None).unwrap();
        let check = |uri: &str, headers: &[(&str, &str)], expected: Result<(), Problem>| {
            let mut request = http::Request::builder().method("POST").uri(uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(Body::Empty).unwrap();
            let found = keys.check(&request).map_err(|error| error.problem().0);
            assert_eq!(found, expected, "{uri} {headers:?}");
            assert!(open.check(&request).is_ok());
        };
        check("/events", &[], Err(problem::WRITE_KEY_MISSING));
        check("/events", &[("authorization", "Bearer first")], Ok(()));
        check("/events", &[("authorization", "bearer  second ")], Ok(()));
        check(
            "/events",
            &[("authorization", "Bearer firs")],
            Err(problem::WRITE_KEY_INVALID),
        );
        check(
            "/events",
            &[("authorization", "Bearer first,second")],
            Err(problem::WRITE_KEY_INVALID),
        );
        check(
            "/events",
            &[("authorization", "Bearer ")],
            Err(problem::WRITE_KEY_MISSING),
        );
        check(
            "/events",
            &[("authorization", "Basic first")],
            Err(problem::WRITE_KEY_MISSING),
        );
        check("/events", &[("x-write-key", "second")], Ok(()));
        check("/events", &[("x-write-key", "Second")], Err(problem::WRITE_KEY_INVALID));
        check(
            "/events",
            &[("authorization", "Bearer other"), ("x-write-key", "first")],
            Ok(()),
        );
        check("/events?key=first", &[], Ok(()));
        check("/events?a=b&key=%66irst", &[], Ok(()));
        check("/events?key=", &[], Err(problem::WRITE_KEY_MISSING));
        check("/events?key=third", &[], Err(problem::WRITE_KEY_INVALID));
    }

    #[test]
    fn a_key_is_for_one_purpose() {
        let lookup = |key: &str| (key == "READ_KEYS").then(|| "reader".to_owned());
        let keys = Keys::read(&mut Reader::new(&lookup), &READ);
        let check = |uri: &str, header: &str| {
            let request = http::Request::get(uri).header(header, "reader");
            let checked = keys.check(&request.body(Body::Empty).unwrap());
            checked.map_err(|error| error.problem().0)
        };
        assert_eq!(check("/activity", "x-read-key"), Ok(()));
        assert_eq!(check("/activity", "x-write-key"), Err(problem::READ_KEY_MISSING));
        assert_eq!(check("/activity?key=reader", "x-other"), Err(problem::READ_KEY_MISSING));
        assert_eq!(check("/activity", "authorization"), Err(problem::READ_KEY_MISSING));
    }
}
