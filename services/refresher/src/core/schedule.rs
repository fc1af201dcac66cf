//! When a target is due: at `k * interval + phase`, where the phase is a hash of the target and its kind.
//!
//! Nothing is remembered and nothing is drawn, so every instance agrees, a restart changes nothing, and however many
//! targets there are, they lie evenly over the interval. A longer or shorter interval spreads them anew.

/// The moments at which one target is due by one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    interval_ms: i64,
    phase_ms: i64,
}

impl Grid {
    pub fn new(kind: &str, target_id: &str, interval_ms: i64) -> Self {
        let interval_ms = interval_ms.max(1);
        // The hash as a fraction of the interval.
        let product = u128::from(hash(&[kind, target_id])) * interval_ms.unsigned_abs() as u128;
        Self {
            interval_ms,
            phase_ms: i64::try_from(product >> 64).unwrap_or(0),
        }
    }

    pub fn interval_ms(&self) -> i64 {
        self.interval_ms
    }

    /// The first moment of the grid that is not before this one.
    pub fn at_or_after(&self, moment_ms: i64) -> i64 {
        let since = moment_ms.saturating_sub(self.phase_ms);
        let whole = since.div_euclid(self.interval_ms);
        let rest = since.rem_euclid(self.interval_ms);
        let k = if rest == 0 { whole } else { whole + 1 };
        k.saturating_mul(self.interval_ms)
            .saturating_add(self.phase_ms)
    }

    /// When the target is due next. After an interval was changed, the moment that comes first on the new grid may be too
    /// near to the last: it is then the one after it, so that two are never nearer than the interval.
    pub fn next(&self, now_ms: i64, last_due_ms: Option<i64>) -> i64 {
        let earliest = last_due_ms.map_or(i64::MIN, |last| last.saturating_add(self.interval_ms));
        self.at_or_after(earliest.max(now_ms.saturating_add(1)))
    }
}

/// A number for some texts, the same everywhere and always.
pub fn hash(texts: &[&str]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher.update(text.as_bytes());
        hasher.update(&[0]);
    }
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used)]
    use super::*;

    const SECOND: i64 = 1_000;

    fn targets() -> impl Iterator<Item = String> {
        (0..2_500).map(|n| format!("host-{n:04}"))
    }

    /// How many of 2,500 targets are due in each second of an interval that begins at `from_ms`.
    fn histogram(kind: &str, interval_secs: i64, from_ms: i64) -> Vec<u32> {
        let mut counts = vec![0; usize::try_from(interval_secs).unwrap()];
        for target in targets() {
            let due = Grid::new(kind, &target, interval_secs * SECOND).at_or_after(from_ms);
            counts[usize::try_from((due - from_ms) / SECOND).unwrap()] += 1;
        }
        counts
    }

    /// Chi-square of counts that should be alike, by degree of freedom: about 1 for what falls evenly by chance.
    fn unevenness(counts: &[u32]) -> f64 {
        let bins = counts.len() as f64;
        let mean = f64::from(counts.iter().sum::<u32>()) / bins;
        let square = |count: &u32| (f64::from(*count) - mean).powi(2) / mean;
        counts.iter().map(square).sum::<f64>() / (bins - 1.0)
    }

    #[test]
    fn targets_are_spread_evenly_whenever_one_begins_and_whatever_the_interval_is() {
        for interval_secs in [60, 120, 540, 1_800] {
            // Five seconds together: of 2,500 targets in 30 minutes there is hardly one in a second.
            for from_ms in [0, 1_764_400_000_123, 1_764_400_077_777] {
                let counts = histogram("vm_light", interval_secs, from_ms);
                let fives: Vec<u32> = counts.chunks(5).map(|five| five.iter().sum()).collect();
                assert_eq!(fives.iter().sum::<u32>(), 2_500);
                let unevenness = unevenness(&fives);
                assert!(unevenness < 1.5, "{interval_secs} s: {unevenness}");
            }
        }
        // In two minutes there are 21 in each second; the fullest has little more than twice as many.
        let fullest = histogram("vm_light", 120, 0).into_iter().max().unwrap();
        assert!(fullest <= 45, "{fullest} in one second");
    }

    #[test]
    fn one_kind_is_not_in_step_with_another() {
        let together = targets().filter(|target| {
            let due = |kind| Grid::new(kind, target, 120 * SECOND).at_or_after(0) / SECOND;
            due("vm_light") == due("host")
        });
        // By chance one in 120.
        assert!(together.count() < 60);
    }

    #[test]
    fn every_instance_says_the_same_before_and_after_a_restart() {
        let grid = Grid::new("vm_light", "h1", 120 * SECOND);
        let mut due = grid.next(0, None);
        for _ in 0..10 {
            let later = Grid::new("vm_light", "h1", 120 * SECOND).next(due, Some(due));
            assert_eq!(later - due, 120 * SECOND);
            // Started anew in between: the same moment.
            assert_eq!(grid.next(due + 17 * SECOND, None), later);
            due = later;
        }
    }

    #[test]
    fn two_refreshes_are_never_nearer_than_the_interval_also_when_it_is_changed() {
        for target in targets().take(200) {
            let before = Grid::new("vm_light", &target, 120 * SECOND);
            let after = Grid::new("vm_light", &target, 300 * SECOND);
            let last = before.next(0, None);
            let next = after.next(last + 10 * SECOND, Some(last));
            assert!((300..600).contains(&((next - last) / SECOND)), "{target}");
        }
    }
}
