//! What the agent refuses, and what it does only once.

use std::time::Duration;

use agent::hypervisor::{Action, Hypervisor};
use contracts::Code;
use contracts::host::{Disk, VmState, disk::Source};

use crate::host::{Host, act, request};
use support::{eventually, is_alive};

#[tokio::test(flavor = "multi_thread")]
async fn the_host_says_what_it_is() {
    let host = Host::new(false).await;
    let facts = host.open().await.facts().await;
    assert!(
        facts.hypervisor_version.starts_with("QEMU "),
        "{}",
        facts.hypervisor_version
    );
    assert!(["kvm", "tcg"].contains(&facts.accelerator.as_str()));
    assert!(!facts.accelerator_reason.is_empty());
    assert!(facts.cpus > 0 && facts.memory_bytes > 0 && facts.memory_overhead_bytes > 0);
    assert_eq!(facts.datastores[0].images[0].name, "guest.qcow2");
    assert!(facts.datastores[0].free_bytes > 0 && facts.datastores[0].problem.is_empty());
    if rustix::process::geteuid().is_root() {
        assert!(
            facts.confinement.contains("nobody"),
            "{}",
            facts.confinement
        );
    }
    println!(
        "{} because {} {}",
        facts.accelerator, facts.accelerator_reason, facts.confinement
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_confine_qemu_says_so() {
    let mut host = Host::new(false).await;
    host.settings.qemu_user = "no-such-user".to_owned();
    let qemu = host.open().await;
    let facts = qemu.facts().await;
    if rustix::process::geteuid().is_root() {
        assert!(
            facts.confinement.contains("root, because there is no user"),
            "{}",
            facts.confinement
        );
    }
    println!("{}: {}", facts.accelerator, facts.accelerator_reason);
    // It works all the same.
    qemu.create(request("asroot")).await.unwrap();
    act(&qemu, "asroot", Action::Start).await.unwrap();
    act(&qemu, "asroot", Action::TurnOff).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_runs_without_privileges_and_in_a_session_of_its_own() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    qemu.create(request("confined")).await.unwrap();
    let report = act(&qemu, "confined", Action::Start).await.unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", report.pid)).unwrap();
    let field = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    if rustix::process::geteuid().is_root() {
        assert_eq!(field("Uid:"), ["65534"; 4]);
        assert_eq!(field("CapEff:"), ["0000000000000000"]);
        assert_eq!(field("NoNewPrivs:"), ["1"]);
    }
    assert_eq!(field("Seccomp:"), ["2"]);
    let pid = rustix::process::Pid::from_raw(i32::try_from(report.pid).unwrap());
    assert_eq!(rustix::process::getsid(pid).ok(), pid);
    act(&qemu, "confined", Action::TurnOff).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_made_once_and_its_id_is_its_own() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    let first = qemu.create(request("once")).await.unwrap();
    let again = qemu.create(request("once")).await.unwrap();
    assert_eq!(first, again);
    let mut other = request("once");
    other.operation_id = "another".to_owned();
    assert_eq!(
        qemu.create(other).await.unwrap_err().code(),
        Code::AlreadyExists
    );
    // After a restart of the agent too.
    drop(qemu);
    let qemu = host.open().await;
    assert_eq!(qemu.create(request("once")).await.unwrap().vm_id, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_never_runs_twice() {
    let host = Host::new(false).await;
    let (qemu, other) = (host.open().await, host.open().await);
    qemu.create(request("twice")).await.unwrap();
    let third = host.open().await;
    let report = act(&qemu, "twice", Action::Start).await.unwrap();
    let again = act(&qemu, "twice", Action::Start).await.unwrap();
    assert_eq!(report.pid, again.pid);
    // Another agent that does not know that it runs.
    let error = act(&third, "twice", Action::Start).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message.contains("lock"), "{error}");
    assert!(is_alive(report.pid));
    drop((other, third));
    act(&qemu, "twice", Action::TurnOff).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_state_forbids_is_refused_and_changes_nothing() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    qemu.create(request("states")).await.unwrap();
    for action in [Action::Pause, Action::Resume, Action::Reset, Action::Save] {
        let error = act(&qemu, "states", action).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{action:?}");
        assert!(
            error.message.contains("states") && !error.recommended_action.is_empty(),
            "{error}"
        );
    }
    act(&qemu, "states", Action::Start).await.unwrap();
    let error = qemu.delete("states").await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    // The firmware does not know what a power button is for.
    let start = std::time::Instant::now();
    act(&qemu, "states", Action::Pause).await.unwrap();
    assert_eq!(
        act(&qemu, "states", Action::Shutdown)
            .await
            .unwrap_err()
            .code(),
        Code::FailedPrecondition
    );
    act(&qemu, "states", Action::Resume).await.unwrap();
    let limit = Duration::from_millis(200);
    let error = qemu
        .act("states", Action::Shutdown, limit)
        .await
        .unwrap_err();
    assert!(
        error.message.contains("did not shut down within"),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(
        qemu.machine("states").await.unwrap().state(),
        VmState::Running
    );
    act(&qemu, "states", Action::TurnOff).await.unwrap();
    assert_eq!(
        act(&qemu, "states", Action::TurnOff).await.unwrap().state(),
        VmState::Stopped
    );
    assert_eq!(
        act(&qemu, "nobody", Action::Start)
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plug_can_be_pulled_while_a_guest_does_not_shut_down() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    qemu.create(request("stubborn")).await.unwrap();
    act(&qemu, "stubborn", Action::Start).await.unwrap();
    let other = qemu.clone();
    let shutdown = tokio::spawn(async move { act(&other, "stubborn", Action::Shutdown).await });
    crate::host::reported(&qemu, "stubborn", VmState::Stopping).await;
    assert_eq!(
        act(&qemu, "stubborn", Action::Pause)
            .await
            .unwrap_err()
            .code(),
        Code::Aborted
    );
    let off = act(&qemu, "stubborn", Action::TurnOff).await.unwrap();
    assert_eq!(off.state(), VmState::Stopped);
    assert_eq!(shutdown.await.unwrap().unwrap().state(), VmState::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_being_made_can_be_deleted() {
    let host = Host::new(false).await;
    // Large enough that the copy is still going on.
    let big = std::fs::File::create(host.images().join("big.raw")).unwrap();
    let chunk = vec![0xa5u8; 1 << 20];
    for _ in 0..512 {
        std::io::Write::write_all(&mut &big, &chunk).unwrap();
    }
    let qemu = host.open().await;
    let mut large = request("unmade");
    large.hardware.as_mut().unwrap().disks = vec![Disk {
        image: "big.raw".to_owned(),
        source: Source::Copy.into(),
        ..Disk::default()
    }];
    let maker = qemu.clone();
    let making = tokio::spawn(async move { maker.create(large).await });
    eventually("the copy has begun", async || {
        host.folder("unmade.creating")
            .join("disk0.qcow2")
            .exists()
            .then_some(())
    })
    .await
    .unwrap();
    assert_eq!(
        qemu.machine("unmade").await.unwrap().state(),
        VmState::Creating
    );
    assert_eq!(
        act(&qemu, "unmade", Action::Start)
            .await
            .unwrap_err()
            .code(),
        Code::Aborted
    );
    qemu.delete("unmade").await.unwrap();
    assert_eq!(making.await.unwrap().unwrap_err().code(), Code::Cancelled);
    assert!(host.traces().is_empty(), "{:?}", host.traces());
}

#[tokio::test(flavor = "multi_thread")]
async fn disks_are_overlays_copies_or_blank_and_as_large_as_asked() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    let mut request = request("disks");
    let disk = |source: Source, image: &str, size_bytes: u64| Disk {
        source: source.into(),
        image: image.to_owned(),
        size_bytes,
        ..Disk::default()
    };
    request.hardware.as_mut().unwrap().disks = vec![
        disk(Source::Overlay, "ds/guest.qcow2", 128 << 20),
        disk(Source::Copy, "guest.qcow2", 96 << 20),
        disk(Source::Blank, "", 1 << 30),
    ];
    let report = qemu.create(request).await.unwrap();
    let disks = report.hardware.unwrap().disks;
    let sizes: Vec<u64> = disks.iter().map(|d| d.size_bytes >> 20).collect();
    assert_eq!(sizes, [128, 96, 1024]);
    for disk in &disks {
        let output = std::process::Command::new("qemu-img")
            .args(["info", "--output=json", &disk.path])
            .output()
            .unwrap();
        let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(info["virtual-size"], disk.size_bytes, "{info}");
        assert_eq!(
            info.get("backing-filename").is_some(),
            disk.id == "disk0",
            "{info}"
        );
    }
    assert!(disks[0].allocated_bytes < 2 << 20 && disks[1].allocated_bytes > 10 << 20);
    // The machine with all of them starts.
    act(&qemu, "disks", Action::Start).await.unwrap();
    act(&qemu, "disks", Action::TurnOff).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_machine_starts() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    let mut request = request("largest");
    let hardware = request.hardware.as_mut().unwrap();
    let blank = Disk {
        size_bytes: 1 << 20,
        source: Source::Blank.into(),
        ..Disk::default()
    };
    hardware.disks = vec![blank; contracts::limits::DISKS_MAX];
    hardware.network_cards = vec![Default::default(); contracts::limits::NETWORK_CARDS_MAX];
    hardware.vcpus = 4;
    qemu.create(request).await.unwrap();
    act(&qemu, "largest", Action::Start).await.unwrap();
    // And so does one that was saved, though its firmware has only just begun.
    act(&qemu, "largest", Action::Save).await.unwrap();
    act(&qemu, "largest", Action::Start).await.unwrap();
    act(&qemu, "largest", Action::TurnOff).await.unwrap();
}
