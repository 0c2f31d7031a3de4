//! Batches: verdicts, packing, compression, limits, and the dry run.

use std::fmt::Write as _;
use std::io::Write as _;

use edge::Body;
use event_model::limits::MAX_REJECTED_EVENTS;
use serde_json::{Value, json};

use super::GOOD;
use super::fake::{Fake, Plan};
use crate::intake::MAX_INFLATED_BYTES;
use crate::pack::MAX_RECORD_BYTES;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const NDJSON: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];

/// The largest answer that a function URL returns, in bytes.
const MAX_ANSWER_BYTES: usize = 6_000_000;

fn array(members: &[&str]) -> String {
    format!("[{}]", members.join(","))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An event whose line is a little longer than `bytes`.
fn long(bytes: usize) -> String {
    GOOD.replace("\"view\"", &format!("\"{}\"", "x".repeat(bytes)))
}

#[tokio::test]
async fn a_batch_is_one_record() {
    for (headers, body) in [
        (JSON, array(&[GOOD, GOOD, GOOD])),
        (NDJSON, format!("{GOOD}\r\n\n{GOOD}\n{GOOD}")),
    ] {
        let fake = Fake::start([]).await;
        let (status, answer, _) = fake.send("POST", "/events", headers, body).await;
        assert_eq!((status, answer), (200, json!({ "accepted": 3 })));
        let calls = fake.calls();
        assert_eq!((calls.len(), calls[0].len()), (1, 1));
        assert_eq!(calls[0][0].lines().count(), 3);
    }
}

#[tokio::test]
async fn a_batch_is_accepted_in_part() {
    let fake = Fake::start([]).await;
    let bad = r#"{"dt":0,"name":"view","user_id":-1,"url":"http://site/","obj":"page","exp":{"a":1}}"#;
    let body = array(&[bad, GOOD, "7", GOOD]);
    let (status, answer, _) = fake.send("POST", "/events", JSON, body.as_str()).await;
    let rejected = json!([
        { "index": 0, "loc": ["body", "user_id"], "type": "greater_than_equal",
          "msg": "Input should be greater than or equal to 0", "ctx": { "ge": 0 } },
        { "index": 0, "loc": ["body", "exp", "a"], "type": "string_type", "msg": "Input should be a valid string" },
        { "index": 2, "loc": ["body"], "type": "model_attributes_type",
          "msg": "Input should be a valid dictionary or object to extract fields from" },
    ]);
    assert_eq!(
        (status, &answer),
        (200, &json!({ "accepted": 2, "rejected": rejected }))
    );
    assert_eq!(fake.calls()[0][0].lines().count(), 2);

    let (status, shown, _) = fake.send("POST", "/events/validate", JSON, body.as_str()).await;
    assert_eq!(
        (status, &shown["accepted"], &shown["rejected"]),
        (200, &json!(2), &rejected)
    );
    assert_eq!(fake.calls().len(), 1, "a dry run stores nothing");
}

#[tokio::test]
async fn a_batch_without_a_good_event_is_422() {
    let fake = Fake::start([]).await;
    for path in ["/events", "/events/validate"] {
        let (status, answer, _) = fake.send("POST", path, NDJSON, "{}\nnull\n").await;
        assert_eq!(status, 422);
        let locs: Vec<&Value> = answer["detail"]
            .as_array()
            .unwrap()
            .iter()
            .map(|issue| &issue["loc"])
            .collect();
        assert_eq!(locs[0], &json!(["body", 0, "dt"]));
        assert_eq!(locs.last().unwrap(), &&json!(["body", 1]));
        assert_eq!(answer["detail"][0]["input"], json!({}));
        for (headers, body, kind) in [
            (JSON, "[]", "too_short"),
            (JSON, "[1,", "json_invalid"),
            (JSON, "", "missing"),
            (NDJSON, "\n", "missing"),
        ] {
            let (status, answer, _) = fake.send("POST", path, headers, body).await;
            assert_eq!(
                (status, answer["detail"][0]["type"].as_str()),
                (422, Some(kind)),
                "{body:?}"
            );
        }
    }
    // An array with a fault in its middle stores nothing of what is before the fault.
    let (status, answer, _) = fake.send("POST", "/events", JSON, format!("[{GOOD},{{]")).await;
    assert_eq!(
        (status, answer["detail"][0]["type"].as_str()),
        (422, Some("json_invalid"))
    );
    assert!(fake.calls().is_empty());
}

#[tokio::test]
async fn the_dry_run_shows_what_would_be_stored() {
    let fake = Fake::start([]).await;
    let body = r#"[{"dt":"1e3","user_id":true},
        {"dt":1715941230.9,"name":"view","user_id":" 7 ","url":"HTTP://Site","obj":"page","amount":"1_0",
         "event_id":"018F8523-3C5B-7D4A-9D3E-0B6F4C1F2A10","more":1}]"#;
    let (status, answer, _) = fake.send("POST", "/events/validate", JSON, body).await;
    let event = json!({
        "dt": "2024-05-17T10:20:30Z", "name": "view", "user_id": 7, "url": "http://site/", "obj": "page", "obj_id": "",
        "product_id": 0, "amount": 10.0, "exp": {}, "event_id": "018f8523-3c5b-7d4a-9d3e-0b6f4c1f2a10",
    });
    assert_eq!((status, &answer["events"]), (200, &json!([event])));
    let with_key = [JSON[0], ("idempotency-key", "k")];
    let (_, answer, _) = fake.send("POST", "/events/validate", &with_key, GOOD).await;
    let shown = answer["events"][0]["event_id"].as_str().unwrap().to_owned();
    let (_, answer, _) = fake.send("POST", "/events/validate", JSON, GOOD).await;
    assert!(answer["events"][0].get("event_id").is_none());
    fake.send("POST", "/events", &with_key, GOOD).await;
    assert!(
        fake.calls()[0][0].contains(&shown),
        "the key makes the id that was shown"
    );
}

