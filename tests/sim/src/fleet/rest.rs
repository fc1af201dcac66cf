//! After the faults: every job ends, what is stuck goes on when a person wants it to, and nothing is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contracts::inventory::{Host as HostRecord, HostGroup, Vm, VmName};
use contracts::jobs::{Job, JobState};
use contracts::placement::HostClaims;
use contracts::subjects::{self, RUNS};

use super::Site;
use super::history;

/// How long it may take, in simulated time: longer than all patience of services and jobs, and until a claim that nobody
/// gave back has ended and been removed (a quarter of an hour after it was first looked at, every ten minutes).
const PATIENCE: Duration = Duration::from_secs(45 * 60);

const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How often a person restarts a job that is stuck. Nothing fails any more, so once should do; a job may be stuck once more
/// on the way back.
const RESTARTS_MAX: u32 = 3;

pub(super) async fn comes_to_rest(site: &Site) {
    for program in &site.programs {
        program.live_on();
        program.start();
    }
    for host in &site.hosts {
        host.start().await;
    }
    let mut restarted = BTreeMap::new();
    let mut waited = Duration::ZERO;
    while let Some(reason) = unrest(site) {
        if waited >= PATIENCE {
            let said = format!("no rest after {PATIENCE:?}: {reason}");
            return site.world.violation(said);
        }
        restart_stuck(site, &mut restarted).await;
        site.world.pass(LOOK_INTERVAL).await;
        waited += LOOK_INTERVAL;
        if site.world.has_violations() {
            return;
        }
    }
    site.world.tell("plan", format!("at rest after {waited:?}"));
}

/// A person sees to what is stuck.
async fn restart_stuck(site: &Site, restarted: &mut BTreeMap<String, u32>) {
    for (id, job) in history::now::<Job>(&site.server) {
        if job.state() != JobState::Stuck || site.operator.is_busy() {
            continue;
        }
        let times = restarted.entry(id.clone()).or_default();
        *times += 1;
        if *times > RESTARTS_MAX {
            let said = format!(
                "job {id} is stuck although nothing fails: {:?}",
                job.problem
            );
            return site.world.violation(said);
        }
        let token = format!("operator-{id}-{times}");
        site.operator.restart(&token, &id).await;
    }
}

/// What is not as it should be in the end; `None`: all is.
fn unrest(site: &Site) -> Option<String> {
    if let Some(busy) = site.clients.iter().position(|client| client.is_busy()) {
        return Some(format!("client-{busy} has no answer"));
    }
    let jobs = history::now::<Job>(&site.server);
    let open = |job: &&Job| job.state().keeps_object();
    if let Some(job) = jobs.values().find(open) {
        let (id, state) = (&job.id, job.state());
        return Some(format!(
            "job {id} ({}) is {state:?}: {}",
            job.kind, job.message
        ));
    }
    if !site
        .server
        .entries(RUNS, &subjects::all_runs(), 1)
        .is_empty()
    {
        return Some("the work queue is not empty".to_owned());
    }
    held(site)
        .or_else(|| claimed(site))
        .or_else(|| strays(site, &jobs))
        .or_else(|| names(site))
}

/// An object that a job has although all have ended.
fn held(site: &Site) -> Option<String> {
    let vms = history::now::<Vm>(&site.server);
    let hosts = history::now::<HostRecord>(&site.server);
    let groups = history::now::<HostGroup>(&site.server);
    let holders = vms
        .values()
        .map(|vm| (&vm.id, &vm.job_id))
        .chain(hosts.values().map(|host| (&host.id, &host.job_id)))
        .chain(groups.values().map(|group| (&group.id, &group.job_id)));
    let mut held = holders.filter(|(_, job)| !job.is_empty());
    let (id, job) = held.next()?;
    Some(format!("{id} is held by job {job}"))
}

fn claimed(site: &Site) -> Option<String> {
    let claims = history::now::<HostClaims>(&site.server);
    let mut left = claims.values().flat_map(|claims| &claims.claims);
    let claim = left.next()?;
    Some(format!(
        "a claim is left of {} for {}",
        claim.job_id, claim.vm_id
    ))
}

/// Every machine that was made and not deleted is there once, at its host as in inventory, and no other is.
fn strays(site: &Site, jobs: &BTreeMap<String, Job>) -> Option<String> {
    let records = history::now::<Vm>(&site.server);
    let mut wanted = BTreeSet::new();
    let done = |kind: &'static str| {
        move |job: &&Job| job.kind == kind && job.state() == JobState::Succeeded
    };
    let target = |job: &Job| job.target.clone().unwrap_or_default().id;
    wanted.extend(jobs.values().filter(done("vm_create")).map(target));
    for deleted in jobs.values().filter(done("vm_delete")).map(target) {
        wanted.remove(&deleted);
    }
    let known: BTreeSet<String> = records.keys().cloned().collect();
    if let Some(id) = known.symmetric_difference(&wanted).next() {
        return Some(format!(
            "record of machine {id}, wanted: {}",
            wanted.contains(id)
        ));
    }
    let mut there = BTreeSet::new();
    for host in &site.hosts {
        for machine in host.machines() {
            let record = records.get(&machine.vm_id);
            let fits =
                record.is_some_and(|vm| vm.host_id == host.id && vm.state() == machine.state());
            if !fits || !there.insert(machine.vm_id.clone()) {
                let (id, state) = (&machine.vm_id, machine.state());
                return Some(format!("{id} is {state:?} on {}: {record:?}", host.id));
            }
        }
    }
    let gone = wanted.difference(&there).next()?;
    Some(format!("machine {gone} is on no host"))
}

/// Each machine has its name, and no name is anybody else's.
fn names(site: &Site) -> Option<String> {
    let machines = history::now::<Vm>(&site.server);
    let names = history::now::<VmName>(&site.server);
    let holds = |vm: &Vm| names.get(&vm.name).is_some_and(|name| name.vm_id == vm.id);
    if let Some(nameless) = machines.values().find(|vm| !holds(vm)) {
        return Some(format!(
            "{} has not its name {}",
            nameless.id, nameless.name
        ));
    }
    let mut orphans = names
        .iter()
        .filter(|(_, name)| !machines.contains_key(&name.vm_id));
    let (name, holder) = orphans.next()?;
    Some(format!(
        "name {name} is of {}, which is not there",
        holder.vm_id
    ))
}
