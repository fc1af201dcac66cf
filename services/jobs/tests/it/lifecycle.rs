//! What befalls single jobs: retries, lost answers, stuck undos, restarts, cancels, progress.

use std::sync::atomic::Ordering;

use contracts::host::VmState;
use contracts::jobs::job_params::Kind;
use contracts::jobs::{JobState, Progress, VmTarget, step};
use contracts::{Code, Status, subjects};
use futures::StreamExt;
use jobs::probe::{At, Verdict};
use kit::bus::Bus;
use kit::bus::nats::NatsBus;
use prost::Message as _;
use support::eventually;

use crate::cases::create;
use crate::harness::{House, assert_state, no};

fn target(vm_id: &str) -> VmTarget {
    VmTarget {
        vm_id: vm_id.to_owned(),
        force: false,
    }
}

#[tokio::test]
async fn a_machine_is_created_placed_started_and_its_ratings_kept() {
    let house = House::build().await;
    let job = house.run(Kind::VmCreate(create("web"))).await;
    assert_state(&job, JobState::Succeeded, "create");
    let vm = house.fleet.vm_named("web").unwrap();
    assert_eq!((vm.state(), vm.owner.as_str()), (VmState::Running, "alice"));
    assert_eq!(
        (vm.job_id.as_str(), job.target.clone().unwrap().id),
        ("", vm.id.clone())
    );
    assert_eq!(
        house.fleet.machines[0].state_of(&vm.id),
        Some(VmState::Running)
    );
    assert!(
        vm.hardware.unwrap().network_cards[0]
            .mac
            .starts_with("52:54:00:")
    );
    assert_eq!((job.ratings.len(), job.restarts), (2, 0));
    let place = job.steps.iter().find(|s| s.name == "place").unwrap();
    assert_eq!(place.message, "Chosen: h1, 4.5 stars.");
    let is_told = |property: &str| job.changes.iter().any(|change| change.property == property);
    assert!(
        is_told("state") && is_told("host_id") && !is_told("job_id"),
        "{:?}",
        job.changes
    );
}

#[tokio::test]
async fn a_failure_that_may_pass_is_tried_again() {
    let house = House::build().await;
    let vm_id = house.fleet.put_vm("web", VmState::Stopped).await;
    let host = &house.fleet.machines[0];
    host.fail_next("start", Status::unavailable("Not now."));
    host.fail_next("start", Status::new(Code::Aborted, "Another was first."));
    let job = house.run(Kind::VmStart(target(&vm_id))).await;
    assert_state(&job, JobState::Succeeded, "start");
    assert_eq!((job.steps[1].attempts, host.times("start", &vm_id)), (3, 1));
}

