//! An instance whose view is behind the log, asked by callers who do not know which revision they have to see.

use std::sync::atomic::{AtomicBool, Ordering};

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

/// Says when an append to the bucket is on its way, and lets it get there when it is told to.
struct Slow {
    on_its_way: watch::Sender<bool>,
    may_arrive: watch::Sender<bool>,
}

#[async_trait]
impl Alter for Slow {
    async fn at(&self, point: String) {
        if point == "before append KV_vm" {
            self.on_its_way.send_replace(true);
            let mut may_arrive = self.may_arrive.subscribe();
            may_arrive.wait_for(|may| *may).await.unwrap();
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

#[tokio::test]
async fn a_write_that_was_on_its_way_when_its_record_was_barred_comes_too_late() {
    let nats = NatsServer::start().await.unwrap();
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let slow = Arc::new(Slow {
        on_its_way: watch::Sender::new(false),
        may_arrive: watch::Sender::new(false),
    });
    let bus = NatsBus::connect("test", &nats.bus_config()).await.unwrap();
    let bus = Arc::new(Altered {
        bus: Arc::new(bus),
        by: Arc::clone(&slow),
    });
    let a = Instance::start_on(bus, a.path(), &World::real()).await;
    let b = Instance::start(&nats, b.path()).await;
    let may_write = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&may_write);
    let writing = tokio::spawn(async move {
        let context = Context::new("tester");
        let check = || {
            let refusal = Status::precondition("It is over.");
            let may = seen.load(Ordering::SeqCst);
            std::future::ready(if may { Ok(()) } else { Err(refusal) })
        };
        let put = |_: Option<&Stored<Vm>>| Ok(Decision::Put(Vm::default(), ()));
        a.vms.update_while(&context, "x", check, put).await
    });
    let mut on_its_way = slow.on_its_way.subscribe();
    on_its_way.wait_for(|on_its_way| *on_its_way).await.unwrap();

    may_write.store(false, Ordering::SeqCst);
    let bar = |_: Option<&Stored<Vm>>| Ok(Decision::Bar(()));
    b.vms
        .update(&Context::new("tester"), "x", bar)
        .await
        .unwrap();
    slow.may_arrive.send_replace(true);
    let refused = writing.await.unwrap().unwrap_err();
    assert_eq!(refused.message, "It is over.");
    assert_eq!(b.state("x"), None);
    // Whoever comes afterwards is not held up by it.
    b.put("x", VmState::Stopped).await.unwrap();
    let told = events(&*b.bus, 1).await;
    assert_eq!(told[0].verb, "created");
}
