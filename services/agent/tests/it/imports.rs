//! Machines of disks that other programs wrote, with real QEMU's tools: converted once they have come, looked at again before.

use std::path::{Path, PathBuf};
use std::process::Command;

use agent::hypervisor::Hypervisor;
use contracts::Code;
use contracts::host::{CreateVmRequest, Disk, ForeignDisk, Hardware, ReceivedVm, disk};
use support::eventually;

use crate::clones::{holds, path_of};
use crate::host::{Host, request};

const DISK_BYTES: u64 = 64 << 20;

pub(crate) fn tool(program: &str, arguments: &[&str], folder: &Path) {
    let mut tool = Command::new(program);
    let made = tool.args(arguments).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{arguments:?}: {made:?}");
}

fn parcels(host: &Host) -> PathBuf {
    host.dir.path().join("ds/parcels")
}

fn names(folder: PathBuf) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// A disk with a sign in it, as `qemu-img` calls its format, and what it holds as a file of that format.
pub(crate) fn disk_of(host: &Host, format: &str, options: &str) -> Vec<u8> {
    let dir = tempfile::tempdir_in(host.dir.path()).unwrap();
    let create = ["create", "-q", "-f", "qcow2", "a.qcow2", "64M"];
    tool("qemu-img", &create, dir.path());
    crate::clones::write(&dir.path().join("a.qcow2"), 7);
    let convert = ["convert", "-O", format, "-o", options, "a.qcow2", "a"];
    tool("qemu-img", &convert, dir.path());
    std::fs::read(dir.path().join("a")).unwrap()
}

pub(crate) fn from(format: &str) -> ForeignDisk {
    ForeignDisk {
        disk_id: "disk0".to_owned(),
        file: "package0".to_owned(),
        format: format.to_owned(),
        ..ForeignDisk::default()
    }
}

