//! The life of a machine, from its making to its end without a trace.

use agent::core::usage::Counters;
use agent::hypervisor::{Action, Change, Hypervisor};
use contracts::host::{CreateVmRequest, GuestSetup, ReadLogRequest, VmReport, VmState};

use crate::host::{Host, act, answering, booted, reported, request};
use support::{eventually, is_alive};

fn uptime(report: &VmReport) -> u64 {
    report.guest.as_ref().unwrap().uptime_secs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_lives_from_its_making_to_its_end_without_a_trace() {
    let host = Host::new(true).await;
    let qemu = host.open().await;
    let mut changes = qemu.changes();

    let report = booted(&qemu, "life").await;
    let guest = report.guest.clone().unwrap();
    assert_eq!(report.state(), VmState::Running);
    assert!(is_alive(report.pid) && report.started_ms > 0);
    assert!(
        guest.addresses.contains(&"10.0.2.15".to_owned()),
        "{guest:?}"
    );
    assert!(!guest.hostname.is_empty() && !guest.os.is_empty() && !guest.kernel.is_empty());
    assert!(uptime(&report) > 0);

    // It has booted from its disk, with its own CPU and in the host's memory. QEMU counts nothing of its own network.
    let booted = counted(&*qemu).await.unwrap();
    assert!(
        booted.cpus == 1 && booted.cpu_secs > Some(0.1),
        "{booted:?}"
    );
    assert!(booted.memory_bytes > Some(32 << 20), "{booted:?}");
    assert!(booted.disk_read_bytes > Some(1 << 20), "{booted:?}");
    assert!(booted.disk_operations > Some(10) && booted.disk_used_bytes > Some(0));
    assert_eq!(
        (booted.network_received_bytes, booted.network_sent_bytes),
        (None, None)
    );
    let host_used = qemu.counters().await.host;
    assert!(host_used.cpu_secs > Some(0.0) && host_used.disk_used_bytes > Some(0));

    let png = qemu.screenshot("life").await.unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.len() > 1000);
    let request = ReadLogRequest {
        vm_id: "life".to_owned(),
        ..ReadLogRequest::default()
    };
    let log = qemu.read_log(request).await.unwrap();
    assert!(log.size_bytes > 0 && log.next_offset == log.data.len() as u64);

    // Paused, the guest stands still; its agent is not even asked.
    let paused = act(&qemu, "life", Action::Pause).await.unwrap();
    assert_eq!(paused.state(), VmState::Paused);
    assert!(!paused.guest.unwrap().agent_responding);
    act(&qemu, "life", Action::Resume).await.unwrap();
    let before = answering(&qemu, "life").await;

    // Saved, it is a file; restored, the guest goes on where it was.
    let saved = act(&qemu, "life", Action::Save).await.unwrap();
    assert_eq!((saved.state(), saved.pid), (VmState::Saved, 0));
    assert!(!is_alive(before.pid));
    assert!(host.folder("life").join("memory.state").exists());
    act(&qemu, "life", Action::Start).await.unwrap();
    let restored = answering(&qemu, "life").await;
    assert!(uptime(&restored) >= uptime(&before) && uptime(&restored) < uptime(&before) + 60);
    assert_ne!(restored.pid, before.pid);
    assert!(!host.folder("life").join("memory.state").exists());
    assert!(!host.folder("life").join("memory.state.used").exists());

    // Reset, it boots again in the same process: its uptime is no more than what has passed since.
    let pressed = std::time::Instant::now();
    act(&qemu, "life", Action::Reset).await.unwrap();
    let reset = eventually("the guest has booted anew", async || {
        let report = answering(&qemu, "life").await;
        (uptime(&report) <= pressed.elapsed().as_secs()).then_some(report)
    })
    .await
    .unwrap();
    assert_eq!(reset.pid, restored.pid);

    let later = counted(&*qemu).await.unwrap();
    assert!(later.disk_read_bytes > Some(0) && later.cpu_secs > Some(0.0));

    let off = act(&qemu, "life", Action::Shutdown).await.unwrap();
    assert_eq!((off.state(), off.pid), (VmState::Stopped, 0));
    assert!(!is_alive(reset.pid));

    assert_eq!(counted(&*qemu).await, None, "what is off is not measured");

    qemu.delete("life").await.unwrap();
    qemu.delete("life").await.unwrap();
    assert_eq!(host.traces(), Vec::<std::path::PathBuf>::new());
    assert!(qemu.machines().await.is_empty());
    assert!(heard(&mut changes).contains(&"removed".to_owned()));
}

/// What the only machine has used.
async fn counted(qemu: &impl Hypervisor) -> Option<Counters> {
    let vms = qemu.counters().await.vms;
    vms.first().map(|vm| vm.counters)
}

