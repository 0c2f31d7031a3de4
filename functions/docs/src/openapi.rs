//! The OpenAPI 3.1 document (<https://spec.openapis.org/oas/v3.1.1.html>).
//!
//! It is made of what the functions themselves are made of: schemas of the types that they write, refusals as they answer
//! them, limits by their constants. So it cannot say anything else than what they do.

mod description;
mod events;
mod ordered;
mod reading;
mod refusals;
mod schemas;

use activity::Activity;
use experiments::Experiments;
use funnel::Funnel;
use retention::Retention;
use serde_json::{Map, Value, json};
use sessions::Sessions;

use crate::context::Config;
use ordered::Ordered;

/// The version of the interface, as the document states it.
pub const VERSION: &str = "1.0.0";

/// The document as JSON text, in an order that people read well.
pub fn text(config: &Config) -> String {
    let document = document(config);
    serde_json::to_string(&Ordered(&document)).unwrap_or_else(|error| {
        // Text and numbers in memory: there is nothing that can fail.
        tracing::error!(%error, "the document cannot be written");
        document.to_string()
    })
}

/// The document.
pub fn document(config: &Config) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Weir",
            "version": VERSION,
            "summary": "Events in, numbers out.",
            "description": description::markdown(),
            "license": { "name": "Apache License 2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "Where this document is" }],
        "tags": [
            { "name": "Events", "description": "What visitors did." },
            { "name": "Reading", "description": "What it adds up to." },
        ],
        "paths": {
            "/events": events::store(config.events_url.as_deref()),
            "/events/validate": events::validate(config.events_url.as_deref()),
            "/activity": reading::read::<Activity>(config.activity_url.as_deref()),
            "/sessions": reading::read::<Sessions>(config.sessions_url.as_deref()),
            "/experiments": reading::read::<Experiments>(config.experiments_url.as_deref()),
            "/retention": reading::read::<Retention>(config.retention_url.as_deref()),
            "/funnel": reading::read::<Funnel>(config.funnel_url.as_deref()),
        },
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": security_schemes(),
            "headers": refusals::headers(),
        },
    })
}

/// A path's operations, and the server that has them when it is not the one of the document.
fn path_item(method: &str, operation: Value, base: Option<&str>) -> Value {
    let mut item = json!({ method: operation });
    if let Some(base) = base {
        item["servers"] = json!([{ "url": base }]);
    }
    item
}

/// The ways in which keys are sent.
fn security_schemes() -> Value {
    let all = events::security_schemes()
        .into_iter()
        .chain(reading::security_schemes());
    all.map(|(name, scheme)| (name.to_owned(), scheme))
        .collect::<Map<_, _>>()
        .into()
}

/// A header's name as people write it: `x-write-key` is `X-Write-Key`.
fn http_name(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
}

/// A schema of [`schemas::all`].
fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

#[cfg(test)]
mod tests;
