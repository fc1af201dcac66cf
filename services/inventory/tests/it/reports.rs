//! What hosts report.

use contracts::Code;
use contracts::host::{HostFacts, VmState};
use contracts::inventory::{
    ApplyVmReportRequest, Host, ObjectId, ReportRequest, UpdateVmRecord, Vm, vm::Origin,
};
use contracts::jobs::JobState;

use crate::harness::{Fleet, code, context, new_vm, registration, report, seen, whole};

#[tokio::test]
async fn reports_are_applied_in_order_once_and_a_gap_is_asked_for() {
    let fleet = Fleet::start().await;
    fleet.add_host("h1", vec![]).await;
    let send = |request: ReportRequest| {
        let client = fleet.client.clone();
        async move { client.report(&context(), &request).await.unwrap() }
    };
    let second = send(report("h1", 2, vec![seen("v1", VmState::Stopped)])).await;
    assert_eq!((second.applied_number, second.want_whole), (2, false));
    let late = send(report("h1", 2, vec![seen("v1", VmState::Running)])).await;
    assert_eq!((late.applied_number, late.want_whole), (2, false));
    let gap = send(report("h1", 4, vec![seen("v1", VmState::Running)])).await;
    assert_eq!((gap.applied_number, gap.want_whole), (2, true));
    assert_eq!(fleet.state("v1").await, VmState::Stopped);
    let bridge = send(whole("h1", 5, vec![seen("v1", VmState::Running)])).await;
    assert_eq!((bridge.applied_number, bridge.want_whole), (5, false));
    assert_eq!(fleet.state("v1").await, VmState::Running);
}

#[tokio::test]
async fn a_restarted_agent_counts_anew_and_an_older_one_is_refused() {
    let fleet = Fleet::start().await;
    fleet.add_host("h1", vec![]).await;
    let of_generation = |generation, number| ReportRequest {
        generation,
        ..whole("h1", number, vec![])
    };
    let early = fleet
        .client
        .report(&context(), &of_generation(2, 1))
        .await
        .unwrap();
    assert!(early.unknown_host);
    fleet
        .client
        .register(&context(), &registration("h1", 2))
        .await
        .unwrap();
    let first = fleet
        .client
        .report(&context(), &of_generation(2, 1))
        .await
        .unwrap();
    assert_eq!(first.applied_number, 1);
    let old = fleet.client.report(&context(), &of_generation(1, 2)).await;
    assert_eq!(code(old), Some(Code::FailedPrecondition));
}

#[tokio::test]
async fn a_host_that_is_not_approved_reports_in_vain() {
    let fleet = Fleet::start().await;
    fleet
        .client
        .register(&context(), &registration("h1", 1))
        .await
        .unwrap();
    let request = whole("h1", 1, vec![seen("v1", VmState::Running)]);
    assert!(
        fleet
            .client
            .report(&context(), &request)
            .await
            .unwrap()
            .unknown_host
    );
    assert!(fleet.records::<Vm>().await.is_empty());
}

#[tokio::test]
async fn machines_are_imported_go_missing_and_come_back() {
    let fleet = Fleet::start().await;
    let two = || vec![seen("v1", VmState::Running), seen("v2", VmState::Stopped)];
    fleet.add_host("h1", two()).await;
    let vm = fleet.vm("v1").await;
    assert_eq!(
        (vm.origin(), vm.owner.as_str()),
        (Origin::Imported, "system")
    );
    let taken = fleet
        .client
        .create_vm(&context(), &new_vm("v9", "name-of-v1"))
        .await;
    assert_eq!(code(taken), Some(Code::AlreadyExists));
    let one = whole("h1", 2, vec![seen("v1", VmState::Running)]);
    fleet.client.report(&context(), &one).await.unwrap();
    let missing = fleet.vm("v2").await;
    assert_eq!(missing.state(), VmState::Missing);
    assert!(!missing.state_reason.is_empty());
    let removed = ReportRequest {
        removed_vm_ids: vec!["v1".to_owned()],
        ..report("h1", 3, vec![])
    };
    fleet.client.report(&context(), &removed).await.unwrap();
    assert_eq!(fleet.state("v1").await, VmState::Missing);
    fleet
        .client
        .report(&context(), &report("h1", 4, two()))
        .await
        .unwrap();
    let back = fleet.vm("v2").await;
    assert_eq!(
        (back.state(), back.created_ms),
        (VmState::Stopped, missing.created_ms)
    );
    assert_eq!(fleet.state("v1").await, VmState::Running);
}

#[tokio::test]
async fn machines_of_one_name_on_two_hosts_are_both_imported() {
    let fleet = Fleet::start().await;
    for (host, vm) in [("h1", "v1"), ("h2", "v2")] {
        let mut found = seen(vm, VmState::Running);
        found.name = "twin".to_owned();
        fleet.add_host(host, vec![found]).await;
    }
    let names: Vec<String> = fleet
        .records::<Vm>()
        .await
        .into_iter()
        .map(|vm| vm.name)
        .collect();
    assert_eq!(names, ["twin", "twin"]);
}

