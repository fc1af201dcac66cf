//! Jobs that want one object: in turn, visibly, or refused.

use contracts::Code;
use contracts::host::VmState;
use contracts::jobs::job_params::Kind;
use contracts::jobs::submit_request::IfBusy;
use contracts::jobs::{Job, JobState, SubmitRequest, VmTarget, VmUpdate};
use jobs::probe::{At, Verdict};

use crate::cases::create;
use crate::harness::{House, assert_state, no, request};

fn describe(vm_id: &str, text: &str) -> Kind {
    Kind::VmUpdate(VmUpdate {
        vm_id: vm_id.to_owned(),
        description: Some(text.to_owned()),
        ..VmUpdate::default()
    })
}

/// A job that has the object and stands at its first step.
async fn holder(house: &House, vm_id: &str) -> Job {
    let job = house.submit(describe(vm_id, "first")).await;
    house.script.hold(&job.id, "update", At::BeforeStep);
    house.script.passed(&job.id, |p| p.step == "update").await;
    job
}

#[tokio::test]
async fn jobs_for_one_object_wait_their_turn_in_order_of_creation() {
    let house = House::build().await;
    let vm_id = house.fleet.put_vm("web", VmState::Stopped).await;
    let first = holder(&house, &vm_id).await;
    let mut ids = vec![first.id.clone()];
    for text in ["second", "third", "fourth"] {
        let job = house.submit(describe(&vm_id, text)).await;
        assert_state(&job, JobState::Waiting, text);
        assert_eq!(job.waits_for_job_id, *ids.last().unwrap());
        assert!(
            job.message.contains("virtual machine web"),
            "{}",
            job.message
        );
        house.script.plan(&job.id, |_| Verdict::GoOn);
        ids.push(job.id);
    }
    house.script.plan(&first.id, |_| Verdict::GoOn);
    let mut ended = Vec::new();
    for id in &ids {
        let job = house.end_of(id).await;
        assert_state(&job, JobState::Succeeded, id);
        ended.push((job.started_ms, job.ended_ms));
    }
    for pair in ended.windows(2) {
        assert!(pair[0].1 <= pair[1].1, "{ended:?}");
    }
    assert_eq!(house.fleet.vm_named("web").unwrap().description, "fourth");
}

#[tokio::test]
async fn jobs_for_other_objects_do_not_wait() {
    let house = House::build().await;
    let (one, other) = (
        house.fleet.put_vm("one", VmState::Stopped).await,
        house.fleet.put_vm("other", VmState::Stopped).await,
    );
    holder(&house, &one).await;
    assert_state(
        &house.run(describe(&other, "x")).await,
        JobState::Succeeded,
        "other",
    );
}

#[tokio::test]
async fn a_job_that_will_not_wait_is_refused_by_the_name_of_the_one_that_has_the_object() {
    let house = House::build().await;
    let vm_id = house.fleet.put_vm("web", VmState::Stopped).await;
    let first = holder(&house, &vm_id).await;
    let request = SubmitRequest {
        if_busy: IfBusy::Refuse.into(),
        ..request(describe(&vm_id, "second"))
    };
    let context = house.alice();
    context.saw("job", house.jobs.revision());
    let refusal = house.ask(&context, &request).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert!(refusal.message.contains(&first.id), "{refusal}");
}

/// Neither instance has seen the other's job yet: what the log takes first is first.
#[tokio::test]
async fn of_many_at_once_that_will_not_wait_one_is_done() {
    let house = House::build().await;
    let vm_id = house.fleet.put_vm("web", VmState::Stopped).await;
    let request = &SubmitRequest {
        if_busy: IfBusy::Refuse.into(),
        ..request(describe(&vm_id, "mine"))
    };
    let asked = (0..8).map(async |_| house.ask(&house.alice(), request).await);
    let taken: Vec<Job> = futures::future::join_all(asked)
        .await
        .into_iter()
        .filter_map(|answer| answer.ok()?.job)
        .collect();
    for job in &taken {
        house.script.hold(&job.id, "update", At::BeforeStep);
    }
    // All but one find the object taken, while that one stands in the middle of its work.
    let mut standing = Vec::new();
    for job in &taken {
        let is_decided = |job: &Job| job.state().is_final() || job.steps[1].started_ms > 0;
        let job = house
            .until(&job.id, "the take to be decided", is_decided)
            .await;
        if job.state().is_final() {
            assert_state(&job, JobState::Failed, "the one that was late");
            assert_eq!(job.problem.unwrap().code(), Code::FailedPrecondition);
        } else {
            standing.push(job);
        }
    }
    assert_eq!(standing.len(), 1);
    house.script.plan(&standing[0].id, |_| Verdict::GoOn);
    assert_state(
        &house.end_of(&standing[0].id).await,
        JobState::Succeeded,
        "the first",
    );
}

