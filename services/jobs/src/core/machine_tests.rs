use contracts::jobs::step::State;
use contracts::jobs::{Job, JobState, Step};
use contracts::{Code, Status};

use super::*;

const NOW: i64 = 1_000;

fn rule(name: &'static str, undo: UndoRule) -> Rule {
    Rule {
        name,
        description: name,
        undo,
    }
}

/// take, make, look, close: one of each sort that leads back, and the end.
fn rules() -> Vec<Rule> {
    vec![
        rule("take", UndoRule::By),
        rule("make", UndoRule::By),
        rule("look", UndoRule::Nothing),
        rule("close", UndoRule::Closing),
    ]
}

fn job(rules: &[Rule]) -> Job {
    let steps = rules.iter().map(|rule| Step {
        name: rule.name.to_owned(),
        state: State::Pending.into(),
        ..Step::default()
    });
    Job {
        state: JobState::Queued.into(),
        steps: steps.collect(),
        ..Job::default()
    }
}

fn taken(rules: &[Rule]) -> Job {
    let mut job = job(rules);
    take(&mut job, rules, "runner", NOW);
    job
}

/// A job that is at a step, with everything before done.
fn at(rules: &[Rule], index: usize) -> Job {
    let mut job = taken(rules);
    for i in 0..index {
        done(&mut job, rules, i, "", NOW);
    }
    assert_eq!(task(&job), Task::Run(index));
    job
}

fn problem() -> Status {
    Status::precondition("No.")
}

fn states(job: &Job) -> Vec<State> {
    job.steps.iter().map(Step::state).collect()
}

#[test]
fn a_job_goes_through_its_steps_in_order_and_succeeds() {
    let rules = rules();
    let mut job = taken(&rules);
    for index in 0..rules.len() {
        assert_eq!(task(&job), Task::Run(index));
        done(&mut job, &rules, index, "ok", NOW);
    }
    assert_eq!((job.state(), task(&job)), (JobState::Succeeded, Task::Rest));
    assert_eq!((job.progress_percent, job.ended_ms), (100, NOW));
}

#[test]
fn a_failure_at_each_step_undoes_that_step_too_and_everything_before() {
    let rules = rules();
    for index in 0..3 {
        let mut job = at(&rules, index);
        failed(&mut job, &rules, index, problem(), NOW);
        let with_undo: Vec<usize> = (0..=index.min(1)).rev().collect();
        for undo in with_undo {
            assert_eq!(task(&job), Task::Undo(undo));
            undone(&mut job, &rules, undo, NOW);
        }
        assert_eq!(job.state(), JobState::Failed, "step {index}");
        assert_eq!(job.failed_step, rules[index].name);
        assert_eq!(job.problem, Some(problem()));
    }
}

#[test]
fn the_last_steps_only_go_forward() {
    let rules = rules();
    let mut job = at(&rules, 3);
    assert!(!leads_back(&job, &rules));
    failed(&mut job, &rules, 3, problem(), NOW);
    assert_eq!(job.state(), JobState::Stuck);
    restart(&mut job);
    take(&mut job, &rules, "other", NOW);
    assert_eq!(task(&job), Task::Run(3), "what was done is not done again");
    done(&mut job, &rules, 3, "", NOW);
    assert_eq!((job.state(), job.problem), (JobState::Succeeded, None));
}

#[test]
fn after_what_cannot_be_undone_a_failure_is_for_a_person() {
    let rules = vec![
        rule("take", UndoRule::By),
        rule("burn", UndoRule::Impossible),
        rule("forget", UndoRule::By),
    ];
    let mut job = at(&rules, 1);
    assert!(!leads_back(&job, &rules), "it may be burning already");
    failed(&mut job, &rules, 1, problem(), NOW);
    assert_eq!(task(&job), Task::Undo(0), "what was refused did not burn");

    let mut job = at(&rules, 2);
    failed(&mut job, &rules, 2, problem(), NOW);
    assert_eq!(job.state(), JobState::Stuck);
    let advice = job.problem.unwrap_or_default().recommended_action;
    assert!(advice.contains("restart the job"), "{advice}");
}

#[test]
fn a_cancel_stops_the_step_that_runs_and_undoes() {
    let rules = rules();
    let mut job = at(&rules, 1);
    cancel(&mut job, "alice", NOW);
    assert_eq!(task(&job), Task::Run(1), "its runner stops it");
    stopped(&mut job, &rules, NOW);
    assert_eq!(task(&job), Task::Undo(1));
    undone(&mut job, &rules, 1, NOW);
    undone(&mut job, &rules, 0, NOW);
    assert_eq!(job.state(), JobState::Cancelled);
    assert_eq!(job.problem.map(|p| p.code()), Some(Code::Cancelled));
}

#[test]
fn a_cancel_that_comes_too_late_does_not_stop_the_end() {
    let rules = rules();
    let mut job = at(&rules, 3);
    cancel(&mut job, "alice", NOW);
    done(&mut job, &rules, 3, "", NOW);
    assert_eq!(job.state(), JobState::Succeeded);
    assert!(job.message.contains("cancel came"), "{}", job.message);
}

