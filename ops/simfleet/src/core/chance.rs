//! Choices that a seed repeats.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use uuid::Uuid;

pub struct Chance(ChaCha8Rng);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// From 0 to one less than `count`; 0 when there are none.
    pub fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.0.next_u64() % count).unwrap_or(0)
    }

    /// One of the values, as often as its weight says; `None` when there are none.
    pub fn pick<'a, T>(&mut self, weighted: &'a [(usize, T)]) -> Option<&'a T> {
        let whole = weighted.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(whole);
        for (weight, value) in weighted {
            if left < *weight {
                return Some(value);
            }
            left -= weight;
        }
        None
    }

    pub fn id(&mut self) -> String {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .to_string()
    }
}

/// The id of a numbered thing of a fleet: the same whenever the fleet is made from the same seed.
pub fn id_of(seed: u64, kind: &str, number: usize) -> String {
    let hash = blake3::hash(format!("{seed}/{kind}/{number}").as_bytes());
    let bytes = hash.as_bytes().first_chunk::<16>().copied();
    Uuid::from_bytes(bytes.unwrap_or_default()).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_choices_and_weights_count() {
        let weighted = [(1, "rare"), (99, "often"), (0, "never")];
        let draw = |seed| {
            let mut chance = Chance::new(seed);
            let picks: Vec<&str> = (0..1000)
                .map(|_| *chance.pick(&weighted).unwrap())
                .collect();
            picks
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let often = draw(7).iter().filter(|pick| **pick == "often").count();
        assert!((950..1000).contains(&often) && !draw(7).contains(&"never"));
        assert_eq!(id_of(1, "host", 2), id_of(1, "host", 2));
    }
}
