//! When a host says what it uses.

use std::time::Duration;

use agent::{Config, HypervisorKind};
use contracts::call::Context;
use contracts::host::{SendSamplesRequest, VmState};
use contracts::performance::HostSamples;
use contracts::subjects;
use futures::StreamExt as _;
use kit::bus::Incoming;
use prost::Message as _;

use crate::bus::{World, create, operation};

fn machines(incoming: Incoming) -> Vec<(String, VmState)> {
    let samples = HostSamples::decode(incoming.message.payload).unwrap();
    assert_eq!(samples.host_id, "h1");
    let vms = samples.vms.into_iter();
    vms.map(|vm| (vm.vm_id.clone(), vm.state())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_are_sent_when_they_are_asked_for_and_after_a_change_of_power() {
    let world = World::of(Config {
        hypervisor: HypervisorKind::Simulated,
        samples_interval_secs: 3_600,
        ..Config::default()
    })
    .await;
    world.inventory.told(|told| told.approved = true);
    let mut heard = world.subscribe(&subjects::samples("h1")).await;
    let (stop, agent) = world.start_agent();
    let first = world.until("the first report", |told| told.reports.first().cloned());
    first.await;
    let (host, context) = (world.host(), Context::new("system"));
    let context = context.with_timeout(Duration::from_secs(30));

    let sent = host.send_samples(&context, &SendSamplesRequest {}).await;
    let incoming = heard.next().await.unwrap();
    assert_eq!(sent.unwrap().bytes, incoming.message.payload.len() as u64);
    assert_eq!(machines(incoming), []);

    // Both are started before the host says it, or one a moment after.
    for vm in ["a", "b"] {
        host.create_vm(&context, &create(vm)).await.unwrap();
        let start = operation(vm, &format!("{vm}/start"));
        host.start_vm(&context, &start).await.unwrap();
    }
    let running = |vm: &str| (vm.to_owned(), VmState::Running);
    while machines(heard.next().await.unwrap()) != [running("a"), running("b")] {}
    let off = operation("a", "a/off");
    host.turn_off_vm(&context, &off).await.unwrap();
    while machines(heard.next().await.unwrap()) != [running("b")] {}
    stop.cancel();
    agent.await.unwrap().unwrap();
}
