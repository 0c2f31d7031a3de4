//! What is read: one operation a mart.

mod documented;

use edge::Problem;
use edge::auth::READ;
use marts::parameters::Parameters;
use marts::{CATALOGUE, error, format};
use serde_json::{Value, json};

use super::refusals::{Refusal, header_references, responses};
use super::{http_name, path_item, schema, schemas};
pub(super) use documented::Documented;

/// `GET` of a mart.
pub(super) fn read<M: Documented>(base: Option<&str>) -> Value {
    let mut answers = responses::<error::Invalid>(&refused::<M>(), &[]);
    answers.insert("200".into(), rows::<M>());
    let operation = json!({
        "operationId": M::OPERATION,
        "summary": M::SUMMARY,
        "description": M::DESCRIPTION,
        "tags": ["Reading"],
        "security": [{}, { "readBearer": [] }, { "readKeyHeader": [] }],
        "parameters": M::parameters(),
        "responses": answers,
    });
    path_item("get", operation, base)
}

/// The ways in which a read key is sent. Where none is set up, none is needed.
pub(super) fn security_schemes() -> [(&'static str, Value); 2] {
    let bearer = json!({
        "type": "http",
        "scheme": "bearer",
        "description": "A read key, where the service asks for one.",
    });
    let header = json!({
        "type": "apiKey",
        "in": "header",
        "name": http_name(READ.header),
        "description": "The same, for clients whose `Authorization` is somebody else's.",
    });
    [("readBearer", bearer), ("readKeyHeader", header)]
}

/// A parameter of the query.
fn parameter(name: &str, description: &str, schema: Value) -> Value {
    json!({ "in": "query", "name": name, "description": description, "schema": schema })
}

/// `from` and `to`; `first` and `last` say of what they are days.
fn range(first: &str, last: &str) -> [Value; 2] {
    let day = |name: &str, description: String| {
        let description = format!("{description} From 1970 to 2148; `from` after `to` is no days.");
        // The pattern is for the years; which days there are is the format's.
        let pattern = "^(?:19[7-9][0-9]|20[0-9]{2}|21[0-3][0-9]|214[0-8])-[0-9]{2}-[0-9]{2}$";
        let schema = json!({ "type": "string", "format": "date", "pattern": pattern });
        parameter(name, &description, schema)
    };
    [
        day(
            "from",
            format!("{first} Default: the thirtieth day before `to`, that one included."),
        ),
        day("to", format!("{last} Default: today.")),
    ]
}

/// The answer 200, with an example of each format.
fn rows<M: Documented>() -> Value {
    let (rows, next) = (M::rows(), M::next());
    let paged = next.is_some().then_some("X-Next-After");
    let headers = ["Cache-Control", "Vary"].into_iter().chain(paged);
    let csv = format::csv_text(M::COLUMNS, &rows).unwrap_or_default();
    let example = |value: Value| json!({ "rows": { "summary": "Some rows", "value": value } });
    json!({
        "description": "The rows, in order.",
        "headers": header_references(headers),
        "content": {
            "application/json": {
                "schema": schema(&schemas::name::<M::Answer<'_>>()),
                "examples": example(json!(M::answer(&rows, next))),
            },
            "text/csv": { "schema": { "type": "string" }, "examples": example(csv.into()) },
        },
    })
}

/// Each refusal, as the function answers it.
fn refused<M: Documented>() -> Vec<Refusal> {
    let response = |problem: Problem| match problem {
        error::INVALID_PARAMETERS => error::invalid(&wrong::<M>()),
        _ => error::refusal(problem, M::TABLE),
    };
    let refusal = |problem| Refusal {
        problem,
        response: response(problem),
    };
    CATALOGUE.into_iter().map(refusal).collect()
}

/// What the function finds wrong with its example of wrong parameters.
fn wrong<M: Documented>() -> Vec<marts::parameters::Wrong> {
    let uri = format!("{}?{}", M::PATH, M::WRONG);
    let mut request = edge::Request::default();
    *request.uri_mut() = uri.parse().unwrap_or_default();
    let mut parameters = Parameters::new(&request, jiff::civil::date(2026, 11, 23));
    let question = M::question(&mut parameters);
    parameters.finish(question).err().unwrap_or_default()
}
