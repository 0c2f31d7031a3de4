//! The sender against a server that misbehaves on purpose.

use std::collections::{BTreeMap, HashMap};
use std::future::IntoFuture as _;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::{Value, json};

use super::super::disorder::Disorder;
use super::super::shop::{Plan, Shop};
use super::*;

/// What the server answers to the nth attempt (from 0) for an event.
type Script = fn(event: &Value, attempt: u64) -> Response;

#[derive(Clone)]
struct Server {
    script: Script,
    /// Attempts by event id.
    attempts: Arc<Mutex<HashMap<String, u64>>>,
}

async fn answer(State(server): State<Server>, body: String) -> Response {
    let event: Value = serde_json::from_str(&body).unwrap();
    let id = event["event_id"].as_str().unwrap().to_owned();
    let attempt = {
        let mut attempts = server.attempts.lock().unwrap();
        let count = attempts.entry(id).or_default();
        *count += 1;
        *count - 1
    };
    (server.script)(&event, attempt)
}

fn numbered(late_percent: f64, duplicate_percent: f64) -> Vec<Numbered> {
    let plan = Plan::whole_days(1, 20, 10, jiff::civil::date(2026, 11, 22)).unwrap();
    Disorder {
        seed: 1,
        late_percent,
        duplicate_percent,
    }
    .apply(Shop::new(plan))
    .collect()
}

fn quick(attempts: u32) -> Patience {
    Patience {
        attempts,
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(2),
    }
}

fn queue_of(events: &[Numbered]) -> mpsc::Receiver<Parcel> {
    let (sender, queue) = mpsc::channel(events.len().max(1));
    for event in events {
        sender
            .try_send(Parcel::pack(std::slice::from_ref(event)).unwrap())
            .unwrap();
    }
    queue
}

/// Sends `events` to a server that follows `script`; the totals and the attempts by event id.
async fn send(events: &[Numbered], patience: Patience, script: Script) -> (Totals, HashMap<String, u64>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/events", listener.local_addr().unwrap())).unwrap();
    let server = Server {
        script,
        attempts: Arc::default(),
    };
    let router = Router::new().route("/events", post(answer)).with_state(server.clone());
    let serving = tokio::spawn(axum::serve(listener, router).into_future());
    let sender = Arc::new(Sender::new(url, None, None, patience, CancellationToken::new()).unwrap());
    sender.run(queue_of(events), 4).await;
    serving.abort();
    let totals = sender.take_totals();
    let attempts = std::mem::take(&mut *server.attempts.lock().unwrap());
    (totals, attempts)
}

fn busy(retry_after: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", retry_after)], "busy").into_response()
}

fn stored() -> Response {
    axum::Json(json!({"accepted": 1})).into_response()
}

#[tokio::test]
async fn every_event_is_acknowledged_once() {
    let events = numbered(0.0, 0.0);
    let (totals, attempts) = send(&events, quick(1), |_, _| stored()).await;
    let count = events.len() as u64;
    assert_eq!(
        (totals.sent, totals.acknowledged, totals.ledger.events()),
        (count, count, count)
    );
    assert_eq!((totals.failed, totals.refused.len(), totals.retried.len()), (0, 0, 0));
    assert_eq!(attempts.len() as u64, count);
    assert!(totals.latency.quantile(0.5) > Duration::ZERO);
}

