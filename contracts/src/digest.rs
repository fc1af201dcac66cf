//! Digests of what a host has: made at the host of what is there, and by inventory of what its records say, so that an
//! unchanged host need not tell anything.
//!
//! A digest covers what the level is about and leaves out what only measures, since that always differs. It covers no
//! names: a machine's name in Muster is Muster's. A field that only one side knows makes the digests differ each time,
//! which costs bytes and harms nothing.

use std::collections::BTreeMap;

use prost::Message;

use crate::host::{HostFacts, Level, RefreshRequest, RefreshResponse, VmReport};
use crate::library::ItemFacts;
use crate::refresher::{ListTargetsResponse, Target};

/// Bytes of the digest of a whole: by chance two in 2^64 are alike, and the next change tells them apart.
const BYTES: usize = 16;

/// Digest of one machine at a level.
pub fn machine(level: Level, report: &VmReport) -> u64 {
    let covered = match level {
        Level::Heavy | Level::Unspecified | Level::Host => whole(report),
        Level::Light => VmReport {
            state: report.state,
            state_reason: report.state_reason.clone(),
            accelerator: report.accelerator.clone(),
            pid: report.pid,
            started_ms: report.started_ms,
            ..VmReport::default()
        },
    };
    short(&covered.encode_to_vec())
}

/// Digest of what a library server knows of a file.
pub fn item(facts: &ItemFacts) -> u64 {
    short(&facts.encode_to_vec())
}

/// The first eight bytes of BLAKE3: enough to tell apart, not to be trusted.
pub fn short(bytes: &[u8]) -> u64 {
    let hash = blake3::hash(bytes);
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Everything but the name and what only measures.
fn whole(report: &VmReport) -> VmReport {
    let mut covered = VmReport {
        vm_id: String::new(),
        name: String::new(),
        sequence: 0,
        ..report.clone()
    };
    if let Some(hardware) = &mut covered.hardware {
        for disk in &mut hardware.disks {
            disk.allocated_bytes = 0;
        }
    }
    if let Some(guest) = &mut covered.guest {
        guest.uptime_secs = 0;
    }
    covered
}

/// Digest of each of some machines, by id.
pub fn each<'a>(
    level: Level,
    reports: impl IntoIterator<Item = &'a VmReport>,
) -> BTreeMap<String, u64> {
    let digested = |report: &VmReport| (report.vm_id.clone(), machine(level, report));
    reports.into_iter().map(digested).collect()
}

/// Digest of all machines, or of all items of a share, together.
pub fn machines(each: &BTreeMap<String, u64>) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    for (id, digest) in each {
        hasher.update(id.as_bytes());
        // No id has it, so that no two lists make the same bytes.
        hasher.update(&[0]);
        hasher.update(&digest.to_le_bytes());
    }
    cut(&hasher.finalize())
}

/// Digest of what a host is and has.
pub fn facts(facts: &HostFacts) -> Vec<u8> {
    let mut covered = HostFacts {
        memory_used_bytes: 0,
        cpu_used_percent: 0.0,
        disk_io_per_sec: 0.0,
        network_mbit: 0.0,
        ..facts.clone()
    };
    for datastore in &mut covered.datastores {
        datastore.free_bytes = 0;
    }
    cut(&blake3::hash(&covered.encode_to_vec()))
}

/// What a host answers about its machines, whatever it is made of: nothing but the digest when the caller has the same,
/// else what differs. `machines` are all, or the one that is asked about.
pub fn answer_machines(request: &RefreshRequest, machines: &[VmReport]) -> RefreshResponse {
    let asked = |m: &&VmReport| request.vm_id.is_empty() || m.vm_id == request.vm_id;
    let machines: Vec<&VmReport> = machines.iter().filter(asked).collect();
    let there = each(request.level(), machines.iter().copied());
    let mut answer = RefreshResponse {
        digest: self::machines(&there),
        ..RefreshResponse::default()
    };
    if answer.digest == request.digest {
        return answer;
    }
    if !request.with_known_vms {
        answer.want_known_vms = true;
        return answer;
    }
    let differs = |m: &&VmReport| request.known_vms.get(&m.vm_id) != there.get(&m.vm_id);
    answer.vms = machines.into_iter().filter(differs).cloned().collect();
    let gone = request
        .known_vms
        .keys()
        .filter(|id| !there.contains_key(*id));
    answer.removed_vm_ids = gone.cloned().collect();
    answer
}

/// What a host answers about itself.
pub fn answer_facts(request: &RefreshRequest, facts: HostFacts) -> RefreshResponse {
    let digest = self::facts(&facts);
    RefreshResponse {
        facts: (digest != request.digest).then_some(facts),
        digest,
        ..RefreshResponse::default()
    }
}

