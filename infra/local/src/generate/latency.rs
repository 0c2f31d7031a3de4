//! A histogram of latencies: buckets that grow with the value, so that each percentile is exact to 1/16 at a fixed size.

use std::time::Duration;

/// Buckets per power of two.
const STEPS: u64 = 16;

/// How many requests took how long, in microseconds.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self {
            counts: vec![0; bucket(u64::MAX) + 1],
            total: 0,
        }
    }

    /// Counts one request.
    pub(super) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)] += 1;
        self.total += 1;
    }

    /// The latency that this share (0 to 1) of the requests did not exceed, up to 1/16 above the truth. Zero when empty.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a rank among a count of requests"
        )]
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(upper_end(index));
            }
        }
        Duration::ZERO
    }
}

/// Values below 16 have a bucket each; above, each power of two is cut in 16.
fn bucket(micros: u64) -> usize {
    let octave = u64::from((micros | (STEPS - 1)).ilog2()) - 3;
    let index = if octave == 0 {
        micros
    } else {
        octave * STEPS + (micros >> (octave - 1)) - STEPS
    };
    usize::try_from(index).unwrap_or(0)
}

/// The largest value of a bucket.
fn upper_end(index: usize) -> u64 {
    let index = index as u64;
    let octave = index / STEPS;
    if octave == 0 {
        return index;
    }
    let width = 1_u64 << (octave - 1);
    (STEPS + index % STEPS) * width + (width - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_their_values_and_touch() {
        for micros in (0..100_000).chain([u64::MAX - 1, u64::MAX, 1 << 40]) {
            let index = bucket(micros);
            assert!(micros <= upper_end(index), "{micros}");
            assert!(index == 0 || micros > upper_end(index - 1), "{micros}");
            assert!(upper_end(index) - micros <= micros / 16, "{micros}");
        }
    }

    #[test]
    fn quantiles_are_near_the_truth() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.5), Duration::ZERO);
        for micros in 1..=10_000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (share, expected) in [(0.0, 1), (0.5, 5_000), (0.99, 9_900), (1.0, 10_000)] {
            let found = u64::try_from(histogram.quantile(share).as_micros()).unwrap();
            assert!(
                found >= expected && found <= expected + expected / 16,
                "{share}: {found}"
            );
        }
    }
}
