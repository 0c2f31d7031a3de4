//! `POST /events` and `POST /events/validate`.

mod examples;
pub(super) mod refused;

use edge::auth::WRITE;
use edge::server::MAX_BODY_BYTES;
use event_model::Event;
use event_model::limits::MAX_REJECTED_EVENTS;
use events::answer::{Accepted, Invalid, Validated};
use events::idempotency::MAX_KEY_BYTES;
use events::intake::MAX_INFLATED_BYTES;
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::refusals::{CORS_HEADERS, header_references, responses};
use super::{http_name, path_item, schema, schemas};

const MIB: usize = 1024 * 1024;

/// `POST /events`.
pub(super) fn store(base: Option<&str>) -> Value {
    let description = "Answers 200 after the events are durable. A batch is taken in part: the wrong events are named in \
                       `rejected`, the others are stored. When no event is acceptable the answer is 422.";
    let operation = json!({
        "operationId": "storeEvents",
        "summary": "Send events",
        "description": description,
        "responses": answers::<Accepted>("These events are stored.", examples::accepted(), &refused::by_store()),
    });
    path_item("post", with_request(operation), base)
}

/// `POST /events/validate`.
pub(super) fn validate(base: Option<&str>) -> Value {
    let description = "The same request as that of `/events` gives the same verdicts, and nothing is stored. The answer also \
                       shows each event as it would be stored.";
    let operation = json!({
        "operationId": "validateEvents",
        "summary": "Check events, store nothing",
        "description": description,
        "responses": answers::<Validated>("These events would be stored.", examples::validated(), &refused::by_validate()),
    });
    path_item("post", with_request(operation), base)
}

/// What both operations take.
fn with_request(mut operation: Value) -> Value {
    operation["tags"] = json!(["Events"]);
    operation["security"] = json!([{}, { "bearer": [] }, { "writeKeyHeader": [] }, { "writeKeyQuery": [] }]);
    operation["parameters"] = parameters();
    operation["requestBody"] = request_body();
    operation
}

/// The ways in which a write key is sent. Where none is set up, none is needed.
pub(super) fn security_schemes() -> [(&'static str, Value); 3] {
    let bearer = json!({
        "type": "http",
        "scheme": "bearer",
        "description": "A write key, where the service asks for one.",
    });
    let header = json!({
        "type": "apiKey",
        "in": "header",
        "name": http_name(WRITE.header),
        "description": "The same, for clients whose `Authorization` is somebody else's.",
    });
    let query = json!({
        "type": "apiKey",
        "in": "query",
        "name": WRITE.query,
        "description": "The same, for beacons, which cannot set headers. Logs along the way may keep it.",
    });
    [("bearer", bearer), ("writeKeyHeader", header), ("writeKeyQuery", query)]
}

fn parameters() -> Value {
    json!([
        {
            "in": "header",
            "name": http_name(events::idempotency::IDEMPOTENCY_KEY),
            "description": "Makes a retry idempotent: the same events under the same key get the same `event_id`s, so they \
                are counted once. It is for events that bring no `event_id`. Quoted as a string of RFC 8941, or bare: \
                `8e03978e-40d5-43e8-bc93-6894a57f9324`.",
            "schema": { "type": "string", "pattern": key_pattern() },
        },
    ])
}

/// One key, bare or as a string with its escapes: 1 to [`MAX_KEY_BYTES`] characters of printable ASCII.
fn key_pattern() -> String {
    let between = MAX_KEY_BYTES - 2;
    let bare = format!("[!#-~](?:[ -~]{{0,{between}}}[!-~])?");
    let quoted = format!(r#""(?:[ !#-\[\]-~]|\\["\\]){{1,{MAX_KEY_BYTES}}}""#);
    format!("^(?:{bare}|{quoted})$")
}

fn request_body() -> Value {
    let event = schema(&schemas::name::<Event>());
    let event_or_batch = json!({
        "title": "One event or a batch",
        "oneOf": [
            event,
            { "title": "Batch", "type": "array", "items": {}, "contains": event, "minItems": 1,
              "description": "Events, each like the one. A wrong one does not harm the others: one good one is enough." },
        ],
    });
    json!({
        "required": true,
        "description": format!(
            "One event, or a batch: a JSON array, or one event a line (NDJSON; blank lines are skipped). At most {} MiB.\n\n\
             `application/*+json`, `text/plain` (what a beacon sends: no preflight) and no `Content-Type` at all are read as \
             JSON; `application/ndjson` and `application/jsonl` as NDJSON. With `Content-Encoding: gzip` or `zstd` the body is \
             inflated, to at most {} MiB. Through a Lambda function URL a compressed body must be sent as \
             `application/x-ndjson`: JSON is taken for text on its way.\n\nOf a batch at most {MAX_REJECTED_EVENTS} events may \
             be wrong, else none of it is stored.",
            MAX_BODY_BYTES / MIB,
            MAX_INFLATED_BYTES / MIB,
        ),
        "content": {
            "application/json": { "schema": event_or_batch, "examples": examples::json_bodies() },
            // The schema cannot say what each line is, so what a tool makes of it alone would be refused. It has a default
            // and no examples: tools that send examples cannot write this type.
            "application/x-ndjson": {
                "schema": {
                    "title": "One event a line",
                    "type": "string",
                    "contentMediaType": "application/x-ndjson",
                    "default": examples::ndjson(),
                },
            },
        },
    })
}

/// The `responses` of an operation.
fn answers<T: JsonSchema>(description: &str, examples: Value, refused: &[super::refusals::Refusal]) -> Value {
    let mut answers = responses::<Invalid>(refused, CORS_HEADERS);
    answers.insert(
        "200".into(),
        json!({
            "description": description,
            "headers": header_references(CORS_HEADERS.iter().copied()),
            "content": { "application/json": { "schema": schema(&schemas::name::<T>()), "examples": examples } },
        }),
    );
    answers.into()
}
