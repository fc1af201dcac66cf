//! The agent on a real bus, with an inventory that the test plays.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::call::{Context, Revisions, Serve, Service};
use contracts::host::disk::Source;
use contracts::host::{
    CreateVmRequest, Disk, Hardware, HostClient, VmOperation, VmReport, VmState,
};
use contracts::inventory::{
    INVENTORY, RegisterRequest, RegisterResponse, ReportRequest, ReportResponse,
};
use contracts::{Status, subjects};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use kit::bus::Incoming;
use kit::config::Common;
use kit::service::Parts;
use prost::Message as _;
use support::{NatsServer, eventually};
use tokio_util::sync::CancellationToken;

use agent::{Config, HypervisorKind};

/// What was told, and what to answer.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) approved: bool,
    registrations: Vec<RegisterRequest>,
    pub(crate) reports: Vec<ReportRequest>,
    /// Answer the next report with this.
    pub(crate) answer: Option<ReportResponse>,
    /// Take the next report and lose the answer.
    lose_answer: bool,
}

#[derive(Clone, Default)]
pub(crate) struct Inventory(Arc<Mutex<Told>>);

impl Inventory {
    pub(crate) fn told<T>(&self, look: impl FnOnce(&mut Told) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// The state of a machine by the reports so far.
    fn state_of(&self, vm_id: &str) -> Option<VmState> {
        self.told(|told| {
            let vms = told.reports.iter().flat_map(|report| &report.vms);
            vms.filter(|vm| vm.vm_id == vm_id)
                .map(VmReport::state)
                .next_back()
        })
    }

    fn reported(&self, report: ReportRequest) -> Result<ReportResponse, Status> {
        self.told(|told| {
            let number = report.number;
            told.reports.push(report);
            if std::mem::take(&mut told.lose_answer) {
                return Err(Status::unavailable("the answer was lost"));
            }
            let applied = ReportResponse {
                applied_number: number,
                ..ReportResponse::default()
            };
            Ok(told.answer.take().unwrap_or(applied))
        })
    }
}

#[async_trait]
impl Serve for Inventory {
    fn service(&self) -> &'static Service {
        &INVENTORY
    }

    async fn dispatch(&self, method: &str, _: &Context, payload: &[u8]) -> Result<Vec<u8>, Status> {
        match method {
            "Register" => {
                let request = RegisterRequest::decode(payload).unwrap();
                let approved = self.told(|told| {
                    told.registrations.push(request);
                    told.approved
                });
                let message = "wait for an administrator".to_owned();
                let answer = RegisterResponse {
                    approved,
                    message,
                    ..RegisterResponse::default()
                };
                Ok(answer.encode_to_vec())
            }
            "Report" => Ok(self
                .reported(ReportRequest::decode(payload).unwrap())?
                .encode_to_vec()),
            other => panic!("{other} is not the agent's to call"),
        }
    }
}

struct NoRecords;

#[async_trait]
impl kit::rpc::Gate for NoRecords {
    async fn wait_for(&self, _: &Revisions, _: Duration) -> bool {
        true
    }
}

/// An agent of a simulated host, and the inventory that it talks to.
pub(crate) struct World {
    pub(crate) nats: NatsServer,
    dir: tempfile::TempDir,
    pub(crate) inventory: Inventory,
    parts: Parts<Config>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(Config {
            hypervisor: HypervisorKind::Simulated,
            ..Config::default()
        })
        .await
    }

    pub(crate) async fn of(config: Config) -> Self {
        let nats = NatsServer::start().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            name: "host-01".to_owned(),
            host_id: "h1".to_owned(),
            ..config
        };
        let common = Common {
            data_dir: dir.path().to_owned(),
            bus: nats.bus_config(),
            ..Common::default()
        };
        let (parts, _) = Parts::connect(config, common, CancellationToken::new())
            .await
            .unwrap();
        let inventory = Inventory::default();
        let server = Arc::new(inventory.clone());
        kit::rpc::serve(&parts.bus, Arc::new(NoRecords), INVENTORY.subject, server)
            .await
            .unwrap();
        Self {
            nats,
            dir,
            inventory,
            parts,
        }
    }

    /// An agent that runs until its token is cancelled.
    pub(crate) fn start_agent(
        &self,
    ) -> (
        CancellationToken,
        tokio::task::JoinHandle<anyhow::Result<()>>,
    ) {
        let stop = CancellationToken::new();
        let parts = Parts {
            stop: stop.clone(),
            ..self.parts.clone()
        };
        (stop, tokio::spawn(agent::run(parts)))
    }

    pub(crate) async fn subscribe(&self, subject: &str) -> BoxStream<'static, Incoming> {
        self.parts.bus.subscribe(subject).await.unwrap()
    }

    pub(crate) fn host(&self) -> HostClient {
        HostClient::new(self.parts.caller.clone(), "h1")
    }

    pub(crate) async fn until<T>(&self, what: &str, look: impl Fn(&mut Told) -> Option<T>) -> T {
        eventually(what, async || self.inventory.told(&look))
            .await
            .unwrap()
    }

    pub(crate) async fn until_state(&self, vm_id: &str, state: VmState) {
        let what = format!("{vm_id} reported as {state:?}");
        eventually(&what, async || {
            (self.inventory.state_of(vm_id) == Some(state)).then_some(())
        })
        .await
        .unwrap();
    }
}

pub(crate) fn create(vm_id: &str) -> CreateVmRequest {
    CreateVmRequest {
        operation_id: format!("{vm_id}/create"),
        vm_id: vm_id.to_owned(),
        name: vm_id.to_owned(),
        hardware: Some(Hardware {
            vcpus: 1,
            memory_bytes: 64 << 20,
            disks: vec![Disk {
                size_bytes: 1 << 20,
                source: Source::Blank.into(),
                ..Disk::default()
            }],
            ..Hardware::default()
        }),
        ..CreateVmRequest::default()
    }
}

