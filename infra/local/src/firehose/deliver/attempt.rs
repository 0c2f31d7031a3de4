//! One POST to an HTTP endpoint, and the client that sends it.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::judge::{Failure, MAX_RESPONSE, Verdict, judge};
use crate::firehose::config::{Attribute, ContentEncoding, HttpEndpoint};

/// How long an endpoint may take to answer.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(180);

const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// The client for all deliveries. It follows no redirect and uses no proxy: what is configured is what is called.
pub(crate) fn client() -> anyhow::Result<reqwest::Client> {
    let builder = || {
        crate::client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .user_agent("Amazon Kinesis Data Firehose Agent/1.0")
    };
    // A machine without certificates still delivers to http:// endpoints; https:// then fails as a handshake.
    Ok(builder().build().or_else(|_| builder().tls_certs_only([]).build())?)
}

/// The headers of every attempt of a batch.
pub(crate) fn headers(http: &HttpEndpoint, arn: &str, request_id: &Uuid) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: &[u8]| {
        let value = HeaderValue::from_bytes(value).map_err(|_| format!("{name} cannot be sent"))?;
        headers.insert(HeaderName::from_static(name), value);
        Ok::<_, String>(())
    };
    set("content-type", b"application/json")?;
    set("x-amz-firehose-protocol-version", b"1.0")?;
    set("x-amz-firehose-request-id", request_id.to_string().as_bytes())?;
    set("x-amz-firehose-source-arn", arn.as_bytes())?;
    if let Some(key) = &http.endpoint_configuration.access_key {
        set("x-amz-firehose-access-key", key.as_bytes())?;
    }
    let attributes = &http.request_configuration.common_attributes;
    if !attributes.is_empty() {
        set(
            "x-amz-firehose-common-attributes",
            common_attributes(attributes).as_bytes(),
        )?;
    }
    if http.request_configuration.content_encoding == ContentEncoding::Gzip {
        set("content-encoding", b"gzip")?;
    }
    Ok(headers)
}

/// The attributes as JSON in ASCII: a header holds nothing else.
fn common_attributes(attributes: &[Attribute]) -> String {
    let attributes = attributes
        .iter()
        .map(|attribute| {
            (
                attribute.attribute_name.clone(),
                Value::from(attribute.attribute_value.clone()),
            )
        })
        .collect::<Map<_, _>>();
    let mut ascii = String::new();
    for letter in json!({ "commonAttributes": attributes }).to_string().chars() {
        if letter.is_ascii() && !letter.is_ascii_control() {
            ascii.push(letter);
        } else {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii
}

/// Posts the body and judges what comes back.
pub(crate) async fn post(
    client: &reqwest::Client,
    http: &HttpEndpoint,
    arn: &str,
    request_id: &Uuid,
    body: Vec<u8>,
) -> Verdict {
    let headers = match headers(http, arn, request_id) {
        Ok(headers) => headers,
        Err(problem) => return Verdict::Failed(Failure::without_answer("HttpEndpoint.InvalidRequest", problem)),
    };
    let sent = client
        .post(&http.endpoint_configuration.url)
        .headers(headers)
        .body(body)
        .send()
        .await;
    let mut response = match sent {
        Ok(response) => response,
        Err(error) => return Verdict::Failed(unsent(&error)),
    };
    let mut answer = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => answer.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Verdict::Failed(unsent(&error)),
        }
        if answer.len() > MAX_RESPONSE {
            break;
        }
    }
    judge(response.status(), response.headers(), &answer, request_id)
}

/// The failure of an attempt that got no whole answer. The URL may carry a secret and is left out.
fn unsent(error: &reqwest::Error) -> Failure {
    if error.is_connect() {
        if has_tls_source(error) {
            return Failure::without_answer(
                "HttpEndpoint.SSLHandshakeFailure",
                "Unable to complete an SSL handshake with the endpoint.",
            );
        }
        return Failure::without_answer("HttpEndpoint.ConnectionFailed", "Unable to connect to the endpoint.");
    }
    if error.is_timeout() {
        return Failure::without_answer(
            "HttpEndpoint.RequestTimeout",
            "The endpoint did not respond within the time limit.",
        );
    }
    Failure::without_answer(
        "HttpEndpoint.ConnectionReset",
        "The connection to the endpoint was reset.",
    )
}

fn has_tls_source(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if error.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_ascii_json() {
        let attribute = |name: &str, value: &str| Attribute {
            attribute_name: name.to_owned(),
            attribute_value: value.to_owned(),
        };
        assert_eq!(
            common_attributes(&[attribute("stage", "prod"), attribute("ort", "Zürich 🦀")]),
            r#"{"commonAttributes":{"ort":"Z\u00fcrich \ud83e\udd80","stage":"prod"}}"#
        );
    }
}
