//! Records of machines and their names.

use contracts::Code;
use contracts::call::Context;
use contracts::host::VmState;
use contracts::inventory::{
    ApplyVmReportRequest, ObjectId, UpdateVmRecord, Vm, VmName, vm::Origin,
};
use contracts::jobs::JobState;
use contracts::records::Record as _;
use contracts::subjects;
use futures::future::join_all;
use kit::bus::{Append, AppendError, Expect, Message};
use prost::Message as _;

use crate::harness::{Fleet, code, context, new_vm, seen};

fn object(id: &str) -> ObjectId {
    ObjectId {
        id: id.to_owned(),
        job_id: "j1".to_owned(),
    }
}

#[tokio::test]
async fn of_fifty_machines_that_want_one_name_one_gets_it() {
    let fleet = Fleet::start().await;
    let wanted = (0..50).map(|i| {
        let name = if i % 2 == 0 { "web-01" } else { "WEB-01" };
        let (client, request) = (fleet.client.clone(), new_vm(&format!("v{i}"), name));
        async move { client.create_vm(&context(), &request).await }
    });
    let answers = join_all(wanted).await;
    let made: Vec<&Vm> = answers.iter().filter_map(|a| a.as_ref().ok()).collect();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].state(), VmState::Creating);
    for refused in answers.iter().filter_map(|a| a.as_ref().err()) {
        assert_eq!(refused.code(), Code::AlreadyExists);
        assert_eq!(refused.object.as_ref().unwrap().id, made[0].id);
    }
    assert_eq!(fleet.records::<Vm>().await.len(), 1);
}

#[tokio::test]
async fn making_and_deleting_twice_is_the_same_as_once() {
    let mut fleet = Fleet::start().await;
    let context = context();
    let first = fleet
        .client
        .create_vm(&context, &new_vm("v1", "web-01"))
        .await
        .unwrap();
    fleet.stop_instance(1).await;
    let second = fleet
        .client
        .create_vm(&context, &new_vm("v1", "web-01"))
        .await
        .unwrap();
    assert_eq!(first, second);
    assert_eq!(
        (first.job_id.as_str(), first.origin()),
        ("j1", Origin::Created)
    );
    for _ in 0..2 {
        fleet
            .client
            .delete_vm(&context, &object("v1"))
            .await
            .unwrap();
    }
    assert!(fleet.records::<Vm>().await.is_empty());
    assert!(fleet.records::<VmName>().await.is_empty());
    fleet
        .client
        .create_vm(&context, &new_vm("v2", "web-01"))
        .await
        .unwrap();
}

/// A record that is still on its way to the log when its job is undone would be left over for ever.
#[tokio::test]
async fn what_an_undone_job_still_had_on_its_way_is_not_written() {
    let fleet = Fleet::start().await;
    let context = context();
    fleet.put_job("j1", JobState::Undoing, None).await;
    let machine = new_vm("v1", "web-01");
    let late = fleet.client.create_vm(&context, &machine).await;
    assert_eq!(code(late), Some(Code::FailedPrecondition));
    // What it looked at before is not what is there any more, although nothing ever was.
    fleet
        .client
        .delete_vm(&context, &object("v1"))
        .await
        .unwrap();
    let subject = subjects::record(Vm::BUCKET, "v1");
    let entry = Append {
        log: subjects::bucket_stream(Vm::BUCKET),
        subject: subject.clone(),
        message: Message::new(Vm::default().encode_to_vec()),
        expect: Some(Expect {
            filter: subject,
            sequence: 0,
        }),
        lifetime: None,
    };
    let refused = fleet.bus.append(&entry).await;
    assert!(matches!(refused, Err(AppendError::Conflict)), "{refused:?}");
    assert!(fleet.records::<Vm>().await.is_empty());
}

