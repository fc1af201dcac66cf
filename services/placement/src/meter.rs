//! What placement tells of itself over OTLP.

use contracts::telemetry::{PLACEMENT_CLAIMS, PLACEMENT_DRIFT, PLACEMENT_RETRIES};
use kit::telemetry::{Counter, Gauge};

pub(crate) static CLAIMS: Gauge = Gauge::new(&PLACEMENT_CLAIMS);
pub(crate) static RETRIES: Counter = Counter::new(&PLACEMENT_RETRIES);
static DRIFT: Counter = Counter::new(&PLACEMENT_DRIFT);

/// Claims did not agree with inventory and were taken out.
pub(crate) fn note_drift(reason: &str, count: u64) {
    if count > 0 {
        tracing::warn!(
            reason,
            count,
            "claims did not agree with inventory and were taken out"
        );
        DRIFT.add(count, &[("reason", reason)]);
    }
}
