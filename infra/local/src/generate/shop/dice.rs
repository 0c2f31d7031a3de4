//! Chance from a key: the same key throws the same dice on every machine.
//!
//! Only integer arithmetic, comparisons and products of `f64` are used, no logarithms or exponentials, whose last digits
//! differ between platforms. The stream is ChaCha8, keyed with the whole key, so two keys never share a stream and the
//! event ids drawn from them do not collide.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};
use uuid::Uuid;

/// A stream of random draws that belongs to one visitor's one day.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// The dice of `visitor` on `day` (days since 1970) in the shop with this seed.
    pub(super) fn new(seed: u64, visitor: u64, day: i64) -> Self {
        let mut key = [0; 32];
        for (place, part) in key.chunks_exact_mut(8).zip([seed, visitor, day.cast_unsigned(), 0]) {
            place.copy_from_slice(&part.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// A draw from 0 (included) to 1 (excluded).
    pub(super) fn draw(&mut self) -> f64 {
        unit(self.0.next_u64())
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.draw() < probability
    }

    /// A whole number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = (high - low + 1).cast_unsigned();
        // The modulo's bias is below 2^-40 for the widths used here, all under a day of seconds.
        low + (self.0.next_u64() % width).cast_signed()
    }

    /// The index of one of these weights, the heavier the likelier. The weights add up to more than 0.
    pub(super) fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.draw() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        weights.len() - 1
    }

    /// A version 4 UUID.
    pub(super) fn uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// One draw from 0 to 1 that belongs to a key, for decisions too many to give each a stream: SplitMix64's finaliser.
pub(in crate::generate) fn roll(seed: u64, visitor: u64, day: i64, purpose: u64) -> f64 {
    let mut state = 0;
    for part in [seed, visitor, day.cast_unsigned(), purpose] {
        state = mix(state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
    }
    unit(mix(state))
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The upper 53 bits as a fraction.
#[allow(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_key_makes_other_dice() {
        let ids = [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), (1, 1, -1)].map(|(s, v, d)| Dice::new(s, v, d).uuid());
        for (index, id) in ids.iter().enumerate() {
            assert_eq!(id.get_version_num(), 4);
            assert!(!ids[..index].contains(id));
        }
        assert_eq!(Dice::new(1, 1, 1).uuid(), ids[0]);
        assert_ne!(roll(1, 2, 3, 4), roll(1, 2, 3, 5));
        assert_ne!(roll(0, 0, 0, 0), roll(0, 0, 1, 0));
    }

    #[test]
    fn draws_stay_in_range_and_spread() {
        let mut dice = Dice::new(7, 7, 7);
        let draws: Vec<f64> = (0..10_000).map(|_| dice.draw()).collect();
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)));
        let mean = draws.iter().sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
        let rolls = (0..10_000).map(|visitor| roll(7, visitor, 7, 7)).sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&rolls), "{rolls}");

        let mut seen = [0; 3];
        for _ in 0..10_000 {
            let number = dice.between(-1, 1);
            assert!((-1..=1).contains(&number));
            seen[dice.weighted(&[1.0, 0.0, 3.0])] += 1;
        }
        assert_eq!(seen[1], 0);
        assert!(seen[2] > 7_000 && seen[0] > 2_000, "{seen:?}");
    }
}
