//! A fleet without machines: the records that inventory and jobs would write, and gateways that show them.

use std::path::PathBuf;
use std::sync::Arc;

use contracts::call::Context;
use contracts::host::VmState;
use contracts::inventory::{Host, HostGroup, Vm, host};
use contracts::jobs::{Job, JobState};
use contracts::names::ROOT_GROUP_ID;
use contracts::records::Record;
use contracts::{Code, Status};
use gateway::Config;
use kit::bus::Bus;
use kit::bus::nats::NatsBus;
use kit::config::Common;
use kit::records::{Decision, Records, Store, Stored};
use kit::service::Parts;
use kit::world::World;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use support::{NatsServer, eventually, free_port};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::stand_ins::StandIns;

/// Who owns the records.
pub(crate) struct Fleet {
    pub(crate) nats: NatsServer,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) store: Arc<Store>,
    pub(crate) groups: Records<HostGroup>,
    pub(crate) hosts: Records<Host>,
    pub(crate) vms: Records<Vm>,
    pub(crate) jobs: Records<Job>,
    folder: tempfile::TempDir,
    stop: CancellationToken,
}

/// The bus, before anybody owns a record.
pub(crate) async fn bus(nats: &NatsServer) -> Arc<dyn Bus> {
    Arc::new(NatsBus::connect("test", &nats.bus_config()).await.unwrap())
}

/// The one error after which a write is tried again.
fn not_known(error: &Status) -> Option<()> {
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    None
}

/// Writes, again when what became of it is not known: just after a log was lost, a conflict may be with ourselves.
async fn put<R: Record>(records: &Records<R>, id: &str, record: R) -> u64 {
    let context = Context::new("tester");
    eventually("the record to be written", async || {
        let put = |_: Option<&Stored<R>>| Ok(Decision::Put(record.clone(), ()));
        match records.update(&context, id, put).await {
            Ok(()) => Some(()),
            Err(error) => not_known(&error),
        }
    })
    .await
    .unwrap();
    context.seen_of(R::BUCKET)
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        Self::on(NatsServer::start().await.unwrap()).await
    }

    pub(crate) async fn on(nats: NatsServer) -> Self {
        let bus = bus(&nats).await;
        let folder = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let path = folder.path().join("owner");
        let store = Store::open(&path, Arc::clone(&bus), &World::real(), stop.clone()).unwrap();
        let fleet = Self {
            groups: store.own().await.unwrap(),
            hosts: store.own().await.unwrap(),
            vms: store.own().await.unwrap(),
            jobs: store.own().await.unwrap(),
            nats,
            bus,
            store,
            folder,
            stop,
        };
        fleet.group(ROOT_GROUP_ID, "All Hosts", "").await;
        fleet
    }

    pub(crate) async fn group(&self, id: &str, name: &str, parent_id: &str) -> u64 {
        let group = HostGroup {
            id: id.to_owned(),
            name: name.to_owned(),
            parent_id: parent_id.to_owned(),
            ..HostGroup::default()
        };
        put(&self.groups, id, group).await
    }

    pub(crate) async fn host(&self, id: &str, name: &str, group_id: &str) -> u64 {
        let host = Host {
            id: id.to_owned(),
            name: name.to_owned(),
            group_id: group_id.to_owned(),
            approval: host::Approval::Approved.into(),
            status: host::Status::Responding.into(),
            ..Host::default()
        };
        put(&self.hosts, id, host).await
    }

    /// A machine on host `h1` in the root group.
    pub(crate) async fn vm(&self, id: &str, name: &str, state: VmState) -> u64 {
        let vm = Vm {
            id: id.to_owned(),
            name: name.to_owned(),
            host_id: "h1".to_owned(),
            group_id: ROOT_GROUP_ID.to_owned(),
            state: state.into(),
            ..Vm::default()
        };
        self.put_vm(vm).await
    }

    pub(crate) async fn put_vm(&self, vm: Vm) -> u64 {
        let id = vm.id.clone();
        put(&self.vms, &id, vm).await
    }

    pub(crate) async fn delete_vm(&self, id: &str) -> u64 {
        let context = Context::new("tester");
        eventually("the record to be deleted", async || {
            let delete = |_: Option<&Stored<Vm>>| Ok(Decision::Delete(()));
            match self.vms.update(&context, id, delete).await {
                Ok(()) => Some(()),
                Err(error) => not_known(&error),
            }
        })
        .await
        .unwrap();
        context.seen_of(Vm::BUCKET)
    }

    pub(crate) async fn job(&self, id: &str, state: JobState) -> u64 {
        let job = Job {
            id: id.to_owned(),
            kind: "vm_start".to_owned(),
            state: state.into(),
            ended_ms: if state.is_final() {
                World::real().now_ms()
            } else {
                0
            },
            ..Job::default()
        };
        put(&self.jobs, id, job).await
    }

    pub(crate) async fn stand_ins(&self) -> StandIns {
        StandIns::start(&self.bus, &self.store, &self.jobs).await
    }

    /// A gateway that is ready.
    pub(crate) async fn gateway(&self, instance: &str) -> Gateway {
        self.gateway_with(instance, Config::default()).await
    }

    pub(crate) async fn gateway_with(&self, instance: &str, config: Config) -> Gateway {
        let gateway = Gateway::start(&self.nats, self.folder.path().into(), instance, config).await;
        eventually("the gateway to be ready", async || {
            let answer = gateway.get("/readyz").await;
            (answer.status == StatusCode::OK).then_some(())
        })
        .await
        .unwrap();
        gateway
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) url: String,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) client: reqwest::Client,
    stop: CancellationToken,
    running: Option<JoinHandle<anyhow::Result<()>>>,
}

/// An answer, taken in whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// `field` of every item of a page.
    pub(crate) fn items(&self, field: &str) -> Vec<String> {
        assert_eq!(self.status, StatusCode::OK, "{}", self.json());
        let json = self.json();
        let items = json["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item[field].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

impl Gateway {
    /// A gateway that listens; it may not yet be ready.
    pub(crate) async fn start(
        nats: &NatsServer,
        data_dir: PathBuf,
        instance: &str,
        config: Config,
    ) -> Self {
        let config = Config {
            listen: ([127, 0, 0, 1], free_port().unwrap()).into(),
            ..config
        };
        let common = Common {
            data_dir,
            instance: instance.to_owned(),
            bus: nats.bus_config(),
            ..Common::default()
        };
        let (address, stop) = (config.listen, CancellationToken::new());
        let (parts, _) = Parts::connect(config, common, stop.clone()).await.unwrap();
        let gateway = Self {
            url: format!("http://{address}"),
            address,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            stop,
            running: Some(tokio::spawn(gateway::run(parts))),
        };
        eventually("the gateway to listen", async || {
            let asked = gateway
                .client
                .get(format!("{}/healthz", gateway.url))
                .send()
                .await;
            asked.ok()
        })
        .await
        .unwrap();
        gateway
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.ask(Method::GET, path)).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Value) -> Answer {
        answer(self.ask(method, path).json(&body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, body).await
    }

    /// Stops it and waits until it has answered what was open.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let running = self.running.take().unwrap();
        running.await.unwrap().unwrap();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status(),
        headers: response.headers().clone(),
        bytes: response.bytes().await.unwrap().to_vec(),
    }
}
