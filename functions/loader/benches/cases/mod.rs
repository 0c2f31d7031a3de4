//! What is measured: deliveries, as Firehose posts them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::sample;

/// The names of the cases.
pub(crate) const CASES: [&str; 3] = ["delivery_2mb", "delivery_small", "three_months"];

/// How many rows a case has.
pub(crate) fn rows(case: &str) -> usize {
    match case {
        "delivery_small" => 100,
        _ => 7_000,
    }
}

/// The body of a case's delivery; `None` for a case that there is not.
pub(crate) fn body(case: &str) -> Option<Vec<u8>> {
    let (records, days): (usize, &[&str]) = match case {
        "delivery_2mb" => (4, &["2024-05-17"]),
        "delivery_small" => (20, &["2024-05-17"]),
        "three_months" => (4, &["2024-05-17", "2024-03-31", "2024-04-01"]),
        _ => return None,
    };
    let lines = sample::lines(rows(case), days);
    let records: Vec<_> = lines
        .chunks(lines.len().div_ceil(records))
        .map(|lines| format!("{{\"data\":\"{}\"}}", STANDARD.encode(lines.concat())))
        .collect();
    let body = format!(
        "{{\"requestId\":\"ed4acda5-034f-9f42-bba1-f29aea6d7d8f\",\"timestamp\":1715940000000,\"records\":[{}]}}",
        records.join(",")
    );
    Some(body.into_bytes())
}
