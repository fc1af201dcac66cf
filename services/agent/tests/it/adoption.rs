//! An agent that ends at any moment, and the next one that finds what it left.

use agent::hypervisor::qemu::Qemu;
use agent::hypervisor::{Action, Hypervisor};
use contracts::host::VmState;

use crate::host::{Host, act, answering, booted, kill, request};
use support::{eventually, is_alive};

/// What `kill -9` leaves of an agent: nothing of its tasks, connections and locks, and no farewell.
fn in_an_agent_that_is_killed<T: Send + 'static>(
    host: &Host,
    life: impl AsyncFnOnce(&Qemu) -> T + Send + 'static,
) -> T {
    let settings = host.settings.clone();
    let agent = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let left = runtime.block_on(async {
            let qemu = Qemu::open(settings, 1).await.unwrap();
            let left = life(&qemu).await;
            // Not dropped in order either.
            std::mem::forget(qemu);
            left
        });
        runtime.shutdown_background();
        left
    });
    agent.join().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_machine_is_found_again_with_its_process_and_its_uptime() {
    let host = Host::new(true).await;
    let before = in_an_agent_that_is_killed(&host, async |qemu| booted(qemu, "kept").await);
    assert!(is_alive(before.pid));

    let qemu = host.open().await;
    let found = qemu.machines().await.remove(0);
    assert_eq!(
        (found.state(), found.pid, found.started_ms),
        (VmState::Running, before.pid, before.started_ms)
    );
    let after = answering(&qemu, "kept").await;
    assert!(after.guest.unwrap().uptime_secs >= before.guest.unwrap().uptime_secs);

    // A second agent on the same folders neither starts it twice nor takes it away.
    let second = act(&qemu, "kept", Action::Start).await.unwrap();
    assert_eq!(second.pid, before.pid);
    act(&qemu, "kept", Action::Pause).await.unwrap();
    drop(qemu);
    let qemu = host.open().await;
    assert_eq!(qemu.machines().await.remove(0).state(), VmState::Paused);
    act(&qemu, "kept", Action::TurnOff).await.unwrap();
    assert!(!is_alive(before.pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_died_while_the_agent_was_away_is_stopped_with_a_reason() {
    let host = Host::new(false).await;
    let before = in_an_agent_that_is_killed(&host, async |qemu| {
        qemu.create(request("died")).await.unwrap();
        act(qemu, "died", Action::Start).await.unwrap()
    });
    kill(i32::try_from(before.pid).unwrap());
    eventually("it is dead", async || (!is_alive(before.pid)).then_some(()))
        .await
        .unwrap();

    let qemu = host.open().await;
    let found = qemu.machines().await.remove(0);
    assert_eq!(found.state(), VmState::Stopped);
    assert_eq!(
        found.state_reason,
        "its process ended while the agent was away"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_never_written_down_is_found_by_its_socket() {
    let host = Host::new(false).await;
    let before = in_an_agent_that_is_killed(&host, async |qemu| {
        qemu.create(request("unwritten")).await.unwrap();
        act(qemu, "unwritten", Action::Start).await.unwrap()
    });
    std::fs::remove_file(host.folder("unwritten").join("process.json")).unwrap();
    let qemu = host.open().await;
    let found = qemu.machines().await.remove(0);
    assert_eq!((found.state(), found.pid), (VmState::Running, before.pid));
    assert!((found.started_ms - before.started_ms).abs() < 2000);
    act(&qemu, "unwritten", Action::TurnOff).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_is_finished_or_undone_whatever_point_it_had_reached() {
    let host = Host::new(true).await;
    // The agent dies with the note written and nothing done: the save is undone, the guest goes on.
    let before = in_an_agent_that_is_killed(&host, async |qemu| booted(qemu, "half").await);
    note_saving(&host, "half");
    std::fs::write(host.folder("half").join("memory.state.tmp"), b"").unwrap();
    let qemu = host.open().await;
    let found = qemu.machines().await.remove(0);
    assert_eq!((found.state(), found.pid), (VmState::Running, before.pid));
    assert!(!host.folder("half").join("memory.state.tmp").exists());

    // It dies between the rename and the end of the process: saved, and the process is gone.
    drop(qemu);
    note_saving(&host, "half");
    std::fs::write(host.folder("half").join("memory.state"), b"x").unwrap();
    let qemu = host.open().await;
    assert_eq!(qemu.machines().await.remove(0).state(), VmState::Saved);
    assert!(!is_alive(before.pid));

    // Memory that makes no sense is refused, and kept until it is given up.
    let error = act(&qemu, "half", Action::Start).await.unwrap_err();
    assert!(
        error.message.contains("saved memory was not taken"),
        "{error}"
    );
    assert_eq!(qemu.machines().await.remove(0).state(), VmState::Saved);
    act(&qemu, "half", Action::TurnOff).await.unwrap();
    act(&qemu, "half", Action::Start).await.unwrap();
    answering(&qemu, "half").await;
    act(&qemu, "half", Action::TurnOff).await.unwrap();
}

fn note_saving(host: &Host, vm_id: &str) {
    let path = host.folder(vm_id).join("process.json");
    let mut record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    record["saving_from"] = "running".into();
    std::fs::write(&path, record.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_may_have_been_used_is_never_used_again() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    qemu.create(request("used")).await.unwrap();
    drop(qemu);
    std::fs::write(host.folder("used").join("memory.state.used"), b"x").unwrap();
    std::fs::write(host.folder("used").join("memory.state.tmp"), b"x").unwrap();
    let qemu = host.open().await;
    assert_eq!(qemu.machines().await.remove(0).state(), VmState::Stopped);
    let mut left: Vec<_> = std::fs::read_dir(host.folder("used"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["disk0.qcow2", "lock", "vm.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_half_made_or_half_deleted_is_gone_after_a_start() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    qemu.create(request("whole")).await.unwrap();
    drop(qemu);
    for left in ["new.creating", "old.deleting"] {
        std::fs::create_dir(host.folder(left)).unwrap();
        std::fs::write(host.folder(left).join("disk0.qcow2"), b"x").unwrap();
    }
    let qemu = host.open().await;
    assert_eq!(host.traces(), [host.folder("whole")]);
    assert_eq!(qemu.machines().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_does_not_answer_is_told_of_and_taken_over_when_it_does() {
    let host = Host::new(false).await;
    let before = in_an_agent_that_is_killed(&host, async |qemu| {
        for vm_id in ["hung", "well"] {
            qemu.create(request(vm_id)).await.unwrap();
        }
        act(qemu, "well", Action::Start).await.unwrap();
        act(qemu, "hung", Action::Start).await.unwrap()
    });
    let process = rustix::process::Pid::from_raw(i32::try_from(before.pid).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
    let opening = std::time::Instant::now();
    let qemu = host.open().await;
    assert!(opening.elapsed().as_secs() < 10, "{:?}", opening.elapsed());
    let [hung, well] = qemu.machines().await.try_into().unwrap();
    assert_eq!((hung.state(), hung.pid), (VmState::Running, before.pid));
    assert!(hung.state_reason.contains("does not answer"), "{hung:?}");
    assert_eq!(
        (well.state(), well.state_reason.as_str()),
        (VmState::Running, "")
    );

    rustix::process::kill_process(process, rustix::process::Signal::CONT).unwrap();
    eventually("it is taken over", async || {
        let report = qemu.machines().await.remove(0);
        report.state_reason.is_empty().then_some(())
    })
    .await
    .unwrap();
    act(&qemu, "hung", Action::Pause).await.unwrap();
    drop(qemu);

    // And one that never does can still be turned off.
    rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
    let qemu = host.open().await;
    act(&qemu, "hung", Action::TurnOff).await.unwrap();
    assert!(!is_alive(before.pid));
    act(&qemu, "well", Action::TurnOff).await.unwrap();
}
