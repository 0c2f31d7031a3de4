//! What was shown, and how a line looks.

use std::collections::{HashSet, VecDeque};

use uuid::Uuid;

use crate::report::escaped;

/// Ids that are remembered.
const REMEMBERED: usize = 500_000;

/// The ids of what was shown, the oldest of which are forgotten.
#[derive(Debug, Default)]
pub(super) struct Seen {
    ids: HashSet<Uuid>,
    order: VecDeque<Uuid>,
}

impl Seen {
    /// Whether it was not shown yet; from now on it was.
    pub(super) fn is_new(&mut self, id: Uuid) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

/// A line for people: a terminal obeys nothing of what came from outside.
pub(super) fn line(colours: bool, at: &str, name: &str, rest: &str) -> String {
    let [at, name, rest] = [at, name, rest].map(|text| escaped(text.as_bytes()));
    if colours {
        format!("\x1b[2m{at}\x1b[0m  \x1b[1m{name:<10}\x1b[0m  {rest}")
    } else {
        format!("{at}  {name:<10}  {rest}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_the_newest_stay() {
        let mut seen = Seen::default();
        for number in 0..=REMEMBERED as u128 {
            assert!(seen.is_new(Uuid::from_u128(number)));
        }
        assert_eq!((seen.ids.len(), seen.order.len()), (REMEMBERED, REMEMBERED));
        assert!(!seen.is_new(Uuid::from_u128(REMEMBERED as u128)));
        assert!(seen.is_new(Uuid::from_u128(0)));
    }

    #[test]
    fn lines() {
        for (colours, expected) in [
            (false, "2026  view\\n      a\\u{1b}[2J"),
            (true, "\x1b[2m2026\x1b[0m  \x1b[1mview\\n    \x1b[0m  a\\u{1b}[2J"),
        ] {
            assert_eq!(line(colours, "2026", "view\n", "a\x1b[2J"), expected);
        }
    }
}
