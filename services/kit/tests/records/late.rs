//! An instance whose view is behind the log, asked by callers who do not know which revision they have to see.

use async_trait::async_trait;
use contracts::{Code, ObjectRef};
use futures::stream::BoxStream;
use kit::bus::{
    Append, AppendError, BusError, Deliveries, Endpoints, Entries, Incoming, LogEntry, LogInfo,
    LogSpec, Message, Serving,
};
use tokio::sync::watch;

use super::*;

/// A bus that hands no entries to readers while they are held.
struct Late {
    bus: Arc<dyn Bus>,
    held: watch::Sender<bool>,
}

#[async_trait]
impl Bus for Late {
    async fn read(&self, log: &str, filter: &str, from: u64) -> Result<Entries, BusError> {
        let entries = self.bus.read(log, filter, from).await?;
        let held = self.held.subscribe();
        let late = entries.then(move |entry| {
            let mut held = held.clone();
            async move {
                held.wait_for(|held| !held).await.unwrap();
                entry
            }
        });
        Ok(late.boxed())
    }

    async fn request(
        &self,
        subject: &str,
        message: Message,
        timeout: Duration,
    ) -> Result<Message, BusError> {
        self.bus.request(subject, message, timeout).await
    }

    async fn serve(&self, endpoints: Endpoints) -> Result<Serving, BusError> {
        self.bus.serve(endpoints).await
    }

    async fn publish(&self, subject: &str, message: Message) -> Result<(), BusError> {
        self.bus.publish(subject, message).await
    }

    async fn subscribe(&self, subject: &str) -> Result<BoxStream<'static, Incoming>, BusError> {
        self.bus.subscribe(subject).await
    }

    async fn ensure(&self, spec: &LogSpec) -> Result<LogInfo, BusError> {
        self.bus.ensure(spec).await
    }

    async fn info(&self, log: &str) -> Result<LogInfo, BusError> {
        self.bus.info(log).await
    }

    async fn append(&self, entry: &Append) -> Result<u64, AppendError> {
        self.bus.append(entry).await
    }

    async fn last(&self, log: &str, filter: &str) -> Result<Option<LogEntry>, BusError> {
        self.bus.last(log, filter).await
    }

    async fn consume(&self, log: &str, lease: Duration) -> Result<Deliveries, BusError> {
        self.bus.consume(log, lease).await
    }
}

/// Changes a record that must be there.
async fn touch(instance: &Instance, id: &str) -> Result<(), Status> {
    let context = Context::new("tester");
    let decide = |vm: Option<&Stored<Vm>>| match vm {
        Some(vm) => Ok(Decision::Put(vm.value.clone(), ())),
        None => Err(Status::not_found(ObjectRef::new("vm", id, ""))),
    };
    instance.vms.update(&context, id, decide).await
}

#[tokio::test]
async fn what_the_log_has_is_never_said_to_be_missing() {
    let nats = NatsServer::start().await.unwrap();
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let a = Instance::start(&nats, a.path()).await;
    let bus = NatsBus::connect("test", &nats.bus_config()).await.unwrap();
    let late = Arc::new(Late {
        bus: Arc::new(bus),
        held: watch::Sender::new(false),
    });
    let b = Instance::start_on(Arc::clone(&late) as _, b.path(), &World::real()).await;
    for id in ["to-change", "to-delete"] {
        late.held.send_replace(true);
        a.put(id, VmState::Stopped).await.unwrap();
        assert_eq!(b.state(id), None, "the view is not behind");
        let change = async {
            match id {
                "to-change" => touch(&b, id).await,
                _ => b.delete(id).await,
            }
        };
        let release = async {
            // It looks at the log first, and then waits for its view.
            tokio::task::yield_now().await;
            late.held.send_replace(false);
        };
        let (changed, ()) = tokio::join!(change, release);
        changed.unwrap();
    }
    let state = eventually("the deletion to be seen", async || {
        a.state("to-delete").is_none().then(|| a.state("to-change"))
    });
    assert_eq!(state.await.unwrap(), Some(VmState::Stopped));
    let missing = touch(&b, "never-was").await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}
