//! An instance whose view is behind the log, asked by callers who do not know which revision they have to see.

use async_trait::async_trait;
use contracts::{Code, ObjectRef};
use tokio::sync::watch;

use super::*;
use crate::altered::{Alter, Altered};

/// Hands no entries to readers while they are held, which they are until the log is looked at.
struct Late(watch::Sender<bool>);

#[async_trait]
impl Alter for Late {
    async fn at(&self, point: String) {
        match point.as_str() {
            "before entry KV_vm" => {
                let mut held = self.0.subscribe();
                held.wait_for(|held| !held).await.unwrap();
            }
            "after last KV_vm" => _ = self.0.send_replace(false),
            _ => {}
        }
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
    let late = Arc::new(Late(watch::Sender::new(false)));
    let bus = Arc::new(Altered {
        bus: Arc::new(bus),
        by: Arc::clone(&late),
    });
    let b = Instance::start_on(bus, b.path(), &World::real()).await;

    late.0.send_replace(true);
    a.put("x", VmState::Stopped).await.unwrap();
    assert_eq!(b.state("x"), None, "the view is not behind");
    touch(&b, "x").await.unwrap();

    late.0.send_replace(true);
    a.put("y", VmState::Stopped).await.unwrap();
    b.delete("y").await.unwrap();
    let end = eventually("the deletion to be seen", async || {
        a.state("y").is_none().then_some(())
    });
    end.await.unwrap();

    let missing = touch(&b, "never-was").await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}
