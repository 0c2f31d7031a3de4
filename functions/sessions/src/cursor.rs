//! Where a page ends.

use std::fmt;

use marts::parameters::Reason;
use marts::{Day, Instant};

use crate::Row;

/// The place of a session in their order: no user starts two in one second. It is written as 24 hexadecimal digits;
/// to clients it is any text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// When it started, in seconds since 1970.
    pub started_at: u32,
    /// Whose it is.
    pub user_id: u64,
}

impl Cursor {
    /// That of a session.
    pub fn of(row: &Row) -> Self {
        Cursor {
            started_at: row.started_at.seconds(),
            user_id: row.user_id,
        }
    }

    /// The day on which it started, UTC.
    pub fn day(self) -> Day {
        Instant::since_1970(self.started_at).day()
    }

    /// Reads what was written.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let read = || {
            let (started_at, user_id) = text.split_at_checked(8)?;
            Some(Cursor {
                started_at: u32::from_str_radix(started_at, 16).ok()?,
                user_id: u64::from_str_radix(user_id, 16).ok()?,
            })
        };
        let cursor = (digits && text.len() == 24).then(read).flatten();
        cursor.ok_or_else(|| {
            (
                "cursor_parsing",
                "Input should be what an answer gave as next".to_owned(),
            )
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:08x}{:016x}", self.started_at, self.user_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (started_at, user_id) in [(0, 0), (u32::MAX, u64::MAX)] {
            let cursor = Cursor { started_at, user_id };
            assert_eq!(Cursor::parse(&cursor.to_string()), Ok(cursor));
        }
        let long = "0".repeat(25);
        for wrong in [
            "",
            "1",
            &long,
            "6B034AE0000000000000002a",
            "+b034ae0000000000000002a",
            "é",
        ] {
            assert!(Cursor::parse(wrong).is_err(), "{wrong}");
        }
    }
}
