//! Two instances of the service, a client, and a fleet that the test puts into inventory's buckets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use contracts::call::Context;
use contracts::host::{Datastore, Hardware, HostFacts, ImageFile, VmState};
use contracts::inventory::host::{Approval, Status as HostStatus};
use contracts::inventory::{Host, HostGroup, Vm};
use contracts::placement::{
    Claim, HostClaims, PLACEMENT, PLANNING, PlaceRequest, PlacementClient, PlanningClient,
    RateRequest, ReleaseRequest, Requirements, Rule,
};
use contracts::records::Record;
use contracts::{Status, subjects};
use kit::bus::nats::NatsBus;
use kit::bus::{Bus, headers};
use kit::config::Common;
use kit::records::{Decision, Records, Store};
use kit::rpc::Caller;
use kit::service::Parts;
use kit::world::{Clock, World};
use placement::Config;
use prost::Message as _;
use support::{NatsServer, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const MIB: u64 = 1 << 20;

/// The real clock, moved by what a test wants.
#[derive(Default)]
pub(crate) struct MovedClock(AtomicI64);

impl MovedClock {
    pub(crate) fn move_by_ms(&self, ms: i64) {
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
    pub(crate) client: PlacementClient,
    pub(crate) planning: PlanningClient,
    pub(crate) clock: Arc<MovedClock>,
    hosts: Records<Host>,
    groups: Records<HostGroup>,
    vms: Records<Vm>,
    bus: Arc<dyn Bus>,
    instances: Vec<Instance>,
    config: Config,
    /// What answers have shown.
    seen: Context,
    stop: CancellationToken,
    folder: tempfile::TempDir,
    nats: NatsServer,
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
        let (hosts, groups) = (store.own().await.unwrap(), store.own().await.unwrap());
        let vms = store.own().await.unwrap();
        let mut instances = Vec::new();
        for name in ["a", "b"] {
            instances.push(start(&nats, folder.path(), name, &config, &clock).await);
        }
        let fleet = Self {
            client: PlacementClient::new(Caller::new(Arc::clone(&bus))),
            planning: PlanningClient::new(Caller::new(Arc::clone(&bus))),
            clock,
            hosts,
            groups,
            vms,
            bus,
            instances,
            config,
            seen: Context::new("tester"),
            stop,
            folder,
            nats,
        };
        fleet.wait_for_listeners(2).await;
        fleet
    }

    async fn wait_for_listeners(&self, count: usize) {
        for (subject, method) in [(PLACEMENT.subject, "Place"), (PLANNING.subject, "AddRule")] {
            let call = subjects::call(subject, method);
            eventually("the instances to listen", async || {
                (listeners(&self.nats, &call).await == Some(count)).then_some(())
            })
            .await
            .unwrap();
        }
    }

    /// A caller that has seen the whole fleet as the test has put it.
    pub(crate) fn context(&self) -> Context {
        let context = Context::new("tester");
        context.saw(Host::BUCKET, self.hosts.revision());
        context.saw(HostGroup::BUCKET, self.groups.revision());
        context.saw(Vm::BUCKET, self.vms.revision());
        context.saw_all(&self.seen.seen());
        context
    }

    /// Stops one instance and waits until it has drained.
    pub(crate) async fn stop_instance(&mut self, index: usize) {
        let instance = self.instances.remove(index);
        instance.stop.cancel();
        instance.task.await.unwrap().unwrap();
        self.wait_for_listeners(self.instances.len()).await;
    }

    /// Ends both instances in order, and starts them again.
    pub(crate) async fn restart(&mut self) {
        self.stop_instance(1).await;
        self.stop_instance(0).await;
        for name in ["a", "b"] {
            let folder = self.folder.path();
            let again = start(&self.nats, folder, name, &self.config, &self.clock).await;
            self.instances.push(again);
        }
        self.wait_for_listeners(2).await;
    }

    pub(crate) async fn put_host(&self, host: Host) {
        put(&self.hosts, &host.id.clone(), host).await;
    }

    pub(crate) async fn put_group(&self, id: &str, parent_id: &str) {
        let group = HostGroup {
            id: id.to_owned(),
            name: id.to_owned(),
            parent_id: parent_id.to_owned(),
            ..HostGroup::default()
        };
        put(&self.groups, id, group).await;
    }

    pub(crate) async fn put_vm(&self, vm: Vm) {
        put(&self.vms, &vm.id.clone(), vm).await;
    }

    pub(crate) async fn remove_vm(&self, id: &str) {
        let gone = |_: Option<&_>| Ok(Decision::Delete(()));
        self.vms
            .update(&Context::new("tester"), id, gone)
            .await
            .unwrap();
    }

    /// The claims on a host, as the log has them now.
    pub(crate) async fn claims(&self, host_id: &str) -> Vec<Claim> {
        let log = subjects::bucket_stream(HostClaims::BUCKET);
        let subject = subjects::record(HostClaims::BUCKET, host_id);
        let entry = self.bus.last(&log, &subject).await.unwrap();
        let entry = entry.filter(|e| e.message.get(headers::OPERATION).is_none());
        entry.map_or(Vec::new(), |entry| {
            HostClaims::decode(entry.message.payload).unwrap().claims
        })
    }

    pub(crate) async fn place(&self, vm_id: &str, memory_mib: u64) -> Result<String, Status> {
        let request = place(vm_id, memory_mib);
        let placed = self.client.place(&self.context(), &request).await?;
        Ok(placed.host_id)
    }

    /// Makes a rule; who asks next sees it, whichever instance answers.
    pub(crate) async fn add_rule(&self, rule: Rule) -> Result<Rule, Status> {
        let context = self.context();
        let made = self.planning.add_rule(&context, &rule).await?;
        self.seen.saw_all(&context.seen());
        Ok(made)
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
    let config = Config {
        reserve_memory_bytes: 512 * MIB,
        ..config.clone()
    };
    let stop = CancellationToken::new();
    let (mut parts, _) = Parts::connect(config, common, stop.clone()).await.unwrap();
    parts.world.clock = Arc::<MovedClock>::clone(clock);
    let task = tokio::spawn(placement::run(parts));
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

async fn put<R: Record>(records: &Records<R>, id: &str, record: R) {
    records
        .update(&Context::new("tester"), id, |_| {
            Ok(Decision::Put(record.clone(), ()))
        })
        .await
        .unwrap();
}

/// A host that can take machines, with 512 MiB kept for itself and room for `room_mib` beyond.
pub(crate) fn host(id: &str, room_mib: u64) -> Host {
    let datastore = Datastore {
        name: "ds1".to_owned(),
        capacity_bytes: 1 << 40,
        free_bytes: 1 << 40,
        images: vec![ImageFile {
            name: "debian.qcow2".to_owned(),
            file_bytes: 1,
        }],
        ..Datastore::default()
    };
    Host {
        id: id.to_owned(),
        name: format!("name-of-{id}"),
        group_id: "all-hosts".to_owned(),
        approval: Approval::Approved.into(),
        status: HostStatus::Responding.into(),
        facts: Some(HostFacts {
            cpus: 8,
            memory_bytes: (512 + room_mib) * MIB,
            datastores: vec![datastore],
            ..HostFacts::default()
        }),
        ..Host::default()
    }
}

pub(crate) fn vm(id: &str, host_id: &str, state: VmState, job_id: &str, memory_mib: u64) -> Vm {
    Vm {
        id: id.to_owned(),
        host_id: host_id.to_owned(),
        state: state.into(),
        job_id: job_id.to_owned(),
        hardware: Some(Hardware {
            vcpus: 1,
            memory_bytes: memory_mib * MIB,
            ..Hardware::default()
        }),
        ..Vm::default()
    }
}

pub(crate) fn rate(memory_mib: u64) -> RateRequest {
    RateRequest {
        requirements: Some(Requirements {
            vcpus: 1,
            memory_bytes: memory_mib * MIB,
            ..Requirements::default()
        }),
        ..RateRequest::default()
    }
}

pub(crate) fn place(vm_id: &str, memory_mib: u64) -> PlaceRequest {
    PlaceRequest {
        vm_id: vm_id.to_owned(),
        job_id: format!("job-of-{vm_id}"),
        rate: Some(rate(memory_mib)),
    }
}

pub(crate) fn release(vm_id: &str, job_id: &str) -> ReleaseRequest {
    ReleaseRequest {
        vm_id: vm_id.to_owned(),
        job_id: job_id.to_owned(),
    }
}
