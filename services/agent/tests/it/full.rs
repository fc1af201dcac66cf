//! Datastores that are full before the work begins, and that fill up on the way, on a filesystem that really does.

use std::path::PathBuf;

use agent::hypervisor::Hypervisor;
use agent::hypervisor::qemu::Qemu;
use contracts::host::{CreateVmRequest, Disk, Hardware, PackVmRequest, VmState, disk};
use contracts::{Code, Status};
use support::small_disk::SmallDisk;

use crate::clones::{clone_of, io, path_of};
use crate::host::{Host, request};
use crate::imports::{from, imported, tool};
use crate::parcels::pack;

const MIB: u64 = 1 << 20;

/// Twice what a machine with data takes, and what stays free.
const DATASTORE_BYTES: u64 = 300 * MIB;

/// Less than 40 MiB of data and the 64 MiB that stay free.
const TOO_LITTLE: u64 = 80 * MIB;

/// Every file of the datastore but the images and what takes its room, with how much is in it.
fn files(host: &Host) -> Vec<(PathBuf, u64)> {
    let datastore = host.dir.path().join("ds");
    let mut folders = vec![datastore.join("vms"), datastore.join("parcels")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            match metadata.is_dir() {
                true => folders.push(entry.path()),
                false => files.push((entry.path(), metadata.len())),
            }
        }
    }
    // Who looks whether a machine is off makes it.
    files.retain(|(path, _)| !path.ends_with("lock"));
    files.sort();
    files
}

/// The error says which datastore, and what to do.
fn check(refusal: &Status) {
    assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
    let all = format!("{refusal} {}", refusal.recommended_action);
    assert!(
        all.to_lowercase().contains("datastore ds"),
        "{refusal}: {}",
        refusal.recommended_action
    );
    assert!(
        refusal.recommended_action.contains("Free room"),
        "{refusal}"
    );
}

/// Asks while there is no room, while room is taken on the way, and again.
async fn asked_on_a_full_disk<T>(
    host: &Host,
    ask: impl AsyncFn() -> Result<T, Status>,
    is_same: impl Fn(),
) -> T {
    let disk: &SmallDisk = host.disk.as_ref().unwrap();
    let (before, free) = (files(host), disk.free_bytes().unwrap());
    let failed = async |words: &str| {
        let refusal = ask().await.err().expect("there was room");
        check(&refusal);
        assert!(refusal.message.contains(words), "{refusal}");
        disk.make_room().unwrap();
        assert_eq!(files(host), before, "{refusal}");
        assert_eq!(disk.free_bytes().unwrap(), free, "{refusal}");
        is_same();
    };
    disk.leave(TOO_LITTLE).unwrap();
    failed("MiB free").await;
    disk.fill_on_the_way().unwrap();
    failed("No space left").await;
    ask().await.unwrap()
}

fn holds_all(path: &std::path::Path) -> bool {
    !io(path, "read -P 7 0 40M").contains("verification failed")
}

