use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;
use crate::issue::Bound;

const GOOD: &str = r#"{"dt":"2024-05-17T10:20:30Z","name":"view","user_id":1,"url":"http://site/main","obj":"page"}"#;

/// The good event with one field replaced (or added).
fn with(field: &str, value: &str) -> String {
    let mut event: BTreeMap<String, Box<RawValue>> = serde_json::from_str(GOOD).unwrap();
    event.insert(field.to_owned(), RawValue::from_string(value.to_owned()).unwrap());
    serde_json::to_string(&event).unwrap()
}

fn issues(body: &[u8]) -> Vec<Issue> {
    match Event::from_json(body) {
        Err(Rejection::Invalid(issues)) => issues,
        other => panic!("{other:?}"),
    }
}

#[test]
fn defaults() {
    let event = Event::from_json(GOOD.as_bytes()).unwrap();
    assert_eq!(event.obj_id(), "");
    assert_eq!(event.product_id(), 0);
    assert_eq!(event.amount(), 0.0);
    assert_eq!(event.exp(), []);
    assert_eq!(event.event_id(), None);
}

/// One recorded case of the service that Weir replaces; `tests/fixtures/contract.jsonl`.
#[derive(serde::Deserialize)]
struct Case {
    id: u32,
    group: String,
    body: Option<String>,
    body_b64: Option<String>,
    status: u16,
    event: Option<Box<RawValue>>,
    #[serde(default)]
    errors: Vec<(String, Value)>,
    #[serde(default)]
    msgs: Vec<String>,
}

#[test]
fn agrees_with_the_recorded_cases() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/contract.jsonl");
    let cases = std::fs::read_to_string(path).unwrap();
    let mut wrong = Vec::new();
    for line in cases.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        if let Err(reason) = check_case(&case) {
            wrong.push(format!("case {} ({}): {reason}", case.id, case.group));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases differ\n{}",
        wrong.len(),
        cases.lines().count(),
        wrong.join("\n")
    );
}

fn check_case(case: &Case) -> Result<(), String> {
    let body = match (&case.body, &case.body_b64) {
        (Some(body), _) => body.clone().into_bytes(),
        (_, Some(body)) => base64(body),
        _ => return Err("no body".into()),
    };
    let result = Event::from_json(&body);
    // Stricter on purpose: nothing but UTF-8 is read.
    if case.status == 400 || is_wide(&body) {
        return match result {
            Err(Rejection::Undecodable(_)) => Ok(()),
            other => Err(format!("expected an undecodable body, got {other:?}")),
        };
    }
    match (case.status, result) {
        (200, Ok(event)) => same_event(case.event.as_ref().ok_or("no event")?, &event),
        (200, Err(Rejection::Invalid(issues))) => {
            let unstorable = unstorable_fields(case.event.as_ref().ok_or("no event")?);
            let found: BTreeSet<String> = issues.iter().map(loc_text).collect();
            if found == unstorable {
                Ok(())
            } else {
                Err(format!("refused at {found:?}, expected {unstorable:?}"))
            }
        }
        // That service fell over while it wrote the answer.
        (500, Err(Rejection::Invalid(_))) => Ok(()),
        (422, Err(Rejection::Invalid(issues))) => same_issues(case, &issues),
        (status, other) => Err(format!("answered {status} there, got {other:?}")),
    }
}

fn same_event(expected: &RawValue, event: &Event) -> Result<(), String> {
    let expected: BTreeMap<String, Value> = serde_json::from_str(expected.get()).map_err(|e| e.to_string())?;
    let exp: BTreeMap<_, _> = event.exp().iter().cloned().collect();
    let got = serde_json::json!({
        "name": event.name(), "user_id": event.user_id(), "url": event.url(), "obj": event.obj(),
        "obj_id": event.obj_id(), "product_id": event.product_id(), "amount": event.amount(), "exp": exp,
    });
    for (field, value) in got.as_object().ok_or("not an object")? {
        let want = match &expected[field] {
            // No experiments and null are stored alike.
            Value::Null if field == "exp" => &serde_json::json!({}),
            want => want,
        };
        if want != value {
            return Err(format!("{field} is {value}, expected {want}"));
        }
    }
    let want = instant(expected["dt"].as_str().ok_or("dt")?).ok_or("dt is not representable, but was accepted")?;
    if want == i64::from(event.dt()) {
        Ok(())
    } else {
        Err(format!("dt is {}, expected {want}", event.dt()))
    }
}

/// Whole seconds of an ISO time as Python writes it; a time without an offset is UTC.
fn instant(text: &str) -> Option<i64> {
    let at: jiff::Timestamp = text.parse().or_else(|_| format!("{text}Z").parse()).ok()?;
    Some(at.as_nanosecond().div_euclid(1_000_000_000) as i64)
}

