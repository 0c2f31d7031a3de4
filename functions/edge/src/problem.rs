//! What can go wrong with a request, as clients and their documentation know it.

use http::{Response, StatusCode};
use lambda_http::Body;

use crate::respond;

/// One way in which a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    /// A stable name, the answer's `code`.
    pub code: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// What the client is told: the answer's `detail`, or how it begins.
    pub message: &'static str,
}

impl Problem {
    /// The answer's `detail`: the message, and what is particular to this request.
    pub fn detail(&self, particulars: Option<&str>) -> String {
        match particulars {
            None => self.message.to_owned(),
            Some(particulars) => format!("{}: {particulars}", self.message),
        }
    }

    /// The answer: `{"detail": …, "code": …}`.
    pub fn response(&self, particulars: Option<&str>) -> Response<Body> {
        respond::problem(self.status, self.code, &self.detail(particulars))
    }
}

/// No such path.
pub const NOT_FOUND: Problem = Problem {
    code: "not_found",
    status: StatusCode::NOT_FOUND,
    message: "Not Found",
};

/// Another method than the path takes; `Allow` names that.
pub const METHOD_NOT_ALLOWED: Problem = Problem {
    code: "method_not_allowed",
    status: StatusCode::METHOD_NOT_ALLOWED,
    message: "Method Not Allowed",
};

/// More bytes than are read, as sent or inflated.
pub const BODY_TOO_LARGE: Problem = Problem {
    code: "body_too_large",
    status: StatusCode::PAYLOAD_TOO_LARGE,
    message: "The body is too large",
};

/// The body came too slowly. Outside Lambda only.
pub const BODY_TOO_SLOW: Problem = Problem {
    code: "body_too_slow",
    status: StatusCode::REQUEST_TIMEOUT,
    message: "The body did not come in time",
};

/// The connection broke before the body ended. Outside Lambda only.
pub const BODY_BROKEN: Problem = Problem {
    code: "body_broken",
    status: StatusCode::BAD_REQUEST,
    message: "The body could not be read",
};

/// The body cannot be inflated or decoded.
pub const UNDECODABLE_BODY: Problem = Problem {
    code: "undecodable_body",
    status: StatusCode::BAD_REQUEST,
    message: "There was an error parsing the body",
};

/// A content coding that is not read; `Accept-Encoding` names those that are.
pub const UNSUPPORTED_ENCODING: Problem = Problem {
    code: "unsupported_content_encoding",
    status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
    message: "Unsupported Content-Encoding",
};

/// No write key was sent.
pub const WRITE_KEY_MISSING: Problem = Problem {
    code: "write_key_missing",
    status: StatusCode::UNAUTHORIZED,
    message: "A write key is required",
};

/// A write key that is not one of ours.
pub const WRITE_KEY_INVALID: Problem = Problem {
    code: "write_key_invalid",
    status: StatusCode::UNAUTHORIZED,
    message: "The write key is not valid",
};

/// No read key was sent.
pub const READ_KEY_MISSING: Problem = Problem {
    code: "read_key_missing",
    status: StatusCode::UNAUTHORIZED,
    message: "A read key is required",
};

/// A read key that is not one of ours.
pub const READ_KEY_INVALID: Problem = Problem {
    code: "read_key_invalid",
    status: StatusCode::UNAUTHORIZED,
    message: "The read key is not valid",
};

/// A page of an origin that is not on the allow-list.
pub const ORIGIN_NOT_ALLOWED: Problem = Problem {
    code: "origin_not_allowed",
    status: StatusCode::FORBIDDEN,
    message: "Pages of this origin may not send here",
};

/// A defect of ours.
pub const INTERNAL_ERROR: Problem = Problem {
    code: "internal_error",
    status: StatusCode::INTERNAL_SERVER_ERROR,
    message: "Internal Server Error",
};
