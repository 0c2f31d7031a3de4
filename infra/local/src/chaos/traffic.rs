//! The traffic: requests that are known in full before they are sent. Pure.
//!
//! Every event carries an id of its own in `obj_id`, valid or not: by it the run is judged. Most carry the same id as
//! their `event_id`; the others go with an `Idempotency-Key`, and the function makes theirs.

use std::io::Write as _;

use bytes::Bytes;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use uuid::Uuid;

/// One request, the same on every attempt.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    /// What is in it, in order.
    pub(super) items: Vec<Item>,
    pub(super) body: Bytes,
    pub(super) content_type: &'static str,
    pub(super) gzip: bool,
    /// For `Idempotency-Key`, when the events carry no id.
    pub(super) key: Option<String>,
    /// How often the client tries.
    pub(super) attempts: u32,
    /// Whether the client sends it once more after it was acknowledged, as one whose power failed at the wrong moment.
    pub(super) again: bool,
}

/// One event of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) id: Uuid,
    /// Whether the endpoint has to take it.
    pub(super) valid: bool,
}

/// 2026-04-01T00:00:00Z: events lie in the three months after it, so that deliveries touch several partitions.
const FIRST_SECOND: i64 = 1_775_001_600;
const SECONDS: i64 = 90 * 86_400;

const NAMES: [&str; 3] = ["view", "click", "buy"];

/// How long a client goes on: long enough to outlive every fault.
const PATIENT: u32 = 60;

/// The request of that number. Each is drawn from a stream of its own: what was sent before does not matter.
pub(super) fn parcel(seed: u64, number: u64) -> Parcel {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(number.wrapping_add(1));
    let draw = random.random_range(0..100_u32);
    let (count, form) = match draw {
        0..40 => (1, Form::Object),
        40..70 => (random.random_range(2..=30), Form::Array),
        70..98 => (random.random_range(1..=60), Form::Lines),
        // Too much for one Firehose record, so that a call to Firehose has several.
        _ => (random.random_range(18..=24), Form::LargeArray),
    };
    let keyed = random.random_ratio(1, 5);
    let mut items = Vec::with_capacity(count);
    let mut events = Vec::with_capacity(count);
    for _ in 0..count {
        let item = Item {
            id: id(&mut random),
            valid: !random.random_ratio(1, 25),
        };
        events.push(event(&mut random, item, keyed, form));
        items.push(item);
    }
    let (text, content_type) = match form {
        Form::Object => (events.iter().map(Value::to_string).collect(), "application/json"),
        Form::Array | Form::LargeArray => (Value::Array(events).to_string(), "application/json"),
        Form::Lines => (
            events.iter().map(|event| format!("{event}\n")).collect::<String>(),
            "application/x-ndjson",
        ),
    };
    let zipped = (form == Form::Lines && random.random_ratio(1, 2))
        .then(|| gzip(text.as_bytes()).ok())
        .flatten();
    Parcel {
        items,
        gzip: zipped.is_some(),
        body: zipped.unwrap_or_else(|| text.into_bytes()).into(),
        content_type,
        key: keyed.then(|| id(&mut random).to_string()),
        attempts: if random.random_ratio(1, 30) { 1 } else { PATIENT },
        again: random.random_ratio(1, 20),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Object,
    Array,
    LargeArray,
    Lines,
}

/// An id that the seed decides.
pub(super) fn id(random: &mut ChaCha8Rng) -> Uuid {
    let mut bytes = [0; 16];
    random.fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// A time of the traffic's months, as the contract writes it.
pub(super) fn dt(random: &mut ChaCha8Rng) -> String {
    let second = FIRST_SECOND + random.random_range(0..SECONDS);
    jiff::Timestamp::from_second(second).unwrap_or_default().to_string()
}

fn event(random: &mut ChaCha8Rng, item: Item, keyed: bool, form: Form) -> Value {
    let mut event = json!({
        "dt": dt(random),
        "name": NAMES[random.random_range(0..NAMES.len())],
        "user_id": random.random_range(1..=5000_u32),
        "url": format!("https://shop.example/{}", random.random_range(0..1000_u32)),
        "obj": "page",
        "obj_id": item.id.to_string(),
        "amount": f64::from(random.random_range(0..10_000_u32)) / 100.0,
    });
    if !keyed {
        event["event_id"] = item.id.to_string().into();
    }
    if form == Form::LargeArray {
        let filling: String = std::iter::repeat_with(|| char::from(random.random_range(b'a'..=b'z')))
            .take(60_000)
            .collect();
        event["exp"] = json!({ "filling": filling });
    }
    if !item.valid {
        match random.random_range(0..5_u32) {
            0 => drop(event.as_object_mut().and_then(|event| event.remove("name"))),
            1 => event["user_id"] = json!(-1),
            2 => event["url"] = json!("ftp://shop.example/"),
            3 => event["dt"] = json!("yesterday"),
            _ => event["amount"] = json!(-0.5),
        }
    }
    event
}

fn gzip(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_sends_the_same_and_no_id_comes_twice() {
        let mut ids = BTreeSet::new();
        let mut invalid = 0;
        for number in 0..300 {
            let (one, other) = (parcel(3, number), parcel(3, number));
            assert_eq!(
                (&one.body, &one.key, &one.items),
                (&other.body, &other.key, &other.items)
            );
            for item in &one.items {
                assert!(ids.insert(item.id), "{}", item.id);
                invalid += usize::from(!item.valid);
            }
        }
        assert!(
            invalid * 100 / ids.len() <= 8 && invalid > 0,
            "{invalid} of {}",
            ids.len()
        );
    }

    #[test]
    fn what_is_called_valid_is_and_the_rest_is_not() {
        for number in 0..150 {
            let parcel = parcel(9, number);
            if parcel.gzip || parcel.content_type != "application/json" {
                continue;
            }
            let body: Value = serde_json::from_slice(&parcel.body).unwrap();
            let events = body.as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
            assert_eq!(events.len(), parcel.items.len());
            for (event, item) in events.iter().zip(&parcel.items) {
                let body = event.to_string();
                let read = event_model::Event::from_json(body.as_bytes());
                assert_eq!(read.is_ok(), item.valid, "{event}");
                assert_eq!(event["obj_id"], item.id.to_string());
            }
        }
    }
}
