//! What a host reports that cannot be.

use clap::ValueEnum;
use contracts::host::{Datastore, VmReport};
use contracts::inventory::ReportRequest;
use serde::{Deserialize, Serialize};

/// A year from now.
const FUTURE_MS: i64 = 365 * 24 * 3600 * 1000;

/// More machines than a report may have.
const TOO_MANY: usize = 100_000;

/// More bytes than a report may have.
const TOO_LARGE_BYTES: usize = 50 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Lie {
    /// Sizes below zero, which travel as impossibly large ones.
    NegativeSizes,
    /// Two machines with one id.
    OneIdTwice,
    /// A machine that is another host's.
    AnothersMachine,
    /// Machines that were started a year from now.
    FutureClock,
    /// 100,000 machines.
    TooMany,
    /// 50 MB in one report.
    TooLarge,
}

/// Changes a report into one that lies. `other` is a machine of another host.
pub fn tell(lie: Lie, report: &mut ReportRequest, other: &VmReport) {
    match lie {
        Lie::NegativeSizes => negative_sizes(report),
        Lie::OneIdTwice => {
            let mut twin = report.vms.first().cloned().unwrap_or_default();
            twin.name = "twin".to_owned();
            report.vms.push(twin);
        }
        Lie::AnothersMachine => report.vms.push(VmReport {
            name: "stolen".to_owned(),
            ..other.clone()
        }),
        Lie::FutureClock => {
            for machine in &mut report.vms {
                machine.started_ms = machine.started_ms.saturating_add(FUTURE_MS);
            }
        }
        Lie::TooMany => {
            report.vms = (0..TOO_MANY)
                .map(|number| VmReport {
                    vm_id: format!("flood-{number}"),
                    ..VmReport::default()
                })
                .collect();
        }
        Lie::TooLarge => report.vms.push(VmReport {
            state_reason: "x".repeat(TOO_LARGE_BYTES),
            ..other.clone()
        }),
    }
}

fn negative_sizes(report: &mut ReportRequest) {
    for machine in &mut report.vms {
        let hardware = machine.hardware.get_or_insert_default();
        hardware.memory_bytes = u64::MAX;
        for disk in &mut hardware.disks {
            disk.size_bytes = u64::MAX - 1;
        }
    }
    if let Some(facts) = &mut report.facts {
        facts.datastores.push(Datastore {
            free_bytes: u64::MAX,
            ..Datastore::default()
        });
    }
}
