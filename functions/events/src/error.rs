//! Everything that `POST /events` can answer but 200, in one catalogue.

use edge::auth::AuthError;
use edge::body::{ACCEPTED_ENCODINGS, BodyError};
use edge::{Body, Failure, Problem, Response, problem, respond};
use event_model::{Issue, Rejection, Undecodable};
use http::StatusCode;
use http::header::{ACCEPT_ENCODING, ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use crate::answer::{Invalid, NotStored, Verdict};
use crate::firehose::PutError;
use crate::idempotency::NotAKey;
use crate::media;
use crate::pack::MAX_RECORD_BYTES;

/// When a client may try again after a refusal by Firehose, in seconds.
pub const RETRY_AFTER_SECONDS: u16 = 5;

/// Another media type than those that are read.
pub const UNSUPPORTED_MEDIA_TYPE: Problem = Problem {
    code: "unsupported_media_type",
    status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
    message: "Unsupported Media Type",
};

/// `Idempotency-Key` holds no key.
pub const IDEMPOTENCY_KEY_INVALID: Problem = Problem {
    code: "idempotency_key_invalid",
    status: StatusCode::BAD_REQUEST,
    message: "Idempotency-Key is not valid",
};

/// No event of the request is acceptable. The answer is FastAPI's: `detail` is a list, and there is no `code`.
pub const INVALID_EVENT: Problem = Problem {
    code: "invalid_event",
    status: StatusCode::UNPROCESSABLE_ENTITY,
    message: "No event is valid",
};

/// The one event of the request is larger than Firehose takes.
pub const EVENT_TOO_LARGE: Problem = Problem {
    code: "event_too_large",
    status: StatusCode::PAYLOAD_TOO_LARGE,
    message: "The event is too large",
};

/// Firehose throttles, fails or cannot be reached: the same may work later.
pub const STREAM_UNAVAILABLE: Problem = Problem {
    code: "stream_unavailable",
    status: StatusCode::SERVICE_UNAVAILABLE,
    message: "Not stored: the stream does not take events right now, try again later",
};

/// Firehose refuses until somebody changes the set-up.
pub const STREAM_MISCONFIGURED: Problem = Problem {
    code: "stream_misconfigured",
    status: StatusCode::INTERNAL_SERVER_ERROR,
    message: "Not stored: this service is set up wrong, its operator has been told",
};

/// Every refusal, by status.
pub const CATALOGUE: [Problem; 17] = [
    problem::BODY_BROKEN,
    IDEMPOTENCY_KEY_INVALID,
    problem::UNDECODABLE_BODY,
    problem::WRITE_KEY_INVALID,
    problem::WRITE_KEY_MISSING,
    problem::ORIGIN_NOT_ALLOWED,
    problem::NOT_FOUND,
    problem::METHOD_NOT_ALLOWED,
    problem::BODY_TOO_SLOW,
    problem::BODY_TOO_LARGE,
    EVENT_TOO_LARGE,
    problem::UNSUPPORTED_ENCODING,
    UNSUPPORTED_MEDIA_TYPE,
    INVALID_EVENT,
    problem::INTERNAL_ERROR,
    STREAM_MISCONFIGURED,
    STREAM_UNAVAILABLE,
];

/// Why events were not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such path.
    #[error("no such path")]
    NotFound,
    /// The path takes POST only.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// The sender is not let in.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Not a media type that is read.
    #[error("unsupported media type")]
    UnsupportedMediaType,
    /// The header `Idempotency-Key` holds no key.
    #[error("no idempotency key: {0}")]
    IdempotencyKey(#[from] NotAKey),
    /// The body is larger than a function URL takes.
    #[error("body too large")]
    BodyTooLarge,
    /// The body cannot be inflated.
    #[error("body: {0}")]
    Body(#[from] BodyError),
    /// The body cannot be read.
    #[error("undecodable body: {0}")]
    Undecodable(#[from] Undecodable),
    /// The body holds no valid event.
    #[error("no valid event: {} issue(s)", .0.len())]
    Invalid(Vec<Issue>),
    /// The event is larger than Firehose takes.
    #[error("event too large")]
    EventTooLarge,
    /// Firehose did not take all of it.
    #[error(transparent)]
    NotStored(#[from] Box<Unstored>),
}

/// What became of a request that Firehose did not take all of.
#[derive(Debug, thiserror::Error)]
#[error("{} event(s) not stored", not_stored.len())]
pub struct Unstored {
    /// Why.
    pub source: PutError,
    /// How many events are stored.
    pub accepted: usize,
    /// What was wrong with other events.
    pub rejected: Vec<Verdict>,
    /// The places of the events that are not known to be stored.
    pub not_stored: Vec<usize>,
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Undecodable(reason) => Error::Undecodable(reason),
            Rejection::Invalid(issues) => Error::Invalid(issues),
        }
    }
}

impl Error {
    /// Its entry in the catalogue.
    pub fn problem(&self) -> Problem {
        match self {
            Error::NotFound => problem::NOT_FOUND,
            Error::MethodNotAllowed => problem::METHOD_NOT_ALLOWED,
            Error::Auth(error) => error.problem().0,
            Error::UnsupportedMediaType => UNSUPPORTED_MEDIA_TYPE,
            Error::IdempotencyKey(_) => IDEMPOTENCY_KEY_INVALID,
            Error::BodyTooLarge => problem::BODY_TOO_LARGE,
            Error::Body(error) => error.problem(),
            Error::Undecodable(_) => problem::UNDECODABLE_BODY,
            Error::Invalid(_) => INVALID_EVENT,
            Error::EventTooLarge => EVENT_TOO_LARGE,
            Error::NotStored(unstored) => match unstored.source {
                PutError::Unavailable { .. } => STREAM_UNAVAILABLE,
                PutError::Misconfigured { .. } => STREAM_MISCONFIGURED,
            },
        }
    }

    /// What is particular to this request.
    fn particulars(&self) -> Option<String> {
        match self {
            Error::NotFound | Error::MethodNotAllowed | Error::Invalid(_) | Error::NotStored(_) => None,
            Error::Auth(error) => error.problem().1.map(str::to_owned),
            Error::UnsupportedMediaType => Some(format!("send {}", media::ACCEPTED)),
            Error::IdempotencyKey(error) => Some(error.to_string()),
            Error::BodyTooLarge => Some(format!("it has more than {} bytes", edge::server::MAX_BODY_BYTES)),
            Error::Body(error) => Some(error.to_string()),
            Error::Undecodable(reason) => Some(reason.to_string()),
            Error::EventTooLarge => Some(format!("it has more than {MAX_RECORD_BYTES} bytes, once normalised")),
        }
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Error::MethodNotAllowed => Some((ALLOW, HeaderValue::from_static("POST"))),
            Error::Auth(_) => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Error::Body(BodyError::UnsupportedEncoding) => {
                Some((ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED_ENCODINGS)))
            }
            Error::NotStored(unstored) => match unstored.source {
                PutError::Unavailable { .. } => Some((RETRY_AFTER, RETRY_AFTER_SECONDS.into())),
                PutError::Misconfigured { .. } => None,
            },
            Error::NotFound
            | Error::UnsupportedMediaType
            | Error::IdempotencyKey(_)
            | Error::BodyTooLarge
            | Error::Body(_)
            | Error::Undecodable(_)
            | Error::Invalid(_)
            | Error::EventTooLarge => None,
        }
    }
}

