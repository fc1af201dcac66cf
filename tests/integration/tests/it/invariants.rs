//! What must hold whatever has happened, seen from outside: the log itself, every gateway's lists, the hosts' folders and
//! `/proc`.

use std::collections::{BTreeMap, BTreeSet};

use contracts::common::Event;
use contracts::inventory::{Host, HostGroup, Vm, VmName};
use contracts::jobs::step::State;
use contracts::jobs::{Job, JobState};
use contracts::library::{Item, Server, Share};
use contracts::placement::HostClaims;
use contracts::records::Record;
use contracts::{diff, rest};
use serde::Serialize;
use serde_json::Value;
use support::eventually;

use crate::fleet::Fleet;
use crate::log::{Bucket, Log};

/// Everything that can be seen from outside at one time.
#[derive(Clone, Default)]
struct Picture {
    groups: Bucket<HostGroup>,
    hosts: Bucket<Host>,
    vms: Bucket<Vm>,
    names: Bucket<VmName>,
    jobs: Bucket<Job>,
    claims: Bucket<HostClaims>,
    library_servers: Bucket<Server>,
    shares: Bucket<Share>,
    items: Bucket<Item>,
    events: Vec<(u64, Event)>,
    waiting_for_a_runner: Option<String>,
    acknowledged: BTreeSet<String>,
    /// Of each gateway the lists of each kind.
    lists: Vec<BTreeMap<&'static str, Vec<Value>>>,
    /// Machines with a process, and the process.
    processes: Vec<(String, u32)>,
    /// Machines with a folder.
    folders: BTreeSet<String>,
}

const LISTS: [&str; 4] = ["host-groups", "hosts", "vms", "jobs"];

/// Insists that everything holds, once what is under way has come to its end.
pub async fn hold(fleet: &Fleet) {
    let log = Log::open(&fleet.bus).await;
    let mut wrong = Vec::new();
    let held = eventually("everything to be as it must be", async || {
        wrong = match look(&log, fleet).await {
            Ok(picture) => picture.wrong(),
            Err(error) => vec![format!("not everything could be seen: {error:#}")],
        };
        wrong.is_empty().then_some(())
    })
    .await;
    assert!(held.is_ok(), "{}", wrong.join("\n"));
}

async fn look(log: &Log, fleet: &Fleet) -> anyhow::Result<Picture> {
    let mut lists = Vec::new();
    for gateway in fleet.client.each() {
        let mut of_gateway = BTreeMap::new();
        for kind in LISTS {
            of_gateway.insert(kind, gateway.list(kind).await?);
        }
        lists.push(of_gateway);
    }
    let folder = |path: std::path::PathBuf| Some(path.file_name()?.to_str()?.to_owned());
    Ok(Picture {
        events: log.events().await?,
        groups: log.bucket().await?,
        hosts: log.bucket().await?,
        vms: log.bucket().await?,
        names: log.bucket().await?,
        jobs: log.bucket().await?,
        claims: log.bucket().await?,
        library_servers: log.bucket().await?,
        shares: log.bucket().await?,
        items: log.bucket().await?,
        waiting_for_a_runner: log.waiting_for_a_runner().await?,
        acknowledged: fleet.client.acknowledged(),
        lists,
        processes: fleet.qemu_by_machine(),
        folders: fleet
            .machine_folders()
            .into_iter()
            .filter_map(folder)
            .collect(),
    })
}

