//! Everything that `GET /activity` can answer but 200, in one catalogue.

use edge::clickhouse::WarehouseError;
use edge::{Body, Failure, Problem, Response, problem, respond};
use http::StatusCode;
use http::header::{ALLOW, HeaderValue, RETRY_AFTER};
use schemars::JsonSchema;
use serde::Serialize;

use crate::range::RangeError;

/// ClickHouse's exceptions for a table or a database that is not there.
const UNKNOWN_TABLE: u32 = 60;
const UNKNOWN_DATABASE: u32 = 81;

/// When a client may try again, in seconds.
pub const RETRY_AFTER_SECONDS: u16 = 10;

/// The dates are wrong. The answer is FastAPI's: `detail` is a list, and there is no `code`.
pub const INVALID_RANGE: Problem = Problem {
    code: "invalid_range",
    status: StatusCode::UNPROCESSABLE_ENTITY,
    message: "The dates are wrong",
};

/// The mart does not exist yet. No fault of the service: waiting does not help, running dbt does.
pub const MART_MISSING: Problem = Problem {
    code: "mart_missing",
    status: StatusCode::NOT_FOUND,
    message: "There is no activity yet: run dbt once, it builds users_activity",
};

/// ClickHouse cannot be reached.
pub const WAREHOUSE_UNREACHABLE: Problem = Problem {
    code: "warehouse_unreachable",
    status: StatusCode::SERVICE_UNAVAILABLE,
    message: "The warehouse cannot be reached, try again later",
};

/// ClickHouse did not answer in time.
pub const WAREHOUSE_TIMEOUT: Problem = Problem {
    code: "warehouse_timeout",
    status: StatusCode::SERVICE_UNAVAILABLE,
    message: "The warehouse took too long, try again later or ask for fewer days",
};

/// ClickHouse answered with an exception.
pub const WAREHOUSE_REFUSED: Problem = Problem {
    code: "warehouse_refused",
    status: StatusCode::INTERNAL_SERVER_ERROR,
    message: "The warehouse failed",
};

/// ClickHouse's answer is not what was asked for.
pub const WAREHOUSE_GARBLED: Problem = Problem {
    code: "warehouse_garbled",
    status: StatusCode::INTERNAL_SERVER_ERROR,
    message: "The warehouse failed",
};

/// Every refusal, by status.
pub const CATALOGUE: [Problem; 9] = [
    MART_MISSING,
    problem::NOT_FOUND,
    problem::METHOD_NOT_ALLOWED,
    INVALID_RANGE,
    problem::INTERNAL_ERROR,
    WAREHOUSE_GARBLED,
    WAREHOUSE_REFUSED,
    WAREHOUSE_TIMEOUT,
    WAREHOUSE_UNREACHABLE,
];

/// 422: the dates are wrong. FastAPI's shape.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "InvalidRange")]
pub struct Invalid<'a> {
    /// What is wrong, in the order of the parameters.
    pub detail: &'a [RangeError],
}

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
            Error::Invalid(problems) => respond::json_of(problem.status, &Invalid { detail: problems }),
            _ => refusal(problem),
        }
    }
}

/// The answer that one entry of the catalogue gives.
pub fn refusal(problem: Problem) -> Response<Body> {
    let mut response = problem.response(None);
    let header = match problem.status {
        StatusCode::METHOD_NOT_ALLOWED => Some((ALLOW, HeaderValue::from_static("GET, HEAD"))),
        StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, RETRY_AFTER_SECONDS.into())),
        _ => None,
    };
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, value);
    }
    response
}
