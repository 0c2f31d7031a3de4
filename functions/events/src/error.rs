//! Everything that `POST /events` can answer but 200, in one catalogue.

use edge::{Body, Failure, Response, respond};
use event_model::{Issue, Rejection, Undecodable};
use http::StatusCode;
use http::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER};

use crate::firehose::PutError;
use crate::pack::{MAX_RECORD_BYTES, TooLong};

/// When a client may try again after a refusal by Firehose, in seconds.
const RETRY_AFTER_SECONDS: u16 = 5;

/// Why events were not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such path.
    #[error("no such path")]
    NotFound,
    /// The path takes POST only.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// Not a media type that is read.
    #[error("unsupported media type")]
    UnsupportedMediaType,
    /// The body cannot be read.
    #[error("undecodable body: {0}")]
    Undecodable(#[source] Undecodable),
    /// The body is not an event.
    #[error("invalid event: {} issue(s)", .0.len())]
    Invalid(Vec<Issue>),
    /// The event is larger than Firehose takes.
    #[error("event too large: {0}")]
    TooLarge(#[from] TooLong),
    /// Firehose did not take it.
    #[error(transparent)]
    Firehose(#[from] PutError),
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
    /// A stable name for the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Error::NotFound => "not_found",
            Error::MethodNotAllowed => "method_not_allowed",
            Error::UnsupportedMediaType => "unsupported_media_type",
            Error::Undecodable(_) => "undecodable_body",
            Error::Invalid(_) => "invalid_event",
            Error::TooLarge(_) => "event_too_large",
            Error::Firehose(PutError::Unavailable { .. }) => "stream_unavailable",
            Error::Firehose(PutError::Misconfigured { .. }) => "stream_misconfigured",
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Error::NotFound => StatusCode::NOT_FOUND,
            Error::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Error::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::Undecodable(_) => StatusCode::BAD_REQUEST,
            Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Error::Firehose(PutError::Unavailable { .. }) => StatusCode::SERVICE_UNAVAILABLE,
            Error::Firehose(PutError::Misconfigured { .. }) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the client is told.
    pub fn message(&self) -> String {
        match self {
            Error::NotFound => "Not Found".to_owned(),
            Error::MethodNotAllowed => "Method Not Allowed".to_owned(),
            Error::UnsupportedMediaType => {
                "Unsupported Media Type: send application/json, application/*+json or text/plain".to_owned()
            }
            Error::Undecodable(reason) => format!("There was an error parsing the body: {reason}"),
            Error::Invalid(issues) => issues
                .first()
                .map_or_else(|| "The event is invalid".to_owned(), event_model::Issue::msg),
            Error::TooLarge(_) => {
                format!("The event is larger than {MAX_RECORD_BYTES} bytes, once normalised")
            }
            Error::Firehose(PutError::Unavailable { .. }) => {
                "The event was not stored: the stream does not take events right now, try again later".to_owned()
            }
            Error::Firehose(PutError::Misconfigured { .. }) => {
                "The event was not stored: this service is set up wrong, its operator has been told".to_owned()
            }
        }
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Error::MethodNotAllowed => Some((ALLOW, HeaderValue::from_static("POST"))),
            Error::Firehose(PutError::Unavailable { .. }) => Some((RETRY_AFTER, RETRY_AFTER_SECONDS.into())),
            Error::NotFound
            | Error::UnsupportedMediaType
            | Error::Undecodable(_)
            | Error::Invalid(_)
            | Error::TooLarge(_)
            | Error::Firehose(PutError::Misconfigured { .. }) => None,
        }
    }
}

impl Failure for Error {
    fn response(&self) -> Response<Body> {
        let mut response = match self {
            // FastAPI's shape, which clients know.
            Error::Invalid(issues) => respond::detail(self.status(), issues),
            _ => respond::problem(self.status(), self.code(), &self.message()),
        };
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
