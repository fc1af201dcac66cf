//! What a host carries: what it says that it uses, and what is promised and does not show in that yet.

use contracts::host::{HostFacts, VmState};
use contracts::inventory::{Host, Vm};
use contracts::placement::Claim;

use super::reserves::Reserved;

/// A host with everything that a rating of it takes.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub host: Host,
    pub reserved: Reserved,
    /// Machines on the host, without the one that is to be placed.
    pub vms: Vec<Vm>,
    /// Open claims on the host, without those for the machine that is to be placed.
    pub claims: Vec<Claim>,
}

/// A host's load before the new machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    pub memory_bytes: u64,
    /// For the whole host, 0 to 100 or more.
    pub cpu_percent: f64,
    /// Disk space that is promised and may not be taken yet.
    pub disk_bytes: u64,
}

impl Candidate {
    pub fn facts(&self) -> HostFacts {
        self.host.facts.clone().unwrap_or_default()
    }

    /// Memory is the larger of what the host reports and what its active machines are made for, since a guest takes its
    /// memory only as it touches it; then what is not active yet: machines that are being made, and claims.
    pub fn load(&self, expected_cpu_percent: f64) -> Load {
        let facts = self.facts();
        let overhead = facts.memory_overhead_bytes;
        let active = self
            .vms
            .iter()
            .filter(|vm| vm.state().is_active())
            .map(size);
        let active: u64 = active
            .map(|(_, memory)| memory.saturating_add(overhead))
            .fold(0, u64::saturating_add);
        let coming: Vec<(u32, u64)> = self.coming();
        let coming_memory = coming
            .iter()
            .map(|(_, memory)| memory.saturating_add(overhead));
        let coming_cpu = coming
            .iter()
            .map(|(vcpus, _)| share(*vcpus, expected_cpu_percent, facts.cpus));
        Load {
            memory_bytes: coming_memory
                .fold(active.max(facts.memory_used_bytes), u64::saturating_add),
            cpu_percent: measured(facts.cpu_used_percent) + coming_cpu.sum::<f64>(),
            disk_bytes: self
                .claims
                .iter()
                .map(|c| c.disk_bytes)
                .fold(0, u64::saturating_add),
        }
    }

    /// Processors and memory of machines that do not run yet but will: being made, or claimed and not counted elsewhere.
    fn coming(&self) -> Vec<(u32, u64)> {
        let made = self
            .vms
            .iter()
            .filter(|vm| vm.state() == VmState::Creating)
            .map(size);
        let claimed = self
            .claims
            .iter()
            .filter(|claim| !self.counts(&claim.vm_id));
        made.chain(claimed.map(|c| (c.vcpus, c.memory_bytes)))
            .collect()
    }

    /// Whether a machine's own record is counted already.
    fn counts(&self, vm_id: &str) -> bool {
        let is_counted = |vm: &Vm| vm.state().is_active() || vm.state() == VmState::Creating;
        self.vms.iter().any(|vm| vm.id == vm_id && is_counted(vm))
    }
}

fn size(vm: &Vm) -> (u32, u64) {
    vm.hardware
        .as_ref()
        .map_or((0, 0), |h| (h.vcpus, h.memory_bytes))
}

/// The share of a host's CPU, in percent, that a machine takes which uses `percent` of its own.
pub fn share(vcpus: u32, percent: f64, host_cpus: u32) -> f64 {
    if host_cpus == 0 {
        return 100.0;
    }
    percent * f64::from(vcpus) / f64::from(host_cpus)
}

/// A measured percentage; one that is none counts as full.
fn measured(percent: f64) -> f64 {
    if percent.is_finite() {
        percent.clamp(0.0, 100.0)
    } else {
        100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::host::Hardware;

    const GIB: u64 = 1 << 30;

    fn vm(id: &str, state: VmState) -> Vm {
        Vm {
            id: id.to_owned(),
            state: state.into(),
            hardware: Some(Hardware {
                vcpus: 2,
                memory_bytes: GIB,
                ..Hardware::default()
            }),
            ..Vm::default()
        }
    }

    fn claim(vm_id: &str) -> Claim {
        Claim {
            vm_id: vm_id.to_owned(),
            vcpus: 2,
            memory_bytes: GIB,
            disk_bytes: 10,
            ..Claim::default()
        }
    }

    fn load(vms: Vec<Vm>, claims: Vec<Claim>, used_bytes: u64) -> Load {
        let host = Host {
            facts: Some(HostFacts {
                cpus: 8,
                memory_used_bytes: used_bytes,
                memory_overhead_bytes: 1,
                cpu_used_percent: 30.0,
                ..HostFacts::default()
            }),
            ..Host::default()
        };
        let reserved = Reserved {
            cpu_percent: 0.0,
            memory_bytes: 0,
            disk_bytes: 0,
        };
        Candidate {
            host,
            reserved,
            vms,
            claims,
        }
        .load(20.0)
    }

    #[test]
    fn the_larger_of_reported_and_configured_memory_counts() {
        let running = || vec![vm("a", VmState::Running), vm("b", VmState::Stopped)];
        assert_eq!(load(running(), vec![], 0).memory_bytes, GIB + 1);
        assert_eq!(load(running(), vec![], 5 * GIB).memory_bytes, 5 * GIB);
    }

    #[test]
    fn a_claim_counts_until_its_machines_own_record_does() {
        let before = load(vec![], vec![claim("a")], 5 * GIB);
        let making = load(vec![vm("a", VmState::Creating)], vec![claim("a")], 5 * GIB);
        let made = load(vec![vm("a", VmState::Stopped)], vec![claim("a")], 5 * GIB);
        for load in [before, making, made] {
            assert_eq!(load.memory_bytes, 6 * GIB + 1);
            // 2 of 8 processors at 20 %.
            assert!((load.cpu_percent - 35.0).abs() < 1e-9);
        }
        let running = load(vec![vm("a", VmState::Running)], vec![claim("a")], 6 * GIB);
        assert_eq!(running.memory_bytes, 6 * GIB);
    }

    #[test]
    fn numbers_that_are_none_count_as_full() {
        assert_eq!(measured(f64::NAN), 100.0);
        assert_eq!(share(1, 20.0, 0), 100.0);
    }
}