#[test]
fn a_job_that_was_not_begun_is_cancelled_at_once() {
    let rules = rules();
    let mut queued = job(&rules);
    cancel(&mut queued, "alice", NOW);
    assert_eq!(queued.state(), JobState::Cancelled);
    let mut waiting = taken(&rules);
    wait(&mut waiting, "other", "Waits.".to_owned());
    cancel(&mut waiting, "alice", NOW);
    assert_eq!(waiting.state(), JobState::Cancelled);
}

#[test]
fn an_undo_that_fails_is_stuck_and_a_restart_goes_on_undoing() {
    let rules = rules();
    let mut job = at(&rules, 2);
    failed(&mut job, &rules, 2, problem(), NOW);
    undo_failed(&mut job, &rules, 1, &Status::unavailable("Host down."), NOW);
    assert_eq!((job.state(), task(&job)), (JobState::Stuck, Task::Rest));
    let told = job.problem.clone().unwrap_or_default();
    assert!(
        told.message.contains("Host down.") && told.message.contains("No."),
        "{told}"
    );
    restart(&mut job);
    take(&mut job, &rules, "other", NOW);
    assert_eq!(task(&job), Task::Undo(1));
    undone(&mut job, &rules, 1, NOW);
    undone(&mut job, &rules, 0, NOW);
    assert_eq!(
        (job.state(), job.problem),
        (JobState::Failed, Some(problem()))
    );
}

#[test]
fn a_restart_after_a_full_undo_begins_anew_with_new_operations() {
    let rules = rules();
    let mut job = at(&rules, 1);
    failed(&mut job, &rules, 1, problem(), NOW);
    undone(&mut job, &rules, 1, NOW);
    undone(&mut job, &rules, 0, NOW);
    restart(&mut job);
    assert_eq!((job.state(), job.restarts), (JobState::Queued, 1));
    assert_eq!(states(&job), [State::Pending; 4]);
    assert!(job.steps.iter().all(|s| s.operation == 1));
    take(&mut job, &rules, "other", NOW);
    assert_eq!(task(&job), Task::Run(0));
}

#[test]
fn only_a_failure_that_was_surely_answered_makes_a_retry_a_new_operation() {
    let rules = rules();
    let mut job = at(&rules, 1);
    again(&mut job, 1, &Status::unavailable("Nobody answered."), 2);
    assert_eq!((job.steps[1].attempts, job.steps[1].operation), (2, 0));
    again(&mut job, 1, &Status::new(Code::Aborted, "Busy."), 3);
    assert_eq!((job.steps[1].attempts, job.steps[1].operation), (3, 1));
    again(&mut job, 1, &Status::new(Code::Aborted, "Busy."), 3);
    assert_eq!(job.steps[1].operation, 1, "the same write twice");
}

#[test]
fn another_runner_goes_on_from_the_record_alone() {
    let rules = rules();
    let mut job = at(&rules, 2);
    let epoch = job.epoch;
    take(&mut job, &rules, "other", NOW);
    assert_eq!((task(&job), job.epoch), (Task::Run(2), epoch + 1));
    failed(&mut job, &rules, 2, problem(), NOW);
    take(&mut job, &rules, "third", NOW);
    assert_eq!(task(&job), Task::Undo(1));
}

/// Whatever happens in whatever order, exactly one step is worked on while the job is open, and it comes to an end.
#[test]
fn every_walk_ends_with_one_step_at_a_time() {
    let rules = rules();
    for seed in 0..2_000_u64 {
        let mut random = seed;
        let mut draw = |n: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % n
        };
        let mut job = taken(&rules);
        for _ in 0..200 {
            let busy = states(&job)
                .iter()
                .filter(|s| matches!(s, State::Running | State::Undoing))
                .count();
            match task(&job) {
                Task::Rest => {
                    assert!(job.state().is_final() && busy == 0, "seed {seed}: {job:?}");
                    break;
                }
                Task::Run(i) => match draw(8) {
                    0 => failed(&mut job, &rules, i, problem(), NOW),
                    1 => cancel(&mut job, "a", NOW),
                    2 => take(&mut job, &rules, "r", NOW),
                    _ => done(&mut job, &rules, i, "", NOW),
                },
                Task::Undo(i) => match draw(8) {
                    0 => undo_failed(&mut job, &rules, i, &problem(), NOW),
                    1 => take(&mut job, &rules, "r", NOW),
                    _ => undone(&mut job, &rules, i, NOW),
                },
            }
            let open = !job.state().is_final();
            let busy = states(&job)
                .iter()
                .filter(|s| matches!(s, State::Running | State::Undoing))
                .count();
            assert_eq!(busy, usize::from(open), "seed {seed}: {job:?}");
        }
        assert!(job.state().is_final(), "seed {seed}: {job:?}");
        if matches!(job.state(), JobState::Failed | JobState::Cancelled) {
            let left = states(&job)[..2]
                .iter()
                .filter(|s| matches!(s, State::Done | State::Failed))
                .count();
            assert_eq!(left, 0, "seed {seed}: something was not undone: {job:?}");
        }
    }
}
