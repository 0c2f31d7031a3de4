//! Everything that a function which reads a mart can answer but 200, in one catalogue.

use edge::auth::{AuthError, READ};
use edge::{Body, Problem, Response, problem, respond};
use http::StatusCode;
use http::header::{ALLOW, CACHE_CONTROL, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use schemars::JsonSchema;
use serde::Serialize;

use crate::parameters::Wrong;

/// When a client may try again, in seconds.
pub const RETRY_AFTER_SECONDS: u16 = 10;

/// More than a function URL returns, of a mart without pages.
pub const ANSWER_TOO_LARGE: Problem = Problem {
    code: "answer_too_large",
    status: StatusCode::BAD_REQUEST,
    message: "The answer would be too large, ask for less",
};

/// The parameters are wrong. The answer is FastAPI's: `detail` is a list, and there is no `code`.
pub const INVALID_PARAMETERS: Problem = Problem {
    code: "invalid_parameters",
    status: StatusCode::UNPROCESSABLE_ENTITY,
    message: "The parameters are wrong",
};

/// The mart does not exist yet, or is older than the function. No fault of the service: waiting does not help, running dbt does.
pub const MART_MISSING: Problem = Problem {
    code: "mart_missing",
    status: StatusCode::NOT_FOUND,
    message: "There is nothing to read yet, run dbt once",
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
    message: "The warehouse took too long, try again later or ask for less",
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
pub const CATALOGUE: [Problem; 12] = [
    ANSWER_TOO_LARGE,
    problem::READ_KEY_INVALID,
    problem::READ_KEY_MISSING,
    MART_MISSING,
    problem::NOT_FOUND,
    problem::METHOD_NOT_ALLOWED,
    INVALID_PARAMETERS,
    problem::INTERNAL_ERROR,
    WAREHOUSE_GARBLED,
    WAREHOUSE_REFUSED,
    WAREHOUSE_TIMEOUT,
    WAREHOUSE_UNREACHABLE,
];

/// 422: the parameters are wrong. FastAPI's shape.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "InvalidParameters")]
pub struct Invalid<'a> {
    /// What is wrong, in the order of the parameters.
    pub detail: &'a [Wrong],
}

/// The answer that one entry of the catalogue gives; `table` is the mart.
pub fn refusal(problem: Problem, table: &str) -> Response<Body> {
    let mut response = problem.response(particulars(problem, table).as_deref());
    let header = match problem.status {
        StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        StatusCode::METHOD_NOT_ALLOWED => Some((ALLOW, HeaderValue::from_static("GET, HEAD"))),
        StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, RETRY_AFTER_SECONDS.into())),
        _ => None,
    };
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, value);
    }
    not_kept(response)
}

/// What an entry of the catalogue says behind its message; `table` is the mart.
pub(crate) fn particulars(problem: Problem, table: &str) -> Option<String> {
    if problem == MART_MISSING {
        Some(format!("it builds {table}"))
    } else if problem == problem::READ_KEY_MISSING {
        AuthError::Missing(&READ).problem().1.map(str::to_owned)
    } else {
        None
    }
}

/// The answer to wrong parameters.
pub fn invalid(wrong: &[Wrong]) -> Response<Body> {
    not_kept(respond::json_of(INVALID_PARAMETERS.status, &Invalid { detail: wrong }))
}

/// What is refused now may be answered in a moment.
fn not_kept(mut response: Response<Body>) -> Response<Body> {
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_sorted_and_says_each_thing_once() {
        let keys: Vec<_> = CATALOGUE
            .iter()
            .map(|problem| (problem.status.as_u16(), problem.code))
            .collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
    }

    #[test]
    fn the_readme_lists_the_catalogue() {
        let readme = include_str!("../../../README.md");
        let (_, reading) = readme.split_once("\n## Reading\n").unwrap();
        let (_, rest) = reading
            .split_once("| status | code | message |\n|---|---|---|\n")
            .unwrap();
        let row = |problem: &Problem| {
            let (status, code, message) = (problem.status.as_u16(), problem.code, problem.message);
            format!("| {status} | `{code}` | {message} |")
        };
        let expected: Vec<_> = CATALOGUE.iter().map(row).collect();
        let found: Vec<_> = rest.lines().take_while(|line| line.starts_with('|')).collect();
        assert_eq!(found, expected);
    }
}
