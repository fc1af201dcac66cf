//! What a simulated host is and has: made up, or this machine with an empty datastore.

use contracts::host::{Datastore, HostFacts, ImageFile, VmReport, VmState};

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
                confinement: "Nothing runs here.".to_owned(),
                datastores: self.datastores(),
                ..reader.read()
            },
            Self::Made { facts, load } => used(facts, machines, |machine| load(machine, now_ms)),
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
