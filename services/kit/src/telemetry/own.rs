//! What kit itself measures: calls and records.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use contracts::telemetry::{
    CALL_DURATION, CALLS, RECORDS_CONFLICTS, RECORDS_LAG, RECORDS_OUTBOX, RECORDS_REBUILDS,
};
use contracts::{Code, Status};

use super::metrics::{Counter, Gauge, Histogram, is_on};

static ENDED: Counter = Counter::new(&CALLS);
static TOOK: Histogram = Histogram::new(&CALL_DURATION);
static CONFLICTS: Counter = Counter::new(&RECORDS_CONFLICTS);
static REBUILDS: Counter = Counter::new(&RECORDS_REBUILDS);
static LAG: Histogram = Histogram::new(&RECORDS_LAG);
static OUTBOX: Gauge = Gauge::new(&RECORDS_OUTBOX);

pub(crate) fn count_call(
    side: &'static str,
    service: &str,
    method: &str,
    result: &Result<Vec<u8>, Status>,
    duration: Duration,
) {
    if !is_on() {
        return;
    }
    let code = result.as_ref().err().map_or(Code::Ok, Status::code);
    let attributes = [
        ("side", side),
        ("service", service),
        ("method", method),
        ("code", code.name()),
    ];
    ENDED.add(1, &attributes);
    let [side, service, method, _] = attributes;
    TOOK.record(duration, &[side, service, method]);
}

pub(crate) fn count_conflict(bucket: &str) {
    CONFLICTS.add(1, &[("bucket", bucket)]);
}

pub(crate) fn count_rebuild(bucket: &str) {
    REBUILDS.add(1, &[("bucket", bucket)]);
}

/// Notes how long after the log a view is, given when the log took what the view has just applied.
pub(crate) fn note_lag(bucket: &str, role: &str, taken_ms: i64) {
    if !is_on() {
        return;
    }
    let taken = Duration::from_millis(u64::try_from(taken_ms).unwrap_or(0));
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // The server's clock may be ahead of this machine's.
    let lag = now.saturating_sub(taken);
    LAG.record(lag, &[("bucket", bucket), ("role", role)]);
}

pub(crate) fn note_outbox(bucket: &str, events: u64) {
    OUTBOX.set(events, &[("bucket", bucket)]);
}
