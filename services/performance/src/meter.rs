//! What the performance service tells over OTLP: of itself, and what hosts and machines use.

use std::sync::{Arc, Weak};

use contracts::telemetry::{
    SAMPLES, USAGE_CPU, USAGE_DISK_IO, USAGE_DISK_OPERATIONS, USAGE_DISK_USED, USAGE_MEMORY,
    USAGE_NETWORK_IO,
};
use kit::telemetry::{Counter, Readings, Told};

use crate::core::fleet::{Kind, Ranked};
use crate::samples::Measured;

static HEARD: Counter = Counter::new(&SAMPLES);
static CPU: Readings = Readings::new(&USAGE_CPU);
static MEMORY: Readings = Readings::new(&USAGE_MEMORY);
static DISK_IO: Readings = Readings::new(&USAGE_DISK_IO);
static DISK_OPERATIONS: Readings = Readings::new(&USAGE_DISK_OPERATIONS);
static DISK_USED: Readings = Readings::new(&USAGE_DISK_USED);
static NETWORK_IO: Readings = Readings::new(&USAGE_NETWORK_IO);

/// Which figures a metric is of, each with its direction.
type Parts = &'static [(usize, &'static str)];

pub(crate) fn count(outcome: &'static str) {
    HEARD.add(1, &[("outcome", outcome)]);
}

/// Tells what is used whenever metrics are sent, as long as it is measured.
pub(crate) fn tell(measured: &Arc<Measured>, with_vms: bool) {
    const TABLE: [(&Readings, Parts); 6] = [
        (&CPU, &[(0, "")]),
        (&MEMORY, &[(1, "")]),
        (&DISK_IO, &[(2, "read"), (3, "write")]),
        (&DISK_OPERATIONS, &[(4, "")]),
        (&DISK_USED, &[(5, "")]),
        (&NETWORK_IO, &[(6, "received"), (7, "sent")]),
    ];
    for (readings, parts) in TABLE {
        let measured = Arc::downgrade(measured);
        readings.tell(move |told| read(&measured, with_vms, parts, told));
    }
}

fn read(measured: &Weak<Measured>, with_vms: bool, parts: Parts, told: Told<'_>) {
    let Some(measured) = measured.upgrade() else {
        return;
    };
    let kinds: &[(Kind, &str)] = match with_vms {
        true => &[(Kind::Host, "host"), (Kind::Vm, "vm")],
        false => &[(Kind::Host, "host")],
    };
    for (kind, word) in kinds {
        let now = measured.fleet().now(*kind, measured.minute());
        for object in &now {
            tell_object(object, word, parts, told);
        }
    }
}

fn tell_object(object: &Ranked, kind: &str, parts: Parts, told: Told<'_>) {
    for (figure, direction) in parts {
        let Some(value) = object.figures.get(*figure).copied().flatten() else {
            continue;
        };
        let all = [
            ("kind", kind),
            ("id", object.id.as_str()),
            ("host_id", object.host_id.as_str()),
            ("direction", *direction),
        ];
        let count = if direction.is_empty() { 3 } else { 4 };
        told(value, all.get(..count).unwrap_or(&all));
    }
}
