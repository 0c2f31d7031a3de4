//! Posts events to the endpoint: a fixed number of keep-alive connections, one request in flight on each.
//!
//! A [`Parcel`] is one request. It keeps its body, and so its event ids, over all attempts: an event whose first
//! acknowledgement got lost is stored once. An event counts as acknowledged on HTTP 200 alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::disorder::Numbered;
use super::report::Item;
use super::totals::{Outcome, Totals};

/// How long one attempt may take. The events function answers in milliseconds; Lambda's emulator starts it first.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

/// A server may ask to wait no longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// One request's body and what is in it.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    body: Bytes,
    items: Vec<Item>,
}

impl Parcel {
    /// The events as one body: the object itself when there is one event, else an array.
    pub(super) fn pack(events: &[Numbered]) -> Result<Self, serde_json::Error> {
        let body = match events {
            [only] => serde_json::to_vec(&only.event)?,
            many => serde_json::to_vec(&many.iter().map(|numbered| &numbered.event).collect::<Vec<_>>())?,
        };
        Ok(Self {
            body: body.into(),
            items: events.iter().map(Item::from).collect(),
        })
    }
}

/// How often and how slowly an attempt is repeated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Attempts for one request, the first included.
    pub(super) attempts: u32,
    /// The wait before the second; doubles each time, unless the server says how long.
    pub(super) first_wait: Duration,
    /// The longest wait that the doubling reaches.
    pub(super) longest_wait: Duration,
}

impl Patience {
    /// The wait after `attempt` (from 1) failed.
    pub(super) fn wait(&self, attempt: u32, retry_after: Option<Duration>) -> Duration {
        let doubled = self
            .first_wait
            .saturating_mul(1 << (attempt - 1).min(16))
            .min(self.longest_wait);
        retry_after.map_or(doubled, |asked| asked.min(LONGEST_WAIT))
    }
}

/// Why an attempt is worth another.
struct Setback {
    /// The status, or `transport`.
    kind: String,
    reason: String,
    retry_after: Option<Duration>,
}

/// Sends parcels to one endpoint.
pub(super) struct Sender {
    client: reqwest::Client,
    url: Url,
    write_key: Option<SecretString>,
    patience: Patience,
    pace: Option<Pace>,
    /// Cancelled to stop: requests in flight are finished, no other is begun.
    stop: CancellationToken,
    totals: Mutex<Totals>,
}

impl Sender {
    /// A sender that shows `write_key` and sends at most `rate` events a second, if those are given.
    pub(super) fn new(
        url: Url,
        write_key: Option<SecretString>,
        rate: Option<f64>,
        patience: Patience,
        stop: CancellationToken,
    ) -> Result<Self, reqwest::Error> {
        let client = crate::client::of(&url)
            .http1_only()
            .tcp_nodelay(true)
            .timeout(ATTEMPT_TIMEOUT)
            // A redirect could end in a page that says 200 to a GET.
            .redirect(reqwest::redirect::Policy::none());
        Ok(Self {
            client: client.build()?,
            url,
            write_key,
            patience,
            pace: rate.map(Pace::new),
            stop,
            totals: Mutex::new(Totals::new()),
        })
    }

    /// What became of the events so far.
    pub(super) fn totals(&self) -> MutexGuard<'_, Totals> {
        // The counts stay meaningful if a worker died: a parcel is settled in one go.
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of the events, once it is over.
    pub(super) fn take_totals(&self) -> Totals {
        std::mem::replace(&mut *self.totals(), Totals::new())
    }

    /// Sends what comes from `parcels` over `connections` connections, until it ends or the sender is stopped.
    pub(super) async fn run(self: &Arc<Self>, parcels: mpsc::Receiver<Parcel>, connections: usize) {
        let parcels = Arc::new(tokio::sync::Mutex::new(parcels));
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..connections {
            let (sender, parcels) = (Arc::clone(self), Arc::clone(&parcels));
            workers.spawn(async move {
                while !sender.stop.is_cancelled() {
                    let Some(parcel) = parcels.lock().await.recv().await else {
                        return;
                    };
                    if let Some(pace) = &sender.pace
                        && sender
                            .stop
                            .run_until_cancelled(pace.turn(parcel.items.len()))
                            .await
                            .is_none()
                    {
                        return;
                    }
                    sender.deliver(&parcel).await;
                }
            });
        }
        workers.join_all().await;
    }