pub(crate) fn operation(vm_id: &str, operation_id: &str) -> VmOperation {
    VmOperation {
        vm_id: vm_id.to_owned(),
        operation_id: operation_id.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_registers_until_it_is_approved_and_then_tells_everything() {
    let world = World::new().await;
    let mut beats = world
        .parts
        .bus
        .subscribe(&subjects::all_heartbeats())
        .await
        .unwrap();
    let (stop, agent) = world.start_agent();
    let registration = world.until("two registrations", |told| {
        (told.registrations.len() >= 2).then(|| told.registrations[0].clone())
    });
    let registration = registration.await;
    assert_eq!(
        (registration.host_id.as_str(), registration.generation),
        ("h1", 1)
    );
    assert_eq!(
        (registration.name.as_str(), registration.facts.is_some()),
        ("host-01", true)
    );
    // It is alive before it is approved, and reports nothing.
    assert_eq!(
        beats.next().await.unwrap().subject,
        subjects::heartbeat("h1")
    );
    assert!(world.inventory.told(|told| told.reports.is_empty()));

    world.inventory.told(|told| told.approved = true);
    let first = world
        .until("the first report", |told| told.reports.first().cloned())
        .await;
    assert!(first.whole && first.number == 1 && first.facts.is_some());

    let host = world.host();
    let context = Context::new("system");
    host.create_vm(&context, &create("a")).await.unwrap();
    host.start_vm(&context, &operation("a", "s/1"))
        .await
        .unwrap();
    world.until_state("a", VmState::Running).await;
    let numbers = world
        .inventory
        .told(|told| told.reports.iter().map(|r| r.number).collect::<Vec<_>>());
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());

    stop.cancel();
    agent.await.unwrap().unwrap();
    // Started again it is of the next generation, and counts from 1.
    world.inventory.told(|told| told.reports.clear());
    let (stop, agent) = world.start_agent();
    let first = world
        .until("a report", |told| told.reports.first().cloned())
        .await;
    assert!(first.whole && first.number == 1 && first.generation == 2);
    stop.cancel();
    agent.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_survive_lost_answers_gaps_and_a_bus_that_is_away() {
    let mut world = World::new().await;
    world.inventory.told(|told| told.approved = true);
    let (stop, agent) = world.start_agent();
    world
        .until("the first report", |told| told.reports.first().cloned())
        .await;
    let (host, context) = (world.host(), Context::new("system"));

    world.inventory.told(|told| told.lose_answer = true);
    host.create_vm(&context, &create("a")).await.unwrap();
    world
        .until("the same report again", |told| {
            told.reports
                .windows(2)
                .any(|pair| pair[0] == pair[1])
                .then_some(())
        })
        .await;

    let gap = ReportResponse {
        want_whole: true,
        ..ReportResponse::default()
    };
    world.inventory.told(|told| told.answer = Some(gap));
    host.start_vm(&context, &operation("a", "s/1"))
        .await
        .unwrap();
    let whole = world.until("the whole picture", |told| {
        told.reports
            .last()
            .filter(|r| r.whole && r.number > 1)
            .cloned()
    });
    assert_eq!(whole.await.vms.len(), 1);

    let unknown = ReportResponse {
        unknown_host: true,
        ..ReportResponse::default()
    };
    world.inventory.told(|told| {
        told.answer = Some(unknown);
        told.registrations.clear();
    });
    host.pause_vm(&context, &operation("a", "p/1"))
        .await
        .unwrap();
    world
        .until("another registration", |told| {
            told.registrations.first().cloned()
        })
        .await;
    world.until_state("a", VmState::Paused).await;

    // The bus goes away and comes back; nobody has to do anything.
    world.nats.kill();
    world.nats.restart().await.unwrap();
    eventually("the host to answer again", async || {
        let context = context.with_timeout(Duration::from_secs(2));
        host.resume_vm(&context, &operation("a", "r/1")).await.ok()
    })
    .await
    .unwrap();
    world.until_state("a", VmState::Running).await;
    stop.cancel();
    agent.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_comes_twice_is_done_once() {
    let world = World::new().await;
    world.inventory.told(|told| told.approved = true);
    let (stop, agent) = world.start_agent();
    world
        .until("the first report", |told| told.reports.first().cloned())
        .await;
    let (host, context) = (world.host(), Context::new("system"));
    let made = host.create_vm(&context, &create("a")).await.unwrap();
    assert_eq!(host.create_vm(&context, &create("a")).await.unwrap(), made);
    let started = host
        .start_vm(&context, &operation("a", "j/1"))
        .await
        .unwrap();
    host.turn_off_vm(&context, &operation("a", "j/2"))
        .await
        .unwrap();
    // The first start comes again, late: it is answered, and the machine stays off.
    assert_eq!(
        host.start_vm(&context, &operation("a", "j/1"))
            .await
            .unwrap(),
        started
    );
    let now = host
        .get_vm(
            &context,
            &contracts::host::VmRef {
                vm_id: "a".to_owned(),
            },
        )
        .await
        .unwrap();
    assert_eq!(now.state(), VmState::Stopped);
    // A second agent with the same store is refused.
    let (_, second) = world.start_agent();
    let refused = second.await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("Another agent"), "{refused}");
    assert!(world.dir.path().join("agent-0/agent.redb").exists());
    stop.cancel();
    agent.await.unwrap().unwrap();
}