/// Fields of an accepted event that the store cannot hold: the reasons to refuse what that service accepted.
fn unstorable_fields(event: &RawValue) -> BTreeSet<String> {
    let event: BTreeMap<String, Box<RawValue>> = serde_json::from_str(event.get()).unwrap();
    let unstorable = |field: &str, value: &str| match field {
        "dt" => {
            let text: String = serde_json::from_str(value).unwrap();
            instant(&text).is_none_or(|at| !(0..=i64::from(u32::MAX)).contains(&at))
        }
        "user_id" | "product_id" => value.parse::<u64>().is_err(),
        "amount" => value.starts_with('{'),
        // serde_json refuses a lone surrogate.
        _ => serde_json::from_str::<Value>(value).is_err(),
    };
    event
        .iter()
        .filter(|(field, value)| unstorable(field, value.get()))
        .map(|(field, _)| field.clone())
        .collect()
}

fn same_issues(case: &Case, issues: &[Issue]) -> Result<(), String> {
    let expected: Vec<(String, Value, String)> = case
        .errors
        .iter()
        .zip(&case.msgs)
        .map(|((kind, loc), msg)| (kind.clone(), loc.clone(), msg.clone()))
        .collect();
    let found: Vec<(String, Value, String)> = issues
        .iter()
        .filter(|issue| !stricter(issue))
        .map(|issue| {
            (
                issue.kind().to_owned(),
                serde_json::to_value(&issue.loc).unwrap(),
                issue.msg(),
            )
        })
        .collect();
    if expected == found {
        Ok(())
    } else {
        Err(format!("found {found:?}\n    expected {expected:?}"))
    }
}

/// An issue that only Weir raises.
fn stricter(issue: &Issue) -> bool {
    match issue.reason {
        Reason::StringUnicode | Reason::LessThanEqual(_) | Reason::GreaterThanEqual(Bound::Time(_)) => true,
        Reason::FiniteNumber => loc_text(issue) == "amount",
        _ => false,
    }
}

fn loc_text(issue: &Issue) -> String {
    match issue.loc.get(1) {
        Some(Loc::Key(key)) => key.to_string(),
        other => format!("{other:?}"),
    }
}

/// What CPython takes for UTF-16 or UTF-32.
fn is_wide(body: &[u8]) -> bool {
    body.starts_with(b"\xFF\xFE")
        || body.starts_with(b"\xFE\xFF")
        || (body.len() >= 4 || body.len() == 2) && (body[0] == 0 || body[1] == 0)
}

