//! Whether an endpoint's answer means that it has the records.
//!
//! Sources: the developer guide's "HTTP endpoint delivery request and response specifications" and "Troubleshooting HTTP
//! endpoints", which also names the error codes.

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// A response may have no larger body.
pub(crate) const MAX_RESPONSE: usize = 1024 * 1024;

/// As much of the endpoint's own words as an error record may carry.
const MAX_MESSAGE: usize = 8192;

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The endpoint has the records.
    Delivered,
    /// It does not, or it cannot be told.
    Failed(Failure),
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What error records name.
    pub(crate) code: &'static str,
    /// For the error record; may hold the endpoint's own words.
    pub(crate) message: String,
    /// The answer's status, if there was one.
    pub(crate) status: Option<u16>,
    /// Whether another attempt is pointless.
    pub(crate) permanent: bool,
}

impl Failure {
    /// A failure before there was an answer.
    pub(crate) fn without_answer(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            status: None,
            permanent: false,
        }
    }
}

/// The only shape of a response body that counts. The time's value is not checked, only that it is a number.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Answer {
    request_id: String,
    timestamp: Value,
    #[serde(default, rename = "errorMessage")]
    _error_message: Option<String>,
}

/// Judges a whole response to the request `request_id`.
///
/// The specification also asks for Content-Length. A missing one is let pass: proxies in front of a function take it away,
/// and nothing is known of Firehose refusing such a response.
pub(crate) fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8], request_id: &Uuid) -> Verdict {
    let words = cut(&String::from_utf8_lossy(body));
    if status != StatusCode::OK {
        return Verdict::Failed(Failure {
            code: "HttpEndpoint.DestinationException",
            message: cut(&format!(
                "The following response was received from the endpoint destination. {}: {words}",
                status.as_u16()
            )),
            status: Some(status.as_u16()),
            permanent: status == StatusCode::PAYLOAD_TOO_LARGE,
        });
    }
    let problem = if body.len() > MAX_RESPONSE {
        Some((
            "HttpEndpoint.ResponseTooLarge",
            "The response received from the endpoint is too large.".to_owned(),
        ))
    } else {
        problem_of(headers, body, request_id).map(|problem| {
            let message = format!(
                "The response received from the specified endpoint is invalid. Response for request {request_id} {problem}. \
                 Raw response received: 200 {words}"
            );
            ("HttpEndpoint.InvalidResponseFromDestination", cut(&message))
        })
    };
    match problem {
        None => Verdict::Delivered,
        Some((code, message)) => Verdict::Failed(Failure {
            code,
            message,
            status: Some(status.as_u16()),
            permanent: false,
        }),
    }
}

fn problem_of(headers: &HeaderMap, body: &[u8], request_id: &Uuid) -> Option<&'static str> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json")) {
        return Some("has no content-type of exactly application/json");
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Some("has a content-encoding");
    }
    let unreadable = Some("is not recognized as valid JSON or has unexpected fields");
    // serde would take an array of the fields, too.
    if !body.trim_ascii_start().starts_with(b"{") {
        return unreadable;
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return unreadable;
    };
    if answer.request_id != request_id.to_string() {
        return Some("has another requestId");
    }
    if !answer.timestamp.is_number() {
        return Some("has a timestamp that is not a number");
    }
    None
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const ID: Uuid = Uuid::from_u128(0xed4a_cda5_034f_9f42_bba1_f29a_ea6d_7d8f);
    const JSON: &str = "application/json";

    #[track_caller]
    fn check(status: u16, headers: &[(&'static str, &'static str)], body: &str, expected: Option<(&str, bool)>) {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let verdict = judge(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), &ID);
        let found = match &verdict {
            Verdict::Delivered => None,
            Verdict::Failed(failure) => Some((failure.code, failure.permanent)),
        };
        assert_eq!(found, expected, "{verdict:?}");
    }

    #[test]
    fn only_an_exact_200_is_a_delivery() {
        let good = format!("{{\"requestId\":\"{ID}\",\"timestamp\":1578090903599}}");
        let json = [("content-type", JSON)];
        let invalid = Some(("HttpEndpoint.InvalidResponseFromDestination", false));
        let refused = Some(("HttpEndpoint.DestinationException", false));
        check(200, &json, &good, None);
        check(200, &[("content-type", "Application/JSON")], &good, None);
        check(200, &json, &format!(" \n{good}"), None);
        check(
            200,
            &json,
            &format!("{{\"requestId\":\"{ID}\",\"timestamp\":1578090903599,\"errorMessage\":\"partly\"}}"),
            None,
        );
        check(200, &[], &good, invalid);
        check(200, &json, &format!("[\"{ID}\",1578090903599]"), invalid);
        check(
            200,
            &[("content-type", "application/json; charset=utf-8")],
            &good,
            invalid,
        );
        check(200, &[("content-type", "text/plain")], &good, invalid);
        check(
            200,
            &[("content-type", JSON), ("content-encoding", "gzip")],
            &good,
            invalid,
        );
        check(200, &json, "", invalid);
        check(200, &json, "{}", invalid);
        check(200, &json, "[1]", invalid);
        check(200, &json, "{\"requestId\":null,\"timestamp\":1}", invalid);
        check(200, &json, &format!("{{\"requestId\":\"{ID}\"}}"), invalid);
        check(
            200,
            &json,
            &format!("{{\"requestId\":\"{ID}\",\"timestamp\":\"1578090903599\"}}"),
            invalid,
        );
        check(
            200,
            &json,
            &format!("{{\"requestId\":\"{ID}\",\"timestamp\":1,\"extra\":1}}"),
            invalid,
        );
        check(
            200,
            &json,
            &format!("{{\"requestId\":\"{}\",\"timestamp\":1}}", Uuid::nil()),
            invalid,
        );
        check(
            200,
            &json,
            &" ".repeat(MAX_RESPONSE + 1),
            Some(("HttpEndpoint.ResponseTooLarge", false)),
        );
        for status in [201, 202, 204, 301, 307, 400, 401, 403, 404, 429, 500, 502, 503, 504] {
            check(status, &json, &good, refused);
        }
        check(413, &json, &good, Some(("HttpEndpoint.DestinationException", true)));
    }

    #[test]
    fn the_message_of_a_refusal_is_bounded_and_names_the_status() {
        let Verdict::Failed(failure) = judge(StatusCode::BAD_GATEWAY, &HeaderMap::new(), &[0xff; 100_000], &ID) else {
            panic!()
        };
        assert!(failure.message.chars().count() <= MAX_MESSAGE);
        assert!(failure.message.contains(" 502: "));
    }
}
