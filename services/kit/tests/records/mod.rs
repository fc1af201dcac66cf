//! Records on a real log: what a caller may rely on, and the traps that were measured.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use contracts::call::Context;
use contracts::host::VmState;
use contracts::inventory::Vm;
use contracts::{Status, common, subjects};
use futures::StreamExt;
use kit::bus::Bus;
use kit::bus::nats::NatsBus;
use kit::config::BusConfig;
use kit::records::{Decision, Mirror, Records, Store, Stored};
use kit::world::World;
use prost::Message as _;
use support::{NatsServer, eventually};
use tokio_util::sync::CancellationToken;

/// One instance of an owning service.
struct Instance {
    bus: Arc<dyn Bus>,
    store: Arc<Store>,
    vms: Records<Vm>,
    stop: CancellationToken,
}

impl Instance {
    async fn start(nats: &NatsServer, folder: &Path) -> Self {
        let bus = NatsBus::connect("test", &nats.bus_config()).await.unwrap();
        Self::start_on(Arc::new(bus), folder, &World::real()).await
    }

    async fn start_on(bus: Arc<dyn Bus>, folder: &Path, world: &World) -> Self {
        let stop = CancellationToken::new();
        let store = Store::open(folder, Arc::clone(&bus), world, stop.clone()).unwrap();
        let vms = store.own::<Vm>().await.unwrap();
        Self {
            bus,
            store,
            vms,
            stop,
        }
    }

    async fn put(&self, id: &str, state: VmState) -> Result<(), Status> {
        let context = Context::new("tester");
        self.vms
            .update(&context, id, |_| {
                let vm = Vm {
                    id: id.to_owned(),
                    name: format!("vm-{id}"),
                    state: state.into(),
                    ..Vm::default()
                };
                Ok(Decision::Put(vm, ()))
            })
            .await
    }

    /// Adds one to a number in the record.
    async fn count_up(&self, id: &str) -> Result<(), Status> {
        self.vms
            .update(&Context::new("tester"), id, |vm| {
                let mut vm = vm.map(|vm| vm.value.clone()).unwrap_or_default();
                vm.pid += 1;
                Ok(Decision::Put(vm, ()))
            })
            .await
    }

    async fn delete(&self, id: &str) -> Result<(), Status> {
        let context = Context::new("tester");
        self.vms
            .update(&context, id, |_| Ok(Decision::Delete(())))
            .await
    }

    /// Ends, and waits until another may have the store.
    async fn close(self) {
        let store = Arc::downgrade(&self.store);
        drop(self);
        eventually("the store to be closed", async || {
            store.upgrade().is_none().then_some(())
        })
        .await
        .unwrap();
    }

    fn state(&self, id: &str) -> Option<VmState> {
        self.vms.get(id).unwrap().map(|vm| vm.value.state())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The first events of the stream, in order.
async fn events(bus: &dyn Bus, count: usize) -> Vec<common::Event> {
    let entries = eventually("the stream of events to be there", async || {
        bus.read(subjects::EVENTS, &subjects::all_events(), 1)
            .await
            .ok()
    })
    .await
    .unwrap();
    entries
        .take(count)
        .map(|entry| common::Event::decode(entry.unwrap().message.payload).unwrap())
        .collect()
        .await
}

#[tokio::test]
async fn a_write_is_seen_at_once_by_its_writer_and_soon_by_others() {
    let nats = NatsServer::start().await.unwrap();
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (
        Instance::start(&nats, a.path()).await,
        Instance::start(&nats, b.path()).await,
    );
    a.put("x", VmState::Stopped).await.unwrap();
    assert_eq!(a.state("x"), Some(VmState::Stopped));
    eventually("the other instance to see it", async || b.state("x"))
        .await
        .unwrap();
    b.delete("x").await.unwrap();
    assert_eq!(b.state("x"), None);
    eventually("the deletion to be seen", async || {
        a.state("x").is_none().then_some(())
    })
    .await
    .unwrap();
    a.put("x", VmState::Running).await.unwrap();
    assert_eq!(a.state("x"), Some(VmState::Running));
}

#[tokio::test]
async fn writers_of_one_record_never_lose_each_others_change() {
    let nats = NatsServer::start().await.unwrap();
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (
        Instance::start(&nats, a.path()).await,
        Instance::start(&nats, b.path()).await,
    );
    let count_up = async |instance: &Instance| {
        for _ in 0..20 {
            instance.count_up("x").await.unwrap();
        }
    };
    tokio::join!(count_up(&a), count_up(&a), count_up(&b));
    assert!(
        a.vms
            .wait_for(b.vms.revision(), Duration::from_secs(10))
            .await
    );
    assert_eq!(a.vms.get("x").unwrap().unwrap().value.pid, 60);
}

#[tokio::test]
async fn each_change_is_one_event_in_order_whoever_publishes() {
    let nats = NatsServer::start().await.unwrap();
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (
        Instance::start(&nats, a.path()).await,
        Instance::start(&nats, b.path()).await,
    );
    a.put("x", VmState::Stopped).await.unwrap();
    assert!(
        b.vms
            .wait_for(a.vms.revision(), Duration::from_secs(10))
            .await
    );
    b.put("x", VmState::Running).await.unwrap();
    b.put("x", VmState::Running).await.unwrap();
    b.delete("x").await.unwrap();
    let events = events(&*a.bus, 3).await;
    let verbs: Vec<&str> = events.iter().map(|e| e.verb.as_str()).collect();
    assert_eq!(verbs, ["created", "state_changed", "deleted"]);
    let change = &events[1].changes[0];
    assert_eq!(
        (change.previous.as_str(), change.new.as_str()),
        ("stopped", "running")
    );
}

mod acks;
mod clocks;
mod cluster;
mod damage;
mod full;
mod kill_points;
mod killed;
mod late;
mod line;
mod log;
mod redelivery;
mod relay;
mod traps;
mod upgrade;
