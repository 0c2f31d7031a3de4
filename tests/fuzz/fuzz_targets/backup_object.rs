//! An object of Firehose's backup: nothing in it panics, each of its lines is counted, and one that is an error record gives
//! what it holds, whatever stands beside it.
//!
//! Input: a byte; if it is even, an object, else records that NUL bytes part.

#![no_main]

#[path = "../../../functions/replay/src/object.rs"]
#[allow(
    dead_code,
    reason = "the function uses the rest; its crate would bring the S3 client along"
)]
mod object;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use loader::Lines;
use object::Contents;

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

fn whole(object: &[u8]) {
    let Ok(contents) = Contents::read(object) else {
        return;
    };
    if !object.starts_with(&[0x1f, 0x8b]) {
        let lines = object.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.trim_ascii().is_empty()).count();
        assert_eq!(contents.records + contents.undecodable.len(), lines);
    }
    assert!(contents.deliveries.len() <= contents.records);
}

fn records(records: &[&[u8]]) {
    let mut object = Vec::new();
    let mut expected = Lines::default();
    for data in records {
        let record = serde_json::json!({ "rawData": STANDARD.encode(data), "attemptEndingTimestamp": 7 });
        object.extend_from_slice(format!("{record}\n{{\n").as_bytes());
        expected.read(data);
    }
    let contents = Contents::read(&object).expect("it is not compressed");
    assert_eq!(
        (contents.records, contents.undecodable.len()),
        (records.len(), records.len())
    );
    let [delivery] = &contents.deliveries[..] else {
        panic!("one end of the last attempt is one delivery");
    };
    let lines = delivery.lines();
    assert_eq!((&lines.rows, &lines.rejected), (&expected.rows, &expected.rejected));
}
