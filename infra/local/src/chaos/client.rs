//! The clients: a number of connections that post requests, and post them again until they know what became of them.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;
use super::traffic::Parcel;

/// How long a client waits for an answer before it sends again.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);

/// The wait before the second attempt; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What a request's answer tells.
enum Told {
    /// Of every event, whether it is stored or refused.
    All,
    /// Not of every event: the same request is sent again.
    NotAll,
}

/// Posts what comes from a queue.
#[derive(Debug)]
pub(super) struct Clients {
    http: reqwest::Client,
    url: String,
    ledger: Arc<Ledger>,
    stop: CancellationToken,
}

impl Clients {
    /// Clients of that address. When `stop` is cancelled, no further attempt begins.
    pub(super) fn new(url: String, ledger: Arc<Ledger>, stop: CancellationToken) -> Result<Self, reqwest::Error> {
        let http = crate::client::builder().http1_only().timeout(ANSWER_WITHIN).build()?;
        Ok(Self {
            http,
            url,
            ledger,
            stop,
        })
    }

    /// Sends until the queue ends, over so many connections.
    pub(super) async fn run(self: Arc<Self>, parcels: mpsc::Receiver<Parcel>, connections: usize) {
        let parcels = Arc::new(tokio::sync::Mutex::new(parcels));
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..connections {
            let (clients, parcels) = (Arc::clone(&self), Arc::clone(&parcels));
            workers.spawn(async move {
                loop {
                    let Some(parcel) = parcels.lock().await.recv().await else {
                        return;
                    };
                    if clients.stop.is_cancelled() {
                        return;
                    }
                    clients.deliver(&parcel).await;
                }
            });
        }
        while workers.join_next().await.is_some() {}
    }

    async fn deliver(&self, parcel: &Parcel) {
        self.ledger.sent(&parcel.items);
        let mut wait = FIRST_WAIT;
        for attempt in 1..=parcel.attempts {
            if let Told::All = self.attempt(parcel).await {
                if parcel.again {
                    self.attempt(parcel).await;
                }
                return;
            }
            if attempt == parcel.attempts || self.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
            self.ledger.retry();
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn attempt(&self, parcel: &Parcel) -> Told {
        let mut request = self.http.post(&self.url).header(CONTENT_TYPE, parcel.content_type);
        if parcel.gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        if let Some(key) = &parcel.key {
            request = request.header("idempotency-key", key);
        }
        let answered = async {
            let response = request.body(parcel.body.clone()).send().await?;
            let status = response.status().as_u16();
            Ok::<_, reqwest::Error>((status, response.bytes().await?))
        };
        match answered.await {
            Ok((status, body)) => self.read(parcel, status, &body),
            Err(_) => Told::NotAll,
        }
    }

    /// Notes what the answer says of each event.
    fn read(&self, parcel: &Parcel, status: u16, body: &[u8]) -> Told {
        match status {
            200 | 500 | 503 => {
                let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
                    self.ledger
                        .wrong(format!("{status} with a body that is not the contract's"));
                    return Told::NotAll;
                };
                let among = |places: &[usize], place| places.contains(&place);
                let refused: Vec<usize> = answer.rejected.iter().map(|verdict| verdict.index).collect();
                let mut stored = 0;
                for (place, item) in parcel.items.iter().enumerate() {
                    if among(&refused, place) {
                        self.ledger.told(item.id, false);
                    } else if !among(&answer.not_stored, place) && answer.accepted.is_some() {
                        self.ledger.told(item.id, true);
                        stored += 1;
                    }
                }
                // Only an error may leave out what is stored: it says then that nothing is known.
                if answer.accepted.map_or(status == 200, |accepted| accepted != stored) {
                    self.ledger.wrong(format!(
                        "{status} that accepts {:?} of {} events and names {} others",
                        answer.accepted,
                        parcel.items.len(),
                        parcel.items.len() - stored
                    ));
                }
                if status == 200 { Told::All } else { Told::NotAll }
            }
            422 => {
                for item in &parcel.items {
                    self.ledger.told(item.id, false);
                }
                Told::All
            }
            status => {
                let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
                self.ledger.wrong(format!("{status}: {text}"));
                Told::NotAll
            }
        }
    }
}

/// The members of 200, 500 and 503 that say what became of events. An answer without `accepted` says nothing.
#[derive(Debug, Deserialize)]
struct Answer {
    accepted: Option<usize>,
    #[serde(default)]
    rejected: Vec<Verdict>,
    #[serde(default)]
    not_stored: Vec<usize>,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    index: usize,
}
