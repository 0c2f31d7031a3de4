//! When people shop: the hours of a day, the days of a week, the pauses between two actions.

use super::dice::Dice;

/// Seconds of a day. There are no leap seconds in UTC timestamps.
pub(super) const DAY: i64 = 86_400;

/// How many visits begin in each hour of a working day (UTC), relative to each other.
const WORKDAY: [f64; 24] = [
    1.0, 0.6, 0.4, 0.3, 0.3, 0.5, 1.2, 2.4, 3.6, 4.4, 4.8, 5.0, 5.6, 5.2, 4.8, 4.6, 4.8, 5.4, 6.4, 7.6, 8.2, 7.4, 4.8,
    2.4,
];

/// The same on a Saturday or Sunday: later mornings, busier afternoons.
const WEEKEND: [f64; 24] = [
    1.6, 1.1, 0.7, 0.4, 0.3, 0.3, 0.6, 1.2, 2.4, 4.2, 5.6, 6.4, 6.6, 6.6, 6.6, 6.4, 6.2, 6.2, 6.4, 6.8, 6.8, 6.0, 4.2,
    2.6,
];

/// How likely a visit is on each day of a week, Monday first, relative to an average day.
const WEEK: [f64; 7] = [1.06, 1.02, 0.98, 0.98, 0.88, 0.92, 1.16];

/// Seconds between a page's view and what the visitor does next: sixteen equally likely intervals. The median is 24 s, the
/// tail reaches 25 minutes, so that a session has no gap of the half hour which would end it.
const PAUSES: [i64; 17] = [1, 3, 5, 7, 9, 12, 15, 19, 24, 31, 40, 54, 76, 115, 200, 420, 1_500];

/// The day of the week of a day since 1970 (a Thursday): 0 is Monday.
fn weekday(day: i64) -> usize {
    usize::try_from((day + 3).rem_euclid(7)).unwrap_or(0)
}

/// How likely a visit is on this day, relative to an average day.
pub(super) fn of_week(day: i64) -> f64 {
    WEEK[weekday(day)]
}

/// The second of the day at which a visit begins.
pub(super) fn start(dice: &mut Dice, day: i64) -> i64 {
    let hours = if weekday(day) < 5 { &WORKDAY } else { &WEEKEND };
    let hour = i64::try_from(dice.weighted(hours)).unwrap_or(0);
    hour * 3_600 + dice.between(0, 3_599)
}

/// Seconds that a visitor spends on a page.
pub(super) fn pause(dice: &mut Dice) -> i64 {
    let at = usize::try_from(dice.between(0, 15)).unwrap_or(0);
    dice.between(PAUSES[at], PAUSES[at + 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weekdays_are_the_calendars() {
        // 2026-11-23 is a Monday and day 20,780.
        for (day, expected) in [(0, 3), (4, 0), (-4, 6), (20_780, 0), (20_785, 5)] {
            assert_eq!(weekday(day), expected, "{day}");
        }
        let mean = WEEK.iter().sum::<f64>() / 7.0;
        assert!(
            (mean - 1.0).abs() < 1e-9,
            "the week's factors must not change the totals: {mean}"
        );
    }

    #[test]
    fn starts_lie_in_the_day_and_pauses_in_a_session() {
        let mut dice = Dice::new(1, 1, 1);
        for _ in 0..10_000 {
            assert!((0..DAY).contains(&start(&mut dice, 5)));
            assert!((1..=1_500).contains(&pause(&mut dice)));
        }
    }
}
