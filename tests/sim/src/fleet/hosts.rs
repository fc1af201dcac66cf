//! Stand-ins for hosts: their machines are entries of a table, and they keep an account of everything that they did.
//!
//! A command is done and its outcome stored in one go, as the host contract wants it to look; a host that dies keeps its
//! machines, outcomes and account, and comes back as a new generation that reports everything anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent::core::fences::Fences;
use contracts::call::{Context, Revisions};
use contracts::host::{Datastore, HOST, HostFacts, HostServer, ImageFile, VmReport, VmState};
use contracts::subjects::buckets;
use contracts::{Code, ObjectRef, Status};
use kit::bus::Bus;
use kit::rpc::{Gate, serve};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::answers::Answers;
use super::plan::Whims;
use super::report;
use crate::bus::{Server, SimBus};
use crate::world::World;

/// Room for a few machines only, so that they are fought for.
pub(super) const MEMORY_BYTES: u64 = 4 << 30;
pub(super) const CPUS: u32 = 16;
pub(super) const IMAGE: &str = "guest.qcow2";
pub(super) const IMAGE_BYTES: u64 = 1 << 30;
const DISK_BYTES: u64 = 1 << 40;

/// Something that a host really did.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    pub(super) at_ms: i64,
    /// Under which the host was asked; empty: it happened by itself.
    pub(super) operation: String,
    pub(super) vm_id: String,
    /// What the machine was afterwards; `None`: it was not there any more.
    pub(super) after: Option<VmState>,
}

/// A change that inventory is to be told; `None`: the machine is gone.
pub(super) type Change = (String, Option<VmReport>);

/// What outlives the agent.
#[derive(Default)]
struct Disk {
    generation: u64,
    machines: BTreeMap<String, VmReport>,
    outcomes: BTreeMap<String, Result<VmReport, Status>>,
    fences: Fences,
    effects: Vec<Effect>,
}

pub(super) struct Host {
    pub(super) id: String,
    pub(super) world: World,
    server: Arc<Server>,
    whims: Mutex<Whims>,
    disk: Mutex<Disk>,
    life: Mutex<Option<Life>>,
}

struct Life {
    bus: SimBus,
    tasks: Vec<AbortHandle>,
    changes: mpsc::UnboundedSender<Change>,
}

struct NoRecords;

#[async_trait::async_trait]
impl Gate for NoRecords {
    async fn wait_for(&self, _: &Revisions, _: Duration) -> bool {
        true
    }
}

impl Host {
    pub(super) fn new(id: String, world: &World, server: &Arc<Server>) -> Arc<Self> {
        Arc::new(Self {
            id,
            world: world.clone(),
            server: Arc::clone(server),
            whims: Mutex::default(),
            disk: Mutex::default(),
            life: Mutex::default(),
        })
    }

