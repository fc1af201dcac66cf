//! What the refresher tells of itself over OTLP.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::refresher::Refreshed;
use contracts::rest;
use contracts::telemetry::{
    REFRESHER_BYTES, REFRESHER_DURATION, REFRESHER_LATENESS, REFRESHER_QUEUE, REFRESHER_REFRESHES,
};
use kit::telemetry::{Counter, Gauge, Histogram};

use crate::core::plan::line::{Priority, Start};

static REFRESHES: Counter = Counter::new(&REFRESHER_REFRESHES);
static BYTES: Counter = Counter::new(&REFRESHER_BYTES);
static LATENESS: Histogram = Histogram::new(&REFRESHER_LATENESS);
static TOOK: Histogram = Histogram::new(&REFRESHER_DURATION);
static QUEUE: Gauge = Gauge::new(&REFRESHER_QUEUE);

pub(crate) fn note_refresh(start: &Start, refreshed: &Refreshed) {
    let kind = ("kind", refreshed.kind.as_str());
    let outcome = rest::RefreshOutcome::from(refreshed.outcome()).word();
    let trigger = rest::RefreshTrigger::from(refreshed.trigger()).word();
    REFRESHES.add(1, &[kind, ("outcome", outcome), ("trigger", trigger)]);
    BYTES.add(refreshed.bytes, &[kind]);
    let late = Duration::from_millis(start.late_ms.unsigned_abs());
    LATENESS.record(late, &[kind, ("trigger", trigger)]);
    let took = Duration::from_millis(u64::from(refreshed.duration_ms));
    TOOK.record(took, &[kind, ("outcome", outcome)]);
}

pub(crate) fn note_line(waiting: &BTreeMap<Priority, usize>) {
    for (priority, count) in waiting {
        let why = match priority {
            Priority::Asked => "manual",
            Priority::Due => "schedule",
        };
        QUEUE.set((*count).try_into().unwrap_or(u64::MAX), &[("trigger", why)]);
    }
}
