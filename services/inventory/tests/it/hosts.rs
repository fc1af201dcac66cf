//! Hosts that fall silent, come back, move and go.

use contracts::Code;
use contracts::host::VmState;
use contracts::inventory::host::Status as HostStatus;
use contracts::inventory::{Host, ObjectId, UpdateVmRecord, Vm, VmName};
use inventory::Config;
use support::eventually;

use crate::harness::{
    Fleet, code, context, host_change, new_vm, registration, report, seen, whole,
};

fn short_silence() -> Config {
    Config {
        host_silence_max_ms: 500,
    }
}

async fn wait_for_status(fleet: &Fleet, wanted: HostStatus) {
    eventually("the host's status", async || {
        (fleet.host_status("h1").await == wanted).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_silent_host_is_not_responding_until_it_is_heard_again() {
    let fleet = Fleet::start_with(short_silence()).await;
    let host = fleet.add_host("h1", vec![]).await;
    assert_eq!(host.status(), HostStatus::Responding);
    wait_for_status(&fleet, HostStatus::NotResponding).await;
    let changed = fleet.record::<Host>("h1").await.unwrap().status_changed_ms;
    assert!(changed > host.status_changed_ms);
    eventually("the heartbeat to count", async || {
        fleet.beat("h1", 1).await;
        (fleet.host_status("h1").await == HostStatus::Responding).then_some(())
    })
    .await
    .unwrap();
    wait_for_status(&fleet, HostStatus::NotResponding).await;
    let mut number = 1;
    eventually("a whole picture to count", async || {
        number += 1;
        let picture = whole("h1", number, vec![]);
        fleet.client.report(&context(), &picture).await.unwrap();
        (fleet.host_status("h1").await == HostStatus::Responding).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn heartbeats_of_an_agent_that_is_not_registered_do_not_count() {
    let fleet = Fleet::start_with(short_silence()).await;
    fleet.add_host("h1", vec![]).await;
    eventually("the host to count as silent", async || {
        fleet.beat("h1", 2).await;
        fleet.beat("stranger", 1).await;
        (fleet.host_status("h1").await == HostStatus::NotResponding).then_some(())
    })
    .await
    .unwrap();
    assert!(fleet.record::<Host>("stranger").await.is_none());
    fleet
        .client
        .register(&context(), &registration("h1", 2))
        .await
        .unwrap();
    eventually("the registered agent to be heard", async || {
        fleet.beat("h1", 2).await;
        (fleet.host_status("h1").await == HostStatus::Responding).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn machines_move_with_their_host_from_group_to_group() {
    let fleet = Fleet::start().await;
    fleet
        .add_host(
            "h1",
            vec![seen("v1", VmState::Running), seen("v2", VmState::Stopped)],
        )
        .await;
    fleet.add_group("lab", "").await;
    fleet
        .client
        .move_host(&context(), &host_change("h1", "lab"))
        .await
        .unwrap();
    for vm in ["v1", "v2"] {
        assert_eq!(fleet.vm(vm).await.group_id, "lab");
    }
}

#[tokio::test]
async fn a_removed_host_takes_its_machines_and_their_names_along() {
    let mut fleet = Fleet::start().await;
    let found = vec![seen("v1", VmState::Running), seen("v2", VmState::Stopped)];
    fleet.add_host("h1", found.clone()).await;
    fleet
        .add_host("h2", vec![seen("v3", VmState::Running)])
        .await;
    let created = new_vm("v4", "web-04");
    fleet.client.create_vm(&context(), &created).await.unwrap();
    let placed = UpdateVmRecord {
        vm_id: created.vm_id,
        host_id: Some("h1".to_owned()),
        job_id: created.job_id,
        ..UpdateVmRecord::default()
    };
    fleet.client.update_vm(&context(), &placed).await.unwrap();
    assert_eq!(fleet.records::<VmName>().await.len(), 1);
    let remove = ObjectId {
        id: "h1".to_owned(),
        job_id: "j1".to_owned(),
    };
    for _ in 0..2 {
        fleet.client.remove_host(&context(), &remove).await.unwrap();
    }
    let left = |vms: Vec<Vm>| vms.into_iter().map(|vm| vm.id).collect::<Vec<_>>();
    assert_eq!(left(fleet.records::<Vm>().await), ["v3"]);
    assert!(fleet.records::<VmName>().await.is_empty());
    let after = fleet
        .client
        .report(&context(), &report("h1", 2, vec![]))
        .await
        .unwrap();
    assert!(after.unknown_host);
    // It comes back with everything that it has, whichever instance answers.
    fleet.stop_instance(0).await;
    fleet.add_host("h1", found).await;
    assert_eq!(fleet.records::<Vm>().await.len(), 3);
}

#[tokio::test]
async fn what_a_job_has_taken_only_that_job_changes() {
    let fleet = Fleet::start().await;
    fleet.add_host("h1", vec![]).await;
    let take = crate::harness::take("host", "h1", "j1");
    assert!(fleet.client.take(&context(), &take).await.unwrap().taken);
    let mut change = host_change("h1", "");
    change.job_id = "j2".to_owned();
    let refused = fleet.client.move_host(&context(), &change).await;
    assert_eq!(code(refused), Some(Code::FailedPrecondition));
    change.job_id = "j1".to_owned();
    fleet.client.move_host(&context(), &change).await.unwrap();
}