#[tokio::test]
async fn a_failure_that_does_not_pass_ends_after_so_many_tries() {
    let house = House::build().await;
    let vm_id = house.fleet.put_vm("web", VmState::Stopped).await;
    let before = house.fleet.picture("web");
    for _ in 0..5 {
        house.fleet.machines[0].fail_next("start", Status::unavailable("Not now."));
    }
    let job = house.run(Kind::VmStart(target(&vm_id))).await;
    assert_state(&job, JobState::Failed, "start");
    assert_eq!(
        (job.steps[1].attempts, job.failed_step.as_str()),
        (5, "start")
    );
    assert_eq!(job.steps[1].problem.clone().unwrap().message, "Not now.");
    assert_eq!(house.fleet.picture("web"), before);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_the_work_done_once() {
    let house = House::build().await;
    let vm_id = house.fleet.put_vm("web", VmState::Stopped).await;
    let host = &house.fleet.machines[0];
    host.mute.store(true, Ordering::SeqCst);
    let job = house.submit(Kind::VmStart(target(&vm_id))).await;
    house.script.plan(&job.id, |_| Verdict::GoOn);
    eventually("the machine to be started", async || {
        (host.times("start", &vm_id) == 1).then_some(())
    })
    .await
    .unwrap();
    // The answer never comes; the host is asked again.
    let job = house.end_of(&job.id).await;
    assert_state(&job, JobState::Succeeded, "start");
    assert_eq!((job.steps[1].attempts, host.times("start", &vm_id)), (1, 1));
}

#[tokio::test]
async fn a_restart_does_again_what_the_host_had_refused() {
    let house = House::build().await;
    let vm_id = house.fleet.put_vm("web", VmState::Stopped).await;
    // The host stores this answer under the operation.
    house.fleet.machines[0].fail_next("start", Status::precondition("The disk is locked."));
    let job = house.run(Kind::VmStart(target(&vm_id))).await;
    assert_state(&job, JobState::Failed, "start");
    let job = house.end_after_restart(&job.id).await;
    assert_state(&job, JobState::Succeeded, "start again");
    assert_eq!(
        (job.restarts, job.problem, job.failed_step.as_str()),
        (1, None, "")
    );
}

#[tokio::test]
async fn a_restart_after_a_full_undo_makes_everything_again() {
    let house = House::build().await;
    let job = house.submit(Kind::VmCreate(create("web"))).await;
    house
        .script
        .plan(&job.id, |point| match (point.step.as_str(), point.at) {
            ("guest", At::BeforeStep) => Verdict::Fail(no()),
            _ => Verdict::GoOn,
        });
    assert_state(&house.end_of(&job.id).await, JobState::Failed, "create");
    assert_eq!(house.fleet.picture("web"), Vec::<String>::new());
    house.script.plan(&job.id, |_| Verdict::GoOn);
    let job = house.end_after_restart(&job.id).await;
    assert_state(&job, JobState::Succeeded, "create again");
    assert_eq!(
        house.fleet.vm_named("web").unwrap().state(),
        VmState::Running
    );
}

#[tokio::test]
async fn an_undo_that_fails_is_stuck_and_visible_and_a_restart_finishes_it() {
    let house = House::build().await;
    let job = house.submit(Kind::VmCreate(create("web"))).await;
    house
        .script
        .plan(&job.id, |point| match (point.step.as_str(), point.at) {
            ("start", At::BeforeStep) => Verdict::Fail(no()),
            ("disks", At::BeforeUndo) => Verdict::Fail(Status::unavailable("The host is down.")),
            _ => Verdict::GoOn,
        });
    let job = house.end_of(&job.id).await;
    assert_state(&job, JobState::Stuck, "create");
    let disks = job.steps.iter().find(|s| s.name == "disks").unwrap();
    assert_eq!(
        (disks.state(), disks.undo_attempts),
        (step::State::UndoFailed, 5)
    );
    let problem = job.problem.clone().unwrap();
    assert!(
        problem.message.contains("The host is down.") && problem.message.contains("Injected."),
        "{problem}"
    );
    assert!(
        problem.recommended_action.contains("restart the job"),
        "{problem}"
    );
    // Nothing is hidden: what could not be undone is there, and still the job's.
    assert_eq!(house.fleet.vm_named("web").unwrap().job_id, job.id);
    assert_eq!(house.fleet.placement.claims(), 1);
    house.script.plan(&job.id, |_| Verdict::GoOn);
    let job = house.end_after_restart(&job.id).await;
    assert_state(&job, JobState::Failed, "the undo");
    assert_eq!(job.problem.unwrap().message, "Injected.");
    assert_eq!(house.fleet.picture("web"), Vec::<String>::new());
    assert_eq!(house.fleet.placement.claims(), 0);
}

#[tokio::test]
async fn a_cancel_stops_waiting_for_a_host_and_undoes() {
    let house = House::build().await;
    let vm_id = house.fleet.put_vm("web", VmState::Running).await;
    let before = house.fleet.picture("web");
    let host = &house.fleet.machines[0];
    host.hold.store(true, Ordering::SeqCst);
    let job = house.submit(Kind::VmShutdown(target(&vm_id))).await;
    house.script.plan(&job.id, |_| Verdict::GoOn);
    house
        .script
        .passed(&job.id, |p| p.step == "shutdown" && p.at == At::BeforeStep)
        .await;
    house.cancel(&job.id).await.unwrap();
    let job = house.end_of(&job.id).await;
    assert_state(&job, JobState::Cancelled, "shutdown");
    assert_eq!(job.problem.unwrap().code(), Code::Cancelled);
    assert_eq!(house.fleet.picture("web"), before);
}

#[tokio::test]
async fn what_has_ended_cannot_be_cancelled_and_what_runs_cannot_be_restarted() {
    let house = House::build().await;
    let vm_id = house.fleet.put_vm("web", VmState::Stopped).await;
    let job = house.submit(Kind::VmStart(target(&vm_id))).await;
    let refusal = house.restart(&job.id).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    house.script.plan(&job.id, |_| Verdict::GoOn);
    house.end_of(&job.id).await;
    let refusal = house.cancel(&job.id).await.unwrap_err();
    assert!(refusal.message.contains("has succeeded"), "{refusal}");
    assert_eq!(
        house.restart(&job.id).await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    assert_eq!(
        house.cancel("none").await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn whoever_listens_hears_how_far_a_job_is() {
    let house = House::build().await;
    let bus = NatsBus::connect("gateway", &house.nats.bus_config())
        .await
        .unwrap();
    let heard = bus.subscribe(&subjects::progress("*")).await.unwrap();
    let job = house.run(Kind::VmCreate(create("web"))).await;
    let heard = heard.map(|incoming| Progress::decode(incoming.message.payload).unwrap());
    let own: Vec<Progress> = heard
        .filter(|progress| std::future::ready(progress.job_id == job.id))
        .take_while(|progress| std::future::ready(progress.percent < 100))
        .collect()
        .await;
    assert!(
        own.iter().any(|p| p.message.contains("Start the machine")),
        "{own:?}"
    );
    assert!(own.is_sorted_by_key(|p| p.percent), "{own:?}");
}

#[tokio::test]
async fn a_service_that_stops_leaves_its_jobs_to_the_other_instance() {
    let mut house = House::build_without_instances().await;
    house.add_instance("a").await;
    house.wait_until_served().await;
    let vm_id = house.fleet.put_vm("web", VmState::Stopped).await;
    let job = house.submit(Kind::VmStart(target(&vm_id))).await;
    house.script.hold(&job.id, "take", At::AfterStep);
    house
        .script
        .passed(&job.id, |p| p.at == At::AfterStep)
        .await;
    house.add_instance("b").await;
    let a = house.instances.remove(0);
    a.stop.cancel();
    // The step that runs may end; the next is not begun.
    house.script.plan(&job.id, |_| Verdict::GoOn);
    a.running.await.unwrap().unwrap();
    let job = house.end_of(&job.id).await;
    assert_state(&job, JobState::Succeeded, "start");
    assert!(job.runner.starts_with("b-"), "{}", job.runner);
}
