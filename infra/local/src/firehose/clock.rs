//! The one place of this program that reads the wall clock; everything else is handed milliseconds.

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
