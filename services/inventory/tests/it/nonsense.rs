//! Agents that report nonsense. It is refused or passed over by name; others, and the rest of the report, are unharmed.

use contracts::Code;
use contracts::host::{Disk, Hardware, VmReport, VmState};
use contracts::inventory::{Host, ReportRequest, Vm, host};

use crate::harness::{Fleet, code, context, report, seen, whole};

/// A host that will lie, and one beside it.
async fn two_hosts() -> Fleet {
    let fleet = Fleet::start().await;
    fleet
        .add_host("liar", vec![seen("mine", VmState::Running)])
        .await;
    fleet
        .add_host("other", vec![seen("theirs", VmState::Running)])
        .await;
    fleet
}

async fn told(fleet: &Fleet, request: ReportRequest) -> bool {
    let answer = fleet.client.report(&context(), &request).await;
    answer.is_ok_and(|answer| answer.applied_number == request.number)
}

/// The other host is heard as ever.
async fn the_other_is_unharmed(fleet: &Fleet) {
    assert_eq!(fleet.state("theirs").await, VmState::Running);
    assert!(
        told(
            fleet,
            report("other", 2, vec![seen("theirs", VmState::Paused)])
        )
        .await
    );
    assert_eq!(fleet.state("theirs").await, VmState::Paused);
    assert_eq!(fleet.host_status("other").await, host::Status::Responding);
}

fn with_hardware(vm_id: &str, hardware: Hardware) -> VmReport {
    VmReport {
        hardware: Some(hardware),
        ..seen(vm_id, VmState::Running)
    }
}

#[tokio::test]
async fn sizes_that_cannot_be_are_passed_over_by_name_and_the_rest_counts() {
    let fleet = two_hosts().await;
    // A negative size is a huge one on the wire.
    let minus_one = u64::MAX;
    let memory = Hardware {
        memory_bytes: minus_one,
        ..Hardware::default()
    };
    let disk = Hardware {
        disks: vec![Disk {
            size_bytes: minus_one,
            ..Disk::default()
        }],
        ..Hardware::default()
    };
    let cpus = Hardware {
        vcpus: u32::MAX,
        ..Hardware::default()
    };
    let lies = vec![
        with_hardware("memory", memory),
        with_hardware("disk", disk),
        with_hardware("cpus", cpus),
        seen("good", VmState::Stopped),
    ];
    assert!(told(&fleet, report("liar", 2, lies)).await);
    let mut ids: Vec<String> = fleet
        .records::<Vm>()
        .await
        .into_iter()
        .map(|vm| vm.id)
        .collect();
    ids.sort();
    assert_eq!(ids, ["good", "mine", "theirs"]);
    the_other_is_unharmed(&fleet).await;
}

#[tokio::test]
async fn two_machines_of_one_id_are_both_passed_over() {
    let fleet = two_hosts().await;
    let lies = vec![
        seen("mine", VmState::Stopped),
        seen("mine", VmState::Paused),
        seen("twin", VmState::Running),
        seen("twin", VmState::Stopped),
        seen("good", VmState::Stopped),
    ];
    assert!(told(&fleet, whole("liar", 2, lies)).await);
    // What was known of it stays: it is not gone, only told of twice.
    assert_eq!(fleet.state("mine").await, VmState::Running);
    assert!(fleet.record::<Vm>("twin").await.is_none());
    assert_eq!(fleet.state("good").await, VmState::Stopped);
    the_other_is_unharmed(&fleet).await;
}

#[tokio::test]
async fn another_hosts_machine_stays_that_hosts() {
    let fleet = two_hosts().await;
    let lies = ReportRequest {
        removed_vm_ids: vec!["theirs".to_owned()],
        ..report("liar", 2, vec![])
    };
    assert!(told(&fleet, lies).await);
    assert!(
        told(
            &fleet,
            whole("liar", 3, vec![seen("theirs", VmState::Stopped)])
        )
        .await
    );
    assert_eq!(fleet.vm("theirs").await.host_id, "other");
    assert_eq!(fleet.state("mine").await, VmState::Missing);
    the_other_is_unharmed(&fleet).await;
}

#[tokio::test]
async fn a_hosts_clock_decides_nothing_and_times_that_no_calendar_has_are_passed_over() {
    let fleet = two_hosts().await;
    let now_ms = fleet.vm("mine").await.state_changed_ms;
    let started = |vm_id: &str, started_ms| VmReport {
        started_ms,
        ..seen(vm_id, VmState::Paused)
    };
    let day_ms = 24 * 3_600 * 1_000;
    let ahead = vec![started("mine", now_ms + day_ms), started("never", i64::MAX)];
    assert!(told(&fleet, report("liar", 2, ahead)).await);
    let vm = fleet.vm("mine").await;
    assert_eq!(
        (vm.state(), vm.started_ms),
        (VmState::Paused, now_ms + day_ms)
    );
    // When it changed is by our clock.
    assert!((now_ms..now_ms + day_ms / 2).contains(&vm.state_changed_ms));
    assert!(fleet.record::<Vm>("never").await.is_none());
    the_other_is_unharmed(&fleet).await;
}

#[tokio::test]
async fn a_hundred_thousand_machines_are_refused_as_a_whole() {
    let fleet = two_hosts().await;
    let crowd = (0..100_000).map(|n| VmReport {
        vm_id: format!("x{n}"),
        ..VmReport::default()
    });
    let crowd = whole("liar", 2, crowd.collect());
    let refused = fleet.client.report(&context(), &crowd).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.field.as_str()),
        (Code::InvalidArgument, "vms")
    );
    assert!(refused.message.contains("100000"), "{refused}");
    let host: Host = fleet.record("liar").await.unwrap();
    assert_eq!(host.report_number, 1);
    assert_eq!(fleet.records::<Vm>().await.len(), 2);
    the_other_is_unharmed(&fleet).await;
}

#[tokio::test]
async fn fifty_megabytes_in_one_report_do_not_get_onto_the_bus() {
    let fleet = two_hosts().await;
    let novel = "x".repeat(50_000);
    let heavy = (0..1_000).map(|n| VmReport {
        state_reason: novel.clone(),
        ..seen(&format!("x{n}"), VmState::Running)
    });
    let refused = fleet
        .client
        .report(&context(), &whole("liar", 2, heavy.collect()))
        .await;
    assert_eq!(code(refused), Some(Code::InvalidArgument));
    // What fits and is too long all the same is passed over.
    let long = VmReport {
        state_reason: novel,
        ..seen("long", VmState::Running)
    };
    assert!(told(&fleet, report("liar", 2, vec![long])).await);
    assert!(fleet.record::<Vm>("long").await.is_none());
    the_other_is_unharmed(&fleet).await;
}
