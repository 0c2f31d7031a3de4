//! The document against the functions. That it is valid OpenAPI, and its examples valid by its schemas, the end-to-end tests
//! ask other people's validators.

use std::collections::BTreeSet;

use edge::{Body, Function};
use http::StatusCode;
use serde_json::Map;

use super::*;

const METHODS: [&str; 2] = ["get", "post"];

fn built() -> Value {
    serde_json::from_str(&text(&Config::default())).unwrap()
}

/// Every value under `value` of that key.
fn all<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get(key));
            members.values().for_each(|value| all(value, key, found));
        }
        Value::Array(items) => items.iter().for_each(|value| all(value, key, found)),
        _ => {}
    }
}

fn operations(document: &Value) -> Vec<(String, &Map<String, Value>)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let of_path = METHODS
            .into_iter()
            .filter_map(move |method| Some((method, item.get(method)?)));
        of_path.map(move |(method, operation)| (format!("{method} {path}"), operation.as_object().unwrap()))
    });
    operations.collect()
}

#[test]
fn the_order_changes_nothing_else() {
    assert_eq!(built(), document(&Config::default()));
    let text = text(&Config::default());
    let begins = "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Weir\"";
    assert!(text.starts_with(begins), "{text}");
    assert!(text.contains("{\"dt\":\"2026-11-23T10:20:30+03:00\",\"name\":\"view\",\"user_id\":42,"));
}

