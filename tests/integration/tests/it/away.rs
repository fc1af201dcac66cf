//! Everything above the agents is down for a while: machines live on, and afterwards the picture is true, without a gap.

use std::time::{Duration, Instant};

use contracts::common::Event;
use contracts::host::VmState;
use contracts::inventory::Vm;
use prost::Message;
use serde_json::Value;
use support::{eventually, is_alive};

use crate::fleet::{Fleet, bare_vm, signal, small_vm};
use crate::guest::Console;
use crate::invariants;
use crate::log::Log;

/// What the issue allows from the return of the services to a true picture.
const RECOVERY_MAX: Duration = Duration::from_secs(10);

fn process(vm: &Value) -> u32 {
    u32::try_from(vm["pid"].as_u64().unwrap()).unwrap()
}

async fn ended(process: u32) {
    let gone = async || (!is_alive(process)).then_some(());
    eventually("the process to end", gone).await.unwrap();
}

/// The states that events after a place in the log tell of a machine.
async fn told(log: &Log, after: u64, vm: &Value) -> Vec<VmState> {
    let events = log.events().await.unwrap().into_iter();
    let of_vm = |event: &Event| event.id == vm["id"].as_str().unwrap();
    let changes = events
        .filter(|(sequence, event)| *sequence > after && of_vm(event))
        .filter(|(_, event)| event.verb == "state_changed");
    changes
        .map(|(_, event)| Vm::decode(event.after).unwrap().state())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_live_on_while_everything_above_is_down() {
    let mut fleet = Fleet::start(1).await;
    let client = fleet.client.clone();
    let create = |body| client.done("POST", "/api/v1/vms", body);
    tokio::join!(
        create(small_vm("steady", true, true)),
        create(small_vm("sleeper", true, true)),
        create(bare_vm("victim", true)),
    );
    let seen = Instant::now();
    let steady = client.vm("steady").await.unwrap();
    let sleeper = client.vm("sleeper").await.unwrap();
    let victim = client.vm("victim").await.unwrap();
    let log = Log::open(&fleet.bus).await;
    let before = log.events().await.unwrap().last().unwrap().0;

    let nats = fleet.nats_process();
    fleet.kill_musterd();
    signal(nats, "KILL");
    ended(nats).await;
    let socket = fleet.socket(process(&sleeper), "ser");
    let mut console = Console::open(&socket).await;
    console.type_line("poweroff -f").await;
    console.keep_reading();
    signal(process(&victim), "KILL");
    ended(process(&sleeper)).await;
    ended(process(&victim)).await;
    let mut console = Console::open(&fleet.socket(process(&steady), "ser")).await;
    console
        .type_line("echo alive $((6 * 7)) $(cut -d. -f1 /proc/uptime) s")
        .await;
    let uptime = console.reads("alive 42 ").await;
    let uptime: u64 = uptime.split_once(' ').unwrap().0.parse().unwrap();
    assert!(uptime >= seen.elapsed().as_secs(), "it has booted again");
    console.keep_reading();

    let back = Instant::now();
    fleet.start_musterd();
    eventually("the picture to be true", async || {
        let [one, two] = [client.vm("sleeper").await?, client.vm("victim").await?];
        let three = client.vm("steady").await?;
        let off = |vm: &Value| vm["state"] == "stopped" && vm["pid"].is_null();
        let same = three["pid"] == steady["pid"] && three["started"] == steady["started"];
        (off(&one) && off(&two) && three["state"] == "running" && same).then_some(())
    })
    .await
    .unwrap();
    let took = back.elapsed();
    println!("the picture was true {took:?} after the return");
    assert!(took < RECOVERY_MAX, "it took {took:?}");
    fleet.hosts_responding(1).await;

    assert_eq!(
        client.vm("sleeper").await.unwrap()["state_reason"],
        "the guest shut down"
    );
    invariants::hold(&fleet).await;
    assert_eq!(told(&log, before, &sleeper).await, [VmState::Stopped]);
    assert_eq!(told(&log, before, &victim).await, [VmState::Stopped]);
    assert_eq!(told(&log, before, &steady).await, []);
}
