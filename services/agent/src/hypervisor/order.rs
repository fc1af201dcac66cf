//! In which order things happened to the machines of a host.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bits of the number that count within one run of the agent.
const COUNT_BITS: u32 = 32;

/// Numbers reports of machines: a later one has the higher number, over restarts of the agent too.
pub(crate) struct Order(AtomicU64);

impl Order {
    /// Of one run of the agent.
    pub(crate) fn of(generation: u64) -> Self {
        Self(AtomicU64::new(generation << COUNT_BITS))
    }

    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}