impl Picture {
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        self.check_jobs(&mut wrong);
        self.check_lists(&mut wrong);
        check_events(&self.events, &self.groups, &mut wrong);
        check_events(&self.events, &self.hosts, &mut wrong);
        check_events(&self.events, &self.vms, &mut wrong);
        check_events(&self.events, &self.jobs, &mut wrong);
        check_events(&self.events, &self.library_servers, &mut wrong);
        check_events(&self.events, &self.shares, &mut wrong);
        check_events(&self.events, &self.items, &mut wrong);
        self.check_processes(&mut wrong);
        self.check_names_and_folders(&mut wrong);
        self.check_held(&mut wrong);
        wrong
    }

    /// What was acknowledged is there once, and nothing is that nobody asked for; each has come to an end.
    fn check_jobs(&self, wrong: &mut Vec<String>) {
        let lost = self
            .acknowledged
            .iter()
            .filter(|id| !self.jobs.contains_key(*id));
        wrong.extend(lost.map(|id| format!("job {id} was acknowledged and is not in the log")));
        for (id, (_, job)) in &self.jobs {
            let kind = &job.kind;
            // What a service did on somebody's word is taken down without steps: a host that joined by their token.
            let was_asked_for = job.owner == "local" && !job.steps.is_empty();
            if was_asked_for && !self.acknowledged.contains(id) {
                wrong.push(format!("job {id} ({kind}) is in the log unasked"));
            }
            if let Some(why) = why_not_ended(job) {
                wrong.push(format!("job {id} ({kind}): {why}"));
            }
        }
        if let Some(job) = &self.waiting_for_a_runner {
            wrong.push(format!("{job} waits for a runner"));
        }
    }

    fn check_lists(&self, wrong: &mut Vec<String>) {
        let expected = self.expected_lists();
        for (gateway, lists) in self.lists.iter().enumerate() {
            for (kind, expected) in &expected {
                let shown = by_id(&lists[kind]);
                if shown.len() != lists[kind].len() {
                    wrong.push(format!("gateway {gateway} lists one of {kind} twice"));
                }
                if shown != *expected {
                    let both = format!("{shown:?}\nthe log has {expected:?}");
                    wrong.push(format!("gateway {gateway} lists of {kind} {both}"));
                }
            }
        }
    }

    /// What every gateway must list.
    fn expected_lists(&self) -> [(&'static str, BTreeMap<String, Value>); 4] {
        let with_count = |host: &Host| rest::Host {
            vm_count: self.vms_on(&host.id),
            ..host.clone().into()
        };
        [
            (
                "host-groups",
                listed(&self.groups, |group| rest::HostGroup::from(group.clone())),
            ),
            ("hosts", listed(&self.hosts, with_count)),
            ("vms", listed(&self.vms, |vm| rest::Vm::from(vm.clone()))),
            (
                "jobs",
                listed(&self.jobs, |job| rest::Job::from(job.clone())),
            ),
        ]
    }

    fn vms_on(&self, host_id: &str) -> u64 {
        self.vms
            .values()
            .filter(|(_, vm)| vm.host_id == host_id)
            .count() as u64
    }

    /// One process for each machine that is on, none beside.
    fn check_processes(&self, wrong: &mut Vec<String>) {
        let on = self
            .vms
            .iter()
            .filter(|(_, (_, vm))| vm.state().is_active());
        let mut expected: Vec<(String, u32)> =
            on.map(|(id, (_, vm))| (id.clone(), vm.pid)).collect();
        let mut there = self.processes.clone();
        expected.sort();
        there.sort();
        if there != expected {
            wrong.push(format!("processes of QEMU: {there:?}, not {expected:?}"));
        }
    }

    fn check_names_and_folders(&self, wrong: &mut Vec<String>) {
        let placed = self
            .vms
            .iter()
            .filter(|(_, (_, vm))| !vm.host_id.is_empty());
        let placed: BTreeSet<String> = placed.map(|(id, _)| id.clone()).collect();
        if placed != self.folders {
            wrong.push(format!(
                "folders of machines: {:?}, not {placed:?}",
                self.folders
            ));
        }
        let vms = self.vms.values();
        let called: BTreeMap<String, &str> = vms
            .map(|(_, vm)| (vm.name.to_lowercase(), vm.id.as_str()))
            .collect();
        let names = self.names.iter();
        let taken: BTreeMap<String, &str> = names
            .map(|(name, (_, holder))| (name.to_lowercase(), holder.vm_id.as_str()))
            .collect();
        if called != taken {
            wrong.push(format!("names taken: {taken:?}, not {called:?}"));
        }
    }

    /// Only jobs that still need it hold capacity or an object.
    fn check_held(&self, wrong: &mut Vec<String>) {
        let keeps = |id: &str| {
            self.jobs
                .get(id)
                .is_some_and(|(_, job)| job.state().keeps_object())
        };
        let claims = self.claims.values().flat_map(|(_, host)| &host.claims);
        let claims = claims.map(|claim| (format!("capacity for {}", claim.vm_id), &claim.job_id));
        let vms = self
            .vms
            .iter()
            .map(|(id, (_, vm))| (format!("machine {id}"), &vm.job_id));
        let hosts = self
            .hosts
            .iter()
            .map(|(id, (_, host))| (format!("host {id}"), &host.job_id));
        let groups = self
            .groups
            .iter()
            .map(|(id, (_, group))| (format!("group {id}"), &group.job_id));
        let held = claims.chain(vms).chain(hosts).chain(groups);
        let leaked = held.filter(|(_, job)| !job.is_empty() && !keeps(job));
        wrong.extend(leaked.map(|(what, job)| format!("{what} is held by {job}, which has ended")));
    }
}