fn base64(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        bits = bits << 6 | alphabet.iter().position(|letter| *letter == byte).unwrap() as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

/// One field's value and the reasons it is refused for, as `kind` at `loc`.
#[track_caller]
fn check_refused(field: &str, value: &str, expected: &[(&str, &str)]) {
    let found: Vec<(&str, String)> = issues(with(field, value).as_bytes())
        .iter()
        .map(|issue| (issue.kind(), loc_text(issue)))
        .collect();
    let expected: Vec<(&str, String)> = expected.iter().map(|(kind, loc)| (*kind, (*loc).to_owned())).collect();
    assert_eq!(found, expected, "{field}: {value}");
}

#[test]
fn refuses_what_the_store_cannot_hold() {
    check_refused("dt", "-1", &[("greater_than_equal", "dt")]);
    check_refused("dt", "\"2106-02-07T06:28:16Z\"", &[("less_than_equal", "dt")]);
    check_refused("user_id", "18446744073709551616", &[("less_than_equal", "user_id")]);
    check_refused("product_id", "-1", &[("greater_than_equal", "product_id")]);
    check_refused("amount", "1e400", &[("finite_number", "amount")]);
    check_refused("amount", "\"nan\"", &[("greater_than_equal", "amount")]);
    check_refused("name", r#""\ud800""#, &[("string_unicode", "name")]);
    check_refused("exp", r#"{"a":"\udfff","b":"c"}"#, &[("string_unicode", "exp")]);
    check_refused("event_id", "\"x\"", &[("uuid_parsing", "event_id")]);
    check_refused("event_id", "1", &[("uuid_type", "event_id")]);
}

#[test]
fn dt_becomes_an_instant() {
    for (value, expected) in [
        ("\"1970-01-01\"", 0),
        ("\"2106-02-07T06:28:15.999Z\"", u32::MAX),
        ("\"2024-05-17T10:20:30\"", 1_715_941_230),
        ("\"2024-05-17t10:20:30,9+0300\"", 1_715_930_430),
        ("\"2024-05-17_10:20:30\u{2212}03:00\"", 1_715_952_030),
        ("1715941230", 1_715_941_230),
        ("1715941230999", 1_715_941_230),
        ("\"+1715941230.\"", 1_715_941_230),
        ("20000000001", 20_000_000),
        // As there: the fraction's distance from zero is added to the floor.
        ("-0.9999999", 0),
    ] {
        let body = with("dt", value);
        let event = Event::from_json(body.as_bytes()).unwrap();
        assert_eq!(event.dt(), expected, "{value}");
    }
}

#[test]
fn issues_have_fastapis_shape() {
    let body = r#"{"dt": true, "name": "view", "user_id": -1, "url": "ftp://x/", "exp": {"a": NaN}, "big": 1e999}"#;
    let expected = serde_json::json!([
        {"type": "datetime_type", "loc": ["body", "dt"], "msg": "Input should be a valid datetime", "input": true},
        {"type": "greater_than_equal", "loc": ["body", "user_id"], "msg": "Input should be greater than or equal to 0",
         "input": -1, "ctx": {"ge": 0}},
        {"type": "url_scheme", "loc": ["body", "url"], "msg": "URL scheme should be 'http' or 'https'", "input": "ftp://x/",
         "ctx": {"expected_schemes": "'http' or 'https'"}},
        {"type": "missing", "loc": ["body", "obj"], "msg": "Field required", "input": {"dt": true, "name": "view",
         "user_id": -1, "url": "ftp://x/", "exp": {"a": "NaN"}, "big": "1e999"}},
        {"type": "string_type", "loc": ["body", "exp", "a"], "msg": "Input should be a valid string", "input": "NaN"},
    ]);
    assert_eq!(serde_json::to_value(issues(body.as_bytes())).unwrap(), expected);
    let bad_json = serde_json::json!([{"type": "json_invalid", "loc": ["body", 3], "msg": "JSON decode error",
        "input": {}, "ctx": {"error": "Expecting ':' delimiter"}}]);
    assert_eq!(
        serde_json::to_value(issues("{\"é".as_bytes())).unwrap()[0]["loc"],
        serde_json::json!(["body", 1])
    );
    assert_eq!(serde_json::to_value(issues(b"{\"\"")).unwrap(), bad_json);
}

#[test]
fn an_answer_stays_small() {
    let long = "x".repeat(1 << 20);
    let many: Vec<String> = (0..10_000)
        .map(|at| format!("\"{at}{long}\":1", long = "x".repeat(100)))
        .collect();
    for body in [
        with("exp", &format!("{{{}}}", many.join(","))),
        with("user_id", &format!("\"{long}\"")),
        format!("[\"{long}\"]"),
    ] {
        let issues = issues(body.as_bytes());
        assert!(issues.len() <= MAX_ISSUES);
        assert!(serde_json::to_string(&issues).unwrap().len() < 200_000);
    }
    let deep = with("obj_id", &format!("{}{}", "[".repeat(1000), "]".repeat(1000)));
    assert!(serde_json::to_value(issues(deep.as_bytes())).is_ok());
}

#[test]
fn a_repeated_key_counts_once() {
    let body = with("exp", r#"{"a": 1, "b": "x", "a": "y"}"#);
    let event = Event::from_json(body.as_bytes()).unwrap();
    assert_eq!(event.exp(), [("a".into(), "y".into()), ("b".into(), "x".into())]);
    let many: Vec<String> = (0..100).map(|at| format!("\"k{}\":\"{at}\"", at % 40)).collect();
    let body = with("exp", &format!("{{{}}}", many.join(",")));
    let event = Event::from_json(body.as_bytes()).unwrap();
    assert_eq!(event.exp().len(), 40);
    assert_eq!(event.exp()[0], ("k0".into(), "80".into()));
}

/// The JSON Schema is part of the contract: a change shows as a change of this file.
#[test]
fn schema_is_the_published_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/event.schema.json");
    let schema = schemars::schema_for!(Event);
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    #[allow(
        clippy::disallowed_methods,
        reason = "a test's switch: rewrite the snapshot instead of comparing"
    )]
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    if update {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap_or_default(),
        text,
        "UPDATE_SNAPSHOTS=1 rewrites it"
    );
    let example = schema.get("examples").and_then(|examples| examples.get(0)).unwrap();
    let body = example.to_string();
    let event = Event::from_json(body.as_bytes()).unwrap();
    assert_eq!(&serde_json::to_value(&event).unwrap(), example);
}

proptest! {
    #[test]
    fn never_panics_on_bytes(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Event::from_json(&body);
    }

    #[test]
    fn never_panics_on_near_json(field in prop::sample::select(&FIELDS[..]), value in r#"[-+0-9eE._ "\\{}\[\]:,a-fu]{0,40}"#) {
        let _ = Event::from_json(format!(r#"{{"{field}":{value}}}"#).as_bytes());
        let quoted = Value::from(value).to_string();
        let _ = Event::from_json(with(field, &quoted).as_bytes());
    }

    /// serde_json and this crate agree on strings, and an accepted event is its own normal form.
    #[test]
    fn normal_form_is_a_fixed_point(
        name in any::<String>(), dt in any::<u32>(), user_id in any::<u64>(), amount in 0.0..f64::MAX,
        exp in prop::collection::btree_map(any::<String>(), any::<String>(), 0..30),
    ) {
        let body = serde_json::json!({
            "dt": f64::from(dt).min(2e10), "name": name, "user_id": user_id.to_string(), "url": "https://a/b c",
            "obj": name, "obj_id": name, "amount": amount, "exp": exp
        });
        let body = body.to_string();
        let event = Event::from_json(body.as_bytes()).unwrap();
        prop_assert_eq!(event.name(), &name);
        prop_assert_eq!(event.user_id(), user_id);
        prop_assert_eq!(event.amount(), amount);
        prop_assert_eq!(event.exp().len(), exp.len());
        let normalised = serde_json::to_string(&event).unwrap();
        let again = Event::from_json(normalised.as_bytes()).unwrap();
        prop_assert_eq!(again, event);
    }
}
