//! Two instances of the service, hosts that the test puts into inventory's bucket, and the samples that they send.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use contracts::call::Context;
use contracts::inventory::host::Approval;
use contracts::inventory::{Host, HostGroup};
use contracts::performance::{
    HistoryRequest, HistoryResponse, HostSamples, PerformanceClient, TopRequest, TopResponse,
    Usage, VmSample,
};
use contracts::records::Record;
use contracts::{Status, subjects};
use kit::bus::nats::NatsBus;
use kit::bus::{Bus, Message};
use kit::config::Common;
use kit::records::{Decision, Records, Store};
use kit::rpc::Caller;
use kit::service::Parts;
use kit::world::{Clock, World};
use performance::Config;
use prost::Message as _;
use support::{NatsServer, eventually};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

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

pub(crate) struct Site {
    pub(crate) clock: Arc<MovedClock>,
    client: PerformanceClient,
    hosts: Records<Host>,
    groups: Records<HostGroup>,
    pub(crate) bus: Arc<dyn Bus>,
    instances: Vec<Instance>,
    stop: CancellationToken,
    folder: tempfile::TempDir,
    nats: NatsServer,
}

impl Site {
    /// Without an instance yet.
    pub(crate) async fn start() -> Self {
        let nats = NatsServer::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let bus: Arc<dyn Bus> =
            Arc::new(NatsBus::connect("test", &nats.bus_config()).await.unwrap());
        let stop = CancellationToken::new();
        let own = folder.path().join("test");
        let store = Store::open(&own, Arc::clone(&bus), &World::real(), stop.clone()).unwrap();
        Self {
            clock: Arc::default(),
            client: PerformanceClient::new(Caller::new(Arc::clone(&bus))),
            hosts: store.own().await.unwrap(),
            groups: store.own().await.unwrap(),
            bus,
            instances: Vec::new(),
            stop,
            folder,
            nats,
        }
    }

    pub(crate) async fn start_instance(&mut self, name: &str) {
        let instance = start(&self.nats, self.folder.path(), name, &self.clock).await;
        self.instances.push(instance);
    }

    /// Stops the instance that was started first.
    pub(crate) async fn stop_instance(&mut self) {
        let instance = self.instances.remove(0);
        instance.stop.cancel();
        instance.task.await.unwrap().unwrap();
    }

    pub(crate) async fn put_host(&self, id: &str, group_id: &str, approval: Approval) {
        let host = Host {
            id: id.to_owned(),
            group_id: group_id.to_owned(),
            approval: approval.into(),
            ..Host::default()
        };
        put(&self.hosts, id, host).await;
    }

    pub(crate) async fn put_group(&self, id: &str, parent_id: &str) {
        let group = HostGroup {
            id: id.to_owned(),
            parent_id: parent_id.to_owned(),
            ..HostGroup::default()
        };
        put(&self.groups, id, group).await;
    }

    fn context(&self) -> Context {
        let context = Context::new("tester");
        context.saw(Host::BUCKET, self.hosts.revision());
        context.saw(HostGroup::BUCKET, self.groups.revision());
        context
    }

    pub(crate) async fn send(&self, samples: &HostSamples) {
        let subject = subjects::samples(&samples.host_id);
        self.send_on(&subject, samples.encode_to_vec()).await;
    }

    pub(crate) async fn send_on(&self, subject: &str, payload: Vec<u8>) {
        self.bus
            .publish(subject, Message::new(payload))
            .await
            .unwrap();
    }

    pub(crate) async fn top(&self, request: TopRequest) -> Result<TopResponse, Status> {
        self.client.top(&self.context(), &request).await
    }

    /// Ids of the machines that use most CPU, sent again until there are as many as wanted: signals are lost while
    /// nobody listens.
    pub(crate) async fn top_vms(&self, wanted: usize, samples: &[HostSamples]) -> Vec<String> {
        eventually("the samples to be heard", async || {
            for message in samples {
                self.send(message).await;
            }
            let request = TopRequest {
                kind: "vm".to_owned(),
                ..TopRequest::default()
            };
            let entries = self.top(request).await.ok()?.entries;
            let ids: Vec<String> = entries.into_iter().map(|entry| entry.id).collect();
            (ids.len() == wanted).then_some(ids)
        })
        .await
        .unwrap()
    }

    pub(crate) async fn history(
        &self,
        request: &HistoryRequest,
    ) -> Result<HistoryResponse, Status> {
        self.client.history(&self.context(), request).await
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
        for instance in &self.instances {
            instance.stop.cancel();
        }
    }
}

async fn start(nats: &NatsServer, folder: &Path, name: &str, clock: &Arc<MovedClock>) -> Instance {
    let common = Common {
        data_dir: folder.to_owned(),
        instance: name.to_owned(),
        bus: nats.bus_config(),
        ..Common::default()
    };
    let stop = CancellationToken::new();
    let connected = Parts::connect(Config::default(), common, stop.clone());
    let (mut parts, _) = connected.await.unwrap();
    parts.world.clock = Arc::<MovedClock>::clone(clock);
    let task = tokio::spawn(performance::run(parts));
    Instance { stop, task }
}

async fn put<R: Record>(records: &Records<R>, id: &str, record: R) {
    records
        .update(&Context::new("tester"), id, |_| {
            Ok(Decision::Put(record.clone(), ()))
        })
        .await
        .unwrap();
}

/// What a host says of itself and of machines, each with its CPU.
pub(crate) fn samples(host_id: &str, vms: &[(&str, f32)]) -> HostSamples {
    let usage = |cpu: f32| {
        Some(Usage {
            cpu_percent: Some(cpu),
            memory_bytes: Some(1 << 30),
            ..Usage::default()
        })
    };
    let vm = |(id, cpu): &(&str, f32)| VmSample {
        vm_id: (*id).to_owned(),
        state: contracts::host::VmState::Running.into(),
        started_ms: 1,
        usage: usage(*cpu),
    };
    HostSamples {
        host_id: host_id.to_owned(),
        interval_ms: 60_000,
        host: usage(12.5),
        vms: vms.iter().map(vm).collect(),
        ..HostSamples::default()
    }
}
