//! How often a child may die before the stack gives up on it. Pure: time is passed in.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// More deaths than this within [`WINDOW`] end the stack.
const ALLOWED: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// The recent deaths of one child.
#[derive(Debug)]
pub(super) struct Budget {
    deaths: VecDeque<Instant>,
    limited: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            deaths: VecDeque::new(),
            limited: true,
        }
    }
}

/// What to do about a death.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start it again after this pause: none the first time, longer each time soon after.
    StartAgain(Duration),
    /// It dies too often.
    GiveUp,
}

impl Budget {
    /// For a child that is killed on purpose: it is always started again, at once.
    pub(super) fn unlimited() -> Self {
        Self {
            limited: false,
            ..Self::default()
        }
    }

    /// Counts a death.
    pub(super) fn died(&mut self, now: Instant) -> Verdict {
        if !self.limited {
            return Verdict::StartAgain(Duration::ZERO);
        }
        while self
            .deaths
            .front()
            .is_some_and(|death| now.duration_since(*death) > WINDOW)
        {
            self.deaths.pop_front();
        }
        self.deaths.push_back(now);
        match self.deaths.len() {
            count if count > ALLOWED => Verdict::GiveUp,
            count => Verdict::StartAgain(Duration::from_millis(300) * u32::try_from(count - 1).unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_five_deaths_in_a_minute_are_too_many() {
        let start = Instant::now();
        let check = |seconds: &[u64], gives_up: bool| {
            let mut budget = Budget::default();
            let mut last = Verdict::GiveUp;
            for second in seconds {
                last = budget.died(start + Duration::from_secs(*second));
            }
            assert_eq!(last == Verdict::GiveUp, gives_up, "{seconds:?}");
        };
        check(&[0], false);
        check(&[0, 1, 2, 3, 4], false);
        check(&[0, 1, 2, 3, 4, 5], true);
        check(&[0, 1, 2, 3, 4, 61], false);
        check(&[0, 13, 26, 39, 52, 65, 78, 91], false);
        check(&[0, 59, 59, 59, 59, 60], true);
    }

    #[test]
    fn without_a_limit_there_is_no_end() {
        let mut budget = Budget::unlimited();
        let now = Instant::now();
        for _ in 0..100 {
            assert_eq!(budget.died(now), Verdict::StartAgain(Duration::ZERO));
        }
    }

    #[test]
    fn the_first_restart_does_not_wait() {
        let mut budget = Budget::default();
        let now = Instant::now();
        assert_eq!(budget.died(now), Verdict::StartAgain(Duration::ZERO));
        assert_eq!(budget.died(now), Verdict::StartAgain(Duration::from_millis(300)));
    }
}
