//! One simulated host: its machines in memory, and the agent's own code to serve and report them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent::hypervisor::simulated::Simulated;
use agent::store::{Identity, Store};
use agent::{Member, Operations};
use contracts::host::VmReport;
use kit::bus::Bus;
use kit::rpc::Caller;
use kit::world::World;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::core::compare::{HostAccount, MachineAccount};
use crate::core::fault::{Fault, Trouble};
use crate::core::load::load;
use crate::core::plan::HostPlan;
use crate::line::{Epoch, Line};

/// What all hosts of a fleet share.
pub(crate) struct Shared {
    pub(crate) epoch: Epoch,
    pub(crate) join_token: String,
    pub(crate) heartbeat: Duration,
    /// What became of commands.
    pub(crate) operations: Arc<Store>,
    pub(crate) stop: CancellationToken,
}

pub(crate) struct Host {
    pub(crate) id: String,
    pub(crate) name: String,
    cpus: u32,
    memory_bytes: u64,
    pub(crate) hypervisor: Arc<Simulated>,
    trouble: watch::Sender<Trouble>,
    line: Line,
    running: Mutex<Running>,
}

/// One run of the host's agent.
struct Running {
    generation: u64,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Host {
    /// A host that does not run yet. Its agent's runs are counted from `generation` on.
    pub(crate) fn new(
        plan: HostPlan,
        bus: Arc<dyn Bus>,
        epoch: Epoch,
        other: Arc<VmReport>,
        generation: u64,
    ) -> Self {
        let (trouble, seen) = watch::channel(Trouble::default());
        Self {
            id: plan.id,
            name: plan.name,
            cpus: plan.facts.cpus,
            memory_bytes: plan.facts.memory_bytes,
            hypervisor: Arc::new(Simulated::new(plan.facts, load, plan.machines, generation)),
            trouble,
            line: Line {
                bus,
                epoch,
                trouble: seen,
                other,
            },
            running: Mutex::new(Running {
                generation,
                stop: CancellationToken::new(),
                task: None,
            }),
        }
    }

    /// Starts the host's agent, after the one that runs has ended.
    pub(crate) fn start(&self, shared: &Shared) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.stop.cancel();
        running.stop = shared.stop.child_token();
        running.generation += 1;
        let member = self.member(shared, running.generation);
        let (hypervisor, stop) = (Arc::clone(&self.hypervisor), running.stop.clone());
        let heartbeat = shared.heartbeat;
        let before = running.task.take();
        running.task = Some(tokio::spawn(async move {
            if let Some(before) = before {
                // One that fell over has said so.
                let _ = before.await;
            }
            let name = member.name.clone();
            let _beating = member.beat(heartbeat);
            if let Err(error) = member.run(hypervisor, &stop).await {
                tracing::error!(host = name, %error, "the simulated host does not take part");
            }
        }));
    }

    fn member(&self, shared: &Shared, generation: u64) -> Member {
        let bus: Arc<dyn Bus> = Arc::new(self.line.clone());
        let world = World::real();
        Member {
            caller: Caller::named("agent", Arc::clone(&bus)),
            bus,
            identity: Identity {
                host_id: self.id.clone(),
                generation,
            },
            name: self.name.clone(),
            join_token: shared.join_token.clone(),
            operations: Operations::new(
                Arc::clone(&shared.operations),
                &format!("{}/", self.id),
                move || world.now_ms(),
            ),
            samples_interval: contracts::limits::SAMPLES_INTERVAL,
        }
    }

    /// Comes back when the agent has ended.
    pub(crate) async fn ended(&self) {
        let task = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.task.take()
        };
        if let Some(task) = task {
            let _ = task.await;
        }
    }

    pub(crate) fn suffer(&self, fault: &Fault, shared: &Shared) {
        // What a liar has said is only put right by its whole picture.
        let has_lied = self.trouble.borrow().lie.is_some();
        let now_ms = shared.epoch.elapsed_ms();
        self.trouble
            .send_modify(|trouble| trouble.add(fault, now_ms));
        match fault {
            Fault::Skew { ahead_secs } => self.hypervisor.skew(ahead_secs.saturating_mul(1000)),
            Fault::Calm => {
                self.hypervisor.skew(0);
                if has_lied {
                    self.start(shared);
                }
            }
            Fault::Restart | Fault::Lies { .. } => self.start(shared),
            Fault::Silence { .. } | Fault::Slowness { .. } | Fault::Flapping { .. } => {}
        }
    }

    pub(crate) fn is_true(&self, epoch: Epoch) -> bool {
        self.trouble.borrow().is_true(epoch.elapsed_ms())
    }

    pub(crate) fn account(&self, epoch: Epoch) -> HostAccount {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let machines = self.hypervisor.reports();
        HostAccount {
            id: self.id.clone(),
            name: self.name.clone(),
            generation: running.generation,
            cpus: self.cpus,
            memory_bytes: self.memory_bytes,
            is_true: self.is_true(epoch),
            machines: machines.into_iter().map(MachineAccount::from).collect(),
        }
    }
}
