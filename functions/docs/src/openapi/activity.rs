//! `GET /activity`.

use activity::error::refusal;
use activity::{Activity, CATALOGUE, Day, Range, error};
use edge::Problem;
use serde_json::{Value, json};

use super::refusals::{Refusal, responses};
use super::{path_item, schema, schemas};

/// `GET /activity`.
pub(super) fn read(base: Option<&str>) -> Value {
    let mut answers = responses::<error::Invalid>(&refused(), &[]);
    answers.insert("200".into(), days());
    let operation = json!({
        "operationId": "readActivity",
        "summary": "Daily, weekly and monthly active users",
        "description": "One entry a day: distinct users of the day (`dau`), of the seven days up to it (`wau`), of the thirty \
            days up to it (`mau`). Days are UTC. JSON, or CSV when `Accept` names `text/csv` first.",
        "tags": ["Activity"],
        "security": [],
        "parameters": [
            parameter("from", "The first day. Default: the thirtieth day before `to`, that one included."),
            parameter("to", "The last day. Default: today."),
        ],
        "responses": answers,
    });
    path_item("get", operation, base)
}

fn parameter(name: &str, description: &str) -> Value {
    json!({
        "in": "query",
        "name": name,
        "description": format!("{description} From 1970 to 2148; `from` after `to` is no days."),
        // The pattern is for the years; which days there are is the format's.
        "schema": { "type": "string", "format": "date", "pattern": "^(?:19[7-9][0-9]|20[0-9]{2}|21[0-3][0-9]|214[0-8])-[0-9]{2}-[0-9]{2}$" },
    })
}

fn days() -> Value {
    let day = |date, dau, wau, mau| Day { date, dau, wau, mau };
    let days = [
        day(jiff::civil::date(2026, 11, 22), 117, 468, 1204),
        day(jiff::civil::date(2026, 11, 23), 123, 471, 1210),
    ];
    json!({
        "description": "The days, in order.",
        "content": {
            "application/json": {
                "schema": schema(&schemas::name::<Activity>()),
                "examples": { "days": { "summary": "Two days", "value": Activity { days: &days } } },
            },
            "text/csv": {
                "schema": { "type": "string" },
                "examples": { "days": {
                    "summary": "Two days",
                    "value": "date,dau,wau,mau\n2026-11-22,117,468,1204\n2026-11-23,123,471,1210\n",
                } },
            },
        },
    })
}

/// Each refusal, as the function answers it.
fn refused() -> Vec<Refusal> {
    let response = |problem: Problem| {
        if problem == error::INVALID_RANGE {
            let wrong = Range::parse(Some("23.11.2026"), None, jiff::civil::date(2026, 11, 23));
            if let Err(problems) = wrong {
                return error::invalid(&problems);
            }
        }
        refusal(problem)
    };
    let refusal = |problem| Refusal {
        problem,
        response: response(problem),
    };
    CATALOGUE.into_iter().map(refusal).collect()
}
