//! Answers as Lambda gets them.

use std::future::{Future, ready};
use std::pin::Pin;

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use lambda_http::{Body, IntoResponse, Response};

/// An answer of ours. What `lambda_http` makes of any body, it makes by collecting it and decoding it from whichever of forty
/// encodings its type names, and their tables are a part of each program. Ours are in memory, and UTF-8 if they are text.
pub(crate) struct Answered(pub(crate) Response<Body>);

impl IntoResponse for Answered {
    fn into_response(self) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        let (parts, body) = self.0.into_parts();
        let body = match (is_text(&parts.headers), body) {
            (true, Body::Binary(bytes)) => Body::Text(match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(other) => String::from_utf8_lossy(other.as_bytes()).into_owned(),
            }),
            (true, Body::Empty) => Body::Text(String::new()),
            (false, Body::Text(text)) => Body::Binary(text.into_bytes()),
            (false, Body::Empty) => Body::Binary(Vec::new()),
            (_, body) => body,
        };
        Box::pin(ready(Response::from_parts(parts, body)))
    }
}

/// Whether Lambda gets the body as text, or in base64: by the same rule as in `lambda_http`.
fn is_text(headers: &HeaderMap) -> bool {
    if headers.contains_key(CONTENT_ENCODING) {
        return false;
    }
    let Some(content_type) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let content_type = content_type.to_str().unwrap_or_default();
    let begins = [
        "text",
        "application/json",
        "application/javascript",
        "application/xml",
        "application/yaml",
    ];
    let media = content_type.trim().split(';').next().unwrap_or_default();
    begins.iter().any(|begin| content_type.starts_with(begin))
        || ["+xml", "+yaml", "+json"].iter().any(|end| media.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `lambda_http` itself would hand it over.
    #[tokio::test]
    async fn the_answer_is_what_the_runtime_would_make_of_it() {
        let bodies = || {
            [
                Body::Empty,
                Body::Text(String::new()),
                Body::Text("{\"\u{e9}\":1}".to_owned()),
                Body::Binary(Vec::new()),
                Body::Binary("\u{e9}\u{4e16}".into()),
                Body::Binary(vec![0x1f, 0x8b, 0xff, b'a', 0xc3]),
            ]
        };
        let types = [
            "",
            "text/html; charset=utf-8",
            "text/plain",
            "application/json",
            "application/problem+json",
            "application/problem+json; charset=utf-8",
            " image/svg+xml ; a=b",
            "application/javascript",
            "application/x-ndjson",
            "application/octet-stream",
            "image/png",
            "font/woff2",
            "nonsense",
        ];
        for content_type in types {
            for encoding in ["", "gzip"] {
                for at in 0..bodies().len() {
                    let response = || {
                        let mut response = Response::builder();
                        for (name, value) in [(CONTENT_TYPE, content_type), (CONTENT_ENCODING, encoding)] {
                            if !value.is_empty() {
                                response = response.header(name, value);
                            }
                        }
                        let body = bodies().into_iter().nth(at).unwrap();
                        response.body(body).unwrap()
                    };
                    let expected = response().into_response().await;
                    let answered = Answered(response()).into_response().await;
                    let case = format!("{content_type:?} {encoding:?} {:?}", response().body());
                    assert_eq!(answered.body(), expected.body(), "{case}");
                    assert_eq!(answered.headers(), expected.headers(), "{case}");
                }
            }
        }
    }
}
