//! How long to wait before the next attempt, by the delivery specification: 1 s, doubling, 15 % jitter, 2 minutes at most.

use std::time::Duration;

/// The longest wait, before jitter.
const CAP: Duration = Duration::from_secs(120);

/// The wait after `failures` failed attempts, or none when the retry duration is over.
///
/// `elapsed` counts from the first failure. `jitter` is from 0 to 1 and moves the wait by 15 % either way. A wait that
/// would end after the retry duration is cut to its end, so the last attempt uses the time that was promised.
pub(crate) fn next_wait(
    first: Duration,
    failures: u32,
    elapsed: Duration,
    retry_for: Duration,
    jitter: f64,
) -> Option<Duration> {
    let left = retry_for.checked_sub(elapsed).filter(|left| !left.is_zero())?;
    Some(wait(first, failures, jitter).min(left))
}

/// The wait after `failures` failed attempts, with no end to the attempts.
pub(crate) fn wait(first: Duration, failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (first * 2_u32.pow(doublings))
        .min(CAP)
        .mul_f64(0.85 + 0.3 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_cap_and_end_with_the_retry_duration() {
        let second = Duration::from_secs(1);
        for (failures, elapsed, retry_for, jitter, expected_ms) in [
            (1, 0, 300, 0.5, Some(1_000)),
            (2, 1, 300, 0.5, Some(2_000)),
            (5, 15, 300, 0.5, Some(16_000)),
            (8, 127, 7200, 0.5, Some(120_000)),
            (4_000_000_000, 127, 7200, 0.5, Some(120_000)),
            (1, 0, 300, 0.0, Some(850)),
            (1, 0, 300, 1.0, Some(1_150)),
            (8, 247, 300, 0.5, Some(53_000)),
            (9, 300, 300, 0.5, None),
            (1, 0, 0, 0.5, None),
        ] {
            let wait = next_wait(
                second,
                failures,
                Duration::from_secs(elapsed),
                Duration::from_secs(retry_for),
                jitter,
            );
            assert_eq!(
                wait.map(|wait| wait.as_millis()),
                expected_ms,
                "{failures} {elapsed} {retry_for}"
            );
        }
    }
}
