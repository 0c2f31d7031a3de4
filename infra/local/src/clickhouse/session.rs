//! Sessions that clients name, and the queries that run: who holds what, and until when.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::engine::Connection;
use super::error::{Code, Exception};
use super::request::SessionRequest;

/// Connections of named sessions, by user and name.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<(String, String), Slot>>);

enum Slot {
    /// A request has it.
    Busy,
    /// It waits for the next request.
    Idle { connection: Connection, expires: Instant },
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a session: its connection, or none when the session is new. Until it is given back it is locked.
    pub(crate) fn take(
        &self,
        user: &str,
        session: &SessionRequest,
        now: Instant,
    ) -> Result<Option<Connection>, Exception> {
        let key = (user.to_owned(), session.id.clone());
        let mut slots = self.lock();
        match slots.remove(&key) {
            Some(Slot::Busy) => {
                slots.insert(key, Slot::Busy);
                Err(Exception::new(
                    Code::SessionIsLocked,
                    format!("Session {} is locked by a concurrent client", session.id),
                ))
            }
            Some(Slot::Idle { connection, expires }) if expires > now => {
                slots.insert(key, Slot::Busy);
                Ok(Some(connection))
            }
            _ if session.check => Err(Exception::new(
                Code::SessionNotFound,
                format!("Session {} not found", session.id),
            )),
            _ => {
                slots.insert(key, Slot::Busy);
                Ok(None)
            }
        }
    }

    /// Gives a session back for the next request, or ends it (`None`).
    pub(crate) fn put(&self, user: &str, id: &str, connection: Option<Connection>, expires: Instant) {
        let key = (user.to_owned(), id.to_owned());
        let mut slots = self.lock();
        match connection {
            Some(connection) => slots.insert(key, Slot::Idle { connection, expires }),
            None => slots.remove(&key),
        };
    }

    /// Closes the sessions whose time is over; all idle ones with `None`. Returns them: closing blocks.
    pub(crate) fn expired(&self, now: Option<Instant>) -> Vec<Connection> {
        let mut slots = self.lock();
        let over = |slot: &Slot| matches!(slot, Slot::Idle { expires, .. } if now.is_none_or(|now| *expires <= now));
        let keys: Vec<_> = slots
            .iter()
            .filter(|(_, slot)| over(slot))
            .map(|(key, _)| key.clone())
            .collect();
        let slots = keys.into_iter().filter_map(|key| slots.remove(&key));
        slots
            .filter_map(|slot| {
                if let Slot::Idle { connection, .. } = slot {
                    Some(connection)
                } else {
                    None
                }
            })
            .collect()
    }
}

/// How often expired sessions are looked for.
pub(crate) const SWEEP: Duration = Duration::from_secs(5);

/// The ids of running queries: no two may be the same.
#[derive(Default)]
pub(crate) struct Running(Mutex<HashMap<String, Arc<AtomicBool>>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<AtomicBool>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an id until the ticket is dropped.
    pub(crate) fn enter(self: &Arc<Self>, query_id: &str) -> Result<Ticket, Exception> {
        let mut running = self.lock();
        if running.contains_key(query_id) {
            return Err(Exception::new(
                Code::QueryIdInUse,
                format!("Query with id = {query_id} is already running"),
            ));
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        running.insert(query_id.to_owned(), Arc::clone(&cancelled));
        Ok(Ticket {
            running: Arc::clone(self),
            query_id: query_id.to_owned(),
            cancelled,
            cancellable: Arc::default(),
        })
    }

    /// Whether the query still runs.
    pub(crate) fn has(&self, query_id: &str, flag: &Arc<AtomicBool>) -> bool {
        self.lock().get(query_id).is_some_and(|known| Arc::ptr_eq(known, flag))
    }

    /// Ids of all that runs.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }
}

/// A query's place among the running ones.
pub(crate) struct Ticket {
    running: Arc<Running>,
    query_id: String,
    cancelled: Arc<AtomicBool>,
    cancellable: Arc<AtomicBool>,
}

impl Ticket {
    /// From here on the query is cancelled when its client goes away. Writes are not: a server finishes them too.
    pub(crate) fn set_cancellable(&self) {
        self.cancellable.store(true, Ordering::SeqCst);
    }

    /// See [`Self::set_cancellable`].
    pub(crate) fn cancellable(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancellable)
    }

    /// Set when the client has gone: what has not begun need not.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancelled)
    }

    /// Whether the client has gone.
    pub(crate) fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.running.lock().remove(&self.query_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: &str, check: bool) -> SessionRequest {
        SessionRequest {
            id: id.to_owned(),
            timeout: Duration::from_secs(60),
            check,
            close: false,
        }
    }

    #[test]
    fn a_session_is_one_requests_at_a_time() {
        let sessions = Sessions::default();
        let now = Instant::now();
        assert!(sessions.take("u", &request("a", false), now).unwrap().is_none());
        assert_eq!(sessions.take("u", &request("a", false), now).err().unwrap().code, 373);
        assert!(sessions.take("other", &request("a", false), now).unwrap().is_none());
        sessions.put("u", "a", None, now);
        assert_eq!(sessions.take("u", &request("a", true), now).err().unwrap().code, 372);
        assert!(sessions.take("u", &request("a", false), now).unwrap().is_none());
    }

    #[test]
    fn a_query_id_runs_once() {
        let running = Arc::new(Running::default());
        let ticket = running.enter("q").unwrap();
        assert_eq!(running.enter("q").err().unwrap().code, 216);
        let flag = ticket.flag();
        assert!(running.has("q", &flag));
        drop(ticket);
        assert!(!running.has("q", &flag));
        assert!(running.enter("q").is_ok());
    }
}