#[tokio::test]
async fn a_large_batch_takes_as_few_records_and_calls_as_it_can() {
    let fake = Fake::start([]).await;
    let lines = 20_000;
    let body = format!("{GOOD}\n").repeat(lines);
    let (status, answer, _) = fake.send("POST", "/events", NDJSON, body).await;
    assert_eq!((status, answer), (200, json!({ "accepted": lines })));
    let calls = fake.calls();
    let records: Vec<&String> = calls.iter().flatten().collect();
    let bytes: usize = records.iter().map(|record| record.len()).sum();
    assert_eq!(
        records.iter().map(|record| record.lines().count()).sum::<usize>(),
        lines
    );
    assert_eq!(records.len(), bytes.div_ceil(MAX_RECORD_BYTES));
    assert_eq!(calls.len(), records.len().div_ceil(3));
}

#[tokio::test]
async fn what_firehose_does_not_take_is_named() {
    // Three records: the bad event in the middle has a place, but no line.
    let body = array(&[&long(600_000), "{}", &long(600_000), &long(600_000)]);
    let refuse_second = [
        Plan::Take(&[true, false, true]),
        Plan::Take(&[false]),
        Plan::Take(&[false]),
    ];
    let fake = Fake::start(refuse_second).await;
    let (status, answer, headers) = fake.send("POST", "/events", JSON, body.as_str()).await;
    assert_eq!((status, answer["code"].as_str()), (503, Some("stream_unavailable")));
    assert_eq!((&answer["accepted"], &answer["not_stored"]), (&json!(2), &json!([2])));
    assert_eq!(answer["rejected"][0]["index"], 1);
    assert_eq!(headers["retry-after"], "5");

    let fake = Fake::start([Plan::Exception(400, "AccessDeniedException")]).await;
    let (status, answer, _) = fake.send("POST", "/events", JSON, body).await;
    assert_eq!((status, &answer["not_stored"]), (500, &json!([0, 2, 3])));
}

