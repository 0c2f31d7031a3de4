//! What must be true of every event and every rejection, whichever decoder it came out of.

use event_model::limits::{MAX_ECHO_BYTES, MAX_ECHO_DEPTH, MAX_ISSUES, MAX_LOC_KEY_BYTES, MAX_URL_BYTES};
use event_model::{Event, Issue, Loc, Record, Rejection, Row};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

/// The body of a reply with these issues may not be larger: a function URL returns 6 MB at most.
const MAX_ANSWER_BYTES: usize = 6_000_000;

/// Parsing, writing and reading an accepted event any number of times gives the same event.
pub fn check_event(event: &Event) {
    assert!(event.amount().is_finite() && event.amount() >= 0.0, "{event:?}");
    assert!(
        event.url().starts_with("http://") || event.url().starts_with("https://"),
        "{event:?}"
    );
    // Also one that was told to be normalised without parsing it.
    let parsed = url::Url::parse(event.url()).map(String::from);
    assert_eq!(parsed.as_deref(), Ok(event.url()));
    for (at, (key, _)) in event.exp().iter().enumerate() {
        assert!(
            event.exp().iter().skip(at + 1).all(|(other, _)| other != key),
            "{event:?}"
        );
    }

    // A normalised URL can be three times as long as what was sent, and then would be refused.
    if event.url().len() <= MAX_URL_BYTES {
        let json = serde_json::to_vec(event).expect("an event is JSON");
        assert_eq!(
            Event::from_json(&json).as_ref().ok(),
            Some(event),
            "{}",
            String::from_utf8_lossy(&json)
        );
    }

    let record = Record {
        event_id: event.event_id().unwrap_or(Uuid::max()),
        received_at: Timestamp::from_millisecond(1_715_941_231_007).expect("a time of this age"),
        request_id: "8f5e0c7a-3f1d-4e57-9f0a-5b8a4c1d2e3f".into(),
        event: event.clone(),
    };
    check_record(&record);
}

/// A record's line is one line of JSON, and gives the same record and the same bytes again.
pub fn check_record(record: &Record) {
    let mut line = Vec::new();
    record.write_line(&mut line);
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "{record:?}");
    assert_eq!(line.last(), Some(&b'\n'));
    serde_json::from_slice::<Value>(&line).expect("a line is JSON that any reader takes");

    let row = Row::from_line(&line).expect("what was written is read");
    assert_eq!(row, Row::from(record.clone()));
    let again = [&row.to_line()[..], b"\n"].concat();
    assert_eq!(line, again, "the same record gives the same bytes");
}

/// A rejection can be answered: small enough, and JSON that any reader takes.
pub fn check_rejection(rejection: &Rejection) {
    match rejection {
        Rejection::Undecodable(reason) => assert!(!reason.to_string().is_empty()),
        Rejection::Invalid(issues) => check_issues(issues),
    }
}

/// The same for the issues of one event.
pub fn check_issues(issues: &[Issue]) {
    assert!((1..=MAX_ISSUES).contains(&issues.len()), "{} issues", issues.len());
    for issue in issues {
        check_issue(issue);
    }
    let answer = serde_json::to_vec(issues).expect("issues are JSON");
    assert!(answer.len() <= MAX_ANSWER_BYTES, "{} bytes", answer.len());
}

fn check_issue(issue: &Issue) {
    let json = serde_json::to_string(issue).expect("an issue is JSON");
    // serde_json gives up at a depth of 128, as other readers do.
    let value: Value = serde_json::from_str(&json).expect("an issue is JSON that any reader takes");
    assert_eq!(value["type"], issue.kind());
    assert!(value["msg"].as_str().is_some_and(|msg| !msg.is_empty()), "{json}");
    assert!(depth(&value["input"]) <= MAX_ECHO_DEPTH, "{json}");

    assert!(
        issue.input.get().len() <= MAX_ECHO_BYTES,
        "an echo of {} bytes",
        issue.input.get().len()
    );

    assert_eq!(issue.loc.first(), Some(&Loc::Key("body".into())));
    assert!(issue.loc.len() <= 3, "{:?}", issue.loc);
    for step in &issue.loc {
        if let Loc::Key(key) = step {
            assert!(key.len() <= MAX_LOC_KEY_BYTES + '…'.len_utf8(), "{key}");
        }
    }
}

/// An issue of a batch's event says which event it is.
pub fn check_in_batch(issue: &Issue, index: usize) {
    let moved = issue.clone().in_batch(index);
    assert_eq!(moved.loc.first(), issue.loc.first());
    assert_eq!(moved.loc.get(1), Some(&Loc::Index(index)));
    assert_eq!(moved.loc.get(2..), issue.loc.get(1..));
}

/// Whether two outcomes are the same in everything that is answered or stored.
pub fn same(left: &Result<Event, Vec<Issue>>, right: &Result<Event, Vec<Issue>>) -> bool {
    let shown = |issues: &Vec<Issue>| serde_json::to_string(issues).expect("issues are JSON");
    match (left, right) {
        (Ok(left), Ok(right)) => left == right,
        (Err(left), Err(right)) => shown(left) == shown(right),
        _ => false,
    }
}

/// How deep a value nests.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