#[test]
fn every_reference_leads_somewhere() {
    let document = built();
    let mut references = Vec::new();
    all(&document, "$ref", &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

#[test]
fn operations_and_their_statuses() {
    let document = built();
    let found: Vec<_> = operations(&document)
        .into_iter()
        .map(|(name, operation)| {
            let statuses: Vec<u16> = operation["responses"]
                .as_object()
                .unwrap()
                .keys()
                .map(|status| status.parse().unwrap())
                .collect();
            (name, statuses)
        })
        .collect();
    let reading = [200, 400, 401, 404, 405, 422, 500, 503];
    let refused = [400, 401, 403, 404, 405, 408, 413, 415, 422, 500];
    let expected = [
        ("get /activity".to_owned(), reading.to_vec()),
        ("post /events".to_owned(), [&[200], &refused[..], &[503]].concat()),
        ("post /events/validate".to_owned(), [&[200], &refused[..]].concat()),
        (
            "get /experiments".to_owned(),
            vec![200, 400, 401, 404, 405, 422, 500, 503],
        ),
        ("get /funnel".to_owned(), reading.to_vec()),
        ("get /retention".to_owned(), reading.to_vec()),
        ("get /sessions".to_owned(), reading.to_vec()),
    ];
    assert_eq!(found, expected);
}

/// Codes of an operation's responses as `status code`, each from its example and from its schema.
fn codes(operation: &Map<String, Value>) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for (status, response) in operation["responses"].as_object().unwrap() {
        if status == "200" {
            continue;
        }
        let content = &response["content"]["application/json"];
        let examples = content["examples"].as_object().unwrap();
        let mut listed = Vec::new();
        all(&content["schema"], "enum", &mut listed);
        let listed: Vec<_> = listed.iter().flat_map(|list| list.as_array().unwrap()).collect();
        for (code, example) in examples {
            codes.insert(format!("{status} {code}"));
            // The body names it, and so does the schema; a list of what is wrong has no code.
            match &example["value"]["code"] {
                Value::Null => assert!(
                    example["value"]["detail"]
                        .as_array()
                        .is_some_and(|list| !list.is_empty())
                ),
                named => assert!(named == code && listed.contains(&named), "{named} {listed:?}"),
            }
            assert!(
                response["description"]
                    .as_str()
                    .unwrap()
                    .contains(&format!("`{code}`: "))
            );
        }
    }
    codes
}

#[test]
fn the_document_has_the_catalogues_and_nothing_else() {
    let document = built();
    let listed = |catalogue: &[edge::Problem]| -> BTreeSet<String> {
        let entries = catalogue.iter().map(|it| format!("{} {}", it.status.as_u16(), it.code));
        entries.collect()
    };
    let store = listed(&::events::CATALOGUE);
    let validate = store
        .iter()
        .filter(|entry| !entry.contains(" stream_"))
        .cloned()
        .collect();
    let reading = listed(&::marts::CATALOGUE);
    // No parameter of it can be wrong.
    for (name, operation) in operations(&document) {
        let expected = match name.as_str() {
            "post /events" => &store,
            "post /events/validate" => &validate,
            _ => &reading,
        };
        assert_eq!(&codes(operation), expected, "{name}");
    }
    let description = document["info"]["description"].as_str().unwrap();
    let table: BTreeSet<String> = description
        .lines()
        .filter_map(|line| {
            let cells: Vec<_> = line.strip_prefix("| `")?.split('|').map(str::trim).collect();
            Some(format!("{} {}", cells[1], cells[0].trim_end_matches('`')))
        })
        .collect();
    assert_eq!(table, &store | &reading);
}

#[test]
fn every_header_of_an_answer_is_described() {
    let document = built();
    let described = document["components"]["headers"].as_object().unwrap();
    for refusal in &events::refused::by_store() {
        for name in refusal.response.headers().keys().filter(|name| *name != "content-type") {
            assert!(
                described.keys().any(|known| known.eq_ignore_ascii_case(name.as_str())),
                "{name}"
            );
        }
    }
    let of = |operation: &str, status: &str| {
        let (_, operation) = operations(&document)
            .into_iter()
            .find(|(name, _)| name == operation)
            .unwrap();
        let headers = operation["responses"][status]["headers"].as_object().unwrap();
        headers.keys().cloned().collect::<Vec<_>>()
    };
    let cors = ["Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Vary"];
    for (status, own) in [
        ("200", None),
        ("401", Some("WWW-Authenticate")),
        ("405", Some("Allow")),
        ("415", Some("Accept-Encoding")),
        ("503", Some("Retry-After")),
    ] {
        let mut expected: Vec<_> = cors.into_iter().chain(own).collect();
        expected.sort_unstable();
        assert_eq!(of("post /events", status), expected, "{status}");
    }
    for (operation, status, expected) in [
        ("get /activity", "503", &["Cache-Control", "Retry-After"][..]),
        ("get /funnel", "405", &["Allow", "Cache-Control"]),
        ("get /retention", "401", &["Cache-Control", "WWW-Authenticate"]),
        ("get /activity", "200", &["Cache-Control", "Vary"]),
        ("get /sessions", "200", &["Cache-Control", "Vary", "X-Next-After"]),
    ] {
        assert_eq!(of(operation, status), expected, "{operation} {status}");
    }
}

/// The function `events` itself answers each example of a request as the example of the answer says.
#[tokio::test]
async fn examples_are_true() {
    let lookup = |key: &str| match key {
        "FIREHOSE_STREAM" => Some("stream".to_owned()),
        "AWS_REGION" => Some("us-east-1".to_owned()),
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("test".to_owned()),
        _ => None,
    };
    let function = <::events::Context as Function>::from_lookup(&lookup).unwrap();
    let document = built();
    let operation = &document["paths"]["/events/validate"]["post"];
    let answers = &operation["responses"];
    let mut tried = 0;
    let content = operation["requestBody"]["content"].as_object().unwrap();
    let json_bodies = content["application/json"]["examples"].as_object().unwrap();
    // The other type has a default only: the batch. What is wrong alone is not shown as a request, but its answer is.
    let batch = serde_json::json!({ "batch": { "value": content["application/x-ndjson"]["schema"]["default"] } });
    let wrong = serde_json::json!({ "wrong": { "value": json_bodies["batch with a wrong event"]["value"][1] } });
    for (media_type, examples) in [
        ("application/json", json_bodies),
        ("application/x-ndjson", batch.as_object().unwrap()),
        ("application/json", wrong.as_object().unwrap()),
    ] {
        for (name, example) in examples {
            let body = match &example["value"] {
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            let request = http::Request::post("/events/validate")
                .header("content-type", media_type)
                .body(Body::Text(body))
                .unwrap();
            let (response, _) = edge::answer(&function, request).await;
            let answer: Value = serde_json::from_slice(response.body()).unwrap();
            let (status, example) = match name.as_str() {
                "wrong" => (
                    422,
                    &answers["422"]["content"]["application/json"]["examples"]["invalid_event"],
                ),
                name => (200, &answers["200"]["content"]["application/json"]["examples"][name]),
            };
            assert_eq!(
                response.status(),
                StatusCode::from_u16(status).unwrap(),
                "{media_type} {name}"
            );
            assert_eq!(answer, example["value"], "{media_type} {name}");
            // What is stored is what is said to be valid.
            let stored = &document["paths"]["/events"]["post"]["responses"]["200"]["content"]["application/json"];
            if status == 200 {
                assert_eq!(
                    stored["examples"][name]["value"]["accepted"], answer["accepted"],
                    "{name}"
                );
                assert_eq!(
                    stored["examples"][name]["value"]["rejected"], answer["rejected"],
                    "{name}"
                );
            }
            tried += 1;
        }
    }
    assert_eq!(tried, 5);
}

#[test]
fn servers_follow_the_configuration() {
    let relative = built();
    assert_eq!(relative["servers"][0]["url"], "/");
    for path in ["/events", "/events/validate", "/activity", "/funnel"] {
        assert_eq!(relative["paths"][path]["servers"], Value::Null);
    }
    let apart = document(&Config {
        events_url: Some("https://events.example".into()),
        activity_url: Some("https://activity.example".into()),
        funnel_url: Some("https://funnel.example".into()),
        ..Config::default()
    });
    for (path, expected) in [
        ("/events", "https://events.example"),
        ("/events/validate", "https://events.example"),
        ("/activity", "https://activity.example"),
        ("/funnel", "https://funnel.example"),
    ] {
        assert_eq!(apart["paths"][path]["servers"], json!([{ "url": expected }]), "{path}");
    }
}

#[test]
fn the_schema_of_events_is_the_published_one() {
    let document = built();
    let published: Value = serde_json::from_str(include_str!("../../../../tests/fixtures/event.schema.json")).unwrap();
    let event = &document["components"]["schemas"]["Event"];
    assert_eq!(event["properties"], published["properties"]);
    assert_eq!(event["required"], published["required"]);
}
