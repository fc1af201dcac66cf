//! Machines made of others, with real QEMU: whole and linked, and what a crash leaves of them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent::hypervisor::qemu::Qemu;
use agent::hypervisor::{Action, Hypervisor};
use contracts::Code;
use contracts::host::{CloneVmRequest, Disk, GuestSetup, VmReport, VmState};
use serde_json::Value;

use crate::host::{Host, act, answering, booted, request};

pub(crate) fn clone_of(source: &str, vm_id: &str, linked: bool) -> CloneVmRequest {
    CloneVmRequest {
        operation_id: format!("{vm_id}/clone"),
        vm_id: vm_id.to_owned(),
        name: vm_id.to_owned(),
        source_vm_id: source.to_owned(),
        linked,
        ..CloneVmRequest::default()
    }
}

fn disk(report: &VmReport) -> Disk {
    report.hardware.clone().unwrap().disks[0].clone()
}

/// The definition of a machine as it lies beside its disks.
fn definition(host: &Host, vm_id: &str) -> Value {
    let text = std::fs::read(host.folder(vm_id).join("vm.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Files below a machine's first disk, as its definition has them.
fn below(host: &Host, vm_id: &str) -> Vec<String> {
    let definition = definition(host, vm_id);
    let layers = definition["disks"][0]["backing"].as_array().unwrap();
    let file = |layer: &Value| layer["file"].as_str().unwrap().to_owned();
    layers.iter().map(file).collect()
}

pub(crate) fn io(path: &Path, command: &str) -> String {
    let mut tool = std::process::Command::new("qemu-io");
    let ran = tool.arg("-c").arg(command).arg(path).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{command} {}: {said}", path.display());
    said
}

/// Writes a sign into a disk, as its guest would.
pub(crate) fn write(path: &Path, sign: u8) {
    io(path, &format!("write -P {sign} 1M 64k"));
}

pub(crate) fn holds(path: &Path, sign: u8) -> bool {
    !io(path, &format!("read -P {sign} 1M 64k")).contains("verification failed")
}

pub(crate) fn path_of(report: &VmReport) -> PathBuf {
    disk(report).path.into()
}

async fn made(qemu: &Qemu, source: &str, vm_id: &str, linked: bool) -> VmReport {
    let made = qemu.clone_machine(clone_of(source, vm_id, linked)).await;
    made.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_clone_stands_by_itself_and_a_linked_one_shares_what_was() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    let source = qemu.create(request("source")).await.unwrap();
    write(&path_of(&source), 7);

    let whole = made(&qemu, "source", "whole", false).await;
    assert_eq!(whole.state(), VmState::Stopped);
    assert!(below(&host, "whole").is_empty() && holds(&path_of(&whole), 7));
    // Asked for again, it is the same; under another operation it is refused.
    let again = qemu.clone_machine(clone_of("source", "whole", false)).await;
    assert_eq!(again.unwrap().vm_id, "whole");
    let other = CloneVmRequest {
        operation_id: "other".to_owned(),
        ..clone_of("source", "whole", false)
    };
    let refused = qemu.clone_machine(other).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);

    let linked = made(&qemu, "source", "linked", true).await;
    let layer = "images/layer-source-disk0.qcow2".to_owned();
    let expected = [layer, "images/guest.qcow2".to_owned()];
    assert_eq!(below(&host, "linked"), expected);
    assert_eq!(below(&host, "source"), expected);
    assert_eq!(disk(&linked).image, "ds/layer-source-disk0.qcow2");
    // Each writes beside the other.
    let source = qemu.machine("source").await.unwrap();
    write(&path_of(&source), 8);
    write(&path_of(&linked), 9);
    assert!(holds(&path_of(&source), 8) && holds(&path_of(&linked), 9));
    assert!(holds(&path_of(&whole), 7));

    // The next link of a machine that was written to since is another layer; of one that was not, the same.
    made(&qemu, "source", "second", true).await;
    assert_eq!(below(&host, "second").len(), 3);
    made(&qemu, "source", "third", true).await;
    assert_eq!(below(&host, "third"), below(&host, "second"));
    // Cards, ids and names are their own; the machine that it is of stays what it was.
    let mac = |report: &VmReport| {
        report.hardware.clone().unwrap().network_cards[0]
            .mac
            .clone()
    };
    assert_ne!(mac(&source), mac(&linked));
    assert_eq!(qemu.machines().await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_boots_as_what_it_is_told_and_so_does_the_machine_that_it_is_of() {
    let host = Host::new(true).await;
    let qemu = host.open().await;
    booted(&qemu, "source").await;
    for linked in [false, true] {
        let refused = qemu.clone_machine(clone_of("source", "c", linked)).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message.contains("is not off"), "{refused}");
    }
    act(&qemu, "source", Action::Save).await.unwrap();
    let refused = qemu.clone_machine(clone_of("source", "c", true)).await;
    let refused = refused.unwrap_err();
    assert!(refused.message.contains("is saved"), "{refused}");
    let state = qemu.machine("source").await.unwrap().state();
    assert_eq!(state, VmState::Saved);
    act(&qemu, "source", Action::Start).await.unwrap();
    act(&qemu, "source", Action::Shutdown).await.unwrap();

    let told = CloneVmRequest {
        guest: Some(GuestSetup {
            host_name: "told.example.org".to_owned(),
            ..GuestSetup::default()
        }),
        ..clone_of("source", "clone", true)
    };
    qemu.clone_machine(told).await.unwrap();
    for (vm_id, is_told) in [("clone", true), ("source", false)] {
        act(&qemu, vm_id, Action::Start).await.unwrap();
        let name = answering(&qemu, vm_id).await.guest.unwrap().hostname;
        assert_eq!(name == "told.example.org", is_told, "{vm_id}: {name}");
        act(&qemu, vm_id, Action::TurnOff).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_clone_of_a_large_machine_copies_nothing() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    let mut large = request("large");
    let disk = &mut large.hardware.as_mut().unwrap().disks[0];
    disk.image.clear();
    disk.set_source(contracts::host::disk::Source::Blank);
    disk.size_bytes = 20 << 30;
    let large = qemu.create(large).await.unwrap();
    write(&path_of(&large), 7);
    let mut took = Vec::new();
    for number in 0..5 {
        let start = Instant::now();
        made(&qemu, "large", &format!("c{number}"), true).await;
        took.push(start.elapsed());
        let large = qemu.machine("large").await.unwrap();
        write(&path_of(&large), 7);
    }
    let best = took.iter().min().unwrap();
    println!("linked clones of 20 GiB took {took:?}");
    assert!(*best < Duration::from_millis(200), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_crash_leaves_of_a_linked_clone_the_machine_is_there_again() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    let source = qemu.create(request("source")).await.unwrap();
    write(&path_of(&source), 7);
    drop(qemu);
    let before = definition(&host, "source");
    let layer = host.images().join("layer-source-disk0.qcow2");
    // Between the overlay, the renaming and the definition.
    std::fs::write(host.folder("source").join("disk0-1.qcow2"), "half").unwrap();
    std::fs::rename(host.folder("source").join("disk0.qcow2"), &layer).unwrap();
    std::fs::create_dir(host.dir.path().join("ds/vms/clone.creating")).unwrap();
    let qemu = host.open().await;
    assert!(!layer.exists() && definition(&host, "source") == before);
    assert!(holds(&path_of(&qemu.machine("source").await.unwrap()), 7));
    made(&qemu, "source", "clone", true).await;
    assert!(layer.exists() && holds(&path_of(&qemu.machine("clone").await.unwrap()), 7));
    drop(qemu);

    // Somebody puts an old definition back: others lie on the layer, and it stays one.
    let text = serde_json::to_vec(&before).unwrap();
    std::fs::write(host.folder("source").join("vm.json"), text).unwrap();
    let qemu = host.open().await;
    assert!(layer.exists());
    assert!(holds(&path_of(&qemu.machine("clone").await.unwrap()), 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_that_cannot_be_made_leaves_both_as_they_were() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    qemu.create(request("source")).await.unwrap();
    let before = definition(&host, "source");
    let missing = qemu.clone_machine(clone_of("none", "c", true)).await;
    assert_eq!(missing.unwrap_err().code(), Code::NotFound);
    let bad_mac = CloneVmRequest {
        macs: [("nic0".to_owned(), "x".to_owned())].into(),
        ..clone_of("source", "c", true)
    };
    let refused = qemu.clone_machine(bad_mac).await.unwrap_err();
    assert_eq!(refused.field, "macs.nic0");
    // Nobody can write a definition there.
    std::fs::create_dir(host.folder("source").join("vm.new")).unwrap();
    write(&host.folder("source").join("disk0.qcow2"), 7);
    let failed = qemu.clone_machine(clone_of("source", "c", true)).await;
    assert_eq!(failed.unwrap_err().code(), Code::Internal);
    assert_eq!(definition(&host, "source"), before);
    assert!(host.folder("source").join("disk0.qcow2").exists());
    std::fs::remove_dir(host.folder("source").join("vm.new")).unwrap();
    let machines = qemu.machines().await;
    assert_eq!(machines.len(), 1, "{machines:?}");
    assert_eq!(machines[0].state(), VmState::Stopped);
    made(&qemu, "source", "c", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_machines_or_images_lie_on_is_not_removed() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    let source = qemu.create(request("source")).await.unwrap();
    write(&path_of(&source), 7);
    made(&qemu, "source", "linked", true).await;
    let refusal = async |image: &str, words: &str| {
        for check_only in [true, false] {
            let refused = qemu.remove_image(image, check_only).await.unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
            assert!(refused.message.contains(words), "{refused}");
        }
    };
    refusal("ds/layer-source-disk0.qcow2", "2 machines: linked, source").await;
    refusal("ds/guest.qcow2", "2 machines: linked, source").await;
    for vm_id in ["source", "linked"] {
        qemu.delete(vm_id).await.unwrap();
    }
    refusal("ds/guest.qcow2", "1 images: layer-source-disk0.qcow2").await;
    qemu.remove_image("ds/layer-source-disk0.qcow2", true)
        .await
        .unwrap();
    assert!(host.images().join("layer-source-disk0.qcow2").exists());
    for image in [
        "ds/layer-source-disk0.qcow2",
        "ds/guest.qcow2",
        "ds/guest.qcow2",
    ] {
        qemu.remove_image(image, false).await.unwrap();
    }
    let missing = qemu.remove_image("ds/guest.qcow2", true).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert_eq!(std::fs::read_dir(host.images()).unwrap().count(), 0);
    // What cannot be read may need anything.
    std::fs::copy(
        crate::host::guest_image(),
        host.images().join("guest.qcow2"),
    )
    .unwrap();
    std::fs::create_dir_all(host.folder("broken")).unwrap();
    std::fs::write(host.folder("broken").join("vm.json"), "{").unwrap();
    assert!(qemu.remove_image("ds/guest.qcow2", false).await.is_err());
    assert!(host.images().join("guest.qcow2").exists());
}