#[tokio::test]
async fn compressed_bodies() {
    let fake = Fake::start([]).await;
    let body = array(&[GOOD, GOOD]);
    let zstd = zstd::encode_all(body.as_bytes(), 3).unwrap();
    for (encoding, sent) in [
        ("gzip", gzip(body.as_bytes())),
        ("zstd", zstd),
        ("identity", body.clone().into_bytes()),
    ] {
        let headers = [JSON[0], ("content-encoding", encoding)];
        let (status, answer, _) = fake.send("POST", "/events", &headers, sent).await;
        assert_eq!((status, answer), (200, json!({ "accepted": 2 })), "{encoding}");
    }
    for (encoding, sent, expected, code) in [
        ("br", Body::from("x"), 415, "unsupported_content_encoding"),
        ("gzip", Body::from("{}"), 400, "undecodable_body"),
        (
            "gzip",
            Body::from(gzip(&vec![b' '; MAX_INFLATED_BYTES + 1])),
            413,
            "body_too_large",
        ),
    ] {
        let headers = [JSON[0], ("content-encoding", encoding)];
        let (status, answer, headers) = fake.send("POST", "/events", &headers, sent).await;
        assert_eq!((status, answer["code"].as_str()), (expected, Some(code)), "{answer}");
        assert_eq!(headers.contains_key("accept-encoding"), expected == 415);
    }
}

/// However many events are wrong, and however, an answer can be returned and names each.
#[tokio::test]
async fn answers_stay_small() {
    let fake = Fake::start([]).await;
    let check = async |path: &str, body: String, expected: u16| {
        assert!(body.len() <= MAX_INFLATED_BYTES);
        let headers = [NDJSON[0], ("content-encoding", "gzip")];
        let (status, answer, _) = fake.send("POST", path, &headers, gzip(body.as_bytes())).await;
        assert_eq!(status, expected, "{path}");
        let bytes = answer.to_string().len();
        assert!(bytes < MAX_ANSWER_BYTES, "{path}: {bytes} bytes");
        answer
    };
    // Keys that take six times their length in JSON.
    let keys: String = (0..4).fold(String::new(), |mut keys, key| {
        let _ = write!(keys, ",\"{key}{}\":1", "\\u0001".repeat(255));
        keys
    });
    let bad = GOOD.replace("\"page\"", &format!("\"page\",\"exp\":{{\"a\":1{keys}}}"));
    let wrong = 2000;
    let mixed = format!("{GOOD}\n") + &format!("{bad}\n").repeat(wrong);
    for path in ["/events", "/events/validate"] {
        let answer = check(path, mixed.clone(), 200).await;
        let indexes: std::collections::BTreeSet<u64> = answer["rejected"]
            .as_array()
            .unwrap()
            .iter()
            .map(|verdict| verdict["index"].as_u64().unwrap())
            .collect();
        assert_eq!(indexes, (1..=wrong as u64).collect());
        check(path, format!("{bad}\n").repeat(wrong), 422).await;
        check(path, format!("{GOOD}\n") + &"0\n".repeat(MAX_REJECTED_EVENTS), 200).await;
        let answer = check(path, format!("{GOOD}\n") + &"0\n".repeat(MAX_REJECTED_EVENTS + 1), 422).await;
        assert_eq!(answer["detail"][0]["type"], "too_many_invalid");
    }
    let calls = fake.calls().len();
    let lines = MAX_INFLATED_BYTES / (GOOD.len() + 1);
    let answer = check("/events/validate", format!("{GOOD}\n").repeat(lines), 200).await;
    let shown = answer["events"].as_array().unwrap().len();
    assert_eq!(answer["accepted"], json!(lines));
    assert_eq!(answer["events_omitted"], json!(lines - shown));
    assert_eq!(fake.calls().len(), calls);
}

#[tokio::test]
async fn an_event_that_no_record_holds_is_refused_alone() {
    let fake = Fake::start([]).await;
    let (status, answer, _) = fake
        .send("POST", "/events", JSON, array(&[GOOD, &long(MAX_RECORD_BYTES)]))
        .await;
    assert_eq!(
        (status, answer["rejected"][0]["type"].as_str()),
        (200, Some("event_too_large"))
    );
    for path in ["/events", "/events/validate"] {
        let (status, answer, _) = fake.send("POST", path, JSON, long(MAX_RECORD_BYTES)).await;
        assert_eq!((status, answer["code"].as_str()), (413, Some("event_too_large")));
    }
    let (status, answer, _) = fake.send("POST", "/events", JSON, " ".repeat(6 << 20) + GOOD).await;
    assert_eq!((status, answer["code"].as_str()), (413, Some("body_too_large")));
}
