//! Runners that are gone without a word, at every point: another goes on, and each effect happens once.

use std::sync::Arc;

use contracts::jobs::job_params::Kind;
use contracts::jobs::{Job, JobState};
use futures::stream::{self, StreamExt};
use jobs::probe::{At, Point, Verdict};

use crate::cases::{CASES, CLONE, Case, create};
use crate::harness::{House, Instance, assert_state, config, no, parts, tell};

const AROUND_A_STEP: [At; 4] = [
    At::BeforeStep,
    At::AfterStep,
    At::BeforeWrite,
    At::AfterWrite,
];

/// Jobs that are watched at the same time: each look at one costs, and there are hundreds.
pub(crate) const JOBS_AT_ONCE: usize = 64;

/// Vanishes the first time that the job comes by a point.
fn vanish_once(step: &'static str, at: At) -> impl FnMut(&Point) -> Verdict {
    let mut is_gone = false;
    move |point| {
        if !is_gone && point.step == step && point.at == at {
            is_gone = true;
            return Verdict::Vanish;
        }
        Verdict::GoOn
    }
}

#[tokio::test]
async fn a_runner_that_is_killed_at_any_point_of_any_step_is_followed_by_another() {
    let house = House::build().await;
    let points = CASES.iter().flat_map(|case| {
        let steps = case.steps.iter();
        steps.flat_map(move |step| AROUND_A_STEP.map(|at| (case, *step, at)))
    });
    let lives = points.map(async |(case, step, at)| {
        let name = format!("{}-{step}-{at:?}", case.title()).replace('_', "-");
        let request = case.prepare(&house.fleet, &name).await;
        let job = house.submit(request).await;
        house.script.plan(&job.id, vanish_once(step, at));
        let job = house.end_of(&job.id).await;
        assert_state(&job, JobState::Succeeded, &name);
        // With the last step written the job has ended.
        let is_last_word = at == At::AfterWrite && case.steps.last() == Some(&step);
        let takers = if is_last_word { 1 } else { 2 };
        // On a machine that is slow enough a runner loses its lease once more.
        assert!(job.epoch >= takers, "{name}: {}", tell(&job));
        assert_done_once(&house, case, &name);
    });
    stream::iter(lives)
        .buffer_unordered(JOBS_AT_ONCE)
        .collect::<Vec<()>>()
        .await;
    assert_eq!(house.fleet.placement.claims(), 0);
}

/// What was done at the host was done once.
fn assert_done_once(house: &House, case: &Case, name: &str) {
    let commands: &[&str] = match case.kind {
        "vm_create" if case.way == CLONE => &["clone", "start"],
        "vm_create" => &["create", "start"],
        "vm_delete" => &["delete"],
        "vm_start" => &["start"],
        "vm_shutdown" => &["shutdown"],
        "vm_turn_off" => &["turn_off"],
        "vm_reset" => &["reset"],
        "vm_pause" => &["pause"],
        "vm_resume" => &["resume"],
        "vm_save" => &["save"],
        _ => &[],
    };
    let vm_id = match house.fleet.vm_named(name) {
        Some(vm) => vm.id,
        None => format!("id-{name}"),
    };
    for command in commands {
        let times: u32 = house
            .fleet
            .machines
            .iter()
            .map(|host| host.times(command, &vm_id))
            .sum();
        assert_eq!(times, 1, "{name}: {command}");
    }
    if case.kind == "vm_create" {
        assert_eq!(house.fleet.placement.times_claimed(&vm_id), 1, "{name}");
    }
}

