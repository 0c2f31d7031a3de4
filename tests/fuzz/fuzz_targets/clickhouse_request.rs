//! A query as it comes over HTTP.
//!
//! Input: lines; the first is the URL's query, the others are headers.

#![no_main]

#[path = "../../../infra/local/src/clickhouse"]
#[allow(dead_code, reason = "the server uses the rest")]
mod clickhouse {
    pub(crate) mod compression;
    pub(crate) mod error;
    pub(crate) mod request;
}

use std::collections::BTreeSet;
use std::time::Duration;

use clickhouse::request::{Credentials, Parameters, QueryRequest};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let query = lines.next().unwrap_or_default();
    let headers: HeaderMap = lines
        .filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((
                name.parse::<HeaderName>().ok()?,
                HeaderValue::from_bytes(value.as_bytes()).ok()?,
            ))
        })
        .collect();
    let parameters = Parameters::parse(query);
    decoded_as_a_form(query, &parameters);

    if let Ok(credentials) = Credentials::read(&headers, &parameters) {
        assert!(!credentials.user.is_empty());
    }
    let method = if query.len().is_multiple_of(2) {
        Method::POST
    } else {
        Method::GET
    };
    let read = QueryRequest::read(&method, &headers, &parameters, true, || "fresh".to_owned());
    let Ok(request) = read else { return };
    assert_eq!(request.readonly, method != Method::POST);
    assert!(
        !request.response.query_id.is_empty() && !request.response.query_id.contains(|c: char| c.is_ascii_control())
    );
    assert!(request.response.buffer >= 1 << 20);
    let settings: BTreeSet<_> = request.settings.iter().map(|(name, _)| name).collect();
    assert_eq!(settings.len(), request.settings.len(), "a setting is set once");
    for reserved in ["query", "password", "user", "database", "session_id", "query_id"] {
        assert!(!settings.contains(&reserved.to_owned()));
    }
    let names: BTreeSet<_> = request.parameters.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), request.parameters.len(), "a parameter has one value");
    if let Some(session) = &request.session {
        assert!(!session.id.is_empty() && session.timeout <= Duration::from_secs(3600));
    }
});

/// The same pairs as a parser of forms finds.
fn decoded_as_a_form(query: &str, parameters: &Parameters) {
    let expected: Vec<_> = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| !name.is_empty())
        .collect();
    assert_eq!(parameters.0.len(), expected.len());
    for ((name, value), (other, text)) in parameters.0.iter().zip(&expected) {
        assert_eq!(name, other);
        assert_eq!(String::from_utf8_lossy(value), *text);
    }
}
