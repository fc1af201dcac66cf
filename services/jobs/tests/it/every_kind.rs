//! The four tests of every job kind: it works; every step twice; a failure at each step leaves a clean slate; every undo
//! twice. And a cancel at each step.

use contracts::jobs::job_params::Kind;
use contracts::jobs::{Job, JobState};
use futures::future::join_all;
use futures::stream::{self, StreamExt};
use jobs::probe::{At, Point, Verdict};

use crate::cases::{CASES, Case};
use crate::crash::JOBS_AT_ONCE;
use crate::harness::{House, assert_state, no};

/// A job of a kind with objects of its own.
struct Trial<'a> {
    house: &'a House,
    case: &'static Case,
    name: String,
    before: Vec<String>,
    request: Kind,
}

impl<'a> Trial<'a> {
    async fn prepare(house: &'a House, case: &'static Case, what: &str) -> Self {
        let name = format!("{}-{what}", case.title()).replace('_', "-");
        let request = case.prepare(&house.fleet, &name).await;
        Self {
            house,
            case,
            before: house.fleet.picture(&name),
            name,
            request,
        }
    }

    async fn run(&self, plan: impl FnMut(&Point) -> Verdict + Send + 'static) -> Job {
        let job = self.house.submit(self.request.clone()).await;
        self.house.script.plan(&job.id, plan);
        self.house.end_of(&job.id).await
    }

    /// Nothing is left over and nothing is missing.
    fn assert_clean(&self) {
        assert_eq!(
            self.house.fleet.picture(&self.name),
            self.before,
            "{}",
            self.name
        );
    }

    async fn assert_undone(&self, job: &Job, failed_step: &str) {
        assert_state(job, JobState::Failed, &self.name);
        assert_eq!(job.failed_step, failed_step, "{}", self.name);
        assert_eq!(
            job.problem.as_ref().map(|p| p.message.as_str()),
            Some("Injected."),
            "{}",
            self.name
        );
        self.assert_clean();
    }
}

fn fail(step: &'static str, at: At) -> impl Fn(&Point) -> Verdict {
    move |point| {
        if point.step == step && point.at == at {
            Verdict::Fail(no())
        } else {
            Verdict::GoOn
        }
    }
}

#[tokio::test]
async fn every_kind_works_and_shows_its_steps() {
    let house = House::build().await;
    let trials = CASES.iter().map(async |case| {
        let trial = Trial::prepare(&house, case, "works").await;
        let job = trial.run(|_| Verdict::GoOn).await;
        assert_state(&job, JobState::Succeeded, case.kind);
        let steps: Vec<&str> = job.steps.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(steps, case.steps, "{}", case.kind);
        assert!(
            job.steps
                .iter()
                .all(|s| s.attempts == 1 && s.started_ms > 0 && s.ended_ms >= s.started_ms)
        );
        assert_eq!((job.progress_percent, job.kind.as_str()), (100, case.kind));
        let is_held = house
            .fleet
            .picture(&trial.name)
            .iter()
            .any(|line| line.contains(&job.id));
        assert!(!is_held, "{}: the object was not given back", case.kind);
        // A file is no record of the fleet's, and a template none of the machine.
        let is_file = case.kind.starts_with("image")
            || case.kind.starts_with("item")
            || case.steps.contains(&"template");
        if !case.is_traceless() && !is_file {
            assert_ne!(job.changes, [], "{}", case.kind);
        }
        if !case.is_traceless() {
            assert_ne!(
                house.fleet.picture(&trial.name),
                trial.before,
                "{}",
                case.kind
            );
        }
    });
    join_all(trials).await;
    assert_eq!(house.fleet.placement.claims(), 0);
}

#[tokio::test]
async fn every_step_done_twice_is_done_once() {
    let house = House::build().await;
    let trials = CASES.iter().map(async |case| {
        let once = Trial::prepare(&house, case, "once").await;
        let twice = Trial::prepare(&house, case, "twice").await;
        let of_once = once.run(|_| Verdict::GoOn).await;
        let of_twice = twice
            .run(|point| {
                if point.at == At::BeforeStep {
                    Verdict::Twice
                } else {
                    Verdict::GoOn
                }
            })
            .await;
        assert_state(&of_twice, JobState::Succeeded, case.kind);
        assert_eq!(
            of_once.changes.len(),
            of_twice.changes.len(),
            "{}",
            case.kind
        );
        let count = |trial: &Trial<'_>| house.fleet.picture(&trial.name).len();
        assert_eq!(count(&once), count(&twice), "{}", case.kind);
    });
    join_all(trials).await;
    for host in &house.fleet.machines {
        for vm in host.machines() {
            let starts = host.times("start", &vm.vm_id);
            assert!(
                starts <= 1 && host.times("create", &vm.vm_id) <= 1,
                "{}",
                vm.name
            );
        }
    }
}

