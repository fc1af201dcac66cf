//! All randomness of a run, drawn from its seed.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

pub struct Chance(ChaCha8Rng);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// From `low` up to, but not including, `high`. The bias of the remainder is far below what a run could notice.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low < high, "nothing lies between {low} and {high}");
        low + self.number() % (high - low)
    }

    /// From 0 up to, but not including, 1.
    pub fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.fraction() < probability
    }

    pub fn duration(&mut self, low: Duration, high: Duration) -> Duration {
        let (low, high) = (low.as_millis(), high.as_millis());
        let millis = |ms: u128| u64::try_from(ms).unwrap_or(u64::MAX);
        Duration::from_millis(self.between(millis(low), millis(high).max(millis(low) + 1)))
    }

    /// One of several; they must not be none.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let count = u64::try_from(of.len()).unwrap_or(u64::MAX);
        let index = usize::try_from(self.between(0, count)).unwrap_or(0);
        &of[index]
    }
}
