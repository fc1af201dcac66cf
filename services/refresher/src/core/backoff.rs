//! A server that fails is left alone for ever longer, and asked again at once when it is said to be back.

/// After the first failure. Too low and a server that is in trouble is pressed; too high and one that failed once is
/// looked at late.
const FIRST_MS: i64 = 30_000;

/// The longest that a server is left alone: what it does is then this old at most.
const LONGEST_MS: i64 = 15 * 60_000;

/// How a server has answered lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    until_ms: i64,
}

impl Backoff {
    pub fn failed(&mut self, now_ms: i64) {
        let pause_ms = FIRST_MS.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.until_ms = now_ms.saturating_add(pause_ms.min(LONGEST_MS));
    }

    pub fn holds_back(&self, now_ms: i64) -> bool {
        now_ms < self.until_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_in_a_row_doubles_the_pause_up_to_a_quarter_of_an_hour() {
        let mut backoff = Backoff::default();
        assert!(!backoff.holds_back(0));
        for pause_secs in [30, 60, 120, 240, 480, 900, 900] {
            backoff.failed(0);
            assert!(backoff.holds_back(pause_secs * 1_000 - 1), "{pause_secs}");
            assert!(!backoff.holds_back(pause_secs * 1_000), "{pause_secs}");
        }
    }
}
