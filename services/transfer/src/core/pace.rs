//! How fast a transfer goes, and how long it will take.

use std::time::Duration;

/// Weight of the newest measurement; the rest is what was known before. Too high and the time left jumps, too low and a
/// new throttle shows late.
const NEWEST: f64 = 0.3;

/// The rate of a transfer, smoothed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    bytes: u64,
    rate: Option<f64>,
}

impl Pace {
    /// Begins with what is there already.
    pub fn from(bytes: u64) -> Self {
        Self { bytes, rate: None }
    }

    /// Notes how much is there after some more time.
    #[allow(clippy::cast_precision_loss)]
    pub fn note(&mut self, bytes: u64, elapsed: Duration) {
        let secs = elapsed.as_secs_f64();
        if secs <= 0.0 {
            return;
        }
        let now = bytes.saturating_sub(self.bytes) as f64 / secs;
        self.bytes = bytes;
        self.rate = Some(match self.rate {
            None => now,
            Some(before) => before + (now - before) * NEWEST,
        });
    }

    /// Bytes a second; 0: not known.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn bytes_per_sec(&self) -> u64 {
        self.rate.unwrap_or(0.0) as u64
    }

    /// Seconds until all is there; 0: not known.
    pub fn secs_left(&self, total: u64) -> u64 {
        let left = total.saturating_sub(self.bytes);
        match self.bytes_per_sec() {
            0 => 0,
            rate => left.div_ceil(rate),
        }
    }
}

/// 0 to 100; all of nothing is 100.
pub fn percent(done: u64, total: u64) -> u32 {
    let percent = u128::from(done.min(total)) * 100;
    match total {
        0 => 100,
        total => u32::try_from(percent / u128::from(total)).unwrap_or(100),
    }
}

/// "312 MiB of 1024 MiB, 120 MiB/s, 6 s left".
pub fn sentence(pace: &Pace, done: u64, total: u64) -> String {
    let so_far = format!("{} of {} MiB", done >> 20, total.div_ceil(1 << 20));
    match (pace.bytes_per_sec(), pace.secs_left(total)) {
        (0, _) => so_far,
        (rate, left) => {
            #[allow(clippy::cast_precision_loss)]
            let rate = rate as f64 / f64::from(1 << 20);
            format!("{so_far}, {rate:.1} MiB/s, {left} s left")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_what_comes_and_what_was_there_does_not_count() {
        let mib = 1 << 20;
        let mut pace = Pace::from(50 * mib);
        assert_eq!(sentence(&pace, 50 * mib, 100 * mib), "50 of 100 MiB");
        pace.note(60 * mib, Duration::from_secs(1));
        assert_eq!(
            (pace.bytes_per_sec(), pace.secs_left(100 * mib)),
            (10 * mib, 4)
        );
        assert_eq!(
            sentence(&pace, 60 * mib, 100 * mib),
            "60 of 100 MiB, 10.0 MiB/s, 4 s left"
        );
        pace.note(60 * mib, Duration::from_secs(1));
        assert_eq!(pace.bytes_per_sec(), 7 * mib);
    }

    #[test]
    fn percents_stay_within_bounds() {
        assert_eq!(
            [percent(0, 0), percent(1, 3), percent(9, 3)],
            [100, 33, 100]
        );
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
    }
}
