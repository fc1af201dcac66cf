//! A host as it is rated: what it is and has, and what it carries.
//!
//! It carries what it says that it uses, and what is promised and does not show in that yet.

use contracts::host::{Datastore, HostFacts, VmState};
use contracts::inherit::{self, Groups};
use contracts::inventory::host::{Approval, Status as HostStatus};
use contracts::inventory::{Host, HostSettings};
use contracts::placement::{Claim, DatastoreState, EffectiveReserves, HostState};

use super::guest::Guest;
use super::model::{Resource, Row};
use super::query::{Defaults, TAKES_PART};
use super::stay::Stay;
use super::units::{cut, mib_down, mib_up, whole_down, whole_up};

/// The network that hosts have which do not say what they have.
const DEFAULT_NETWORK: &str = "user";

/// What a host carries.
#[derive(Clone, Copy)]
pub struct Carried<'a> {
    pub guests: &'a [&'a Guest],
    /// Open claims.
    pub claims: &'a [&'a Claim],
    /// Whether the host's samples are older than they may be.
    pub stale: bool,
}

/// A host with what it carries.
pub fn of(host: &Host, groups: &Groups, carried: Carried<'_>, defaults: &Defaults) -> HostState {
    let none = HostFacts::default();
    let facts = host.facts.as_ref().unwrap_or(&none);
    let own = HostSettings::default();
    let settings = host.settings.as_ref().unwrap_or(&own);
    let coming = coming(carried);
    let claims = carried.claims.iter();
    let disk_promised = claims.map(|c| c.disk_bytes).fold(0, u64::saturating_add);
    HostState {
        host_id: host.id.clone(),
        host_name: host.name.clone(),
        group_id: host.group_id.clone(),
        approved: host.approval() == Approval::Approved,
        responding: host.status() == HostStatus::Responding,
        removing: host.removing,
        maintenance: settings.maintenance,
        cpus: facts.cpus,
        memory_bytes: facts.memory_bytes,
        memory_overhead_bytes: facts.memory_overhead_bytes,
        memory_used_bytes: memory_used(facts, carried, &coming),
        cpu_used: cpu_used(facts, carried, &coming, defaults),
        disk_io_used: measured(facts.disk_io_per_sec, carried)
            .saturating_add(expected(&coming, |c| c.disk_io)),
        disk_io_max: settings.disk_io_per_sec_max.into(),
        network_used: measured(facts.network_mbit, carried)
            .saturating_add(expected(&coming, |c| c.network)),
        network_max: match settings.network_mbit_max {
            0 => facts.network_mbit_max.into(),
            said => said.into(),
        },
        disk_promised_bytes: disk_promised,
        reserves: Some(inherit::of_host(host, groups, defaults.reserves)),
        datastores: facts
            .datastores
            .iter()
            .map(|d| datastore(d, settings))
            .collect(),
        networks: networks(facts),
        tags: settings.tags.clone(),
        platform: facts.platform.clone(),
        accelerator: facts.accelerator.clone(),
        uefi: facts.uefi,
        q35_versions: facts.q35_versions.clone(),
        cpu_features: facts.cpu_features.clone(),
        other_virtualization: facts.other_virtualization.clone(),
        cluster: settings.cluster.clone(),
        rack: settings.rack.clone(),
        room: settings.room.clone(),
        stale: carried.stale,
        rules: Vec::new(),
        expected_stay_secs: None,
    }
}

/// A machine that does not run yet but will: being made, or claimed and not counted elsewhere.
struct Coming {
    vcpus: u32,
    memory_bytes: u64,
    cpu_percent: Option<f64>,
    disk_io: f64,
    network: f64,
}

fn coming(carried: Carried<'_>) -> Vec<Coming> {
    let made = carried
        .guests
        .iter()
        .filter(|g| g.state == VmState::Creating);
    let made = made.map(|guest| Coming {
        vcpus: guest.vcpus,
        memory_bytes: guest.memory_bytes,
        cpu_percent: None,
        disk_io: 0.0,
        network: 0.0,
    });
    let is_counted = |id: &str| carried.guests.iter().any(|g| g.id == id && g.counts());
    let claimed = carried.claims.iter().filter(|c| !is_counted(&c.vm_id));
    let claimed = claimed.map(|claim| Coming {
        vcpus: claim.vcpus,
        memory_bytes: claim.memory_bytes,
        cpu_percent: claim.expected_cpu_percent,
        disk_io: claim.expected_disk_io_per_sec,
        network: claim.expected_network_mbit,
    });
    made.chain(claimed).collect()
}

/// The larger of what the host reports and what its active machines are made for, since a guest takes its memory only as it
/// touches it; then what is coming.
fn memory_used(facts: &HostFacts, carried: Carried<'_>, coming: &[Coming]) -> u64 {
    let with_overhead = |memory: u64| memory.saturating_add(facts.memory_overhead_bytes);
    let active = carried.guests.iter().filter(|g| g.state.is_active());
    let active = active
        .map(|guest| with_overhead(guest.memory_bytes))
        .fold(0, u64::saturating_add);
    let reported = if carried.stale {
        0
    } else {
        facts.memory_used_bytes
    };
    let coming = coming.iter().map(|c| with_overhead(c.memory_bytes));
    coming.fold(active.max(reported), u64::saturating_add)
}

