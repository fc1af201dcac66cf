//! Instances of the service, and what they refresh.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::call::{Context, Revisions};
use contracts::inventory::HostGroup;
use contracts::refresher::{
    Announcement, Kind, ListKindsRequest, ListRefreshedRequest, ListTargetsRequest,
    ListTargetsResponse, Outcome, REFRESHABLE, RefreshRequest, RefreshResponse, Refreshable,
    RefreshableServer, Refreshed, RefresherClient, Target,
};
use contracts::{ObjectRef, Status, subjects};
use kit::bus::nats::NatsBus;
use kit::bus::{Bus, Message};
use kit::config::Common;
use kit::records::{Decision, Records, Store};
use kit::rpc::{Caller, Gate};
use kit::service::Parts;
use kit::world::World;
use prost::Message as _;
use refresher::Config;
use support::{NatsServer, eventually};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const SERVICE: &str = "inventory";

/// What is refreshed, and what became of it.
#[derive(Default)]
pub(crate) struct Subject {
    pub(crate) targets: Vec<Target>,
    /// Times that each target was refreshed, by kind and target.
    pub(crate) refreshed: BTreeMap<(String, String), u32>,
    pub(crate) asked: Vec<(RefreshRequest, String)>,
    /// Servers that do not answer.
    pub(crate) broken: Vec<String>,
}

#[derive(Clone, Default)]
pub(crate) struct Played(Arc<Mutex<Subject>>);

impl Played {
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Subject) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    pub(crate) fn count(&self, kind: &str, target: &str) -> u32 {
        let key = (kind.to_owned(), target.to_owned());
        self.with(|subject| subject.refreshed.get(&key).copied().unwrap_or(0))
    }
}

#[async_trait]
impl Refreshable for Played {
    async fn list_targets(
        &self,
        _: &Context,
        request: ListTargetsRequest,
    ) -> Result<ListTargetsResponse, Status> {
        let targets = self.with(|subject| subject.targets.clone());
        let digest = format!("{targets:?}").into_bytes();
        let targets = if digest == request.known_digest {
            Vec::new()
        } else {
            targets
        };
        Ok(ListTargetsResponse { digest, targets })
    }

    async fn refresh(
        &self,
        context: &Context,
        request: RefreshRequest,
    ) -> Result<RefreshResponse, Status> {
        self.with(|subject| {
            let key = (request.kind.clone(), request.target_id.clone());
            *subject.refreshed.entry(key).or_default() += 1;
            subject
                .asked
                .push((request.clone(), context.job_id.clone()));
            if subject.broken.contains(&request.target_id) {
                let object = ObjectRef::new("host", &request.target_id, "");
                return Err(Status::unavailable("The host does not answer.").about(object));
            }
            Ok(RefreshResponse {
                outcome: Outcome::Unchanged.into(),
                bytes: 18,
                changed: 0,
            })
        })
    }
}

struct NoRecords;

#[async_trait]
impl Gate for NoRecords {
    async fn wait_for(&self, _: &Revisions, _: Duration) -> bool {
        true
    }
}

pub(crate) struct Instance {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Instance {
    /// Ends it in order.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Ends it as a kill would: without a word.
    pub(crate) fn kill(self) {
        self.task.abort();
    }
}

pub(crate) struct Fleet {
    pub(crate) client: RefresherClient,
    pub(crate) played: Played,
    pub(crate) bus: Arc<dyn Bus>,
    folder: tempfile::TempDir,
    stop: CancellationToken,
    groups: Records<HostGroup>,
    nats: NatsServer,
}

/// A kind that is due often enough for a test.
pub(crate) fn kind(name: &str, interval_secs: u32) -> Kind {
    Kind {
        name: name.to_owned(),
        interval_secs,
        interval_secs_max: 3_600,
        may_be_off: name == "library",
        object_kinds: vec!["host".to_owned()],
        by_hand: true,
        ..Kind::default()
    }
}

pub(crate) fn target(id: &str, kinds: &[&str]) -> Target {
    Target {
        id: id.to_owned(),
        name: format!("name-of-{id}"),
        server_id: id.to_owned(),
        group_id: "rack".to_owned(),
        kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
        ..Target::default()
    }
}

impl Fleet {
    pub(crate) async fn start(kinds: Vec<Kind>, targets: Vec<Target>) -> Self {
        let nats = NatsServer::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let bus: Arc<dyn Bus> =
            Arc::new(NatsBus::connect("test", &nats.bus_config()).await.unwrap());
        let stop = CancellationToken::new();
        let own = folder.path().join("test");
        let store = Store::open(&own, Arc::clone(&bus), &World::real(), stop.clone()).unwrap();
        let groups = store.own::<HostGroup>().await.unwrap();
        let played = Played::default();
        played.with(|subject| subject.targets = targets);
        serve(&bus, &played, kinds, &stop).await;
        let fleet = Self {
            client: RefresherClient::new(Caller::new(Arc::clone(&bus))),
            played,
            bus,
            folder,
            stop,
            groups,
            nats,
        };
        fleet.add_group("site", "").await;
        fleet.add_group("rack", "site").await;
        fleet
    }

