//! Two instances of the service, a client, and hands to seed what other services own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use contracts::call::Context;
use contracts::host::{Hardware, VmReport, VmState};
use contracts::inventory::host::Status as HostStatus;
use contracts::inventory::{
    CreateVmRecord, GroupChange, Heartbeat, Host, HostChange, INVENTORY, InventoryClient,
    RegisterRequest, ReportRequest, TakeRequest, UpdateVmRecord, Vm,
};
use contracts::jobs::{Job, JobParams, JobState};
use contracts::records::Record;
use contracts::{Status, subjects};
use inventory::Config;
use kit::bus::nats::NatsBus;
use kit::bus::{Bus, Message, headers};
use kit::config::Common;
use kit::records::{Decision, Records, Store};
use kit::rpc::Caller;
use kit::service::Parts;
use kit::world::{Clock, World};
use prost::Message as _;
use support::{NatsServer, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The real clock, moved ahead by what a test wants.
#[derive(Default)]
pub(crate) struct MovedClock(AtomicI64);

impl MovedClock {
    pub(crate) fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now_ms(&self) -> i64 {
        World::real().now_ms() + self.0.load(Ordering::SeqCst)
    }
}

struct Instance {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

pub(crate) struct Fleet {
    pub(crate) client: InventoryClient,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) store: Arc<Store>,
    pub(crate) jobs: Records<Job>,
    pub(crate) clock: Arc<MovedClock>,
    instances: Vec<Instance>,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
    pub(crate) nats: NatsServer,
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    pub(crate) async fn start_with(config: Config) -> Self {
        let nats = NatsServer::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(MovedClock::default());
        let bus: Arc<dyn Bus> =
            Arc::new(NatsBus::connect("test", &nats.bus_config()).await.unwrap());
        let stop = CancellationToken::new();
        let own = folder.path().join("test");
        let store = Store::open(&own, Arc::clone(&bus), &World::real(), stop.clone()).unwrap();
        let jobs = store.own::<Job>().await.unwrap();
        let mut instances = Vec::new();
        for name in ["a", "b"] {
            instances.push(start(&nats, folder.path(), name, &config, &clock).await);
        }
        let fleet = Self {
            client: InventoryClient::new(Caller::new(Arc::clone(&bus))),
            bus,
            store,
            jobs,
            clock,
            instances,
            stop,
            _folder: folder,
            nats,
        };
        fleet.wait_for_listeners(2).await;
        fleet
    }

    async fn wait_for_listeners(&self, count: usize) {
        let call = subjects::call(INVENTORY.subject, "Report");
        eventually("the instances to listen", async || {
            (listeners(&self.nats, &call).await == Some(count)).then_some(())
        })
        .await
        .unwrap();
    }

    /// Stops one instance and waits until it has drained.
    pub(crate) async fn stop_instance(&mut self, index: usize) {
        let instance = self.instances.remove(index);
        instance.stop.cancel();
        instance.task.await.unwrap().unwrap();
        self.wait_for_listeners(self.instances.len()).await;
    }

    /// A record as the log has it now.
    pub(crate) async fn record<R: Record>(&self, id: &str) -> Option<R> {
        let log = subjects::bucket_stream(R::BUCKET);
        let entry = self.bus.last(&log, &subjects::record(R::BUCKET, id)).await;
        let entry = entry.unwrap()?;
        if entry.message.get(headers::OPERATION).is_some() {
            return None;
        }
        Some(R::decode(entry.message.payload).unwrap())
    }

    /// Every record of a kind, as the log has them now.
    pub(crate) async fn records<R: Record>(&self) -> Vec<R> {
        let mirror = self.store.mirror::<R>().await.unwrap();
        let log = subjects::bucket_stream(R::BUCKET);
        let last = self.bus.last(&log, &subjects::all_records(R::BUCKET)).await;
        let revision = last.unwrap().map_or(0, |entry| entry.sequence);
        assert!(mirror.wait_for(revision, support::PATIENCE).await);
        mirror
            .list()
            .unwrap()
            .into_iter()
            .map(|r| r.value)
            .collect()
    }

    pub(crate) async fn vm(&self, id: &str) -> Vm {
        self.record::<Vm>(id).await.unwrap()
    }

    /// Of the last write of any machine.
    pub(crate) async fn vm_revision(&self) -> u64 {
        let log = subjects::bucket_stream(Vm::BUCKET);
        let last = self
            .bus
            .last(&log, &subjects::all_records(Vm::BUCKET))
            .await;
        last.unwrap().map_or(0, |entry| entry.sequence)
    }

    pub(crate) async fn state(&self, vm_id: &str) -> VmState {
        self.vm(vm_id).await.state()
    }

    /// Puts a job into the bucket, as the jobs service would.
    pub(crate) async fn put_job(&self, id: &str, state: JobState, params: Option<JobParams>) {
        let job = Job {
            id: id.to_owned(),
            state: state.into(),
            params,
            ..Job::default()
        };
        let context = context();
        self.jobs
            .update(&context, id, |_| Ok(Decision::Put(job.clone(), ())))
            .await
            .unwrap();
    }

    /// A host that is approved and has sent its whole picture as report 1 of generation 1.
    pub(crate) async fn add_host(&self, id: &str, vms: Vec<VmReport>) -> Host {
        let context = context();
        self.client
            .register(&context, &registration(id, 1))
            .await
            .unwrap();
        let change = host_change(id, "");
        self.client.approve_host(&context, &change).await.unwrap();
        let answer = self
            .client
            .report(&context, &whole(id, 1, vms))
            .await
            .unwrap();
        assert_eq!(answer.applied_number, 1);
        self.record::<Host>(id).await.unwrap()
    }

    /// A machine of job `j1`, placed on a host.
    pub(crate) async fn add_vm(&self, id: &str, name: &str, host_id: &str) -> Vm {
        let context = context();
        self.client
            .create_vm(&context, &new_vm(id, name))
            .await
            .unwrap();
        let place = UpdateVmRecord {
            vm_id: id.to_owned(),
            job_id: "j1".to_owned(),
            host_id: Some(host_id.to_owned()),
            ..UpdateVmRecord::default()
        };
        self.client.update_vm(&context, &place).await.unwrap()
    }

    pub(crate) async fn add_group(&self, id: &str, parent_id: &str) {
        let change = GroupChange {
            id: id.to_owned(),
            name: Some(format!("Group {id}")),
            parent_id: Some(parent_id.to_owned()),
            ..GroupChange::default()
        };
        self.client.create_group(&context(), &change).await.unwrap();
    }

    pub(crate) async fn beat(&self, host_id: &str, generation: u64) {
        let heartbeat = Heartbeat {
            host_id: host_id.to_owned(),
            generation,
        };
        let message = Message::new(heartbeat.encode_to_vec());
        self.bus
            .publish(&subjects::heartbeat(host_id), message)
            .await
            .unwrap();
    }

    pub(crate) async fn host_status(&self, id: &str) -> HostStatus {
        self.record::<Host>(id).await.unwrap().status()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop.cancel();
        for instance in &self.instances {
            instance.stop.cancel();
        }
    }
}

async fn start(
    nats: &NatsServer,
    folder: &Path,
    name: &str,
    config: &Config,
    clock: &Arc<MovedClock>,
) -> Instance {
    let common = Common {
        data_dir: folder.to_owned(),
        instance: name.to_owned(),
        bus: nats.bus_config(),
        ..Common::default()
    };
    let stop = CancellationToken::new();
    let (mut parts, _) = Parts::connect(config.clone(), common, stop.clone())
        .await
        .unwrap();
    parts.world.clock = Arc::<MovedClock>::clone(clock);
    let task = tokio::spawn(inventory::run(parts));
    Instance { stop, task }
}

/// How many instances listen for a call, as the server itself counts.
async fn listeners(nats: &NatsServer, subject: &str) -> Option<usize> {
    let address = ("127.0.0.1", nats.monitor_port);
    let mut stream = TcpStream::connect(address).await.ok()?;
    let question = format!("GET /subsz?subs=1&test={subject} HTTP/1.0\r\n\r\n");
    stream.write_all(question.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer.matches("\"qgroup\"").count())
}

pub(crate) fn context() -> Context {
    Context::new("tester")
}

pub(crate) fn registration(id: &str, generation: u64) -> RegisterRequest {
    RegisterRequest {
        host_id: id.to_owned(),
        name: format!("name-of-{id}"),
        generation,
        ..RegisterRequest::default()
    }
}

pub(crate) fn host_change(id: &str, group_id: &str) -> HostChange {
    HostChange {
        id: id.to_owned(),
        group_id: group_id.to_owned(),
        ..HostChange::default()
    }
}

pub(crate) fn report(host_id: &str, number: u64, vms: Vec<VmReport>) -> ReportRequest {
    ReportRequest {
        host_id: host_id.to_owned(),
        generation: 1,
        number,
        vms,
        ..ReportRequest::default()
    }
}

pub(crate) fn whole(host_id: &str, number: u64, vms: Vec<VmReport>) -> ReportRequest {
    ReportRequest {
        whole: true,
        ..report(host_id, number, vms)
    }
}

pub(crate) fn seen(vm_id: &str, state: VmState) -> VmReport {
    VmReport {
        vm_id: vm_id.to_owned(),
        name: format!("name-of-{vm_id}"),
        state: state.into(),
        ..VmReport::default()
    }
}

pub(crate) fn new_vm(id: &str, name: &str) -> CreateVmRecord {
    CreateVmRecord {
        vm_id: id.to_owned(),
        name: name.to_owned(),
        job_id: "j1".to_owned(),
        owner: "alice".to_owned(),
        hardware: Some(Hardware {
            vcpus: 1,
            memory_bytes: 64 << 20,
            ..Hardware::default()
        }),
        ..CreateVmRecord::default()
    }
}

pub(crate) fn take(kind: &str, id: &str, job_id: &str) -> TakeRequest {
    TakeRequest {
        kind: kind.to_owned(),
        id: id.to_owned(),
        job_id: job_id.to_owned(),
    }
}

pub(crate) fn code<T>(result: Result<T, Status>) -> Option<contracts::Code> {
    result.err().map(|status| status.code())
}
