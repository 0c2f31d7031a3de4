//! Why a request has no answer, and what its sender is told.

use edge::auth::AuthError;
use edge::clickhouse::WarehouseError;
use edge::{Body, Failure, Problem, Response, problem};

use crate::error::{
    ANSWER_TOO_LARGE, INVALID_PARAMETERS, MART_MISSING, WAREHOUSE_GARBLED, WAREHOUSE_REFUSED, WAREHOUSE_TIMEOUT,
    WAREHOUSE_UNREACHABLE, invalid, particulars, refusal,
};
use crate::parameters::Wrong;

/// ClickHouse's exceptions for a column, a table or a database that is not there. A column is missing where the function is newer than
/// what dbt has built.
const UNKNOWN_IDENTIFIER: u32 = 47;
const UNKNOWN_TABLE: u32 = 60;
const UNKNOWN_DATABASE: u32 = 81;

/// ClickHouse's exception for a query that took longer than it may.
const TIMEOUT_EXCEEDED: u32 = 159;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such path.
    #[error("no such path")]
    NotFound,
    /// The path takes GET only.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// The sender may not read.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The parameters are wrong.
    #[error("wrong parameters: {} problem(s)", .0.len())]
    Invalid(Vec<Wrong>),
    /// The mart does not exist yet.
    #[error("the mart {0} does not exist, or is old: run dbt")]
    NoMart(&'static str),
    /// The rows are more than a function URL returns.
    #[error("the answer is too large")]
    TooLarge,
    /// ClickHouse did not answer.
    #[error(transparent)]
    Warehouse(WarehouseError),
    /// The rows cannot be written as CSV.
    #[error("cannot write CSV")]
    Csv(#[from] csv::Error),
    /// The rows cannot be written as JSON.
    #[error("cannot write JSON")]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// What ClickHouse's failure means for a reader of that mart.
    pub fn of(error: WarehouseError, table: &'static str) -> Self {
        match error.exception() {
            Some(UNKNOWN_IDENTIFIER | UNKNOWN_TABLE | UNKNOWN_DATABASE) => Error::NoMart(table),
            _ => Error::Warehouse(error),
        }
    }

    /// Its entry in the catalogue.
    pub fn problem(&self) -> Problem {
        match self {
            Error::NotFound => problem::NOT_FOUND,
            Error::MethodNotAllowed => problem::METHOD_NOT_ALLOWED,
            Error::Auth(error) => error.problem().0,
            Error::Invalid(_) => INVALID_PARAMETERS,
            Error::NoMart(_) => MART_MISSING,
            Error::TooLarge => ANSWER_TOO_LARGE,
            Error::Warehouse(error) => match error {
                WarehouseError::Unreachable(_) => WAREHOUSE_UNREACHABLE,
                WarehouseError::TimedOut(_) => WAREHOUSE_TIMEOUT,
                WarehouseError::Refused { .. } if error.exception() == Some(TIMEOUT_EXCEEDED) => WAREHOUSE_TIMEOUT,
                WarehouseError::Refused { .. } => WAREHOUSE_REFUSED,
                WarehouseError::Garbled(_) => WAREHOUSE_GARBLED,
            },
            Error::Csv(_) | Error::Json(_) => problem::INTERNAL_ERROR,
        }
    }

    /// What a reader is told, in a sentence.
    pub fn detail(&self) -> String {
        let problem = self.problem();
        problem.detail(particulars(problem, self.table()).as_deref())
    }

    /// The mart that is missing, or empty.
    fn table(&self) -> &'static str {
        match self {
            Error::NoMart(table) => table,
            _ => "",
        }
    }
}

impl Failure for Error {
    fn response(&self) -> Response<Body> {
        match self {
            Error::Invalid(wrong) => invalid(wrong),
            _ => refusal(self.problem(), self.table()),
        }
    }
}