#[tokio::test]
async fn a_runner_that_is_killed_while_it_undoes_is_followed_by_another() {
    let house = House::build().await;
    let points = CASES.iter().flat_map(|case| {
        case.undoable
            .iter()
            .flat_map(move |step| [At::BeforeUndo, At::AfterUndo].map(|at| (case, *step, at)))
    });
    let lives = points.map(async |(case, step, at)| {
        let name = format!("{}-un-{step}-{at:?}", case.title()).replace('_', "-");
        let request = case.prepare(&house.fleet, &name).await;
        let before = house.fleet.picture(&name);
        let job = house.submit(request).await;
        let last = *case.undoable.last().unwrap();
        let mut vanishing = vanish_once(step, at);
        house.script.plan(&job.id, move |point| {
            if point.step == last && point.at == At::AfterStep {
                return Verdict::Fail(no());
            }
            vanishing(point)
        });
        let job = house.end_of(&job.id).await;
        assert_state(&job, JobState::Failed, &name);
        assert_eq!(job.failed_step, last, "{name}");
        // As above: on a slow machine a lease is lost once more.
        assert!(job.epoch >= 2, "{name}: {}", tell(&job));
        assert_eq!(house.fleet.picture(&name), before, "{name}");
    });
    stream::iter(lives)
        .buffer_unordered(JOBS_AT_ONCE)
        .collect::<Vec<()>>()
        .await;
}

#[tokio::test]
async fn a_runner_that_takes_over_sees_what_the_one_before_wrote() {
    let house = House::build().await;
    let job = house.submit(Kind::VmCreate(create("heir"))).await;
    let plan = vanish_once("assign", At::AfterWrite);
    house.script.plan(&job.id, plan);
    let job = house.end_of(&job.id).await;
    assert_state(&job, JobState::Succeeded, "heir");
    let vm = house.fleet.vm_named("heir").unwrap();
    let revision = house.fleet.vms.get(&vm.id).unwrap().unwrap().revision;
    let seen = house
        .fleet
        .machines
        .iter()
        .map(|host| host.seen_by_creator(&vm.id));
    let seen: Vec<u64> = seen.filter_map(|seen| seen.get("vm").copied()).collect();
    let [seen] = seen[..] else {
        panic!("the host was asked by somebody who had seen no machine: {seen:?}");
    };
    assert!(seen > 0 && seen <= revision, "{seen} of {revision}");
}

/// An instance with a runtime of its own, so that it can be ended without a word, as by `kill -9`.
struct Process(Option<tokio::runtime::Runtime>);

impl Process {
    async fn start(house: &House, name: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (nats, folder, name) = (
            house.nats.bus_config(),
            house.folder.path().to_owned(),
            name.to_owned(),
        );
        let script = Arc::clone(&house.script);
        runtime
            .spawn(async move {
                let parts = parts(&nats, &folder, &name, config()).await;
                Instance::start(parts, script)
            })
            .await
            .unwrap();
        Self(Some(runtime))
    }

    fn kill(&mut self) {
        self.0.take().unwrap().shutdown_background();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

async fn create_until(house: &House, step: &str) -> Job {
    let job = house.submit(Kind::VmCreate(create("killed"))).await;
    house.script.hold(&job.id, step, At::BeforeStep);
    house.script.passed(&job.id, |p| p.step == step).await;
    job
}

#[tokio::test]
async fn jobs_go_on_at_the_other_instance_when_one_is_killed() {
    let house = House::build_without_instances().await;
    let mut a = Process::start(&house, "a").await;
    house.wait_until_served().await;
    let job = create_until(&house, "disks").await;
    let _b = Process::start(&house, "b").await;
    a.kill();
    house.script.plan(&job.id, |_| Verdict::GoOn);
    assert_state(&house.end_of(&job.id).await, JobState::Succeeded, "create");
}

#[tokio::test]
async fn jobs_go_on_within_ten_seconds_after_the_only_instance_is_killed_and_started_again() {
    let house = House::build_without_instances().await;
    let mut a = Process::start(&house, "a").await;
    house.wait_until_served().await;
    let job = create_until(&house, "start").await;
    let waiting = house.submit(Kind::VmCreate(create("not-begun"))).await;
    a.kill();
    let begun = std::time::Instant::now();
    house.script.plan(&job.id, |_| Verdict::GoOn);
    house.script.plan(&waiting.id, |_| Verdict::GoOn);
    let _again = Process::start(&house, "again").await;
    for id in [&job.id, &waiting.id] {
        assert_state(&house.end_of(id).await, JobState::Succeeded, "create");
    }
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}
