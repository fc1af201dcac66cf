//! The fleet that a seed gives: hosts of a few makes, and on them machines of the sizes that clouds see.

use contracts::host::disk::Source;
use contracts::host::{
    Datastore, Disk, Hardware, HostFacts, ImageFile, NetworkCard, VmReport, VmState,
};

use super::chance::{Chance, id_of};

const GIB: u64 = 1 << 30;

/// Processors, memory in GiB, model.
const HOSTS: [(usize, (u32, u64, &str)); 3] = [
    (4, (32, 256, "Intel(R) Xeon(R) Silver 4314 CPU @ 2.40GHz")),
    (4, (64, 512, "Intel(R) Xeon(R) Gold 6430")),
    (2, (96, 768, "AMD EPYC 9454 48-Core Processor")),
];

/// Processors and memory in GiB. More than half of all machines of the Azure trace of 2017 have one processor.
const SIZES: [(usize, (u32, u64)); 5] = [
    (57, (1, 2)),
    (22, (2, 4)),
    (12, (4, 16)),
    (6, (8, 32)),
    (3, (16, 64)),
];

const ROLES: [&str; 10] = [
    "web", "db", "app", "cache", "build", "mail", "erp", "file", "test", "desk",
];

const STATES: [(usize, VmState); 4] = [
    (86, VmState::Running),
    (12, VmState::Stopped),
    (1, VmState::Paused),
    (1, VmState::Saved),
];

/// What a host needs for itself.
const HOST_MEMORY_BYTES: u64 = 4 * GIB;
const OVERHEAD_BYTES: u64 = 128 << 20;

/// Machines of the fleet have run for up to this long.
const UPTIME_MS_MAX: usize = 60 * 24 * 3600 * 1000;

/// One host at the start.
#[derive(Clone, Debug, PartialEq)]
pub struct HostPlan {
    pub id: String,
    pub name: String,
    pub facts: HostFacts,
    pub machines: Vec<VmReport>,
}

/// A fleet of so many hosts and machines.
pub fn plan(seed: u64, hosts: usize, vms: usize, now_ms: i64) -> Vec<HostPlan> {
    let mut chance = Chance::new(seed);
    let mut fleet: Vec<HostPlan> = (0..hosts).map(|n| host(seed, n, &mut chance)).collect();
    for number in 0..vms {
        // Half of them evenly, half by chance: some hosts have twice as many as others.
        let place = match number % 2 {
            0 => number / 2 % hosts.max(1),
            _ => chance.below(hosts),
        };
        if let Some(host) = fleet.get_mut(place) {
            let machine = machine(seed, number, host, now_ms, &mut chance);
            host.machines.push(machine);
        }
    }
    fleet
}

