//! The bus is gone for a while, or loses its queue.

use contracts::host::VmState;
use contracts::jobs::JobState;
use contracts::jobs::job_params::Kind;
use contracts::subjects::RUNS;
use jobs::probe::{At, Verdict};

use crate::cases::create;
use crate::harness::{House, assert_state};

#[tokio::test]
async fn jobs_finish_when_the_bus_was_killed_in_their_middle() {
    let mut house = House::build().await;
    let points = [
        ("record", At::AfterStep),
        ("disks", At::BeforeStep),
        ("disks", At::AfterStep),
        ("start", At::BeforeWrite),
    ];
    let mut ids = Vec::new();
    for (index, (step, at)) in points.into_iter().enumerate() {
        let job = house
            .submit(Kind::VmCreate(create(&format!("vm-{index}"))))
            .await;
        house.script.hold(&job.id, step, at);
        house
            .script
            .passed(&job.id, |p| p.step == step && p.at == at)
            .await;
        ids.push(job.id);
    }
    house.nats.kill();
    for id in &ids {
        house.script.plan(id, |_| Verdict::GoOn);
    }
    house.nats.restart().await.unwrap();
    for (index, id) in ids.iter().enumerate() {
        assert_state(
            &house.end_of(id).await,
            JobState::Succeeded,
            &format!("vm-{index}"),
        );
        let vm = house.fleet.vm_named(&format!("vm-{index}")).unwrap();
        assert_eq!((vm.state(), vm.job_id.as_str()), (VmState::Running, ""));
        let host = &house.fleet.machines[0];
        assert_eq!(
            (host.times("create", &vm.id), host.times("start", &vm.id)),
            (1, 1)
        );
    }
}

#[tokio::test]
async fn jobs_are_found_again_when_the_queue_was_lost() {
    let mut house = House::build().await;
    let job = house.submit(Kind::VmCreate(create("web"))).await;
    house
        .script
        .plan(&job.id, |point| match (point.step.as_str(), point.at) {
            ("disks", At::BeforeStep) => Verdict::Vanish,
            _ => Verdict::GoOn,
        });
    house.script.passed(&job.id, |p| p.step == "disks").await;
    house.nats.kill();
    let queue = house.nats.store().join("jetstream/$G/streams").join(RUNS);
    std::fs::remove_dir_all(queue).unwrap();
    house.nats.restart().await.unwrap();
    house.script.plan(&job.id, |_| Verdict::GoOn);
    assert_state(&house.end_of(&job.id).await, JobState::Succeeded, "create");
}
