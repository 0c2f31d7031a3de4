//! An endpoint's answer to a delivery: only the one answer that the specification allows counts as delivered.

#![no_main]

#[path = "../../../infra/local/src/firehose/deliver"]
mod deliver {
    #[allow(dead_code, reason = "the delivery uses the rest")]
    pub(crate) mod judge;
}

use deliver::judge::{Verdict, judge};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use uuid::Uuid;

const ID: Uuid = Uuid::from_u128(0xed4a_cda5_034f_9f42_bba1_f29a_ea6d_7d8f);

fuzz_target!(|data: &[u8]| {
    let Some(([low, high], body)) = data.split_first_chunk() else {
        return;
    };
    let status = StatusCode::from_u16(u16::from_le_bytes([*low, *high])).unwrap_or(StatusCode::OK);
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    match judge(status, &headers, body, &ID) {
        Verdict::Delivered => {
            assert_eq!(status, StatusCode::OK);
            let answer: Value = serde_json::from_slice(body).expect("a good answer is JSON");
            assert!(answer["requestId"] == ID.to_string() && answer["timestamp"].is_number());
            assert_ne!(judge(status, &HeaderMap::new(), body, &ID), Verdict::Delivered);
            assert_ne!(judge(status, &headers, body, &Uuid::nil()), Verdict::Delivered);
        }
        Verdict::Failed(failure) => {
            assert!(failure.code.starts_with("HttpEndpoint.") && failure.status == Some(status.as_u16()));
            assert!((1..=8192).contains(&failure.message.chars().count()));
            assert_eq!(failure.permanent, status == StatusCode::PAYLOAD_TOO_LARGE);
        }
    }
});
