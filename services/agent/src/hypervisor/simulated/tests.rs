//! A simulated host, as Muster meets it.

use contracts::host::{Disk, Hardware};

use super::*;

fn request() -> CreateVmRequest {
    CreateVmRequest {
        operation_id: "j/1".to_owned(),
        vm_id: "v1".to_owned(),
        name: "web-01".to_owned(),
        hardware: Some(Hardware {
            vcpus: 1,
            memory_bytes: 64 << 20,
            disks: vec![Disk {
                image: "guest.qcow2".to_owned(),
                ..Disk::default()
            }],
            ..Hardware::default()
        }),
        ..CreateVmRequest::default()
    }
}

#[tokio::test]
async fn a_simulated_machine_lives_as_a_real_one_would() {
    let host = Simulated::default();
    let mut changes = host.changes();
    host.create(request()).await.unwrap();
    host.create(request()).await.unwrap();
    let limit = Duration::from_secs(1);
    let running = host.act("v1", Action::Start, limit).await.unwrap();
    assert!(running.guest.unwrap().agent_responding);
    assert!(host.delete("v1").await.is_err());
    assert_eq!(
        host.act("v1", Action::Save, limit).await.unwrap().state(),
        VmState::Saved
    );
    assert!(host.act("v1", Action::Pause, limit).await.is_err());
    host.delete("v1").await.unwrap();
    let mut heard = 0;
    while changes.try_recv().is_ok() {
        heard += 1;
    }
    assert_eq!((heard, host.machines().await.len()), (4, 0));
}

#[tokio::test]
async fn a_made_up_host_is_used_by_what_runs_on_it() {
    let facts = HostFacts {
        cpus: 4,
        memory_bytes: 1000,
        memory_used_bytes: 100,
        memory_overhead_bytes: 10,
        ..HostFacts::default()
    };
    let machine = VmReport {
        vm_id: "v1".to_owned(),
        state: VmState::Stopped.into(),
        hardware: Some(Hardware {
            vcpus: 2,
            memory_bytes: 200,
            ..Hardware::default()
        }),
        ..VmReport::default()
    };
    let host = Simulated::new(facts, |_, _| 0.5, vec![machine], 1);
    assert_eq!(host.facts().await.memory_used_bytes, 100);
    let report = host.bring("v1", VmState::Running).unwrap();
    assert!(report.started_ms > 0 && report.guest.is_some());
    let facts = host.facts().await;
    assert_eq!(facts.memory_used_bytes, 310);
    assert!((facts.cpu_used_percent - 25.0).abs() < 0.01);
    host.lose("v1");
    assert_eq!(host.bring("v1", VmState::Running), None);
    assert_eq!(host.facts().await.memory_used_bytes, 100);
}