    async fn add_group(&self, id: &str, parent_id: &str) {
        let group = HostGroup {
            id: id.to_owned(),
            parent_id: parent_id.to_owned(),
            ..HostGroup::default()
        };
        let put =
            |_: Option<&kit::records::Stored<HostGroup>>| Ok(Decision::Put(group.clone(), ()));
        self.groups.update(&context(), id, put).await.unwrap();
    }

    pub(crate) async fn instance(&self, name: &str) -> Instance {
        let common = Common {
            data_dir: self.folder.path().to_owned(),
            instance: name.to_owned(),
            bus: self.nats.bus_config(),
            ..Common::default()
        };
        let stop = CancellationToken::new();
        let config = Config {
            targets_interval_ms: 200,
            ..Config::default()
        };
        let (parts, _) = Parts::connect(config, common, stop.clone()).await.unwrap();
        let task = tokio::spawn(refresher::run(parts));
        Instance { stop, task }
    }

    /// Waits until every instance knows a number of targets of a kind: whichever answers, many times in a row.
    pub(crate) async fn until_known(&self, kind: &str, targets: u32) {
        eventually("the targets to be known", async || {
            for _ in 0..16 {
                let kinds = self
                    .client
                    .list_kinds(&context(), &ListKindsRequest {})
                    .await;
                let kinds = kinds.ok()?.kinds;
                let found = kinds
                    .iter()
                    .find(|k| k.kind.as_ref().unwrap().name == kind)?;
                (found.targets == targets).then_some(())?;
            }
            Some(())
        })
        .await
        .unwrap();
    }

    /// Everything that an instance knows of what was refreshed.
    pub(crate) async fn refreshed(&self) -> Vec<Refreshed> {
        let request = ListRefreshedRequest::default();
        let answer = self.client.list_refreshed(&context(), &request).await;
        answer.unwrap().refreshed
    }

    /// Waits until every target was refreshed as often as this.
    pub(crate) async fn until_refreshed(&self, kind: &str, times: u32) {
        eventually("every target to be refreshed", async || {
            let targets = self.played.with(|subject| subject.targets.clone());
            let least = targets.iter().map(|t| self.played.count(kind, &t.id)).min();
            (least >= Some(times)).then_some(())
        })
        .await
        .unwrap();
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(bus: &Arc<dyn Bus>, played: &Played, kinds: Vec<Kind>, stop: &CancellationToken) {
    let subject = REFRESHABLE.subject_of_service(SERVICE);
    let server = Arc::new(RefreshableServer(Arc::new(played.clone())));
    kit::rpc::serve(bus, Arc::new(NoRecords), &subject, server)
        .await
        .unwrap();
    let said = Announcement {
        service: SERVICE.to_owned(),
        kinds,
    };
    let (bus, stop) = (Arc::clone(bus), stop.clone());
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        loop {
            ticks.tick().await;
            let message = Message::new(said.encode_to_vec());
            let _ = bus.publish(&subjects::refreshable(SERVICE), message).await;
        }
    }));
}

pub(crate) fn context() -> Context {
    Context::new("tester")
}
