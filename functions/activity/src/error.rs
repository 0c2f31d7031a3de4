//! Everything that `GET /activity` can answer but 200, in one catalogue.

use edge::{Body, Problem, Response, problem, respond};
use http::StatusCode;
use http::header::{ALLOW, HeaderValue, RETRY_AFTER};
use schemars::JsonSchema;
use serde::Serialize;

use crate::range::RangeError;

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

/// The answer to wrong dates.
pub fn invalid(problems: &[RangeError]) -> Response<Body> {
    respond::json_of(INVALID_RANGE.status, &Invalid { detail: problems })
}
