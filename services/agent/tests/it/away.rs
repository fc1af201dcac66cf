//! Changes while nobody listens, with real QEMU.

use std::path::Path;

use agent::{Config, DatastoreConfig};
use contracts::call::Context;
use contracts::host::VmState;
use contracts::inventory::ReportResponse;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::bus::{World, create, operation};
use crate::host::Host;

/// Pauses and resumes a machine through QEMU's second control socket, as a person at the host would, and leaves it paused.
async fn flip(socket: &Path, times: usize) {
    let (read, mut write) = UnixStream::connect(socket).await.unwrap().into_split();
    let mut lines = BufReader::new(read).lines();
    let mut commands = vec!["qmp_capabilities"];
    commands.extend(["stop", "cont"].repeat(times));
    commands.push("stop");
    for command in commands {
        let line = format!("{{\"execute\":\"{command}\"}}\n");
        write.write_all(line.as_bytes()).await.unwrap();
        while !lines
            .next_line()
            .await
            .unwrap()
            .unwrap()
            .contains("\"return\"")
        {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_the_bus_was_away_is_told_in_a_few_reports() {
    let host = Host::new(true).await;
    let settings = &host.settings;
    let mut world = World::of(Config {
        datastores: vec![DatastoreConfig {
            name: "ds".to_owned(),
            path: host.dir.path().join("ds"),
        }],
        runtime_dir: settings.runtime_dir.clone(),
        qemu: settings.qemu.clone(),
        ..Config::default()
    })
    .await;
    world.inventory.told(|told| told.approved = true);
    let (stop, agent) = world.start_agent();
    world
        .until("the first report", |told| told.reports.first().cloned())
        .await;
    let (machine, context) = (world.host(), Context::new("system"));
    for vm_id in ["flipped", "taken"] {
        machine.create_vm(&context, &create(vm_id)).await.unwrap();
    }
    machine
        .start_vm(&context, &operation("flipped", "s/1"))
        .await
        .unwrap();
    world.until_state("flipped", VmState::Running).await;

    world.nats.kill();
    // More changes than may wait for the reporter, and one machine less.
    let sockets = std::fs::read_dir(&settings.runtime_dir).unwrap();
    let sockets = sockets.map(|entry| entry.unwrap().path().join("qmp2"));
    let socket = sockets.into_iter().find(|socket| socket.exists()).unwrap();
    flip(&socket, 600).await;
    std::fs::rename(host.folder("taken"), host.dir.path().join("taken")).unwrap();
    world.inventory.told(|told| told.reports.clear());
    world.nats.restart().await.unwrap();
    world.until_state("flipped", VmState::Paused).await;
    world
        .until("the machine to be gone", |told| {
            let gone = told.reports.iter().any(|report| {
                let has = report.vms.iter().any(|vm| vm.vm_id == "taken");
                (report.whole && !has) || report.removed_vm_ids.contains(&"taken".to_owned())
            });
            gone.then_some(())
        })
        .await;
    // Not one for each of 1,200 changes.
    let reports = world.inventory.told(|told| told.reports.len());
    assert!(reports <= 20, "{reports} reports");
    machine
        .turn_off_vm(&context, &operation("flipped", "o/1"))
        .await
        .unwrap();
    stop.cancel();
    agent.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_comes_at_a_busy_moment_is_sent_again_as_it_was() {
    let world = World::new().await;
    let later = ReportResponse {
        retry_after_ms: 1,
        ..ReportResponse::default()
    };
    world.inventory.told(|told| {
        told.approved = true;
        told.answer = Some(later);
    });
    let (stop, agent) = world.start_agent();
    let (first, second) = world
        .until("the same report again", |told| match &*told.reports {
            [first, second, ..] => Some((first.clone(), second.clone())),
            _ => None,
        })
        .await;
    assert!(first.whole);
    assert_eq!(first, second);
    stop.cancel();
    agent.await.unwrap().unwrap();
}
