//! The last hour of one object, a sample a minute, and the mean that is being made of it.

use super::figures::{Figures, Mean, NOTHING, Packed, pack};

/// Minutes that are kept.
pub const MINUTES: usize = 60;

/// One object's curve. Of fixed size, so that the memory of a fleet is known beforehand.
pub struct Hour {
    minutes: Box<[Packed; MINUTES]>,
    /// The minute (since 1970) of the newest sample.
    newest: i64,
    mean: Mean,
}

fn slot(minute: i64) -> usize {
    usize::try_from(minute.rem_euclid(MINUTES as i64)).unwrap_or(0)
}

impl Hour {
    pub fn new(minute: i64) -> Self {
        Self {
            minutes: Box::new([NOTHING; MINUTES]),
            newest: minute,
            mean: Mean::default(),
        }
    }

    /// Minutes from which nothing came stay empty. After the clock was set back, what is later than now is forgotten.
    pub fn put(&mut self, minute: i64, figures: &Figures) {
        let between = if minute >= self.newest {
            self.newest.saturating_add(1)..=minute
        } else {
            minute.saturating_add(1)..=self.newest
        };
        for passed in between.take(MINUTES) {
            self.set(passed, NOTHING);
        }
        self.newest = minute;
        self.set(minute, pack(figures));
        self.mean.add(figures);
    }

    fn set(&mut self, minute: i64, packed: Packed) {
        if let Some(kept) = self.minutes.get_mut(slot(minute)) {
            *kept = packed;
        }
    }

    pub fn newest(&self) -> (i64, Packed) {
        (self.newest, self.at(self.newest))
    }

    fn at(&self, minute: i64) -> Packed {
        self.minutes.get(slot(minute)).copied().unwrap_or(NOTHING)
    }

    /// Samples of these minutes, in order.
    pub fn range(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, Packed)> + '_ {
        let oldest = self.newest - (MINUTES as i64 - 1);
        let wanted = from.max(oldest)..=to.min(self.newest);
        let samples = wanted.map(|minute| (minute, self.at(minute)));
        samples.filter(|(_, packed)| *packed != NOTHING)
    }

    /// The mean since the last call, or since the last [`Hour::reset`].
    pub fn take_mean(&mut self) -> Option<Figures> {
        self.mean.take()
    }

    /// What was measured says nothing of what comes.
    pub fn reset(&mut self) {
        self.mean = Mean::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::figures::unpack;

    fn cpu(percent: f64) -> Figures {
        [Some(percent), None, None, None, None, None, None, None]
    }

    fn curve(hour: &Hour) -> Vec<(i64, f64)> {
        let samples = hour.range(i64::MIN / 2, i64::MAX / 2);
        samples
            .map(|(minute, packed)| (minute, unpack(&packed)[0].unwrap()))
            .collect()
    }

    #[test]
    fn an_hour_is_kept_and_silence_is_a_gap() {
        let mut hour = Hour::new(100);
        hour.put(100, &cpu(1.0));
        hour.put(103, &cpu(2.0));
        assert_eq!(curve(&hour), [(100, 1.0), (103, 2.0)]);
        hour.put(160, &cpu(3.0));
        assert_eq!(curve(&hour), [(103, 2.0), (160, 3.0)]);
        hour.put(10_000, &cpu(4.0));
        assert_eq!(curve(&hour), [(10_000, 4.0)]);
    }

    #[test]
    fn a_clock_that_was_set_back_leaves_no_samples_of_the_future() {
        let mut hour = Hour::new(100);
        hour.put(100, &cpu(1.0));
        hour.put(130, &cpu(2.0));
        hour.put(110, &cpu(3.0));
        assert_eq!(curve(&hour), [(100, 1.0), (110, 3.0)]);
        hour.put(5, &cpu(4.0));
        assert_eq!(curve(&hour), [(5, 4.0)]);
    }
}
