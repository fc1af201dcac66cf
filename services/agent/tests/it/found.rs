//! Machines that come and go behind the agent's back, with real QEMU.

use agent::hypervisor::{Action, Change, Hypervisor};
use contracts::host::{Level, VmReport, VmState};
use support::eventually;
use tokio::sync::broadcast;

use crate::host::{Host, act, booted, kill, request};

/// Waits for a change of one machine.
async fn next_of(changes: &mut broadcast::Receiver<Change>, vm_id: &str) -> Change {
    loop {
        let change = changes.recv().await.unwrap();
        let is_it = match &change {
            Change::Vm(report) => report.vm_id == vm_id,
            Change::Removed { vm_id: removed } => removed == vm_id,
        };
        if is_it {
            return change;
        }
    }
}

fn report(change: Change) -> VmReport {
    match change {
        Change::Vm(report) => *report,
        Change::Removed { vm_id } => panic!("{vm_id} was removed"),
    }
}

/// Makes a machine with an agent of its own and puts its folder aside, as one that comes from elsewhere.
async fn foreign(host: &Host, vm_id: &str) -> std::path::PathBuf {
    let qemu = host.open().await;
    qemu.create(request(vm_id)).await.unwrap();
    drop(qemu);
    let aside = host.dir.path().join(format!("aside-{vm_id}"));
    std::fs::rename(host.folder(vm_id), &aside).unwrap();
    aside
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_put_into_a_datastore_is_a_machine_at_once_and_can_be_started() {
    let host = Host::new(true).await;
    let aside = foreign(&host, "dropped").await;
    let qemu = host.open().await;
    assert!(qemu.machines().await.is_empty());
    let mut changes = qemu.changes();
    std::fs::rename(&aside, host.folder("dropped")).unwrap();
    let found = report(next_of(&mut changes, "dropped").await);
    assert_eq!(found.state(), VmState::Stopped);
    assert!(!found.hardware.unwrap().disks.is_empty());
    let running = act(&qemu, "dropped", Action::Start).await.unwrap();
    assert_eq!(running.state(), VmState::Running);
    act(&qemu, "dropped", Action::TurnOff).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_folder_is_taken_away_is_gone_and_comes_back_with_it() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    qemu.create(request("taken")).await.unwrap();
    let mut changes = qemu.changes();
    let aside = host.dir.path().join("aside");
    std::fs::rename(host.folder("taken"), &aside).unwrap();
    let gone = next_of(&mut changes, "taken").await;
    assert_eq!(
        gone,
        Change::Removed {
            vm_id: "taken".to_owned()
        }
    );
    assert!(qemu.machines().await.is_empty());
    // Piece by piece, as a copy would: the folder first, its definition last.
    std::fs::create_dir(host.folder("taken")).unwrap();
    for name in ["disk0.qcow2", "vm.json"] {
        std::fs::copy(aside.join(name), host.folder("taken").join(name)).unwrap();
    }
    let back = report(next_of(&mut changes, "taken").await);
    assert_eq!(
        (back.state(), back.name.as_str()),
        (VmState::Stopped, "taken")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_written_anew_counts_and_a_broken_one_harms_no_other() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    for id in ["edited", "other"] {
        qemu.create(request(id)).await.unwrap();
    }
    let mut changes = qemu.changes();
    let file = host.folder("edited").join("vm.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut definition: serde_json::Value = serde_json::from_str(&text).unwrap();
    definition["vcpus"] = 2.into();
    std::fs::write(&file, definition.to_string()).unwrap();
    let edited = eventually("the new definition", async || {
        let found = qemu.machine("edited").await.ok()?;
        (found.hardware.as_ref()?.vcpus == 2).then_some(found)
    });
    assert_eq!(edited.await.unwrap().state(), VmState::Stopped);
    // A definition that makes no sense, and one under another's name.
    std::fs::write(&file, "{").unwrap();
    std::fs::create_dir(host.folder("posing")).unwrap();
    std::fs::copy(
        host.folder("other").join("vm.json"),
        host.folder("posing").join("vm.json"),
    )
    .unwrap();
    qemu.look(Level::Light, "").await;
    let ids: Vec<String> = qemu.machines().await.into_iter().map(|m| m.vm_id).collect();
    assert_eq!(ids, ["edited", "other"]);
    while let Ok(change) = changes.try_recv() {
        assert!(!matches!(change, Change::Removed { vm_id } if vm_id == "other"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_runs_on_though_its_definition_is_gone_and_a_look_finds_what_nobody_said() {
    let host = Host::new(true).await;
    let qemu = host.open().await;
    let before = booted(&qemu, "kept").await;
    std::fs::rename(
        host.folder("kept").join("vm.json"),
        host.dir.path().join("vm.json"),
    )
    .unwrap();
    qemu.look(Level::Heavy, "").await;
    let after = qemu.machines().await.remove(0);
    assert_eq!((after.state(), after.pid), (VmState::Running, before.pid));
    std::fs::rename(
        host.dir.path().join("vm.json"),
        host.folder("kept").join("vm.json"),
    )
    .unwrap();
    // Ended by other hands.
    kill(i32::try_from(before.pid).unwrap());
    eventually("it to be stopped", async || {
        let now = qemu.machines().await.pop()?;
        (now.state() == VmState::Stopped).then_some(())
    })
    .await
    .unwrap();
}
