//! Faults on purpose, for tests of producers: AWS throttles, so a local stack must be able to.

use std::sync::{Mutex, PoisonError};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Which part of what is asked fails. Zero by default.
#[derive(Debug)]
pub(crate) struct Faults {
    /// Of a hundred records, these get `ServiceUnavailableException` while the call succeeds.
    put_percent: u32,
    /// Of a hundred put calls, these are answered 503.
    throttle_percent: u32,
    random: Mutex<ChaCha8Rng>,
}

impl Faults {
    /// The same seed fails the same things, if the calls come one by one.
    pub(crate) fn new(put_percent: u32, throttle_percent: u32, seed: u64) -> Self {
        Self {
            put_percent,
            throttle_percent,
            random: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
        }
    }

    /// Whether this call is throttled.
    pub(crate) fn throttles(&self) -> bool {
        self.draw(self.throttle_percent)
    }

    /// Whether this record is refused.
    pub(crate) fn refuses_record(&self) -> bool {
        self.draw(self.put_percent)
    }

    fn draw(&self, percent: u32) -> bool {
        percent > 0
            && self
                .random
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .random_range(0..100)
                < percent
    }
}
