//! Which hosts are silent. Kept in memory only: an instance that starts gives every host its full time.

use std::collections::BTreeMap;

/// When each host was heard last, on a clock that only goes forward.
#[derive(Debug)]
pub struct Liveness {
    silence_max_ms: u64,
    /// Nobody counts as silent from before this moment.
    listening_since_ms: u64,
    heard_ms: BTreeMap<String, u64>,
}

impl Liveness {
    pub fn new(silence_max_ms: u64, now_ms: u64) -> Self {
        Self {
            silence_max_ms,
            listening_since_ms: now_ms,
            heard_ms: BTreeMap::new(),
        }
    }

    pub fn heard(&mut self, host_id: &str, now_ms: u64) {
        match self.heard_ms.get_mut(host_id) {
            Some(last) => *last = now_ms,
            None => {
                self.heard_ms.insert(host_id.to_owned(), now_ms);
            }
        }
    }

    /// Nothing could be heard until now: every host gets its full time again.
    pub fn start_over(&mut self, now_ms: u64) {
        self.listening_since_ms = now_ms;
    }

    pub fn is_silent(&self, host_id: &str, now_ms: u64) -> bool {
        let heard = self.heard_ms.get(host_id).copied().unwrap_or(0);
        let last = heard.max(self.listening_since_ms);
        now_ms.saturating_sub(last) > self.silence_max_ms
    }

    /// Forgets hosts that are no longer known.
    pub fn keep_only(&mut self, known: impl Fn(&str) -> bool) {
        self.heard_ms.retain(|host_id, _| known(host_id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_silent_after_its_time_and_heard_at_once() {
        let mut liveness = Liveness::new(17_000, 1_000);
        assert!(!liveness.is_silent("h1", 18_000));
        assert!(liveness.is_silent("h1", 18_001));
        liveness.heard("h1", 18_001);
        assert!(!liveness.is_silent("h1", 35_001));
        assert!(liveness.is_silent("h1", 35_002));
    }

    #[test]
    fn after_an_outage_every_host_gets_its_full_time_again() {
        let mut liveness = Liveness::new(17_000, 0);
        liveness.heard("h1", 10_000);
        liveness.start_over(100_000);
        assert!(!liveness.is_silent("h1", 117_000));
        assert!(liveness.is_silent("h1", 117_001));
    }
}