    fn disk<T>(&self, with: impl FnOnce(&mut Disk) -> T) -> T {
        with(&mut self.disk.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn life<T>(&self, with: impl FnOnce(&mut Option<Life>) -> T) -> T {
        with(&mut self.life.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn bus(&self) -> Option<SimBus> {
        self.life(|life| life.as_ref().map(|life| life.bus.clone()))
    }

    pub(super) fn set_whims(&self, whims: Whims) {
        *self.whims.lock().unwrap_or_else(PoisonError::into_inner) = whims;
    }

    pub(super) fn whims(&self) -> Whims {
        *self.whims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn start(self: &Arc<Self>) {
        if self.life(|life| life.is_some()) {
            return;
        }
        let bus = self.server.connect(&self.id);
        let generation = self.disk(|disk| {
            disk.generation += 1;
            disk.generation
        });
        self.world
            .tell(&self.id, format!("starts as generation {generation}"));
        let (changes, heard) = mpsc::unbounded_channel();
        let on: Arc<dyn Bus> = Arc::new(bus.clone());
        let answers = HostServer(Arc::new(Answers::new(Arc::clone(self), generation)));
        let subject = HOST.subject_of_host(&self.id);
        serve(&on, Arc::new(NoRecords), &subject, Arc::new(answers))
            .await
            .expect("a model serves");
        let beating = report::beat(
            self.world.clone(),
            Arc::clone(&on),
            self.id.clone(),
            generation,
        );
        let telling = report::tell(Arc::clone(self), on, generation, heard);
        let tasks = vec![
            tokio::spawn(beating).abort_handle(),
            tokio::spawn(telling).abort_handle(),
        ];
        let life = Life {
            bus,
            tasks,
            changes,
        };
        self.life(|at| *at = Some(life));
    }

    /// The agent dies; the machines stay.
    pub(super) fn die(&self) {
        if let Some(life) = self.life(Option::take) {
            self.world.tell(&self.id, "dies");
            life.bus.close();
            life.tasks.iter().for_each(AbortHandle::abort);
        }
    }

    pub(super) fn facts(&self) -> HostFacts {
        HostFacts {
            hostname: self.id.clone(),
            hypervisor: "simulated".to_owned(),
            accelerator: "simulated".to_owned(),
            cpus: CPUS,
            memory_bytes: MEMORY_BYTES,
            datastores: vec![Datastore {
                name: "disk".to_owned(),
                capacity_bytes: DISK_BYTES,
                free_bytes: DISK_BYTES,
                images: vec![ImageFile {
                    name: IMAGE.to_owned(),
                    file_bytes: IMAGE_BYTES,
                }],
                ..Datastore::default()
            }],
            ..HostFacts::default()
        }
    }

    pub(super) fn machines(&self) -> Vec<VmReport> {
        self.disk(|disk| disk.machines.values().cloned().collect())
    }

    pub(super) fn machine(&self, vm_id: &str) -> Result<VmReport, Status> {
        let there = self.disk(|disk| disk.machines.get(vm_id).cloned());
        there.ok_or_else(|| missing(vm_id))
    }

    pub(super) fn effects(&self) -> Vec<Effect> {
        self.disk(|disk| disk.effects.clone())
    }

    pub(super) fn outcome(&self, operation: &str) -> Option<Result<VmReport, Status>> {
        self.disk(|disk| disk.outcomes.get(operation).cloned())
    }

    /// As the agent: who has heard a later word about a machine does not do what an earlier one wanted.
    pub(super) fn pass(&self, context: &Context, vm_id: &str) -> Result<(), Status> {
        let revision = context.seen_of(buckets::JOB);
        let passes = self.disk(|disk| disk.fences.pass(vm_id, revision, usize::MAX));
        if passes {
            return Ok(());
        }
        self.world
            .tell(&self.id, format!("{} comes late", context.job_id));
        Err(Status::new(Code::Aborted, "The command comes late.").action("Look at the job."))
    }

    /// Does a piece of work under an operation, if the agent of this generation still lives and nobody did it meanwhile.
    /// `None` of the work: the machine is to go.
    pub(super) fn do_once(
        &self,
        generation: u64,
        operation: &str,
        vm_id: &str,
        work: impl FnOnce(Option<&VmReport>) -> Result<Option<VmReport>, Status>,
    ) -> Result<VmReport, Status> {
        let is_alive = self.life(|life| life.is_some());
        let outcome = self.disk(|disk| {
            if !is_alive || disk.generation != generation {
                return Err(Status::unavailable("This agent is dead."));
            }
            if let Some(outcome) = disk.outcomes.get(operation) {
                return outcome.clone();
            }
            let before = disk.machines.get(vm_id).cloned();
            let outcome = work(before.as_ref()).map(|after| {
                let after = self.note(disk, operation, vm_id, before.as_ref(), after);
                after.or(before).unwrap_or_default()
            });
            if outcome
                .as_ref()
                .err()
                .is_none_or(|error| !error.retryable())
            {
                disk.outcomes.insert(operation.to_owned(), outcome.clone());
            }
            outcome
        });
        self.world
            .tell(&self.id, format!("{operation}: {}", words(&outcome)));
        outcome
    }

    /// Puts the machine there and tells of it, if it is another than before. Only a reset leads where the machine was.
    fn note(
        &self,
        disk: &mut Disk,
        operation: &str,
        vm_id: &str,
        before: Option<&VmReport>,
        mut after: Option<VmReport>,
    ) -> Option<VmReport> {
        if before == after.as_ref() {
            return after;
        }
        disk.effects.push(Effect {
            at_ms: self.server.now_ms(),
            operation: operation.to_owned(),
            vm_id: vm_id.to_owned(),
            after: after.as_ref().map(VmReport::state),
        });
        if let Some(after) = &mut after {
            after.sequence = disk.effects.len().try_into().unwrap_or(u64::MAX);
        }
        match after.clone() {
            Some(after) => disk.machines.insert(vm_id.to_owned(), after),
            None => disk.machines.remove(vm_id),
        };
        self.life(|life| {
            if let Some(life) = life {
                // An error: the agent is dead, and the next one tells everything.
                let _ = life.changes.send((vm_id.to_owned(), after.clone()));
            }
        });
        after
    }

    /// A guest shuts itself down.
    pub(super) fn power_off(&self, vm_id: &str) {
        self.world.tell(&self.id, format!("{vm_id} ends by itself"));
        self.disk(|disk| {
            let Some(before) = disk.machines.get(vm_id).cloned() else {
                return;
            };
            let mut after = before.clone();
            if before.state() == VmState::Running {
                after.set_state(VmState::Stopped);
                "guest shut down".clone_into(&mut after.state_reason);
            }
            self.note(disk, "", vm_id, Some(&before), Some(after));
        });
    }
}

pub(super) fn missing(vm_id: &str) -> Status {
    Status::not_found(ObjectRef::new("vm", vm_id, ""))
}

fn words(outcome: &Result<VmReport, Status>) -> String {
    match outcome {
        Ok(report) => format!("{} {:?}", report.vm_id, report.state()),
        Err(error) => error.to_string(),
    }
}
