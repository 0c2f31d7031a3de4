//! Everything that `GET /activity` can answer but 200, in one catalogue.

use edge::clickhouse::WarehouseError;
use edge::{Body, Failure, Response, respond};
use http::StatusCode;
use http::header::{ALLOW, HeaderValue, RETRY_AFTER};

use crate::range::RangeError;

/// ClickHouse's exceptions for a table or a database that is not there.
const UNKNOWN_TABLE: u32 = 60;
const UNKNOWN_DATABASE: u32 = 81;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such path.
    #[error("no such path")]
    NotFound,
    /// The path takes GET only.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// The dates are wrong.
    #[error("wrong dates: {} problem(s)", .0.len())]
    Invalid(Vec<RangeError>),
    /// The mart does not exist yet.
    #[error("the mart users_activity does not exist: run dbt")]
    NoMart,
    /// ClickHouse did not answer.
    #[error(transparent)]
    Warehouse(WarehouseError),
    /// The rows cannot be written as CSV.
    #[error("cannot write CSV")]
    Csv(#[source] csv::Error),
    /// The rows cannot be written as JSON.
    #[error("cannot write JSON")]
    Json(#[source] serde_json::Error),
}

impl From<WarehouseError> for Error {
    fn from(error: WarehouseError) -> Self {
        match error.exception() {
            Some(UNKNOWN_TABLE | UNKNOWN_DATABASE) => Error::NoMart,
            _ => Error::Warehouse(error),
        }
    }
}

impl Error {
    /// A stable name for the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Error::NotFound => "not_found",
            Error::MethodNotAllowed => "method_not_allowed",
            Error::Invalid(_) => "invalid_range",
            Error::NoMart => "mart_missing",
            Error::Warehouse(error) => error.code(),
            Error::Csv(_) | Error::Json(_) => "internal_error",
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Error::NotFound => StatusCode::NOT_FOUND,
            Error::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::NoMart => StatusCode::SERVICE_UNAVAILABLE,
            Error::Warehouse(error) => match error {
                WarehouseError::Unreachable(_) | WarehouseError::TimedOut(_) => StatusCode::SERVICE_UNAVAILABLE,
                WarehouseError::Refused { .. } | WarehouseError::Garbled(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Error::Csv(_) | Error::Json(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the client is told.
    pub fn message(&self) -> &'static str {
        match self {
            Error::NotFound => "Not Found",
            Error::MethodNotAllowed => "Method Not Allowed",
            Error::Invalid(_) => "The dates are wrong",
            Error::NoMart => "There is no activity yet: run dbt once, it builds users_activity",
            Error::Warehouse(error) => match error {
                WarehouseError::Unreachable(_) => "The warehouse cannot be reached, try again later",
                WarehouseError::TimedOut(_) => "The warehouse took too long, try again later or ask for fewer days",
                WarehouseError::Refused { .. } | WarehouseError::Garbled(_) => "The warehouse failed",
            },
            Error::Csv(_) | Error::Json(_) => "Internal Server Error",
        }
    }
}

impl Failure for Error {
    fn response(&self) -> Response<Body> {
        let mut response = match self {
            Error::Invalid(problems) => respond::detail(self.status(), problems),
            _ => respond::problem(self.status(), self.code(), self.message()),
        };
        if self.status() == StatusCode::METHOD_NOT_ALLOWED {
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("10"));
        }
        response
    }
}
