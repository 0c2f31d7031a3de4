//! The one place where the time is read. Handlers take it from their context, so tests pass their own.

use jiff::Timestamp;

/// The current instant.
pub fn now() -> Timestamp {
    Timestamp::now()
}