#[tokio::test]
async fn one_absurd_machine_does_not_spoil_a_report() {
    let fleet = Fleet::start().await;
    fleet.add_host("h1", vec![]).await;
    fleet
        .add_host("h2", vec![seen("theirs", VmState::Running)])
        .await;
    let mut negative = seen("v1", VmState::Running);
    negative.started_ms = -1;
    let bad_id = seen("../../etc", VmState::Running);
    let theirs = seen("theirs", VmState::Stopped);
    let good = seen("v2", VmState::Running);
    let mut request = whole("h1", 2, vec![negative, bad_id, theirs, good]);
    request.facts = Some(HostFacts {
        cpu_used_percent: -5.0,
        ..HostFacts::default()
    });
    let answer = fleet.client.report(&context(), &request).await.unwrap();
    assert_eq!(answer.applied_number, 2);
    let mut known: Vec<String> = fleet
        .records::<Vm>()
        .await
        .into_iter()
        .map(|vm| vm.id)
        .collect();
    known.sort();
    assert_eq!(known, ["theirs", "v2"]);
    let theirs = fleet.vm("theirs").await;
    assert_eq!(
        (theirs.host_id.as_str(), theirs.state()),
        ("h2", VmState::Running)
    );
    assert_eq!(fleet.record::<Host>("h1").await.unwrap().facts, None);
}

#[tokio::test]
async fn a_report_does_not_disturb_a_job_that_makes_or_deletes() {
    let fleet = Fleet::start().await;
    fleet.add_host("h1", vec![]).await;
    fleet.put_job("j1", JobState::Running, None).await;
    fleet.add_vm("v1", "web-01", "h1").await;
    let send = |number, vms| {
        let client = fleet.client.clone();
        async move {
            client
                .report(&context(), &whole("h1", number, vms))
                .await
                .unwrap()
        }
    };
    send(2, vec![]).await;
    assert_eq!(fleet.state("v1").await, VmState::Creating);
    send(3, vec![seen("v1", VmState::Stopped)]).await;
    assert_eq!(fleet.state("v1").await, VmState::Creating);
    let answer = ApplyVmReportRequest {
        host_id: "h1".to_owned(),
        job_id: "j1".to_owned(),
        vm: Some(seen("v1", VmState::Stopped)),
    };
    fleet
        .client
        .apply_vm_report(&context(), &answer)
        .await
        .unwrap();
    send(4, vec![seen("v1", VmState::Running)]).await;
    assert_eq!(fleet.state("v1").await, VmState::Running);
    let deleting = UpdateVmRecord {
        vm_id: "v1".to_owned(),
        job_id: "j1".to_owned(),
        state: Some(VmState::Deleting.into()),
        ..UpdateVmRecord::default()
    };
    fleet.client.update_vm(&context(), &deleting).await.unwrap();
    send(5, vec![]).await;
    assert_eq!(fleet.state("v1").await, VmState::Deleting);
    // The job dies without a word: then the host knows best.
    fleet.put_job("j1", JobState::Failed, None).await;
    send(6, vec![]).await;
    assert_eq!(fleet.state("v1").await, VmState::Missing);
}

#[tokio::test]
async fn a_late_report_does_not_bring_a_deleted_machine_back() {
    let fleet = Fleet::start().await;
    fleet
        .add_host("h1", vec![seen("v1", VmState::Stopped)])
        .await;
    let object = ObjectId {
        id: "v1".to_owned(),
        job_id: "j1".to_owned(),
    };
    fleet.client.delete_vm(&context(), &object).await.unwrap();
    let late = report("h1", 2, vec![seen("v1", VmState::Stopped)]);
    fleet.client.report(&context(), &late).await.unwrap();
    assert!(fleet.records::<Vm>().await.is_empty());
    // What is still there much later was not deleted.
    fleet.clock.advance_ms(11 * 60 * 1000);
    let still = whole("h1", 3, vec![seen("v1", VmState::Stopped)]);
    fleet.client.report(&context(), &still).await.unwrap();
    assert_eq!(fleet.state("v1").await, VmState::Stopped);
}

#[tokio::test]
async fn a_large_host_is_taken_over_whole_while_the_bus_restarts() {
    let mut fleet = Fleet::start().await;
    fleet.add_host("h1", vec![]).await;
    let many: Vec<_> = (0..300)
        .map(|i| seen(&format!("v{i}"), VmState::Running))
        .collect();
    let request = whole("h1", 2, many);
    let client = fleet.client.clone();
    let sending = tokio::spawn({
        let request = request.clone();
        async move { client.report(&context(), &request).await }
    });
    fleet.nats.restart().await.unwrap();
    // Whatever became of the first, the agent sends again until it is acknowledged.
    drop(sending.await.unwrap());
    support::eventually("the report to be durable", async || {
        let answer = fleet.client.report(&context(), &request).await.ok()?;
        (answer.applied_number == 2).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(fleet.records::<Vm>().await.len(), 300);
}