#[tokio::test]
async fn a_waiting_job_that_is_cancelled_lets_the_next_one_pass() {
    let house = House::build().await;
    let vm_id = house.fleet.put_vm("web", VmState::Stopped).await;
    let first = holder(&house, &vm_id).await;
    let second = house.submit(describe(&vm_id, "second")).await;
    let third = house.submit(describe(&vm_id, "third")).await;
    house.script.plan(&third.id, |_| Verdict::GoOn);
    assert_state(
        &house.cancel(&second.id).await.unwrap(),
        JobState::Cancelled,
        "second",
    );
    house.script.plan(&first.id, |_| Verdict::GoOn);
    assert_state(&house.end_of(&third.id).await, JobState::Succeeded, "third");
}

#[tokio::test]
async fn behind_a_stuck_job_the_next_one_waits_until_a_person_has_seen_to_it() {
    let house = House::build().await;
    let vm_id = house.fleet.put_vm("web", VmState::Stopped).await;
    let stuck = house.submit(describe(&vm_id, "stuck")).await;
    house
        .script
        .plan(&stuck.id, |point| match (point.step.as_str(), point.at) {
            ("release", At::BeforeStep) => Verdict::Fail(no()),
            _ => Verdict::GoOn,
        });
    assert_state(&house.end_of(&stuck.id).await, JobState::Stuck, "stuck");
    let next = house.submit(describe(&vm_id, "next")).await;
    house.script.plan(&next.id, |_| Verdict::GoOn);
    let waits = |job: &Job| job.state() == JobState::Waiting && job.message.contains("is stuck");
    let waiting = house.until(&next.id, "the next job to wait", waits).await;
    assert_eq!(waiting.waits_for_job_id, stuck.id);
    house.script.plan(&stuck.id, |_| Verdict::GoOn);
    house.restart(&stuck.id).await.unwrap();
    assert_state(&house.end_of(&next.id).await, JobState::Succeeded, "next");
}

#[tokio::test]
async fn the_state_of_a_machine_is_judged_when_it_is_the_jobs_turn() {
    let house = House::build().await;
    let vm_id = house.fleet.put_vm("web", VmState::Stopped).await;
    let target = VmTarget {
        vm_id: vm_id.clone(),
        force: false,
    };
    let start = house.submit(Kind::VmStart(target.clone())).await;
    // It is stopped now, and will be running when the shutdown's turn has come.
    let shutdown = house.submit(Kind::VmShutdown(target.clone())).await;
    let second_start = house.submit(Kind::VmStart(target.clone())).await;
    let second_shutdown = house.submit(Kind::VmShutdown(target)).await;
    for job in [&start, &shutdown, &second_start, &second_shutdown] {
        house.script.plan(&job.id, |_| Verdict::GoOn);
    }
    for job in [&start, &shutdown, &second_start, &second_shutdown] {
        assert_state(&house.end_of(&job.id).await, JobState::Succeeded, &job.kind);
    }
    assert_eq!(house.fleet.machines[0].times("start", &vm_id), 2);
}

#[tokio::test]
async fn the_second_of_two_deletes_finds_nothing_and_says_so() {
    let house = House::build().await;
    let vm_id = house.fleet.put_vm("web", VmState::Stopped).await;
    let target = VmTarget {
        vm_id: vm_id.clone(),
        force: false,
    };
    let first = house.submit(Kind::VmDelete(target.clone())).await;
    let second = house.submit(Kind::VmDelete(target)).await;
    for job in [&first, &second] {
        house.script.plan(&job.id, |_| Verdict::GoOn);
    }
    assert_state(&house.end_of(&first.id).await, JobState::Succeeded, "first");
    let second = house.end_of(&second.id).await;
    assert_state(&second, JobState::Failed, "second");
    assert_eq!(second.problem.unwrap().code(), Code::NotFound);
    assert_eq!(house.fleet.machines[0].times("delete", &vm_id), 1);
}

#[tokio::test]
async fn what_takes_a_host_longer_than_a_call_may_is_waited_for() {
    let house = House::build().await;
    let host = &house.fleet.machines[0];
    host.late_next("create");
    let job = house.run(Kind::VmCreate(create("web"))).await;
    assert_state(&job, JobState::Succeeded, "web");
    let vm = house.fleet.vm_named("web").unwrap();
    assert_eq!(host.times("create", &vm.id), 1);
}
