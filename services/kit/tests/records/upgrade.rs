//! An old program beside a newer one: what the old one does not know is not lost.

use kit::bus::{Append, Expect, LogEntry, Message, append_surely};

use super::*;

/// A record as a program to come writes it: a field at the top, and one in the hardware.
fn newer(vm: &Vm, top: &str, nested: &str) -> Vec<u8> {
    let mut bytes = vm.encode_to_vec();
    prost::encoding::string::encode(900, &top.to_owned(), &mut bytes);
    let mut hardware = vm.hardware.clone().unwrap_or_default().encode_to_vec();
    prost::encoding::string::encode(901, &nested.to_owned(), &mut hardware);
    // Protobuf puts two pieces of one message together.
    prost::encoding::bytes::encode(10, &hardware, &mut bytes);
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

/// Writes a record past the kit, as another program does.
async fn write(bus: &dyn Bus, id: &str, bytes: Vec<u8>, expected: u64) -> u64 {
    let subject = subjects::record("vm", id);
    let entry = Append {
        log: subjects::bucket_stream("vm"),
        expect: Some(Expect {
            filter: subject.clone(),
            sequence: expected,
        }),
        subject,
        message: Message::new(bytes),
        lifetime: None,
    };
    append_surely(bus, &entry).await.unwrap()
}

async fn last(bus: &dyn Bus, id: &str) -> LogEntry {
    bus.last(&subjects::bucket_stream("vm"), &subjects::record("vm", id))
        .await
        .unwrap()
        .unwrap()
}

async fn change_state(instance: &Instance, id: &str, state: VmState) {
    instance
        .vms
        .update(&Context::new("tester"), id, |vm| {
            let mut vm = vm.unwrap().value.clone();
            vm.state = state.into();
            Ok(Decision::Put(vm, ()))
        })
        .await
        .unwrap();
}

fn stopped() -> Vm {
    Vm {
        id: "x".to_owned(),
        name: "web-01".to_owned(),
        state: VmState::Stopped.into(),
        hardware: Some(contracts::host::Hardware {
            vcpus: 2,
            ..Default::default()
        }),
        ..Vm::default()
    }
}

#[tokio::test]
async fn an_old_owner_keeps_and_tells_what_a_newer_one_wrote() {
    let nats = NatsServer::start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let old = Instance::start(&nats, dir.path()).await;
    let written = newer(&stopped(), "top-1", "deep-1");
    let revision = write(&*old.bus, "x", written.clone(), 0).await;
    assert!(old.vms.wait_for(revision, Duration::from_secs(10)).await);

    change_state(&old, "x", VmState::Running).await;
    let changed = last(&*old.bus, "x").await.message.payload;
    assert!(holds(&changed, "top-1") && holds(&changed, "deep-1"));
    let vm = Vm::decode(changed.as_ref()).unwrap();
    assert_eq!(
        (vm.state(), vm.hardware),
        (VmState::Running, stopped().hardware)
    );

    let events = events(&*old.bus, 2).await;
    assert_eq!(events[0].after, written);
    assert_eq!(
        (&events[1].before, &events[1].after),
        (&events[0].after, &changed)
    );
}

#[tokio::test]
async fn a_change_that_only_a_newer_program_knows_is_told_by_an_old_one() {
    let nats = NatsServer::start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let old = Instance::start(&nats, dir.path()).await;
    let first = write(&*old.bus, "x", newer(&stopped(), "top-1", "deep-1"), 0).await;
    // The log keeps the last of each object only: what nobody has read by then is not told.
    assert!(old.vms.wait_for(first, Duration::from_secs(10)).await);
    let second = write(&*old.bus, "x", newer(&stopped(), "top-1", "deep-2"), first).await;
    let events = events(&*old.bus, 2).await;
    assert_eq!(
        (events[1].verb.as_str(), events[1].revision),
        ("updated", second)
    );
    assert!(events[1].changes.is_empty() && holds(&events[1].after, "deep-2"));
}

#[tokio::test]
async fn a_log_that_is_filled_again_holds_what_no_view_could_read() {
    let mut nats = NatsServer::start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let old = Instance::start(&nats, dir.path()).await;
    let written = newer(&stopped(), "top-1", "deep-1");
    let revision = write(&*old.bus, "x", written.clone(), 0).await;
    assert!(old.vms.wait_for(revision, Duration::from_secs(10)).await);
    nats.kill();
    nats.lose_store().unwrap();
    nats.restart().await.unwrap();
    eventually("the view to follow the new log", async || {
        (old.vms.revision() > revision && old.vms.get("x").unwrap().is_some()).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(last(&*old.bus, "x").await.message.payload, written);
}