fn host(seed: u64, number: usize, chance: &mut Chance) -> HostPlan {
    let (cpus, memory_gib, cpu_model) = *chance.pick(&HOSTS).unwrap_or(&(32, 256, ""));
    let name = format!("node-{number:04}");
    let datastore = |name: &str, capacity_tib: u64, images: &[(&str, u64)]| Datastore {
        name: name.to_owned(),
        path: format!("/srv/{name}"),
        capacity_bytes: capacity_tib << 40,
        free_bytes: (capacity_tib << 40) / 10 * 4,
        images: images
            .iter()
            .map(|(name, bytes)| ImageFile {
                name: (*name).to_owned(),
                file_bytes: *bytes,
            })
            .collect(),
        problem: String::new(),
    };
    HostPlan {
        id: id_of(seed, "host", number),
        facts: HostFacts {
            hostname: name.clone(),
            os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
            kernel: "6.12.0-amd64".to_owned(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            hypervisor: "simulated".to_owned(),
            hypervisor_version: "simulated".to_owned(),
            accelerator: "simulated".to_owned(),
            accelerator_reason: "Nothing runs here.".to_owned(),
            confinement: "Nothing runs here.".to_owned(),
            cpus,
            cpu_model: cpu_model.to_owned(),
            memory_bytes: memory_gib * GIB,
            memory_used_bytes: HOST_MEMORY_BYTES,
            memory_overhead_bytes: OVERHEAD_BYTES,
            datastores: vec![
                datastore(
                    "fast",
                    8,
                    &[("guest.qcow2", GIB), ("debian-12.qcow2", 3 * GIB)],
                ),
                datastore("bulk", 40, &[]),
            ],
            ..HostFacts::default()
        },
        name,
        machines: Vec::new(),
    }
}

fn machine(
    seed: u64,
    number: usize,
    host: &HostPlan,
    now_ms: i64,
    chance: &mut Chance,
) -> VmReport {
    let id = id_of(seed, "vm", number);
    let role = ROLES.get(chance.below(ROLES.len())).unwrap_or(&"vm");
    let (vcpus, memory_gib) = *chance.pick(&SIZES).unwrap_or(&(1, 2));
    let memory_bytes = memory_gib * GIB;
    let wanted = *chance.pick(&STATES).unwrap_or(&VmState::Stopped);
    let fits = taken_bytes(host) + memory_bytes + OVERHEAD_BYTES <= host.facts.memory_bytes;
    let state = if fits { wanted } else { VmState::Stopped };
    let is_on = matches!(state, VmState::Running | VmState::Paused);
    let uptime_ms = i64::try_from(chance.below(UPTIME_MS_MAX)).unwrap_or(0);
    VmReport {
        name: format!("{role}-{number:05}"),
        state: state.into(),
        hardware: Some(hardware(&id, vcpus, memory_bytes, chance)),
        started_ms: if is_on { now_ms - uptime_ms } else { 0 },
        datastore: "fast".to_owned(),
        vm_id: id,
        ..VmReport::default()
    }
}

fn taken_bytes(host: &HostPlan) -> u64 {
    let on = |m: &&VmReport| matches!(m.state(), VmState::Running | VmState::Paused);
    let bytes = |m: &VmReport| m.hardware.as_ref().map_or(0, |h| h.memory_bytes) + OVERHEAD_BYTES;
    host.facts.memory_used_bytes + host.machines.iter().filter(on).map(bytes).sum::<u64>()
}

fn hardware(vm_id: &str, vcpus: u32, memory_bytes: u64, chance: &mut Chance) -> Hardware {
    let disks = 1 + usize::from(chance.below(4) == 0);
    let disk = |number: usize, chance: &mut Chance| {
        let size_bytes = (20 << chance.below(4)) * GIB;
        Disk {
            id: format!("disk{number}"),
            image: if number == 0 {
                "fast/debian-12.qcow2".to_owned()
            } else {
                String::new()
            },
            source: if number == 0 {
                Source::Overlay.into()
            } else {
                Source::Blank.into()
            },
            size_bytes,
            path: format!("/srv/fast/vms/{vm_id}/disk{number}.qcow2"),
            format: "qcow2".to_owned(),
            allocated_bytes: size_bytes / 3,
        }
    };
    let mac = blake3::hash(vm_id.as_bytes());
    let [a, b, c, ..] = *mac.as_bytes();
    Hardware {
        vcpus,
        memory_bytes,
        disks: (0..disks).map(|number| disk(number, chance)).collect(),
        network_cards: vec![NetworkCard {
            id: "nic0".to_owned(),
            mac: format!("52:54:00:{a:02x}:{b:02x}:{c:02x}"),
            network: "user".to_owned(),
        }],
        ..Hardware::default()
    }
}

/// A machine that appears on a host later on, by other hands than Muster's.
pub fn newcomer(number: usize, host: &str, chance: &mut Chance) -> VmReport {
    let id = chance.id();
    let (vcpus, memory_gib) = *chance.pick(&SIZES).unwrap_or(&(1, 2));
    VmReport {
        name: format!("new-{number:05}-{host}"),
        state: VmState::Stopped.into(),
        hardware: Some(hardware(&id, vcpus, memory_gib * GIB, chance)),
        datastore: "fast".to_owned(),
        vm_id: id,
        ..VmReport::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_gives_one_fleet_and_every_name_and_id_once() {
        let fleet = plan(7, 50, 900, 1_000_000);
        assert_eq!(fleet, plan(7, 50, 900, 1_000_000));
        let machines: Vec<&VmReport> = fleet.iter().flat_map(|h| &h.machines).collect();
        assert_eq!((fleet.len(), machines.len()), (50, 900));
        let ids: BTreeSet<&str> = machines.iter().map(|m| m.vm_id.as_str()).collect();
        let names: BTreeSet<&str> = machines.iter().map(|m| m.name.as_str()).collect();
        assert_eq!((ids.len(), names.len()), (900, 900));
        for name in names {
            contracts::names::check_vm_name(name).unwrap();
        }
    }

    #[test]
    fn what_runs_fits_into_its_host() {
        for host in plan(3, 4, 600, 0) {
            assert!(
                taken_bytes(&host) <= host.facts.memory_bytes,
                "{}",
                host.name
            );
        }
    }
}