/// What a service answers about what it has to refresh: nothing but the digest when the caller has the same.
pub fn answer_targets(known_digest: &[u8], targets: Vec<Target>) -> ListTargetsResponse {
    let mut answer = ListTargetsResponse {
        digest: Vec::new(),
        targets,
    };
    answer.digest = cut(&blake3::hash(&answer.encode_to_vec()));
    if answer.digest == known_digest {
        answer.targets.clear();
    }
    answer
}

fn cut(hash: &blake3::Hash) -> Vec<u8> {
    hash.as_bytes().iter().copied().take(BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff;
    use crate::host::{Datastore, Disk, GuestFacts, Hardware, VmState};

    fn report(id: &str) -> VmReport {
        VmReport {
            vm_id: id.to_owned(),
            state: VmState::Running.into(),
            hardware: Some(Hardware {
                disks: vec![Disk::default()],
                ..Hardware::default()
            }),
            guest: Some(GuestFacts::default()),
            ..VmReport::default()
        }
    }

    #[test]
    fn what_only_measures_does_not_count_and_all_else_does_at_its_level() {
        let mut measured = report("a");
        measured.name = "renamed".to_owned();
        measured.guest.get_or_insert_default().uptime_secs = 9;
        for disk in &mut measured.hardware.get_or_insert_default().disks {
            disk.allocated_bytes = 9;
        }
        let mut resized = report("a");
        resized.hardware.get_or_insert_default().vcpus = 2;
        let mut stopped = report("a");
        stopped.set_state(VmState::Stopped);
        let same = |level, other: &VmReport| machine(level, &report("a")) == machine(level, other);
        assert!(same(Level::Heavy, &measured) && same(Level::Light, &measured));
        assert!(!same(Level::Heavy, &resized) && same(Level::Light, &resized));
        assert!(!same(Level::Heavy, &stopped) && !same(Level::Light, &stopped));
    }

    #[test]
    fn facts_that_only_measure_are_the_untracked_ones() {
        let before = HostFacts {
            datastores: vec![Datastore::default()],
            ..HostFacts::default()
        };
        let mut after = before.clone();
        after.memory_used_bytes = 1;
        after.cpu_used_percent = 1.0;
        for datastore in &mut after.datastores {
            datastore.free_bytes = 1;
        }
        assert_eq!(facts(&before), facts(&after));
        assert_eq!(diff::changes(Some(&before), Some(&after)), []);
        after.cpus = 4;
        assert_ne!(facts(&before), facts(&after));
    }

    #[test]
    fn an_unchanged_host_answers_with_a_few_bytes_and_a_changed_one_with_what_differs() {
        let machines: Vec<VmReport> = (0..18).map(|n| report(&format!("vm-{n:02}"))).collect();
        let known = each(Level::Heavy, &machines);
        let mut request = RefreshRequest {
            level: Level::Heavy.into(),
            digest: super::machines(&known),
            ..RefreshRequest::default()
        };
        let unchanged = answer_machines(&request, &machines);
        assert_eq!(unchanged.encoded_len(), BYTES + 2);

        let mut changed: Vec<VmReport> = machines.into_iter().skip(1).collect();
        changed.iter_mut().take(1).for_each(|m| m.pid = 7);
        changed.push(report("vm-new"));
        assert!(answer_machines(&request, &changed).want_known_vms);
        request.known_vms = known;
        request.with_known_vms = true;
        let answer = answer_machines(&request, &changed);
        let ids: Vec<&str> = answer.vms.iter().map(|m| m.vm_id.as_str()).collect();
        assert_eq!(ids, ["vm-01", "vm-new"]);
        assert_eq!(answer.removed_vm_ids, ["vm-00"]);
    }

    #[test]
    fn one_machine_is_told_apart_from_all() {
        let machines = [report("a"), report("b")];
        let request = RefreshRequest {
            level: Level::Light.into(),
            vm_id: "a".to_owned(),
            with_known_vms: true,
            ..RefreshRequest::default()
        };
        let answer = answer_machines(&request, &machines);
        assert_eq!((answer.vms.len(), answer.removed_vm_ids.len()), (1, 0));
    }

    #[test]
    fn a_machine_more_or_less_shows_and_the_order_does_not() {
        let (a, b) = (report("a"), report("b"));
        let of = |reports: &[&VmReport]| machines(&each(Level::Light, reports.iter().copied()));
        assert_eq!(of(&[&a, &b]), of(&[&b, &a]));
        assert_ne!(of(&[&a, &b]), of(&[&a]));
        assert_eq!(of(&[&a]).len(), BYTES);
    }
}
