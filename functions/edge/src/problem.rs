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
    /// What it means and what to do, for the documentation.
    pub meaning: &'static str,
}

impl Problem {
    /// The answer: `{"detail": …, "code": …}`. `detail` is what the client is told.
    pub fn response(&self, detail: &str) -> Response<Body> {
        respond::problem(self.status, self.code, detail)
    }
}

/// No such path.
pub const NOT_FOUND: Problem = Problem {
    code: "not_found",
    status: StatusCode::NOT_FOUND,
    meaning: "There is nothing at this path.",
};

/// Another method than the path takes.
pub const METHOD_NOT_ALLOWED: Problem = Problem {
    code: "method_not_allowed",
    status: StatusCode::METHOD_NOT_ALLOWED,
    meaning: "The path takes another method; `Allow` names it.",
};

/// More bytes than are read.
pub const BODY_TOO_LARGE: Problem = Problem {
    code: "body_too_large",
    status: StatusCode::PAYLOAD_TOO_LARGE,
    meaning: "The body has more bytes than are read, as sent or once inflated. Send less in one request.",
};

/// The body came too slowly.
pub const BODY_TOO_SLOW: Problem = Problem {
    code: "body_too_slow",
    status: StatusCode::REQUEST_TIMEOUT,
    meaning: "The body did not come within half a minute.",
};

/// The body ended before its end.
pub const BODY_BROKEN: Problem = Problem {
    code: "body_broken",
    status: StatusCode::BAD_REQUEST,
    meaning: "The connection broke before the body ended.",
};

/// The body cannot be decoded.
pub const UNDECODABLE_BODY: Problem = Problem {
    code: "undecodable_body",
    status: StatusCode::BAD_REQUEST,
    meaning: "The body is not what `Content-Encoding` says, is not UTF-8, nests too deep or holds an integer of thousands of digits.",
};

/// A content coding that is not read.
pub const UNSUPPORTED_ENCODING: Problem = Problem {
    code: "unsupported_content_encoding",
    status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
    meaning: "`Content-Encoding` is neither `gzip` nor `zstd`; `Accept-Encoding` names both.",
};

/// No write key.
pub const WRITE_KEY_MISSING: Problem = Problem {
    code: "write_key_missing",
    status: StatusCode::UNAUTHORIZED,
    meaning: "A write key is required, and none was sent.",
};

/// A write key that is not one of ours.
pub const WRITE_KEY_INVALID: Problem = Problem {
    code: "write_key_invalid",
    status: StatusCode::UNAUTHORIZED,
    meaning: "The write key is not one that is accepted here.",
};

/// A page of an origin that is not on the list.
pub const ORIGIN_NOT_ALLOWED: Problem = Problem {
    code: "origin_not_allowed",
    status: StatusCode::FORBIDDEN,
    meaning: "The page that sends this is of an origin that is not on the allow-list.",
};

/// A defect of ours.
pub const INTERNAL_ERROR: Problem = Problem {
    code: "internal_error",
    status: StatusCode::INTERNAL_SERVER_ERROR,
    meaning: "A defect of this service. Nothing of the request is known to be stored.",
};

/// What any function can answer before or around its handler.
pub const COMMON: [Problem; 4] = [BODY_TOO_LARGE, BODY_TOO_SLOW, BODY_BROKEN, INTERNAL_ERROR];