/// Why a job has not come to an end as it must.
fn why_not_ended(job: &Job) -> Option<String> {
    let open = |s: &State| matches!(s, State::Running | State::Undoing);
    let states: Vec<State> = job.steps.iter().map(|step| step.state()).collect();
    let undone = !states.contains(&State::UndoFailed);
    match job.state() {
        JobState::Succeeded if states.iter().all(|state| *state == State::Done) => None,
        JobState::Failed | JobState::Cancelled if undone && !states.iter().any(open) => None,
        JobState::Stuck => {
            let problem = job.problem.clone().unwrap_or_default();
            let is_told = !problem.message.is_empty() && !problem.recommended_action.is_empty();
            (!is_told).then(|| "it is stuck without a word for the operator".to_owned())
        }
        state => Some(format!("{state:?} with steps {states:?}: {}", job.message)),
    }
}

/// Records as a gateway lists them, by id.
fn listed<R, T: Serialize>(
    bucket: &Bucket<R>,
    to_rest: impl Fn(&R) -> T,
) -> BTreeMap<String, Value> {
    let items: Vec<T> = bucket.values().map(|(_, record)| to_rest(record)).collect();
    // Through text, as the gateway's answer went: numbers are then read alike.
    let text = serde_json::to_string(&items).unwrap();
    by_id(&serde_json::from_str::<Vec<Value>>(&text).unwrap())
}

fn by_id(items: &[Value]) -> BTreeMap<String, Value> {
    let item = |item: &Value| {
        let mut item = item.clone();
        // What a gateway adds from records of another kind.
        for added in ["path", "group_path", "host_name"] {
            item.as_object_mut().unwrap().remove(added);
        }
        (item["id"].as_str().unwrap().to_owned(), item)
    };
    items.iter().map(item).collect()
}

/// Each object has a chain of events in order of revision, without a double or a gap, that ends at its record.
fn check_events<R: Record>(events: &[(u64, Event)], bucket: &Bucket<R>, wrong: &mut Vec<String>) {
    let kind = R::BUCKET;
    let mut revisions: BTreeMap<&str, u64> = BTreeMap::new();
    let mut chains: BTreeMap<&str, Option<R>> = BTreeMap::new();
    for (sequence, event) in events.iter().filter(|(_, event)| event.kind == kind) {
        let Event { id, revision, .. } = event;
        let last_revision = revisions.insert(id, *revision).unwrap_or(0);
        if *revision <= last_revision {
            wrong.push(format!(
                "event {sequence} of {kind} {id}: revision {revision} after {last_revision}"
            ));
        }
        let before = decoded::<R>(&event.before);
        let known = chains.get(id.as_str()).cloned().flatten();
        if differs(known.as_ref(), before.as_ref()) {
            wrong.push(format!(
                "event {sequence} of {kind} {id}: a change before revision {revision} has no event: {:?}",
                diff::changes(known.as_ref(), before.as_ref())
            ));
        }
        chains.insert(id.as_str(), decoded(&event.after));
    }
    for (id, after) in &chains {
        let record = bucket.get(*id).map(|(_, record)| record);
        if differs(after.as_ref(), record) {
            wrong.push(format!("the last event of {kind} {id} is not its record"));
        }
    }
    let silent = bucket.keys().filter(|id| !chains.contains_key(id.as_str()));
    wrong.extend(silent.map(|id| format!("{kind} {id} has no event")));
}

fn decoded<R: Record>(bytes: &[u8]) -> Option<R> {
    (!bytes.is_empty()).then(|| R::decode(bytes).unwrap())
}

/// Whether two states of an object differ in more than what is only measured.
fn differs<R: Record>(one: Option<&R>, other: Option<&R>) -> bool {
    one.is_some() != other.is_some() || !diff::changes(one, other).is_empty()
}

#[cfg(test)]
#[path = "invariants_tests.rs"]
mod tests;