/// A host with a machine whose disk holds 40 MiB of its own.
async fn with_machine(host: &Host) -> (std::sync::Arc<Qemu>, PathBuf) {
    let qemu = host.open().await;
    let made = qemu.create(request("source")).await.unwrap();
    io(&path_of(&made), "write -P 7 0 40M");
    (qemu, path_of(&made))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_clone_needs_room_and_leaves_nothing_without() {
    let Some(host) = Host::on_small_disk(DATASTORE_BYTES) else {
        return;
    };
    let (qemu, source) = with_machine(&host).await;
    let ask = async || qemu.clone_machine(clone_of("source", "whole", false)).await;
    let made = asked_on_a_full_disk(&host, ask, || assert!(holds_all(&source))).await;
    assert!(holds_all(&path_of(&made)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_compressed_is_measured_as_the_copy_will_have_it() {
    let Some(host) = Host::on_small_disk(DATASTORE_BYTES) else {
        return;
    };
    let qemu = host.open().await;
    let images = host.images();
    tool(
        "qemu-img",
        &["create", "-q", "-f", "qcow2", "a", "40M"],
        &images,
    );
    io(&images.join("a"), "write -P 7 0 40M");
    let compress = ["convert", "-c", "-O", "qcow2", "a", "small.qcow2"];
    tool("qemu-img", &compress, &images);
    std::fs::remove_file(images.join("a")).unwrap();
    assert!(images.join("small.qcow2").metadata().unwrap().len() < MIB);
    let of_image = |vm_id: &str, source: disk::Source| CreateVmRequest {
        hardware: Some(Hardware {
            disks: vec![Disk {
                image: "small.qcow2".to_owned(),
                source: source.into(),
                ..Disk::default()
            }],
            ..request(vm_id).hardware.unwrap()
        }),
        ..request(vm_id)
    };
    qemu.create(of_image("source", disk::Source::Overlay))
        .await
        .unwrap();
    let disk = host.disk.as_ref().unwrap();
    disk.leave(TOO_LITTLE).unwrap();
    let copy = of_image("copy", disk::Source::Copy);
    check(&qemu.create(copy.clone()).await.unwrap_err());
    let clone = clone_of("source", "whole", false);
    check(&qemu.clone_machine(clone).await.unwrap_err());
    let plan = PackVmRequest {
        check_only: true,
        ..pack("source")
    };
    check(&qemu.pack(plan.clone()).await.unwrap_err());
    disk.make_room().unwrap();
    // What will travel is told as large as it will be.
    let planned = qemu.pack(plan).await.unwrap();
    assert!(planned.files[0].bytes > 40 * MIB, "{planned:?}");
    let made = qemu.create(copy).await.unwrap();
    assert!(holds_all(&path_of(&made)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_clone_needs_little_room_and_leaves_the_machine_as_it_was() {
    let Some(host) = Host::on_small_disk(DATASTORE_BYTES) else {
        return;
    };
    let (qemu, source) = with_machine(&host).await;
    let (disk, before) = (host.disk.as_ref().unwrap(), files(&host));
    for fill in [
        |disk: &SmallDisk| disk.leave(MIB),
        |disk: &SmallDisk| disk.fill_on_the_way(),
    ] {
        fill(disk).unwrap();
        let refused = qemu.clone_machine(clone_of("source", "linked", true));
        check(&refused.await.unwrap_err());
        disk.make_room().unwrap();
        assert_eq!(files(&host), before);
        assert!(holds_all(&source) && !host.images().join("layer-source-disk0.qcow2").exists());
    }
    let linked = qemu.clone_machine(clone_of("source", "linked", true)).await;
    assert!(holds_all(&path_of(&linked.unwrap())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_imported_is_converted_when_there_is_room_and_stays_until_then() {
    let Some(host) = Host::on_small_disk(DATASTORE_BYTES) else {
        return;
    };
    let qemu = host.open().await;
    let raw = [vec![7; 40 << 20], vec![0; 24 << 20]].concat();
    let package = host.dir.path().join("ds/parcels/p1-package0");
    std::fs::write(&package, raw).unwrap();
    let ask = async || qemu.create(imported(from("raw"))).await;
    let made = asked_on_a_full_disk(&host, ask, || ()).await;
    assert!(holds_all(&path_of(&made)));
    assert!(!package.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_packed_when_there_is_room_and_stays_as_it_is_until_then() {
    let Some(host) = Host::on_small_disk(DATASTORE_BYTES) else {
        return;
    };
    let (qemu, source) = with_machine(&host).await;
    let ask = async || qemu.pack(pack("source")).await;
    let is_same = || assert!(holds_all(&source));
    asked_on_a_full_disk(&host, ask, is_same).await;
    assert!(holds_all(
        &host.dir.path().join("ds/parcels/p1-disk0.qcow2")
    ));
    let machine = qemu.machine("source").await.unwrap();
    assert_eq!(machine.state(), VmState::Stopped);
}