/// A machine of a disk that has come as `p1`, and of a blank one.
pub(crate) fn imported(from: ForeignDisk) -> CreateVmRequest {
    let disk = |id: &str, size_bytes: u64| Disk {
        id: id.to_owned(),
        source: disk::Source::Blank.into(),
        size_bytes,
        ..Disk::default()
    };
    CreateVmRequest {
        hardware: Some(Hardware {
            vcpus: 1,
            memory_bytes: 112 << 20,
            disks: vec![disk("disk0", DISK_BYTES), disk("disk1", 1 << 20)],
            ..Hardware::default()
        }),
        received: Some(ReceivedVm {
            parcel_id: "p1".to_owned(),
            disks: vec![from],
            ..ReceivedVm::default()
        }),
        datastore: "ds".to_owned(),
        ..request("web")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_of_each_format_becomes_the_machines_own_and_what_came_goes() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    for (format, driver, options) in [
        ("vmdk", "vmdk", "subformat=streamOptimized"),
        ("vhd", "vpc", "force_size=on"),
        ("vhdx", "vhdx", "subformat=dynamic"),
        ("qcow2", "qcow2", "compat=1.1"),
        ("raw", "raw", "size=64M"),
    ] {
        let content = disk_of(&host, driver, options);
        std::fs::write(parcels(&host).join("p1-package0"), &content).unwrap();
        // Asked again after an answer that was lost, the machine is there and nothing is done twice.
        for _ in 0..2 {
            let made = qemu.create(imported(from(format))).await.unwrap();
            assert!(holds(&path_of(&made), 7), "{format}");
        }
        assert_eq!(names(parcels(&host)), [""; 0], "{format}");
        qemu.delete("web").await.unwrap();
        assert_eq!(host.traces(), [""; 0].map(PathBuf::from));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_an_archive_is_converted_where_it_lies() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    let content = disk_of(&host, "vmdk", "subformat=streamOptimized");
    let archive = [vec![0xee; 1536], content.clone(), vec![0xee; 4096]].concat();
    let member = ForeignDisk {
        offset_bytes: 1536,
        length_bytes: content.len() as u64,
        ..from("vmdk")
    };
    std::fs::write(parcels(&host).join("p1-package0"), archive).unwrap();
    let made = qemu.create(imported(member)).await.unwrap();
    assert!(holds(&path_of(&made), 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_come_is_looked_at_again_before_it_is_converted() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    let refused = async |from: ForeignDisk, words: &str| {
        let refusal = qemu.create(imported(from)).await.unwrap_err();
        assert!(refusal.message.contains(words), "{words}: {refusal}");
        assert!(host.traces().is_empty(), "{:?}", host.traces());
    };
    let came = |content: &[u8]| std::fs::write(parcels(&host).join("p1-package0"), content);
    refused(from("vmdk"), "package0 that has come cannot be opened").await;
    let vmdk = disk_of(&host, "vmdk", "subformat=streamOptimized");
    came(&vmdk).unwrap();
    refused(from("vhdx"), "is vmdk, and vhdx was expected").await;
    refused(from("raw"), "is vmdk, and raw was expected").await;
    let outside = ForeignDisk {
        file: "../../vms".to_owned(),
        ..from("vmdk")
    };
    refused(outside, "cannot be the name").await;
    let beyond = ForeignDisk {
        offset_bytes: vmdk.len() as u64,
        length_bytes: 4096,
        ..from("vmdk")
    };
    refused(beyond, "is none").await;
    let raw = disk_of(&host, "raw", "size=64M");
    came(&raw[..32 << 20]).unwrap();
    refused(from("raw"), "holds a disk of 33554432 bytes, and 67108864").await;
    // The name of another file, where a disk's descriptor stands.
    let secret = host.dir.path().join("secret.raw");
    std::fs::write(&secret, vec![7; 64 << 20]).unwrap();
    let mut names_others = vmdk.clone();
    names_others[12..20].fill(0);
    came(&names_others).unwrap();
    refused(from("vmdk"), "only names other files").await;
    std::fs::remove_file(parcels(&host).join("p1-package0")).unwrap();
    let backing = secret.to_str().unwrap();
    let create = [
        "create",
        "-f",
        "qcow2",
        "-b",
        backing,
        "-F",
        "raw",
        "p1-package0",
    ];
    tool("qemu-img", &create, &parcels(&host));
    refused(from("qcow2"), "lies on another file").await;
    std::fs::remove_file(parcels(&host).join("p1-package0")).unwrap();
    std::os::unix::fs::symlink(&secret, parcels(&host).join("p1-package0")).unwrap();
    refused(from("raw"), "cannot be opened").await;
    // What has come is still there: the next try takes it.
    std::fs::remove_file(parcels(&host).join("p1-package0")).unwrap();
    came(&vmdk).unwrap();
    qemu.create(imported(from("vmdk"))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversion_that_was_cut_off_is_begun_anew_or_leaves_nothing() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    let content = disk_of(&host, "vmdk", "subformat=streamOptimized");
    std::fs::write(parcels(&host).join("p1-package0"), content).unwrap();
    // As a crash in the middle of it leaves them.
    let half = host.folder("web.creating");
    std::fs::create_dir_all(&half).unwrap();
    std::fs::write(half.join("disk0.qcow2"), "half").unwrap();
    let made = qemu.create(imported(from("vmdk"))).await.unwrap();
    assert!(holds(&path_of(&made), 7));
    qemu.delete("web").await.unwrap();

    // Deleted while it is made: what came stays until the parcel is dropped.
    let raw = std::fs::File::create(parcels(&host).join("p1-package0")).unwrap();
    raw.set_len(DISK_BYTES).unwrap();
    let making = tokio::spawn({
        let qemu = qemu.clone();
        async move { qemu.create(imported(from("raw"))).await }
    });
    eventually("the making to begin", async || {
        let there = qemu.machine("web").await.is_ok() || making.is_finished();
        there.then_some(())
    })
    .await
    .unwrap();
    qemu.delete("web").await.unwrap();
    // Unless it was faster.
    if let Err(ended) = making.await.unwrap() {
        assert_eq!(ended.code(), Code::Cancelled, "{ended}");
    }
    qemu.drop_parcel("p1").await.unwrap();
    assert_eq!(names(parcels(&host)), [""; 0]);
    assert!(host.traces().is_empty(), "{:?}", host.traces());
}
