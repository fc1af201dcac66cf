//! What a running Muster takes and how quick it is, seen from outside.

pub mod latency;
pub mod lists;
pub mod stream;
pub mod usage;

use std::time::Duration;

/// Times in order, to ask for their median and the like.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time that so many of a hundred do not exceed; none when nothing was timed.
    pub fn percentile(&self, percent: usize) -> Option<Duration> {
        let last = self.0.len().checked_sub(1)?;
        self.0.get(last * percent / 100).copied()
    }

    /// "3.1 ms", or a dash.
    pub fn shown(&self, percent: usize) -> String {
        self.percentile(percent)
            .map_or("-".to_owned(), milliseconds)
    }
}

pub fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_timed() {
        let times = Times::new((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!(times.percentile(50), Some(Duration::from_millis(50)));
        assert_eq!(times.percentile(99), Some(Duration::from_millis(99)));
        assert_eq!(times.shown(100), "100.0 ms");
        assert_eq!(Times::default().shown(50), "-");
    }
}
