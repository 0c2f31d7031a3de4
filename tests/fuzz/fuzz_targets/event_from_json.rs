//! A body of one event: never a panic, an answer within its limits, and JSON exactly where serde_json sees JSON.

#![no_main]

use event_model::{Event, Reason, Rejection};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let outcome = Event::from_json(body);
    match &outcome {
        Ok(event) => weir_fuzz::check_event(event),
        Err(rejection) => weir_fuzz::check_rejection(rejection),
    }
    agrees_with_serde_json(body, &outcome);
});

/// Two readers of JSON agree on what is JSON, but for what is accepted or refused on purpose.
fn agrees_with_serde_json(body: &[u8], outcome: &Result<Event, Rejection>) {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let ours = match outcome {
        Err(Rejection::Undecodable(_)) => return,
        Err(Rejection::Invalid(issues)) => !matches!(
            issues.first().map(|issue| &issue.reason),
            Some(Reason::JsonInvalid { .. })
        ),
        Ok(_) => true,
    };
    let contains = |word: &[u8]| body.windows(word.len()).any(|window| window == word);
    if body.is_empty() || contains(b"NaN") || contains(b"Infinity") {
        return;
    }
    let theirs = serde_json::from_slice::<IgnoredAny>(body).is_ok();
    assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(body));

    // It refuses lone surrogates and numbers that overflow, and is then no judge.
    if let (Ok(event), Ok(value)) = (outcome, serde_json::from_slice::<Value>(body)) {
        assert_eq!(value["name"], event.name());
        assert_eq!(value["obj"], event.obj());
        assert_eq!(
            value.get("obj_id").and_then(Value::as_str).unwrap_or_default(),
            event.obj_id()
        );
        let pairs = value
            .get("exp")
            .and_then(Value::as_object)
            .map_or(0, serde_json::Map::len);
        assert_eq!(pairs, event.exp().len());
        for (key, variant) in event.exp() {
            assert_eq!(value["exp"][&**key], **variant);
        }
    }
}
