//! Building responses.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use lambda_http::Body;
use serde::Serialize;

use crate::problem::INTERNAL_ERROR;

/// A JSON response. The body is already JSON text.
pub fn json(status: StatusCode, body: String) -> Response<Body> {
    text(status, "application/json", body)
}

/// A JSON response.
pub fn json_of<T: Serialize>(status: StatusCode, value: &T) -> Response<Body> {
    match serde_json::to_string(value) {
        Ok(body) => json(status, body),
        Err(error) => {
            tracing::error!(%error, "cannot write the answer");
            INTERNAL_ERROR.response(None)
        }
    }
}

/// `{"detail": …, "code": …}`: how every function says that it will not do something.
pub fn problem(status: StatusCode, code: &str, detail: &str) -> Response<Body> {
    json(
        status,
        serde_json::json!({ "detail": detail, "code": code }).to_string(),
    )
}

/// `{"detail": [ … ]}`, FastAPI's shape for what is wrong with the input.
pub fn detail<T: Serialize>(status: StatusCode, detail: &[T]) -> Response<Body> {
    #[derive(Serialize)]
    struct Detail<'a, T> {
        detail: &'a [T],
    }
    json_of(status, &Detail { detail })
}

/// A text response of some media type.
pub fn text(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::Text(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