/// In hundredths of a processor. Without samples that can be trusted, active machines count with what is expected of a new
/// one.
fn cpu_used(
    facts: &HostFacts,
    carried: Carried<'_>,
    coming: &[Coming],
    defaults: &Defaults,
) -> u64 {
    let usual = defaults.expected_cpu_percent;
    let used = if carried.stale {
        let active = carried.guests.iter().filter(|g| g.state.is_active());
        active.map(|guest| f64::from(guest.vcpus) * usual).sum()
    } else {
        f64::from(facts.cpus) * percent(facts.cpu_used_percent)
    };
    let share = |c: &Coming| f64::from(c.vcpus) * c.cpu_percent.unwrap_or(usual);
    coming
        .iter()
        .map(|c| whole_up(share(c)))
        .fold(whole_up(used), u64::saturating_add)
}

/// A measured percentage; one that is none counts as full.
fn percent(measured: f64) -> f64 {
    if measured.is_finite() {
        measured.clamp(0.0, 100.0)
    } else {
        100.0
    }
}

fn measured(sample: f64, carried: Carried<'_>) -> u64 {
    if carried.stale { 0 } else { whole_up(sample) }
}

fn expected(coming: &[Coming], get: impl Fn(&Coming) -> f64) -> u64 {
    coming
        .iter()
        .map(|c| whole_up(get(c)))
        .fold(0, u64::saturating_add)
}

fn datastore(datastore: &Datastore, settings: &HostSettings) -> DatastoreState {
    let tags = settings.datastore_tags.get(&datastore.name);
    DatastoreState {
        name: datastore.name.clone(),
        free_bytes: datastore.free_bytes,
        problem: datastore.problem.clone(),
        tags: tags.map(|tags| tags.tags.clone()).unwrap_or_default(),
        images: datastore.images.iter().map(|i| i.name.clone()).collect(),
    }
}

/// Names and locations.
fn networks(facts: &HostFacts) -> Vec<String> {
    if facts.networks.is_empty() {
        return vec![DEFAULT_NETWORK.to_owned()];
    }
    let names = facts.networks.iter().flat_map(|n| [&n.name, &n.location]);
    names.filter(|name| !name.is_empty()).cloned().collect()
}

/// The numbers of a host.
pub fn row(state: &HostState) -> Row {
    let none = EffectiveReserves::default();
    let reserves = state.reserves.as_ref().unwrap_or(&none);
    let beyond = |total: f64, percent: f64| cut(whole_down(total * (100.0 - percent) / 100.0));
    let memory = state.memory_bytes.saturating_sub(reserves.memory_bytes);
    let disk_io = state
        .disk_io_max
        .saturating_sub(whole_up(reserves.disk_io_per_sec));
    let memory_used = state
        .memory_used_bytes
        .saturating_add(state.memory_overhead_bytes);
    let mut rated = Resource::Cpu.bit() | Resource::Memory.bit();
    if state.disk_io_max > 0 {
        rated |= Resource::DiskIo.bit();
    }
    if state.network_max > 0 {
        rated |= Resource::Network.bit();
    }
    Row {
        total: [
            beyond(f64::from(state.cpus) * 100.0, reserves.cpu_percent),
            mib_down(memory),
            cut(disk_io),
            beyond(f64::from(cut(state.network_max)), reserves.network_percent),
        ],
        used: [
            cut(state.cpu_used),
            mib_up(memory_used),
            cut(state.disk_io_used),
            cut(state.network_used),
        ],
        rated,
        features: if takes_part(state) { TAKES_PART } else { 0 },
        largest: [state.cpus, disk_size(state, state.datastores.iter())],
        overhead: mib_up(state.memory_overhead_bytes),
        stay: state
            .expected_stay_secs
            .map_or(Stay::UNKNOWN, Stay::of_secs),
    }
}

/// The disks that fit on the roomiest of some datastores beside what is promised and kept, in MiB and one more: 0 where there
/// is no place even for nothing.
pub fn disk_size<'a>(
    state: &HostState,
    datastores: impl Iterator<Item = &'a DatastoreState>,
) -> u32 {
    let reserved = state.reserves.as_ref().map_or(0, |r| r.disk_bytes);
    let taken = state.disk_promised_bytes.saturating_add(reserved);
    let usable = datastores.filter(|d| d.problem.is_empty());
    let roomiest = usable.map(|d| d.free_bytes).max();
    let room = roomiest.and_then(|free| free.checked_sub(taken));
    room.map_or(0, |room| mib_down(room).saturating_add(1))
}

/// Whether anything at all can be placed on the host.
pub fn takes_part(state: &HostState) -> bool {
    state.approved
        && state.responding
        && !state.removing
        && !state.maintenance
        && state.other_virtualization.is_empty()
}

#[cfg(test)]
mod tests;
