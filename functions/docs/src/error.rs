//! Everything that the function can answer but the pages.

use edge::{Body, Failure, Problem, Response, problem};
use http::header::{ALLOW, HeaderValue};

/// Why there is no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such path.
    #[error("no such path")]
    NotFound,
    /// The path takes GET and HEAD only.
    #[error("method not allowed")]
    MethodNotAllowed,
}

impl Error {
    /// Its entry in the catalogue.
    pub fn problem(self) -> Problem {
        match self {
            Error::NotFound => problem::NOT_FOUND,
            Error::MethodNotAllowed => problem::METHOD_NOT_ALLOWED,
        }
    }
}

impl Failure for Error {
    fn response(&self) -> Response<Body> {
        let mut response = self.problem().response(None);
        if *self == Error::MethodNotAllowed {
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}
