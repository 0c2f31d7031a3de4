//! The order of a document's keys.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// Keys that come before all others, in this order: those of the document, then those of schemas and answers.
const FIRST: &[&str] = &[
    "openapi",
    "info",
    "servers",
    "tags",
    "paths",
    "components",
    "title",
    "version",
    "summary",
    "operationId",
    "in",
    "name",
    "description",
    "security",
    "parameters",
    "requestBody",
    "responses",
    "required",
    "schema",
    "/events",
    "/events/validate",
    "event",
    "batch",
    "accepted",
    "rejected",
    "index",
    "type",
    "loc",
    "msg",
    "input",
    "detail",
    "code",
    "application/json",
];

/// Writes the keys of each object in [`FIRST`]'s order, then those of an event in theirs, then the others by name.
pub(super) struct Ordered<'a>(pub(super) &'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(items) => serializer.collect_seq(items.iter().map(Ordered)),
            Value::Object(members) => {
                // An event's own fields in their order, though `name` is one of them.
                let is_event = event_model::FIELDS
                    .iter()
                    .take(5)
                    .all(|field| members.contains_key(*field));
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(key, _)| rank(key, is_event));
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    map.serialize_entry(key, &Ordered(value))?;
                }
                map.end()
            }
            value => value.serialize(serializer),
        }
    }
}

fn rank(key: &str, is_event: bool) -> usize {
    let order: &[&str] = if is_event { &event_model::FIELDS } else { FIRST };
    order.iter().position(|it| *it == key).unwrap_or(order.len())
}
