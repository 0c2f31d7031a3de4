//! A JSON body that may be a batch: each element is judged as if it had come alone.

#![no_main]

use event_model::{Event, Events, Issue, Reason, Rejection, Undecodable};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

type Outcome<'a> = Result<Event<'a>, Vec<Issue>>;

fuzz_target!(|body: &[u8]| {
    let (is_batch, read) = read(body);
    if is_batch {
        matches_its_elements(body, &read);
    } else {
        matches_the_single_event(body, &read);
    }
    if !is_batch && !body.starts_with(b"\xEF\xBB\xBF") {
        the_same_in_an_array(body, &read);
    }
});

/// Every event of a body, and the rejection of the whole, if any.
fn read(body: &[u8]) -> (bool, Result<Vec<Outcome<'_>>, Rejection>) {
    let mut events = match Events::from_json(body) {
        Ok(events) => events,
        Err(reason) => return (false, Err(Rejection::Undecodable(reason))),
    };
    let is_batch = events.is_batch();
    let mut outcomes = Vec::new();
    let read = loop {
        match events.next_event() {
            Ok(Some(outcome)) => {
                match &outcome {
                    Ok(event) => weir_fuzz::check_event(event),
                    Err(issues) => {
                        weir_fuzz::check_issues(issues);
                        issues
                            .iter()
                            .for_each(|issue| weir_fuzz::check_in_batch(issue, outcomes.len()));
                    }
                }
                outcomes.push(outcome);
                assert!(outcomes.len() <= body.len().max(1), "an element has at least one byte");
            }
            Ok(None) => break Ok(outcomes),
            Err(rejection) => {
                weir_fuzz::check_rejection(&rejection);
                break Err(rejection);
            }
        }
    };
    assert!(matches!(events.next_event(), Ok(None)), "the end is the end");
    (is_batch, read)
}

fn matches_its_elements(body: &[u8], read: &Result<Vec<Outcome<'_>>, Rejection>) {
    let text = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let Ok(elements) = serde_json::from_slice::<Vec<&RawValue>>(text) else {
        return;
    };
    match read {
        Ok(outcomes) => {
            assert_eq!(outcomes.len(), elements.len());
            for (element, outcome) in elements.iter().zip(outcomes) {
                assert!(
                    weir_fuzz::same(&alone(element.get().as_bytes()), outcome),
                    "{}",
                    element.get()
                );
            }
        }
        Err(Rejection::Invalid(issues)) => {
            assert!(
                elements.is_empty() && matches!(issues[0].reason, Reason::EmptyBatch),
                "{issues:?}"
            );
        }
        Err(Rejection::Undecodable(reason)) => {
            assert!(
                matches!(reason, Undecodable::IntTooLong | Undecodable::TooDeep),
                "{reason:?}"
            );
        }
    }
}

fn matches_the_single_event(body: &[u8], read: &Result<Vec<Outcome<'_>>, Rejection>) {
    match (Event::from_json(body), read) {
        (Err(Rejection::Undecodable(left)), Err(Rejection::Undecodable(right))) => assert_eq!(left, *right),
        (single, Ok(outcomes)) => {
            assert_eq!(outcomes.len(), 1);
            assert!(weir_fuzz::same(&issues_of(single), &outcomes[0]));
        }
        (single, read) => panic!("{single:?} alone, {read:?} as a body"),
    }
}

/// Two copies in an array are two events, each as it was alone.
fn the_same_in_an_array(body: &[u8], read: &Result<Vec<Outcome<'_>>, Rejection>) {
    let Ok([outcome]) = read.as_deref() else { return };
    if matches!(outcome, Err(issues) if matches!(issues[0].reason, Reason::JsonInvalid { .. })) || body.is_empty() {
        return;
    }
    let array = [b"[", body, b"\n,", body, b"]"].concat();
    match self::read(&array) {
        (true, Ok(outcomes)) => {
            assert_eq!(outcomes.len(), 2);
            assert!(outcomes.iter().all(|other| weir_fuzz::same(outcome, other)));
        }
        // The array is one level more.
        (true, Err(Rejection::Undecodable(Undecodable::TooDeep))) => {}
        (_, read) => panic!("{outcome:?} alone, {read:?} in an array"),
    }
}

fn alone(element: &[u8]) -> Outcome<'_> {
    issues_of(Event::from_json(element))
}

fn issues_of(single: Result<Event<'_>, Rejection>) -> Outcome<'_> {
    single.map_err(|rejection| match rejection {
        Rejection::Invalid(issues) => issues,
        Rejection::Undecodable(reason) => panic!("{reason} alone, but readable in its place"),
    })
}
