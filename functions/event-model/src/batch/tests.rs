use proptest::prelude::*;
use serde_json::Value;

use super::*;

const GOOD: &str = r#"{"dt":"2024-05-17T10:20:30Z","name":"view","user_id":1,"url":"http://site/main","obj":"page"}"#;

/// What a body holds: for each event its name, or the type and path of its first issue; then the fault of the body.
fn read(mut events: Events<'_>) -> Vec<String> {
    let batch = events.is_batch();
    let mut out = Vec::new();
    loop {
        let shown = |issue: Issue| format!("{} {}", issue.kind(), serde_json::to_string(&issue.loc).unwrap());
        match events.next_event() {
            Ok(None) => return out,
            Ok(Some(Ok(event))) => out.push(event.name().to_owned()),
            Ok(Some(Err(issues))) => {
                let index = out.len();
                let first = issues.into_iter().next().unwrap();
                out.push(shown(if batch { first.in_batch(index) } else { first }));
            }
            Err(Rejection::Invalid(issues)) => {
                out.push(format!("body: {}", shown(issues.into_iter().next().unwrap())));
                assert!(matches!(events.next_event(), Ok(None)), "a fault is told once");
                return out;
            }
            Err(Rejection::Undecodable(reason)) => {
                out.push(format!("body: {reason}"));
                return out;
            }
        }
    }
}

#[track_caller]
fn check(is_ndjson: bool, body: &[u8], expected: &[&str]) {
    let events = if is_ndjson {
        Events::from_ndjson(body)
    } else {
        Events::from_json(body).unwrap()
    };
    assert_eq!(read(events), expected, "{}", String::from_utf8_lossy(body));
}

#[test]
fn json_bodies() {
    let other = GOOD.replace("view", "click");
    check(false, GOOD.as_bytes(), &["view"]);
    check(false, b"7", &["model_attributes_type [\"body\"]"]);
    check(false, b"", &["missing [\"body\"]"]);
    check(false, b"{", &["json_invalid [\"body\",1]"]);
    check(false, format!(" [{GOOD} ,\n{other}]\n").as_bytes(), &["view", "click"]);
    check(false, format!("\u{feff}[{GOOD}]").as_bytes(), &["view"]);
    check(
        false,
        format!("[{{}},{GOOD},null,[{GOOD}]]").as_bytes(),
        &[
            "missing [\"body\",0,\"dt\"]",
            "view",
            "missing [\"body\",2]",
            "model_attributes_type [\"body\",3]",
        ],
    );
    check(false, b"[ ]", &["body: too_short [\"body\"]"]);
    check(false, b"[", &["body: json_invalid [\"body\",1]"]);
    check(
        false,
        format!("[{GOOD}").as_bytes(),
        &["view", "body: json_invalid [\"body\",94]"],
    );
    check(
        false,
        format!("[{GOOD},]").as_bytes(),
        &["view", "body: json_invalid [\"body\",95]"],
    );
    check(
        false,
        format!("[{GOOD}]x").as_bytes(),
        &["view", "body: json_invalid [\"body\",95]"],
    );
    check(false, b"[]x", &["body: json_invalid [\"body\",2]"]);
    let deep = format!("[{GOOD},{}", "[".repeat(2000));
    check(
        false,
        deep.as_bytes(),
        &["view", "body: the body nests deeper than 1480 levels"],
    );
    assert!(Events::from_json(b"[\"\xff\"]").is_err());
}

#[test]
fn ndjson_bodies() {
    let other = GOOD.replace("view", "click");
    check(true, format!("{GOOD}\n{other}\n").as_bytes(), &["view", "click"]);
    check(
        true,
        format!("\u{feff}\n{GOOD}\r\n \r\n\n{other}").as_bytes(),
        &["view", "click"],
    );
    check(true, b"", &["body: missing [\"body\"]"]);
    check(true, b"\n \n", &["body: missing [\"body\"]"]);
    check(true, b"  {\r\n", &["json_invalid [\"body\",0,4]"]);
    let mut lines = format!("{{\n{GOOD}\n[{GOOD}]\n").into_bytes();
    lines.extend_from_slice(b"{\"name\":\"\xff\"}\n");
    lines.extend_from_slice("[".repeat(2000).as_bytes());
    lines.extend_from_slice(format!("\n{other}").as_bytes());
    check(
        true,
        &lines,
        &[
            "json_invalid [\"body\",0,1]",
            "view",
            "model_attributes_type [\"body\",2]",
            "json_invalid [\"body\",3]",
            "json_invalid [\"body\",4]",
            "click",
        ],
    );
}

/// What is missing is shown in the event that lacks it, not in the whole batch.
#[test]
fn an_issue_echoes_its_own_event() {
    let mut events = Events::from_json(br#"[ {"a":1} , {"b":2} ]"#).unwrap();
    for input in [r#"{"a":1}"#, r#"{"b":2}"#] {
        let issues = events.next_event().unwrap().unwrap().unwrap_err();
        assert_eq!(issues[0].input.get(), input);
    }
}

proptest! {
    /// A batch gives what its members give alone, whichever way it is written.
    #[test]
    fn members_are_what_they_are_alone(
        members in prop::collection::vec(prop_oneof![
            Just(GOOD.to_owned()), Just("{}".to_owned()), Just("null".to_owned()), Just("[1, {\"a\":2}]".to_owned()),
            (any::<i64>(), "[a-z]{0,3}").prop_map(|(user, name)| {
                format!(r#"{{"user_id":{user}, "name":"{name}","dt":"2024-05-17","url":"http://a/{name}","obj":""}}"#)
            }),
        ], 1..8)
    ) {
        let alone: Vec<Value> = members.iter().map(|member| verdict(Event::from_json(member.as_bytes()).map_err(|rejection| {
            match rejection { Rejection::Invalid(issues) => issues, Rejection::Undecodable(_) => vec![] }
        }))).collect();
        let array = format!("[{}]", members.join(" ,"));
        let lines = members.join("\n");
        for mut events in [Events::from_json(array.as_bytes()).unwrap(), Events::from_ndjson(lines.as_bytes())] {
            let mut found = Vec::new();
            while let Some(event) = events.next_event().unwrap() {
                found.push(verdict(event));
            }
            prop_assert_eq!(&found, &alone);
        }
    }
}

fn verdict(event: Result<Event, Vec<Issue>>) -> Value {
    match event {
        Ok(event) => serde_json::to_value(event).unwrap(),
        Err(issues) => serde_json::to_value(issues).unwrap(),
    }
}
