//! What a simulated host is and has: made up, or this machine with an empty datastore.

use contracts::host::{Datastore, HostFacts, ImageFile, VmReport, VmState};

use crate::core::usage::Counters;
use crate::hypervisor::host_counters;
use crate::hypervisor::host_facts::HostReader;

/// The part of its processors' time, 0 to 1, that a machine uses at a moment (milliseconds since 1970 UTC).
pub type Load = fn(machine: &VmReport, now_ms: i64) -> f64;

const DATASTORE: &str = "simulated";
const IMAGE: &str = "guest.qcow2";
const IMAGE_BYTES: u64 = 1 << 30;
const DATASTORE_BYTES: u64 = 1 << 40;

/// Where facts come from.
pub(super) enum Host {
    This(HostReader),
    Made { facts: Box<HostFacts>, load: Load },
}

impl Default for Host {
    fn default() -> Self {
        Self::This(HostReader::default())
    }
}

impl Host {
    pub(super) fn facts<'a>(
        &self,
        machines: impl Iterator<Item = &'a VmReport>,
        now_ms: i64,
    ) -> HostFacts {
        match self {
            Self::This(reader) => HostFacts {
                hypervisor: "simulated".to_owned(),
                hypervisor_version: "simulated".to_owned(),
                accelerator: "simulated".to_owned(),
                accelerator_reason: "Nothing runs here.".to_owned(),
                uefi: true,
                confinement: "Nothing runs here.".to_owned(),
                datastores: self.datastores(),
                ..reader.read()
            },
            Self::Made { facts, load } => used(facts, machines, |machine| load(machine, now_ms)),
        }
    }

    /// A part of its CPUs, on this machine always the same.
    pub(super) fn load(&self, machine: &VmReport, now_ms: i64) -> f64 {
        match self {
            Self::This(_) => {
                let hash = blake3::hash(machine.vm_id.as_bytes());
                let [part, ..] = hash.as_bytes();
                f64::from(*part) / f64::from(u8::MAX)
            }
            Self::Made { load, .. } => load(machine, now_ms),
        }
    }

    /// What the host has used, with the CPU seconds of its machines.
    pub(super) fn counters<'a>(
        &self,
        machines: impl Iterator<Item = &'a VmReport>,
        now_ms: i64,
        cpu_secs: f64,
    ) -> Counters {
        if let Self::This(_) = self {
            return host_counters::read_counters();
        }
        let facts = self.facts(machines, now_ms);
        let datastores = facts.datastores.iter();
        let used_bytes = datastores.map(|d| d.capacity_bytes.saturating_sub(d.free_bytes));
        Counters {
            cpus: facts.cpus,
            cpu_secs: Some(cpu_secs),
            memory_bytes: Some(facts.memory_used_bytes),
            disk_used_bytes: Some(used_bytes.sum()),
            ..Counters::default()
        }
    }

    pub(super) fn datastores(&self) -> Vec<Datastore> {
        match self {
            Self::This(_) => vec![Datastore {
                name: DATASTORE.to_owned(),
                capacity_bytes: DATASTORE_BYTES,
                free_bytes: DATASTORE_BYTES,
                images: vec![ImageFile {
                    name: IMAGE.to_owned(),
                    file_bytes: IMAGE_BYTES,
                }],
                ..Datastore::default()
            }],
            Self::Made { facts, .. } => facts.datastores.clone(),
        }
    }
}

/// The facts with what the machines take of the host.
fn used<'a>(
    facts: &HostFacts,
    machines: impl Iterator<Item = &'a VmReport>,
    load: impl Fn(&VmReport) -> f64,
) -> HostFacts {
    let (mut memory_bytes, mut cpus) = (facts.memory_used_bytes, 0.0);
    for machine in machines.filter(|m| matches!(m.state(), VmState::Running | VmState::Paused)) {
        let hardware = machine.hardware.as_ref();
        memory_bytes += hardware.map_or(0, |h| h.memory_bytes) + facts.memory_overhead_bytes;
        if machine.state() == VmState::Running {
            cpus += load(machine) * hardware.map_or(0.0, |h| f64::from(h.vcpus));
        }
    }
    HostFacts {
        memory_used_bytes: memory_bytes.min(facts.memory_bytes),
        cpu_used_percent: (100.0 * cpus / f64::from(facts.cpus.max(1))).clamp(0.0, 100.0),
        ..facts.clone()
    }
}
