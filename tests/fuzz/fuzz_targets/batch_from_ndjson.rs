//! An NDJSON body: each line that is not blank is judged as if it had come alone.

#![no_main]

use event_model::{Event, Events, Reason, Rejection};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let mut events = Events::from_ndjson(body);
    assert!(events.is_batch());
    let text = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty());
    let mut count = 0;
    for line in lines {
        let outcome = events
            .next_event()
            .expect("a line is never the end of a batch")
            .expect("no line is lost");
        match (&outcome, Event::from_json(line)) {
            (Ok(event), Ok(alone)) => {
                assert_eq!(*event, alone);
                weir_fuzz::check_event(event);
            }
            (Err(issues), Err(Rejection::Invalid(alone))) => {
                assert!(weir_fuzz::same(&outcome, &Err(alone)));
                weir_fuzz::check_issues(issues);
                issues.iter().for_each(|issue| weir_fuzz::check_in_batch(issue, count));
            }
            (Err(issues), Err(Rejection::Undecodable(_))) => {
                weir_fuzz::check_issues(issues);
                assert!(
                    issues.len() == 1 && matches!(issues[0].reason, Reason::JsonInvalid { .. }),
                    "{issues:?}"
                );
            }
            (outcome, alone) => panic!("{outcome:?} in its place, {alone:?} alone"),
        }
        count += 1;
    }
    if count == 0 {
        let Err(Rejection::Invalid(issues)) = events.next_event() else {
            panic!("no line is no batch")
        };
        assert!(matches!(issues[0].reason, Reason::Missing));
    }
    assert!(matches!(events.next_event(), Ok(None)), "the end is the end");
});