#[tokio::test]
async fn a_failure_before_each_step_leaves_a_clean_slate() {
    let house = House::build().await;
    let trials = CASES
        .iter()
        .flat_map(|case| case.before_closing().map(move |step| (case, step)));
    join_all(trials.map(async |(case, step)| {
        let trial = Trial::prepare(&house, case, &format!("before-{step}")).await;
        let job = trial.run(fail(step, At::BeforeStep)).await;
        trial.assert_undone(&job, step).await;
    }))
    .await;
}

#[tokio::test]
async fn a_failure_after_each_step_that_can_be_undone_leaves_a_clean_slate() {
    let house = House::build().await;
    let trials = CASES
        .iter()
        .flat_map(|case| case.undoable.iter().map(move |step| (case, *step)));
    join_all(trials.map(async |(case, step)| {
        let trial = Trial::prepare(&house, case, &format!("after-{step}")).await;
        let job = trial.run(fail(step, At::AfterStep)).await;
        trial.assert_undone(&job, step).await;
    }))
    .await;
}

#[tokio::test]
async fn a_failure_where_nothing_leads_back_is_stuck_and_a_restart_goes_on() {
    let house = House::build().await;
    let trials = CASES
        .iter()
        .flat_map(|case| case.beyond().map(move |step| (case, step)));
    join_all(trials.map(async |(case, step)| {
        let trial = Trial::prepare(&house, case, &format!("beyond-{step}")).await;
        let job = trial.run(fail(step, At::BeforeStep)).await;
        assert_state(&job, JobState::Stuck, &trial.name);
        let problem = job.problem.clone().unwrap_or_default();
        assert!(
            problem.recommended_action.contains("restart the job"),
            "{problem}"
        );
        house.script.plan(&job.id, |_| Verdict::GoOn);
        assert_state(
            &house.end_after_restart(&job.id).await,
            JobState::Succeeded,
            &trial.name,
        );
    }))
    .await;
}

#[tokio::test]
async fn every_undo_done_twice_leaves_a_clean_slate() {
    let house = House::build().await;
    let trials = CASES
        .iter()
        .flat_map(|case| case.undoable.iter().map(move |step| (case, *step)));
    join_all(trials.map(async |(case, step)| {
        let trial = Trial::prepare(&house, case, &format!("undo-twice-{step}")).await;
        let failing = fail(step, At::AfterStep);
        let job = trial
            .run(move |point| match point.at {
                At::BeforeUndo => Verdict::Twice,
                _ => failing(point),
            })
            .await;
        trial.assert_undone(&job, step).await;
    }))
    .await;
}

/// That the tests above would see an undo that does nothing.
#[tokio::test]
async fn an_undo_that_is_left_out_is_noticed() {
    let house = House::build().await;
    let trials = CASES
        .iter()
        .flat_map(|case| case.undoable.iter().map(move |step| (case, *step)));
    join_all(trials.map(async |(case, step)| {
        let trial = Trial::prepare(&house, case, &format!("no-undo-{step}")).await;
        let failing = fail(step, At::AfterStep);
        let job = trial
            .run(move |point| match point.at {
                At::BeforeUndo if point.step == step => Verdict::Skip,
                _ => failing(point),
            })
            .await;
        let is_noticed =
            job.state() != JobState::Failed || house.fleet.picture(&trial.name) != trial.before;
        assert!(is_noticed, "{}: nothing was left over", trial.name);
    }))
    .await;
}

/// The job stands at the step while it is cancelled.
#[tokio::test]
async fn a_cancel_at_each_step_undoes_or_comes_too_late() {
    let house = House::build().await;
    let trials = CASES
        .iter()
        .flat_map(|case| case.steps.iter().map(move |step| (case, *step)));
    let lives = trials.map(async |(case, step)| {
        let trial = Trial::prepare(&house, case, &format!("cancel-{step}")).await;
        let job = house.submit(trial.request.clone()).await;
        house.script.hold(&job.id, step, At::BeforeStep);
        house
            .script
            .passed(&job.id, |p| p.step == step && p.at == At::BeforeStep)
            .await;
        house.cancel(&job.id).await.unwrap();
        house.script.plan(&job.id, |_| Verdict::GoOn);
        let job = house.end_of(&job.id).await;
        let is_late = case.irrevocable == Some(step) || trial.case.beyond().any(|s| s == step);
        if is_late {
            assert_state(&job, JobState::Succeeded, &trial.name);
        } else {
            assert_state(&job, JobState::Cancelled, &trial.name);
            assert_eq!(job.cancelled_by, "bob");
            trial.assert_clean();
        }
    });
    stream::iter(lives)
        .buffer_unordered(JOBS_AT_ONCE)
        .collect::<Vec<()>>()
        .await;
}
