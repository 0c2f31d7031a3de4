//! What real clients do to the order of events: some arrive hours late, some are sent twice.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::Peekable;

use super::shop::{Event, roll};

/// What the draws of an event are for; `shop` uses small numbers.
mod purpose {
    pub(super) const LATE: u64 = 101;
    pub(super) const DELAY: u64 = 102;
    pub(super) const TWICE: u64 = 103;
    pub(super) const PAUSE: u64 = 104;
}

/// How much disorder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disorder {
    /// The shop's seed.
    pub(super) seed: u64,
    /// Percent of the events that come 1 to 72 hours (of the shop's time) after those of their own time.
    pub(super) late_percent: f64,
    /// Percent of the events that come again, with the same event id, up to half an hour (of the shop's time) later.
    pub(super) duplicate_percent: f64,
}

impl Disorder {
    fn is_late(&self, index: u64) -> bool {
        roll(self.seed, index, 0, purpose::LATE) * 100.0 < self.late_percent
    }

    fn comes_twice(&self, index: u64) -> bool {
        roll(self.seed, index, 0, purpose::TWICE) * 100.0 < self.duplicate_percent
    }

    #[allow(clippy::cast_possible_truncation, reason = "a fraction of some hours")]
    fn delay(&self, index: u64, purpose: u64, from: f64, to: f64) -> i64 {
        (from + roll(self.seed, index, 0, purpose) * (to - from)) as i64
    }

    /// How many events come again among the first `events`.
    pub(super) fn duplicates(&self, events: u64) -> u64 {
        if self.duplicate_percent <= 0.0 {
            return 0;
        }
        (0..events).filter(|index| self.comes_twice(*index)).count() as u64
    }

    /// Brings disorder into events that come in time order. An event's number is its place in that order, from 0; a
    /// duplicate has its original's.
    pub(super) fn apply<I: Iterator<Item = Event>>(self, events: I) -> Disordered<I> {
        Disordered {
            disorder: self,
            events: events.peekable(),
            next_index: 0,
            held: BinaryHeap::new(),
            ties: 0,
        }
    }
}

/// An event and its number.
#[derive(Debug, Clone)]
pub(super) struct Numbered {
    /// Its place in the shop's time order, from 0.
    pub(super) index: u64,
    /// The event.
    pub(super) event: Event,
    /// How many seconds after its time it comes.
    pub(super) delay: i64,
}

/// Something that comes when the shop's clock passes its time.
struct Held {
    /// Seconds since 1970, then a counter that keeps the order of equals.
    due: (i64, u64),
    numbered: Numbered,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

/// Events in the order in which they are sent.
pub(super) struct Disordered<I: Iterator<Item = Event>> {
    disorder: Disorder,
    events: Peekable<I>,
    next_index: u64,
    held: BinaryHeap<Reverse<Held>>,
    ties: u64,
}

impl<I: Iterator<Item = Event>> Disordered<I> {
    fn hold(&mut self, numbered: Numbered) {
        self.ties += 1;
        let due = (numbered.event.dt.as_second() + numbered.delay, self.ties);
        self.held.push(Reverse(Held { due, numbered }));
    }
}

impl<I: Iterator<Item = Event>> Iterator for Disordered<I> {
    type Item = Numbered;

    fn next(&mut self) -> Option<Numbered> {
        loop {
            let now = self.events.peek().map_or(i64::MAX, |event| event.dt.as_second());
            if self.held.peek().is_some_and(|Reverse(held)| held.due.0 <= now) {
                return self.held.pop().map(|Reverse(held)| held.numbered);
            }
            let event = self.events.next()?;
            let (disorder, index) = (self.disorder, self.next_index);
            self.next_index += 1;
            let late = if disorder.is_late(index) {
                disorder.delay(index, purpose::DELAY, 3.6e3, 2.592e5)
            } else {
                0
            };
            if disorder.comes_twice(index) {
                let pause = disorder.delay(index, purpose::PAUSE, 1.0, 1.8e3);
                self.hold(Numbered {
                    index,
                    event: event.clone(),
                    delay: late + pause,
                });
            }
            let numbered = Numbered {
                index,
                event,
                delay: late,
            };
            if late == 0 {
                return Some(numbered);
            }
            self.hold(numbered);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::shop::{Plan, Shop};
    use super::*;

    fn run(late_percent: f64, duplicate_percent: f64) -> (Vec<Event>, Vec<Numbered>, Disorder) {
        let plan = Plan::whole_days(1, 200, 20, jiff::civil::date(2026, 11, 22)).unwrap();
        let disorder = Disorder {
            seed: 1,
            late_percent,
            duplicate_percent,
        };
        (
            Shop::new(plan).collect(),
            disorder.apply(Shop::new(plan)).collect(),
            disorder,
        )
    }

    #[test]
    fn each_event_comes_once_and_duplicates_once_more() {
        for (late, twice) in [(0.0, 0.0), (5.0, 0.0), (0.0, 5.0), (10.0, 10.0), (100.0, 100.0)] {
            let (events, sent, disorder) = run(late, twice);
            let mut times = vec![0_u64; events.len()];
            for numbered in &sent {
                assert_eq!(events[usize::try_from(numbered.index).unwrap()], numbered.event);
                times[usize::try_from(numbered.index).unwrap()] += 1;
            }
            let again = times.iter().map(|times| times - 1).sum::<u64>();
            assert!(times.iter().all(|times| (1..=2).contains(times)));
            assert_eq!(again, disorder.duplicates(events.len() as u64));
            let share = again as f64 / events.len() as f64 * 100.0;
            assert!((share - twice).abs() <= twice * 0.2, "{share} {twice}");
            let moved = sent.iter().zip(&events).any(|(sent, event)| sent.event != *event);
            assert_eq!(moved, late > 0.0 || twice > 0.0);
        }
    }

    #[test]
    fn late_events_come_an_hour_to_three_days_later() {
        let (_, sent, _) = run(5.0, 0.0);
        let mut latest = i64::MIN;
        let mut late = 0;
        for numbered in &sent {
            let at = numbered.event.dt.as_second();
            if at < latest {
                assert!(latest - at < 3 * 86_400 + 3_600);
                late += 1;
            }
            latest = latest.max(at);
        }
        let share = f64::from(late) / sent.len() as f64;
        assert!((0.03..0.07).contains(&share), "{share}");
    }
}
