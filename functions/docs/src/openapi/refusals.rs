//! Everything but 200, out of the answers that the functions really give.

use std::collections::BTreeMap;

use edge::{Body, Problem, Response};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::{schema, schemas};

/// One refusal: its entry in the catalogue, and an answer that it gives.
pub(super) struct Refusal {
    pub(super) problem: Problem,
    pub(super) response: Response<Body>,
}

/// What the headers of the answers are for, by their names as HTTP writes them.
const HEADERS: &[(&str, &str, &str)] = &[
    ("Retry-After", "integer", "Seconds to wait before the next try."),
    ("Allow", "string", "The methods that the path takes."),
    ("WWW-Authenticate", "string", "How a key is sent, one of the ways."),
    ("Accept-Encoding", "string", "The content codings that are read."),
    (
        "Access-Control-Allow-Origin",
        "string",
        "For a request with `Origin`: which pages may read the answer, `*` or that origin.",
    ),
    (
        "Access-Control-Expose-Headers",
        "string",
        "The headers of the answer that a page may read.",
    ),
    (
        "Vary",
        "string",
        "The headers of the request that make another answer; `Origin` when only some origins are allowed.",
    ),
    (
        "Cache-Control",
        "string",
        "Who may keep the answer, and for how many seconds.",
    ),
    (
        "X-Next-After",
        "string",
        "What `after` has to be for the next page, when there is one.",
    ),
];

/// What lets a page read an answer, on every answer of a function that pages send to.
pub(super) const CORS_HEADERS: &[&str] = &["Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Vary"];

/// `components.headers`.
pub(super) fn headers() -> Value {
    HEADERS
        .iter()
        .map(|(name, kind, description)| {
            let header = json!({ "description": description, "schema": { "type": kind } });
            ((*name).to_owned(), header)
        })
        .collect::<Map<_, _>>()
        .into()
}

/// References to headers of [`headers`].
pub(super) fn header_references<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    names
        .into_iter()
        .filter_map(|name| HEADERS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name)))
        .map(|(name, ..)| {
            let reference = json!({ "$ref": format!("#/components/headers/{name}") });
            ((*name).to_owned(), reference)
        })
        .collect::<Map<_, _>>()
        .into()
}

/// The `responses` of an operation, but 200: one for each status, its codes, and an example of each.
pub(super) fn responses<Listed: JsonSchema>(refusals: &[Refusal], headers: &[&str]) -> Map<String, Value> {
    let mut by_status: BTreeMap<u16, Vec<&Refusal>> = BTreeMap::new();
    for refusal in refusals {
        by_status
            .entry(refusal.problem.status.as_u16())
            .or_default()
            .push(refusal);
    }
    let response = |refusals: Vec<&Refusal>| {
        let set = refusals.iter().flat_map(|it| it.response.headers().keys());
        let names = headers.iter().copied().chain(set.map(|name| name.as_str()));
        json!({
            "description": meaning(&refusals),
            "headers": header_references(names),
            "content": { "application/json": {
                "schema": shape::<Listed>(&refusals),
                "examples": examples(&refusals),
            } },
        })
    };
    by_status
        .into_iter()
        .map(|(status, refusals)| (status.to_string(), response(refusals)))
        .collect()
}

/// The codes of one status, each with its meaning.
fn meaning(refusals: &[&Refusal]) -> String {
    let lines: Vec<_> = refusals
        .iter()
        .map(|refusal| format!("- `{}`: {}", refusal.problem.code, refusal.problem.message))
        .collect();
    lines.join("\n")
}

/// What the bodies of one status have in common, each shape with the codes that come in it.
fn shape<Listed: JsonSchema>(refusals: &[&Refusal]) -> Value {
    let mut shapes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for refusal in refusals {
        let body = body(refusal);
        let name = if body["detail"].is_array() {
            schemas::name::<Listed>()
        } else if body["not_stored"].is_array() {
            schemas::name::<events::answer::NotStored>()
        } else {
            schemas::name::<events::answer::Refused>()
        };
        shapes.entry(name).or_default().push(refusal.problem.code);
    }
    let mut shapes: Vec<_> = shapes
        .into_iter()
        .map(|(name, codes)| {
            // A list of issues has no code of its own.
            if name == schemas::name::<Listed>() {
                return schema(&name);
            }
            json!({ "allOf": [schema(&name), { "properties": { "code": { "enum": codes } } }] })
        })
        .collect();
    match shapes.len() {
        1 => shapes.remove(0),
        _ => json!({ "anyOf": shapes }),
    }
}

/// An example of each code.
fn examples(refusals: &[&Refusal]) -> Value {
    refusals
        .iter()
        .map(|refusal| {
            let example = json!({ "summary": refusal.problem.message, "value": body(refusal) });
            (refusal.problem.code.to_owned(), example)
        })
        .collect::<Map<_, _>>()
        .into()
}

/// The body of an answer.
pub(super) fn body(refusal: &Refusal) -> Value {
    serde_json::from_slice(refusal.response.body()).unwrap_or_default()
}