#[tokio::test]
async fn duplicates_are_acknowledged_twice_and_counted_once() {
    let events = numbered(10.0, 10.0);
    let (totals, attempts) = send(&events, quick(1), |_, _| stored()).await;
    assert_eq!(totals.acknowledged, events.len() as u64);
    assert!(totals.ledger.events() < totals.acknowledged);
    assert_eq!(totals.ledger.events(), attempts.len() as u64);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_with_the_same_event() {
    let events = numbered(0.0, 0.0);
    let count = events.len() as u64;
    let (totals, attempts) = send(&events, quick(3), |_, attempt| match attempt {
        0 => busy("0"),
        1 => (StatusCode::TOO_MANY_REQUESTS, "slow down").into_response(),
        _ => stored(),
    })
    .await;
    assert_eq!((totals.acknowledged, totals.failed), (count, 0));
    assert_eq!(
        totals.retried,
        BTreeMap::from([("429".to_owned(), count), ("503".to_owned(), count)])
    );
    assert!(
        attempts.values().all(|attempts| *attempts == 3),
        "the event id is the same on each attempt"
    );
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let events = numbered(0.0, 0.0);
    let clicks = events.iter().filter(|event| event.event.name == "click").count() as u64;
    let (totals, attempts) = send(&events, quick(3), |event, _| match event["name"].as_str() {
        Some("click") => (StatusCode::UNPROCESSABLE_ENTITY, "no\nclicks").into_response(),
        _ => stored(),
    })
    .await;
    assert_eq!(totals.refused, BTreeMap::from([(422, clicks)]));
    assert_eq!(totals.acknowledged, events.len() as u64 - clicks);
    assert_eq!(
        totals.first_refusal.as_deref(),
        Some("422 Unprocessable Entity: no clicks")
    );
    assert!(attempts.values().all(|attempts| *attempts == 1));
}

#[tokio::test]
async fn attempts_are_bounded() {
    let events = &numbered(0.0, 0.0)[..5];
    let (totals, attempts) = send(events, quick(4), |_, _| busy("0")).await;
    assert_eq!((totals.sent, totals.acknowledged, totals.failed), (5, 0, 5));
    assert!(attempts.values().all(|attempts| *attempts == 4));
    let failure = totals.last_failure.unwrap();
    assert_eq!(failure, "503 Service Unavailable: busy (after 4 attempts)");
}

#[tokio::test]
async fn only_200_acknowledges() {
    let events = &numbered(0.0, 0.0)[..6];
    let (totals, _) = send(events, quick(1), |event, _| match event["name"].as_str() {
        Some("view") => StatusCode::ACCEPTED.into_response(),
        _ => (StatusCode::TEMPORARY_REDIRECT, [("location", "/elsewhere")], "").into_response(),
    })
    .await;
    assert_eq!((totals.acknowledged, totals.ledger.events()), (0, 0));
    assert_eq!(totals.refused.values().sum::<u64>(), 6);
    assert_eq!(totals.refused.keys().copied().collect::<Vec<_>>(), [202, 307]);
}

#[tokio::test]
async fn a_server_that_is_away_is_given_up() {
    let events = numbered(0.0, 0.0);
    // A port that was free a moment ago and that nobody listens on.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = Url::parse(&format!("http://{closed}/events")).unwrap();
    let sender = Arc::new(Sender::new(url, None, None, quick(2), CancellationToken::new()).unwrap());
    sender.run(queue_of(&events), 2).await;
    let totals = sender.totals();
    assert!(totals.hopeless);
    assert!(
        totals.failed < 30 && totals.failed == totals.sent,
        "{} of {}",
        totals.failed,
        events.len()
    );
    assert!(
        totals.last_failure.as_deref().unwrap().contains("refused"),
        "{:?}",
        totals.last_failure
    );
}

#[tokio::test]
async fn a_stop_ends_the_waiting() {
    let events = numbered(0.0, 0.0);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/events", listener.local_addr().unwrap())).unwrap();
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    // The first request stops the sender, which then has an hour to wait for its next attempt.
    let router = Router::new().route(
        "/events",
        post(move || async move {
            stopper.cancel();
            busy("3600")
        }),
    );
    let serving = tokio::spawn(axum::serve(listener, router).into_future());
    let sender = Arc::new(Sender::new(url, None, None, quick(9), stop).unwrap());
    sender.run(queue_of(&events), 1).await;
    serving.abort();
    let totals = sender.totals();
    assert_eq!((totals.sent, totals.failed, totals.hopeless), (1, 1, false));
}

#[test]
fn waits_double_unless_the_server_says() {
    let patience = Patience {
        attempts: 9,
        first_wait: Duration::from_millis(200),
        longest_wait: Duration::from_secs(5),
    };
    for (attempt, retry_after, expected) in [
        (1, None, 200),
        (2, None, 400),
        (5, None, 3_200),
        (6, None, 5_000),
        (900, None, 5_000),
        (1, Some("2"), 2_000),
        (9, Some(" 0 "), 0),
        (1, Some("86400"), 60_000),
        (1, Some("soon"), 200),
    ] {
        let asked = retry_after.and_then(seconds);
        assert_eq!(
            patience.wait(attempt, asked),
            Duration::from_millis(expected),
            "{attempt} {retry_after:?}"
        );
    }
}

#[test]
fn a_parcel_of_many_is_an_array_and_a_200_may_refuse_some_of_it() {
    let events = &numbered(0.0, 0.0)[..3];
    let parcel = Parcel::pack(events).unwrap();
    let bodies: Vec<Value> = serde_json::from_slice(&parcel.body).unwrap();
    assert_eq!(bodies.len(), 3);
    let mut totals = Totals::new();
    let answer =
        br#"{"accepted": 2, "rejected": [{"index": 1, "loc": ["body", "dt"], "type": "missing", "msg": "Field required"},
             {"index": 1, "loc": ["body", "url"], "type": "missing", "msg": "Field required"}]}"#;
    totals.settle(
        &parcel.items,
        Outcome::Acknowledged {
            latency: Duration::ZERO,
            rejected: rejected(answer),
        },
    );
    assert_eq!((totals.acknowledged, totals.ledger.events()), (2, 2));
    assert_eq!(totals.refused, BTreeMap::from([(200, 1)]));
    for body in [&b"null"[..], b"", b"ok", b"[]", br#"{"accepted":1}"#] {
        assert!(rejected(body).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_pace_is_even() {
    let pace = Pace::new(10.0);
    let began = tokio::time::Instant::now();
    for _ in 0..21 {
        pace.turn(1).await;
    }
    assert_eq!(began.elapsed().as_millis(), 2_000);
    tokio::time::advance(Duration::from_secs(5)).await;
    pace.turn(5).await;
    pace.turn(1).await;
    assert_eq!(began.elapsed().as_millis(), 7_500);
}