impl Failure for Error {
    fn response(&self) -> Response<Body> {
        let problem = self.problem();
        let mut response = match self {
            Error::Invalid(issues) => respond::json_of(problem.status, &Invalid { detail: issues }),
            Error::NotStored(unstored) => respond::json_of(
                problem.status,
                &NotStored {
                    detail: problem.detail(None),
                    code: problem.code,
                    accepted: unstored.accepted,
                    rejected: &unstored.rejected,
                    not_stored: &unstored.not_stored,
                },
            ),
            _ => problem.response(self.particulars().as_deref()),
        };
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use edge::auth;

    use super::*;

    /// The catalogue as the README's table shows it.
    fn table() -> String {
        CATALOGUE
            .iter()
            .map(|problem| {
                format!(
                    "| {} | `{}` | {} |\n",
                    problem.status.as_u16(),
                    problem.code,
                    problem.message
                )
            })
            .collect()
    }

    #[test]
    fn the_catalogue_is_sorted_and_says_each_thing_once() {
        let keys: Vec<_> = CATALOGUE
            .iter()
            .map(|problem| (problem.status.as_u16(), problem.code))
            .collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
        let codes: std::collections::BTreeSet<_> = CATALOGUE.iter().map(|problem| problem.code).collect();
        assert_eq!(codes.len(), CATALOGUE.len());
    }

    #[test]
    fn the_readme_lists_the_catalogue() {
        let readme = include_str!("../../../README.md");
        let (_, rest) = readme
            .split_once("| status | code | message |\n|---|---|---|\n")
            .expect("a table");
        let found = rest.split("\n\n").next().unwrap_or_default();
        assert_eq!(format!("{found}\n"), table());
    }

    #[test]
    fn every_error_is_in_the_catalogue() {
        let put = |source| {
            Error::from(Box::new(Unstored {
                source,
                accepted: 0,
                rejected: vec![],
                not_stored: vec![],
            }))
        };
        let unavailable = PutError::Unavailable {
            not_stored: vec![],
            attempts: 3,
            reason: "Slow down".into(),
        };
        let (stream, region, reason) = ("s".into(), "r".into(), "no".into());
        let misconfigured = PutError::Misconfigured {
            stream,
            region,
            reason,
            advice: "",
        };
        let errors = [
            Error::NotFound,
            Error::MethodNotAllowed,
            Error::Auth(AuthError::Missing(&auth::WRITE)),
            Error::Auth(AuthError::Invalid(&auth::WRITE)),
            Error::UnsupportedMediaType,
            Error::IdempotencyKey(NotAKey),
            Error::BodyTooLarge,
            Error::Body(BodyError::UnsupportedEncoding),
            Error::Body(BodyError::Damaged { encoding: "gzip" }),
            Error::Body(BodyError::ReadAsText { encoding: "gzip" }),
            Error::Body(BodyError::InflatesTooFar { limit: 1 }),
            Error::Undecodable(Undecodable::NotUtf8),
            Error::Invalid(vec![]),
            Error::EventTooLarge,
            put(unavailable),
            put(misconfigured),
        ];
        let mut told: std::collections::BTreeSet<&str> = [
            problem::BODY_BROKEN,
            problem::BODY_TOO_SLOW,
            problem::INTERNAL_ERROR,
            problem::ORIGIN_NOT_ALLOWED,
        ]
        .map(|problem| problem.code)
        .into();
        for error in errors {
            let response = error.response();
            let problem = error.problem();
            assert!(CATALOGUE.contains(&problem), "{error}");
            assert_eq!(response.status(), problem.status);
            let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
            if problem != INVALID_EVENT {
                assert_eq!(body["code"], problem.code);
                assert!(body["detail"].as_str().unwrap().starts_with(problem.message), "{body}");
            }
            assert!(
                !body.to_string().contains("Slow down"),
                "what Firehose says is for the log: {body}"
            );
            told.insert(problem.code);
        }
        assert_eq!(
            told,
            CATALOGUE.iter().map(|problem| problem.code).collect(),
            "an entry that nothing answers"
        );
    }
}