    async fn deliver(&self, parcel: &Parcel) {
        self.totals().sent += parcel.items.len() as u64;
        let mut attempt = 1;
        let outcome = loop {
            let setback = match self.attempt(parcel).await {
                Ok(outcome) => break outcome,
                Err(setback) => setback,
            };
            if attempt >= self.patience.attempts {
                break Outcome::GivenUp {
                    reason: format!("{} (after {attempt} attempts)", setback.reason),
                };
            }
            self.totals().set_back(setback.kind, setback.reason.clone());
            let wait = tokio::time::sleep(self.patience.wait(attempt, setback.retry_after));
            if self.stop.run_until_cancelled(wait).await.is_none() {
                break Outcome::GivenUp {
                    reason: format!("{} (stopped before attempt {})", setback.reason, attempt + 1),
                };
            }
            attempt += 1;
        };
        let mut totals = self.totals();
        totals.settle(&parcel.items, outcome);
        if totals.hopeless {
            self.stop.cancel();
        }
    }

    async fn attempt(&self, parcel: &Parcel) -> Result<Outcome, Setback> {
        let began = Instant::now();
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.write_key {
            request = request.bearer_auth(key.expose_secret());
        }
        let answer = async {
            let response = request.body(parcel.body.clone()).send().await?;
            let status = response.status();
            let retry_after = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| seconds(value.to_str().ok()?));
            Ok::<_, reqwest::Error>((status, retry_after, response.bytes().await?))
        };
        let (status, retry_after, body) = answer.await.map_err(|error| Setback {
            kind: "transport".to_owned(),
            reason: causes(&error),
            retry_after: None,
        })?;
        if status == StatusCode::OK {
            return Ok(Outcome::Acknowledged {
                latency: began.elapsed(),
                rejected: rejected(&body),
            });
        }
        let reason = excerpt(&body);
        if matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504) {
            return Err(Setback {
                kind: status.as_str().to_owned(),
                reason: format!("{status}: {reason}"),
                retry_after,
            });
        }
        Ok(Outcome::Refused { status, reason })
    }
}

/// Lets events pass at a rate, evenly: each takes the next slot on a line of time.
struct Pace {
    gap: Duration,
    /// The next free slot.
    next: tokio::sync::Mutex<Option<tokio::time::Instant>>,
}

impl Pace {
    fn new(rate: f64) -> Self {
        // A rate beyond what a duration resolves is no limit.
        let gap = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX);
        Self {
            gap,
            next: tokio::sync::Mutex::new(None),
        }
    }

    /// Waits for a slot for as many events. Time that nobody used is not made up for.
    async fn turn(&self, events: usize) {
        let slot = {
            let mut next = self.next.lock().await;
            let now = tokio::time::Instant::now();
            // Behind by little: a timer fired late; keep the rate. Behind by more: the endpoint is the limit.
            let slot = next
                .filter(|slot| now.saturating_duration_since(*slot) < Duration::from_millis(100))
                .unwrap_or(now);
            let taken = self.gap.saturating_mul(u32::try_from(events).unwrap_or(u32::MAX));
            *next = slot.checked_add(taken);
            slot
        };
        tokio::time::sleep_until(slot).await;
    }
}

/// `Retry-After` in seconds. The form with a date is not used by anything in front of the endpoint.
fn seconds(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(Duration::from_secs)
}

/// The places, in the request, of the events that a 200 refuses. A body that is not the endpoint's refuses none.
fn rejected(body: &[u8]) -> Vec<usize> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        rejected: Vec<Rejected>,
    }
    #[derive(Deserialize)]
    struct Rejected {
        index: usize,
    }
    let mut places: Vec<usize> = serde_json::from_slice::<Answer>(body)
        .map(|answer| answer.rejected.into_iter().map(|rejected| rejected.index).collect())
        .unwrap_or_default();
    // One event may be refused for several reasons.
    places.dedup();
    places
}

/// The start of a body, on one line.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut short: String = text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(300)
        .collect();
    if short.is_empty() {
        short.push_str("(no body)");
    }
    short
}

/// An error with its causes: reqwest's own message leaves out the one that helps.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests;
