//! Who holds which entry of a queue, and until when. Time is handed in.

use std::collections::BTreeMap;

/// Entries that were delivered, with the time at which each may be delivered again.
#[derive(Clone, Default)]
pub(super) struct Holds {
    until_ms: BTreeMap<u64, i64>,
}

impl Holds {
    pub(super) fn is_free(&self, sequence: u64, now_ms: i64) -> bool {
        self.until_ms
            .get(&sequence)
            .is_none_or(|until| *until <= now_ms)
    }

    /// Also extends.
    pub(super) fn hold(&mut self, sequence: u64, until_ms: i64) {
        self.until_ms.insert(sequence, until_ms);
    }

    pub(super) fn is_held(&self, sequence: u64) -> bool {
        self.until_ms.contains_key(&sequence)
    }

    pub(super) fn forget(&mut self, sequence: u64) {
        self.until_ms.remove(&sequence);
    }

    /// When the next entry becomes free by itself.
    pub(super) fn next_free_ms(&self, now_ms: i64) -> Option<i64> {
        let later = self.until_ms.values().filter(|until| **until > now_ms);
        later.min().copied()
    }
}
