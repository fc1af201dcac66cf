//! What hosts really did, against what jobs were there to want it.

use std::collections::{BTreeMap, BTreeSet};

use contracts::host::VmState;
use contracts::inventory::{Host as HostRecord, HostGroup, Vm};
use contracts::jobs::Job;
use contracts::records::Record;

use super::Site;
use super::history::{self, Versions, around, is_over};
use super::hosts::{Effect, MEMORY_BYTES};

/// As many machines as the simulated clients make fit on a host beside its reserve.
const MACHINES_MAX: usize = 3;
const _: () = assert!(MEMORY_BYTES == 4 << 30);

pub(super) fn check(site: &Site) {
    let jobs = history::of::<Job>(&site.server);
    let machines = history::of::<Vm>(&site.server);
    let effects: Vec<Effect> = site.hosts.iter().flat_map(|host| host.effects()).collect();
    each_is_once(site, &jobs, &effects);
    for effect in effects.iter().filter(|effect| !effect.operation.is_empty()) {
        is_its_holders(site, &machines, effect);
    }
    for host in &site.hosts {
        is_never_overfilled(site, &jobs, &host.id, &host.effects());
    }
    no_two_hold_one::<Vm>(site, &jobs, |vm| &vm.job_id);
    no_two_hold_one::<HostRecord>(site, &jobs, |host| &host.job_id);
    no_two_hold_one::<HostGroup>(site, &jobs, |group| &group.job_id);
}

/// The job, and the step with its direction, whatever the number of the try.
fn of_step(operation: &str) -> (String, String) {
    let (job, step) = operation.split_once('/').unwrap_or((operation, ""));
    let is_number = |part: &&str| part.parse::<u32>().is_ok();
    let parts: Vec<&str> = step.split('/').filter(|part| !is_number(part)).collect();
    (job.to_owned(), parts.join("/"))
}

/// A step takes effect once, and once more for each time that a person restarted its job.
fn each_is_once(site: &Site, jobs: &Versions<Job>, effects: &[Effect]) {
    let mut count = BTreeMap::<(String, String), u32>::new();
    for effect in effects.iter().filter(|effect| !effect.operation.is_empty()) {
        *count.entry(of_step(&effect.operation)).or_default() += 1;
    }
    for ((job, step), count) in count {
        let last = jobs.get(&job).and_then(|versions| versions.last());
        let restarts = last.and_then(|last| Some(last.value.as_ref()?.restarts));
        if restarts.is_none_or(|restarts| count > 1 + restarts) {
            let said = format!("{job}/{step} took effect {count} times, restarts: {restarts:?}");
            site.world.violation(said);
        }
    }
}

/// Nothing is done to a machine but by the job that has it at that time.
fn is_its_holders(site: &Site, machines: &Versions<Vm>, effect: &Effect) {
    let (job, step) = of_step(&effect.operation);
    let versions = machines.get(&effect.vm_id).map(Vec::as_slice);
    let around = around(versions.unwrap_or_default(), effect.at_ms);
    let holders: BTreeSet<&str> = around
        .iter()
        .filter_map(|version| Some(version.value.as_ref()?.job_id.as_str()))
        .collect();
    if !holders.contains(job.as_str()) {
        let said = format!("{job}/{step} changed {} of {holders:?}", effect.vm_id);
        site.world.violation(said);
    }
}

/// Of machines that run since they were created there are never more than fit. One that was stopped gives its room up, and
/// takes what there is when it is started again: nobody places it.
fn is_never_overfilled(site: &Site, jobs: &Versions<Job>, host: &str, effects: &[Effect]) {
    let mut placed = BTreeSet::new();
    for effect in effects {
        let is_active = effect.after.is_some_and(VmState::is_active);
        if is_active && is_of_creation(jobs, effect) {
            placed.insert(&effect.vm_id);
        } else if !is_active {
            placed.remove(&effect.vm_id);
        }
        if placed.len() > MACHINES_MAX {
            let said = format!("{} machines were placed on {host}", placed.len());
            return site.world.violation(said);
        }
    }
}

fn is_of_creation(jobs: &Versions<Job>, effect: &Effect) -> bool {
    let (job, _) = of_step(&effect.operation);
    let first = jobs.get(&job).and_then(|versions| versions.first());
    let first = first.and_then(|version| version.value.as_ref());
    first.is_some_and(|job| job.kind == "vm_create")
}

/// An object goes from one job to another only when the first cannot act any more.
fn no_two_hold_one<R: Record>(site: &Site, jobs: &Versions<Job>, holder: fn(&R) -> &String) {
    for (id, versions) in history::of::<R>(&site.server) {
        for pair in versions.windows(2) {
            let (Some(before), Some(after)) = (&pair[0].value, &pair[1].value) else {
                continue;
            };
            let (old, new) = (holder(before), holder(after));
            let is_handed_over = !old.is_empty() && !new.is_empty() && old != new;
            let of_old = jobs.get(old).map(Vec::as_slice).unwrap_or_default();
            if is_handed_over && !is_over(of_old, pair[1].at_ms) {
                let said = format!("{} {id} went from {old} to {new}", R::BUCKET);
                site.world.violation(said);
            }
        }
    }
}
