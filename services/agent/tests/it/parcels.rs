//! Machines on their way, with real QEMU's tools: packed as files that can travel, and made of files that have come.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

use agent::hypervisor::Hypervisor;
use contracts::Code;
use contracts::host::{
    CreateVmRequest, Disk, GuestSetup, Hardware, PackVmRequest, Parcel, ReceivedVm, VmReport,
    VmState, disk,
};
use contracts::stored::StoredVm;

use crate::clones::{holds, path_of, write};
use crate::host::{Host, request};

pub(crate) fn pack(vm_id: &str) -> PackVmRequest {
    PackVmRequest {
        operation_id: "j/pack".to_owned(),
        vm_id: vm_id.to_owned(),
        parcel_id: "p1".to_owned(),
        owner: "ann".to_owned(),
        tags: [("tier".to_owned(), "web".to_owned())].into(),
        ..PackVmRequest::default()
    }
}

fn parcels(host: &Host) -> PathBuf {
    host.dir.path().join("ds/parcels")
}

pub(crate) fn names(host: &Host) -> Vec<String> {
    let entries = std::fs::read_dir(parcels(host)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn file_names(parcel: &Parcel) -> Vec<&str> {
    parcel.files.iter().map(|file| file.name.as_str()).collect()
}

/// A machine of what has come as `p1`.
fn received(stored: &StoredVm) -> CreateVmRequest {
    CreateVmRequest {
        operation_id: format!("{}/received", stored.id),
        vm_id: stored.id.clone(),
        name: stored.name.clone(),
        hardware: Some(stored.hardware()),
        datastore: "ds".to_owned(),
        received: Some(ReceivedVm {
            parcel_id: "p1".to_owned(),
            machine_type: stored.machine_type.clone(),
            seeded: stored.seeded,
            with_variables: !stored.firmware.is_bios(),
            ..ReceivedVm::default()
        }),
        ..CreateVmRequest::default()
    }
}

/// A machine whose guest is told its name.
fn told() -> CreateVmRequest {
    CreateVmRequest {
        guest: Some(GuestSetup {
            host_name: "web.example.org".to_owned(),
            ..GuestSetup::default()
        }),
        ..request("web")
    }
}

fn mac(report: &VmReport) -> String {
    report.hardware.clone().unwrap().network_cards[0]
        .mac
        .clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_packed_as_files_of_its_own_and_made_of_them_again() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    let before = qemu.create(told()).await.unwrap();
    write(&path_of(&before), 7);
    let seed = std::fs::read(host.folder("web").join("seed.img")).unwrap();

    let planned = PackVmRequest {
        check_only: true,
        ..pack("web")
    };
    let planned = qemu.pack(planned).await.unwrap();
    let expected = ["disk0.qcow2", "seed", "machine.muster.json"];
    assert_eq!(
        (file_names(&planned), names(&host).len()),
        (expected.into(), 0)
    );
    // What a crash has left of one is made anew.
    std::fs::write(parcels(&host).join(".p1-disk0.qcow2.new"), "half").unwrap();
    for _ in 0..2 {
        let packed = qemu.pack(pack("web")).await.unwrap();
        assert_eq!(file_names(&packed), expected);
        assert_eq!(packed.datastore, "ds");
    }
    let there = ["p1-disk0.qcow2", "p1-machine.muster.json", "p1-seed"];
    assert_eq!(names(&host), there);
    let disk = parcels(&host).join("p1-disk0.qcow2");
    let text = std::fs::read_to_string(parcels(&host).join("p1-machine.muster.json")).unwrap();
    let stored = StoredVm::parse(&text).unwrap();
    assert_eq!((stored.id.as_str(), stored.owner.as_str()), ("web", "ann"));
    assert_eq!(stored.network_cards[0].mac, mac(&before));
    assert!(holds(&disk, 7));
    let info = Command::new("qemu-img").arg("info").arg(&disk).output();
    let info = String::from_utf8(info.unwrap().stdout).unwrap();
    assert!(!info.contains("backing"), "{info}");

    // It is what it was, until it goes; then it is made again of its files.
    let machine = qemu.machine("web").await.unwrap();
    assert_eq!(machine.state(), VmState::Stopped);
    qemu.delete("web").await.unwrap();
    for _ in 0..2 {
        let again = qemu.create(received(&stored)).await.unwrap();
        assert_eq!(
            (mac(&again), again.state()),
            (mac(&before), VmState::Stopped)
        );
    }
    assert_eq!(names(&host), [""; 0]);
    let again = qemu.machine("web").await.unwrap();
    assert!(holds(&path_of(&again), 7));
    let put_back = std::fs::read(host.folder("web").join("seed.img")).unwrap();
    assert!(put_back == seed);
    // The next time its disk is one file, and nothing is copied.
    qemu.pack(pack("web")).await.unwrap();
    let inode = |path: PathBuf| std::fs::metadata(path).unwrap().ino();
    assert_eq!(inode(disk), inode(path_of(&again)));
    for _ in 0..2 {
        qemu.drop_parcel("p1").await.unwrap();
    }
    assert!(names(&host).is_empty() && holds(&path_of(&again), 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_have_come_are_not_trusted() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    let missing = qemu.pack(pack("none")).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let qemu_img = |arguments: &[&str]| {
        let mut tool = Command::new("qemu-img");
        let made = tool.args(arguments).current_dir(parcels(&host)).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{arguments:?}: {made:?}");
    };
    let disk = |size_bytes: u64| Disk {
        id: "disk0".to_owned(),
        source: disk::Source::Blank.into(),
        size_bytes,
        ..Disk::default()
    };
    let asked = |size_bytes: u64, seeded: bool| CreateVmRequest {
        hardware: Some(Hardware {
            vcpus: 1,
            memory_bytes: 112 << 20,
            disks: vec![disk(size_bytes)],
            ..Hardware::default()
        }),
        received: Some(ReceivedVm {
            parcel_id: "p1".to_owned(),
            seeded,
            ..ReceivedVm::default()
        }),
        datastore: "ds".to_owned(),
        ..request("web")
    };
    let refused = async |request: CreateVmRequest, words: &str| {
        let refusal = qemu.create(request).await.unwrap_err();
        assert!(refusal.message.contains(words), "{words}: {refusal}");
        assert!(host.traces().is_empty(), "{:?}", host.traces());
    };
    let file = "p1-disk0.qcow2";
    refused(asked(1 << 20, false), "disk0.qcow2").await;
    let secret = host.dir.path().join("secret.raw");
    std::fs::write(&secret, [0; 1 << 20]).unwrap();
    let secret = secret.to_str().unwrap();
    qemu_img(&["create", "-f", "qcow2", "-b", secret, "-F", "raw", file]);
    refused(asked(1 << 20, false), "leads out of").await;
    std::os::unix::fs::symlink(secret, parcels(&host).join("link")).unwrap();
    std::fs::rename(parcels(&host).join("link"), parcels(&host).join(file)).unwrap();
    refused(asked(1 << 20, false), "leads out of").await;
    std::fs::remove_file(parcels(&host).join(file)).unwrap();
    qemu_img(&["create", "-f", "qcow2", file, "1M"]);
    refused(asked(2 << 20, false), "says 2097152").await;
    let elsewhere = CreateVmRequest {
        datastore: "other".to_owned(),
        ..asked(1 << 20, false)
    };
    refused(elsewhere, "other").await;
    let mut odd = asked(1 << 20, false);
    if let Some(received) = &mut odd.received {
        "pc,kernel=/etc/shadow".clone_into(&mut received.machine_type);
    }
    refused(odd, "machine type").await;
    std::fs::write(parcels(&host).join("p1-seed"), "short").unwrap();
    refused(asked(1 << 20, true), "what its guest was told").await;
    // What has come is still there: the next try takes it.
    qemu.create(asked(1 << 20, false)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_file_has_one_name_only_it_is_copied_both_ways() {
    let Some(host) = Host::with_parcels_apart(200 << 20) else {
        return;
    };
    let qemu = host.open().await;
    let made = qemu.create(told()).await.unwrap();
    write(&path_of(&made), 7);
    // The second time the disk is one file.
    for _ in 0..2 {
        qemu.pack(pack("web")).await.unwrap();
        let machine = qemu.machine("web").await.unwrap();
        assert!(holds(&path_of(&machine), 7));
        let text = std::fs::read_to_string(parcels(&host).join("p1-machine.muster.json")).unwrap();
        qemu.delete("web").await.unwrap();
        let stored = StoredVm::parse(&text).unwrap();
        let again = qemu.create(received(&stored)).await.unwrap();
        assert!(holds(&path_of(&again), 7) && host.folder("web").join("seed.img").exists());
        assert_eq!(names(&host), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_of_a_type_that_qemu_does_not_know_is_refused_before_it_is_made() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    qemu.create(request("web")).await.unwrap();
    qemu.pack(pack("web")).await.unwrap();
    let text = std::fs::read_to_string(parcels(&host).join("p1-machine.muster.json")).unwrap();
    qemu.delete("web").await.unwrap();
    let stored = StoredVm::parse(&text).unwrap();
    // What the host says that it knows is what it takes, its own first.
    let versions = qemu.facts().await.q35_versions;
    assert_eq!(stored.machine_type, format!("pc-q35-{}", versions[0]));
    assert!(versions.len() > 1, "{versions:?}");
    let of = |machine_type: &str| StoredVm {
        machine_type: machine_type.to_owned(),
        ..stored.clone()
    };
    let there = names(&host);
    let newer = received(&of("pc-q35-99.0"));
    let refusal = qemu.create(newer).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition, "{refusal}");
    assert!(refusal.message.contains("pc-q35-99.0"), "{refusal}");
    assert!(host.traces().is_empty(), "{:?}", host.traces());
    assert_eq!(names(&host), there);
    let older = of(&format!("pc-q35-{}", versions[1]));
    qemu.create(received(&older)).await.unwrap();
}
