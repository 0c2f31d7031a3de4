//! A delivery of Firehose: no line is dropped unseen, and what becomes of one line says nothing about its neighbours.
//!
//! Input: a byte; if it is even, the JSON of a delivery, else records that NUL bytes part.

#![no_main]

#[path = "../../../functions/loader/src/delivery.rs"]
mod delivery;

mod error {
    pub(crate) use loader::Error;
}

mod insert {
    pub(crate) use loader::insert::Rejected;
}

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use delivery::{Delivery, Lines};
use event_model::Row;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    if choice.is_multiple_of(2) {
        whole(rest);
    } else {
        records(&rest.split(|byte| *byte == 0).collect::<Vec<_>>());
    }
});

fn whole(body: &[u8]) {
    match Delivery::parse(body) {
        Ok(delivery) => {
            if let Ok(value) = serde_json::from_slice::<Value>(body) {
                assert_eq!(value["requestId"], *delivery.request_id);
            }
            check(&delivery.lines());
        }
        Err(error) => assert!(error.status().is_client_error() && error.status() != 413, "{error}"),
    }
}

fn records(records: &[&[u8]]) {
    let encoded: Vec<_> = records
        .iter()
        .map(|data| serde_json::json!({ "data": STANDARD.encode(data) }))
        .collect();
    let body = serde_json::json!({ "requestId": "r", "timestamp": 1, "records": encoded }).to_string();
    let delivery = Delivery::parse(body.as_bytes()).expect("this is a delivery");
    let lines = delivery.lines();
    check(&lines);

    let expected = records.iter().flat_map(|data| data.split(|byte| *byte == b'\n'));
    let expected = expected.filter(|line| !line.trim_ascii().is_empty());
    let (mut rows, mut rejected) = (lines.rows.iter(), lines.rejected.iter());
    for line in expected {
        match Row::from_line(line) {
            Ok(row) => assert_eq!(rows.next(), Some(&row)),
            Err(error) => {
                let bad = rejected.next().expect("a bad line is kept");
                assert_eq!(
                    (bad.raw.as_slice(), bad.code, bad.stage),
                    (line, error.code(), error.stage())
                );
            }
        }
    }
    assert!(rows.next().is_none() && rejected.next().is_none());
}

/// Rejected lines say why, and rows have the same tokens in whichever order they come.
fn check(lines: &Lines<'_>) {
    for bad in &lines.rejected {
        assert!(!bad.reason.is_empty() && !bad.code.is_empty() && ["decode", "json", "record"].contains(&bad.stage));
    }
    let groups = loader::insert::groups(&lines.rows);
    assert_eq!(groups.iter().map(|group| group.rows).sum::<usize>(), lines.rows.len());
    let tokens: BTreeMap<_, _> = groups.iter().map(|group| (group.month, &group.token)).collect();
    assert_eq!(tokens.len(), groups.len(), "a month is one insert");
    let reversed = loader::insert::groups(&lines.rows.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(groups, reversed, "a retry in another order is the same insert");
}