#[tokio::test]
async fn a_name_whose_machine_was_never_made_is_free_after_a_while() {
    let fleet = Fleet::start().await;
    let names = fleet.store.own::<VmName>().await.unwrap();
    let orphan = VmName {
        vm_id: "never-made".to_owned(),
        taken_ms: kit::world::World::real().now_ms(),
    };
    let put = |_: Option<&_>| Ok(kit::records::Decision::Put(orphan.clone(), ()));
    names.update(&context(), "web-01", put).await.unwrap();
    let seen = context();
    seen.saw("vm_name", names.revision());
    let early = fleet.client.create_vm(&seen, &new_vm("v1", "web-01")).await;
    assert_eq!(code(early), Some(Code::AlreadyExists));
    fleet.clock.advance_ms(5 * 60 * 1000 + 1);
    fleet
        .client
        .create_vm(&seen, &new_vm("v1", "web-01"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_machine_that_cannot_be_is_refused_before_its_name_is_taken() {
    let fleet = Fleet::start().await;
    let mut bad = vec![
        new_vm("v1", "a/b"),
        new_vm("v.1", "web-01"),
        new_vm("v1", ""),
    ];
    for (vcpus, memory_bytes) in [(0, 64 << 20), (999, 64 << 20), (1, 1), (1, u64::MAX)] {
        let mut request = new_vm("v1", "web-01");
        let hardware = request.hardware.as_mut().unwrap();
        (hardware.vcpus, hardware.memory_bytes) = (vcpus, memory_bytes);
        bad.push(request);
    }
    for request in bad {
        let refused = fleet
            .client
            .create_vm(&context(), &request)
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{request:?}");
        assert!(!refused.recommended_action.is_empty());
    }
    assert!(fleet.records::<VmName>().await.is_empty());
}

#[tokio::test]
async fn a_job_sees_at_once_what_it_changed_whichever_instance_answers() {
    let fleet = Fleet::start().await;
    fleet.add_host("h1", vec![]).await;
    fleet.add_group("lab", "").await;
    let vm = fleet.add_vm("v1", "web-01", "h1").await;
    assert_eq!(
        (vm.host_id.as_str(), vm.group_id.as_str()),
        ("h1", "all-hosts")
    );
    let context = Context::new("alice");
    for number in 0..20 {
        let tag = UpdateVmRecord {
            vm_id: "v1".to_owned(),
            job_id: "j1".to_owned(),
            set_tags: [(format!("t{number}"), String::new())].into(),
            ..UpdateVmRecord::default()
        };
        let vm = fleet.client.update_vm(&context, &tag).await.unwrap();
        assert_eq!(vm.tags.len(), number + 1);
    }
    let answer = ApplyVmReportRequest {
        host_id: "h1".to_owned(),
        job_id: "j1".to_owned(),
        vm: Some(seen("v1", VmState::Running)),
    };
    let vm = fleet
        .client
        .apply_vm_report(&context, &answer)
        .await
        .unwrap();
    assert_eq!(vm.state(), VmState::Running);
    assert_eq!(vm.name, "web-01");
}

#[tokio::test]
async fn a_machine_is_put_on_an_approved_host_only() {
    let fleet = Fleet::start().await;
    let (client, context) = (&fleet.client, context());
    client
        .register(&context, &crate::harness::registration("h1", 1))
        .await
        .unwrap();
    client
        .create_vm(&context, &new_vm("v1", "web-01"))
        .await
        .unwrap();
    let put_on = |host: &str, job: &str| UpdateVmRecord {
        vm_id: "v1".to_owned(),
        job_id: job.to_owned(),
        host_id: Some(host.to_owned()),
        ..UpdateVmRecord::default()
    };
    let pending = client.update_vm(&context, &put_on("h1", "j1")).await;
    assert_eq!(code(pending), Some(Code::FailedPrecondition));
    let unknown = client.update_vm(&context, &put_on("h2", "j1")).await;
    assert_eq!(code(unknown), Some(Code::NotFound));
    fleet.add_host("h3", vec![]).await;
    let stranger = client.update_vm(&context, &put_on("h3", "j2")).await;
    assert_eq!(code(stranger), Some(Code::FailedPrecondition));
}
