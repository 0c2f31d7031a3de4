//! Why a request has no answer, and what its sender is told.

use edge::clickhouse::WarehouseError;
use edge::{Body, Failure, Problem, Response, problem};

use crate::error::{
    INVALID_RANGE, MART_MISSING, WAREHOUSE_GARBLED, WAREHOUSE_REFUSED, WAREHOUSE_TIMEOUT, WAREHOUSE_UNREACHABLE,
    invalid, refusal,
};
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
    /// Its entry in the catalogue.
    pub fn problem(&self) -> Problem {
        match self {
            Error::NotFound => problem::NOT_FOUND,
            Error::MethodNotAllowed => problem::METHOD_NOT_ALLOWED,
            Error::Invalid(_) => INVALID_RANGE,
            Error::NoMart => MART_MISSING,
            Error::Warehouse(error) => match error {
                WarehouseError::Unreachable(_) => WAREHOUSE_UNREACHABLE,
                WarehouseError::TimedOut(_) => WAREHOUSE_TIMEOUT,
                WarehouseError::Refused { .. } => WAREHOUSE_REFUSED,
                WarehouseError::Garbled(_) => WAREHOUSE_GARBLED,
            },
            Error::Csv(_) | Error::Json(_) => problem::INTERNAL_ERROR,
        }
    }
}

impl Failure for Error {
    fn response(&self) -> Response<Body> {
        let problem = self.problem();
        match self {
            Error::Invalid(problems) => invalid(problems),
            _ => refusal(problem),
        }
    }
}
