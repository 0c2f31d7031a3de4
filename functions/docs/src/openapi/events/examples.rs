//! Examples of requests, and what becomes of them.

use event_model::{Event, Issue, Rejection};
use events::answer::{Accepted, Validated, Verdict};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// A good event, as a client writes it.
fn view() -> Value {
    json!({
        "dt": "2026-11-23T10:20:30+03:00",
        "name": "view",
        "user_id": 42,
        "url": "https://shop.example/catalog/product/1",
        "obj": "page",
        "obj_id": "product",
        "product_id": 1,
    })
}

/// Another, with all fields.
fn click() -> Value {
    json!({
        "dt": "2026-11-23T10:21:00Z",
        "name": "click",
        "user_id": 42,
        "url": "https://shop.example/catalog/product/1",
        "obj": "button",
        "obj_id": "add_to_cart",
        "product_id": 1,
        "amount": 9.99,
        "exp": { "cart_style": "new" },
        "event_id": "018f8523-3c5b-7d4a-9d3e-0b6f4c1f2a10",
    })
}

/// An event with two mistakes.
fn wrong() -> Value {
    json!({ "dt": "yesterday", "name": "view", "url": "https://shop.example/", "obj": "page" })
}

/// The examples of `application/json`, by name.
pub(super) fn json_bodies() -> Value {
    json!({
        "event": { "summary": "One event", "value": view() },
        "batch": { "summary": "A batch", "value": [view(), click()] },
        "batch with a wrong event": { "summary": "A batch with a wrong event", "value": [view(), wrong(), click()] },
    })
}

/// The batch as NDJSON.
pub(super) fn ndjson() -> String {
    format!("{}\n{}\n", view(), click())
}

/// What is wrong with the wrong event.
pub(super) fn issues() -> Vec<Issue> {
    match Event::from_json(wrong().to_string().as_bytes()) {
        Err(Rejection::Invalid(issues)) => issues,
        // A test knows better.
        Ok(_) | Err(Rejection::Undecodable(_)) => Vec::new(),
    }
}

/// The same, of the event at place 1 of a batch.
pub(super) fn verdicts() -> Vec<Verdict> {
    issues().iter().map(|issue| Verdict::new(1, issue)).collect()
}

/// The answers of `POST /events`, by the names of the requests.
pub(super) fn accepted() -> Value {
    let answer = |accepted, rejected: &[Verdict]| json!(Accepted { accepted, rejected });
    answers(answer)
}

/// The answers of `POST /events/validate`, by the names of the requests.
pub(super) fn validated() -> Value {
    let normalised = |event: &Value| {
        let body = event.to_string();
        let event = Event::from_json(body.as_bytes()).ok()?;
        let text = serde_json::to_string(&event).ok()?;
        RawValue::from_string(text).ok()
    };
    let events: Vec<_> = [view(), click()].iter().filter_map(normalised).collect();
    let answer = |accepted, rejected: &[Verdict]| {
        json!(Validated {
            accepted,
            rejected,
            events: events.get(..accepted).unwrap_or_default(),
            events_omitted: 0,
        })
    };
    answers(answer)
}

fn answers(answer: impl Fn(usize, &[Verdict]) -> Value) -> Value {
    json!({
        "event": { "summary": "One event", "value": answer(1, &[]) },
        "batch": { "summary": "A batch", "value": answer(2, &[]) },
        "batch with a wrong event": { "summary": "A batch with a wrong event", "value": answer(2, &verdicts()) },
    })
}