/// What the agent told of its own accord, in order.
fn heard(changes: &mut tokio::sync::broadcast::Receiver<Change>) -> Vec<String> {
    let mut heard = Vec::new();
    while let Ok(change) = changes.try_recv() {
        heard.push(match change {
            Change::Vm(report) => report.state().as_str_name().to_owned(),
            Change::Removed { .. } => "removed".to_owned(),
        });
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_killed_is_stopped_at_once_and_starts_again() {
    let host = Host::new(true).await;
    let qemu = host.open().await;
    let report = booted(&qemu, "killed").await;
    let start = std::time::Instant::now();
    crate::host::kill(i32::try_from(report.pid).unwrap());
    let stopped = reported(&qemu, "killed", VmState::Stopped).await;
    assert!(
        stopped
            .state_reason
            .starts_with("QEMU was killed by signal 9"),
        "{stopped:?}"
    );
    assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
    act(&qemu, "killed", Action::Start).await.unwrap();
    answering(&qemu, "killed").await;
    let off = act(&qemu, "killed", Action::TurnOff).await.unwrap();
    assert_eq!(
        (off.state(), off.state_reason.as_str()),
        (VmState::Stopped, "turned off")
    );
}

/// A person at the serial console, who reads what comes: a guest whose console is open and not read stands still.
struct Console(tokio::net::unix::OwnedWriteHalf);

impl Console {
    async fn open(host: &Host) -> Self {
        let run = std::fs::read_dir(&host.settings.runtime_dir).unwrap();
        let socket = run
            .flatten()
            .map(|e| e.path().join("ser"))
            .find(|s| s.exists())
            .unwrap();
        let (mut read, write) = tokio::net::UnixStream::connect(socket)
            .await
            .unwrap()
            .into_split();
        tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
        Self(write)
    }

    /// Types a line into the root shell that waits there.
    async fn type_line(&mut self, line: &str) {
        let typed = format!("\n{line}\n");
        tokio::io::AsyncWriteExt::write_all(&mut self.0, typed.as_bytes())
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_shuts_itself_down_or_panics_is_heard() {
    let host = Host::new(true).await;
    let qemu = host.open().await;
    booted(&qemu, "itself").await;
    let mut console = Console::open(&host).await;
    console.type_line("echo c > /proc/sysrq-trigger").await;
    let crashed = reported(&qemu, "itself", VmState::Crashed).await;
    assert_eq!(crashed.state_reason, "the guest's kernel panicked");
    assert!(act(&qemu, "itself", Action::Resume).await.is_err());
    act(&qemu, "itself", Action::Reset).await.unwrap();
    answering(&qemu, "itself").await;

    console.type_line("poweroff -f").await;
    let stopped = reported(&qemu, "itself", VmState::Stopped).await;
    assert_eq!(stopped.state_reason, "the guest shut down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_fails_leaves_the_machine_running() {
    let host = Host::new(true).await;
    let qemu = host.open().await;
    let before = booted(&qemu, "unsaved").await;
    let saving = tokio::spawn({
        let qemu = qemu.clone();
        async move { act(&qemu, "unsaved", Action::Save).await }
    });
    // Somebody cancels it, on the socket that is there for people.
    let run = std::fs::read_dir(&host.settings.runtime_dir).unwrap();
    let socket = run
        .flatten()
        .map(|e| e.path().join("qmp2"))
        .find(|s| s.exists())
        .unwrap();
    let mut person = tokio::net::UnixStream::connect(socket).await.unwrap();
    let write = async |person: &mut tokio::net::UnixStream, command: &str| {
        let line = format!("{{\"execute\": \"{command}\"}}\n");
        tokio::io::AsyncWriteExt::write_all(person, line.as_bytes())
            .await
            .unwrap();
    };
    write(&mut person, "qmp_capabilities").await;
    while !saving.is_finished() {
        write(&mut person, "migrate_cancel").await;
        tokio::task::yield_now().await;
    }
    let error = saving.await.unwrap().unwrap_err();
    assert!(
        error.message.starts_with("unsaved could not be saved"),
        "{error}"
    );
    let after = answering(&qemu, "unsaved").await;
    assert_eq!((after.state(), after.pid), (VmState::Running, before.pid));
    assert!(!host.folder("unsaved").join("memory.state.tmp").exists());
    drop(person);
    // Nothing of it is in the way of the next one.
    act(&qemu, "unsaved", Action::Save).await.unwrap();
    act(&qemu, "unsaved", Action::TurnOff).await.unwrap();
    assert!(!host.folder("unsaved").join("memory.state").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_answers_for_windows_starts_beside_a_usb_stick_and_is_restored_with_it() {
    let host = Host::new(true).await;
    let qemu = host.open().await;
    let answers = "<unattend xmlns=\"urn:schemas-microsoft-com:unattend\"/>";
    let told = CreateVmRequest {
        guest: Some(GuestSetup {
            host_name: "win".to_owned(),
            user_data: answers.to_owned(),
            ..GuestSetup::default()
        }),
        ..request("win")
    };
    qemu.create(told).await.unwrap();
    act(&qemu, "win", Action::Start).await.unwrap();
    let started = answering(&qemu, "win").await;
    let line = std::fs::read(format!("/proc/{}/cmdline", started.pid)).unwrap();
    assert!(String::from_utf8_lossy(&line).contains("usb-storage"));
    act(&qemu, "win", Action::Save).await.unwrap();
    act(&qemu, "win", Action::Start).await.unwrap();
    answering(&qemu, "win").await;
}
