//! A job's life, as a function of its record and its table of steps.
//!
//! ```text
//!            taken                    last step done
//! QUEUED ──────────────► RUNNING ──────────────────────► SUCCEEDED
//!    ▲      busy │ ▲        │ a step fails, or cancel
//!    │           ▼ │ free   ▼         everything is undone
//!    │        WAITING    UNDOING ──────────────────────► FAILED, CANCELLED
//!    │ restart              │ an undo fails                   │
//!    └──────────────────────┴──► STUCK ◄── a step fails where nothing leads back
//! ```
//!
//! The record always says what is to be done now: exactly one step is `RUNNING` or `UNDOING` while the job is. So a
//! result and the start of the next step are one write, and a runner that takes a job over goes on from the record alone.
//!
//! A step that was started counts as perhaps done: a failure or a lost answer does not say that nothing happened. So the
//! step that failed is undone too, and every undo works when there is nothing to undo.

use contracts::jobs::step::State;
use contracts::jobs::{Job, JobState, Step};
use contracts::{Code, Status};

/// What the engine knows of a step beside what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) undo: UndoRule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UndoRule {
    /// Has an undo.
    By,
    /// Leaves nothing behind that an undo should take away.
    Nothing,
    /// What it does cannot be taken back: from then on the job only goes forward.
    Impossible,
    /// The work is done when it is reached: the job only goes forward, whatever happens.
    Closing,
}

/// What a runner does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Run(usize),
    Undo(usize),
    /// Nothing: it has ended, or waits.
    Rest,
}

/// The step that the record says is to be done now.
pub(crate) fn task(job: &Job) -> Task {
    let in_state = |state: State| job.steps.iter().position(|s| s.state() == state);
    match job.state() {
        JobState::Running => in_state(State::Running).map_or(Task::Rest, Task::Run),
        JobState::Undoing => in_state(State::Undoing).map_or(Task::Rest, Task::Undo),
        _ => Task::Rest,
    }
}

/// Whether the job may still be cancelled and undone.
pub(crate) fn leads_back(job: &Job, rules: &[Rule]) -> bool {
    let reached = |step: &Step| matches!(step.state(), State::Running | State::Done);
    !is_beyond_return(job, rules, reached)
}

fn is_beyond_return(job: &Job, rules: &[Rule], reached: impl Fn(&Step) -> bool) -> bool {
    job.steps
        .iter()
        .zip(rules)
        .any(|(step, rule)| match rule.undo {
            UndoRule::Impossible => reached(step),
            UndoRule::Closing => step.state() != State::Pending,
            UndoRule::By | UndoRule::Nothing => false,
        })
}

/// A runner has the job: what the record says next is begun.
pub(crate) fn take(job: &mut Job, rules: &[Rule], runner: &str, now_ms: i64) {
    runner.clone_into(&mut job.runner);
    job.epoch += 1;
    if matches!(job.state(), JobState::Queued | JobState::Waiting) {
        job.set_state(JobState::Running);
        job.waits_for_job_id.clear();
    }
    if job.started_ms == 0 {
        job.started_ms = now_ms;
    }
    go_on(job, rules, now_ms);
}

fn go_on(job: &mut Job, rules: &[Rule], now_ms: i64) {
    match job.state() {
        JobState::Running => forward(job, rules, now_ms),
        JobState::Undoing => back(job, rules, now_ms),
        _ => {}
    }
}

fn forward(job: &mut Job, rules: &[Rule], now_ms: i64) {
    if job.cancel_requested && leads_back(job, rules) {
        return turn_back(job, rules, cancelled(job), now_ms);
    }
    let next = job.steps.iter().position(|s| s.state() != State::Done);
    job.progress_percent = percent(next.unwrap_or(job.steps.len()), job.steps.len());
    let Some((step, rule)) = next.and_then(|i| Some((job.steps.get_mut(i)?, rules.get(i)?))) else {
        return end(job, JobState::Succeeded, now_ms);
    };
    rule.description.clone_into(&mut job.message);
    if step.state() != State::Running {
        step.set_state(State::Running);
        step.started_ms = now_ms;
        step.ended_ms = 0;
        step.attempts = 1;
        step.message.clear();
    }
}

fn back(job: &mut Job, rules: &[Rule], now_ms: i64) {
    let started =
        |step: &Step| matches!(step.state(), State::Done | State::Failed | State::Undoing);
    let next = job
        .steps
        .iter_mut()
        .zip(rules)
        .rfind(|(step, rule)| rule.undo == UndoRule::By && started(step));
    let Some((step, rule)) = next else {
        let outcome = if job.failed_step.is_empty() {
            JobState::Cancelled
        } else {
            JobState::Failed
        };
        return end(job, outcome, now_ms);
    };
    job.message = format!("Undoing: {}", rule.description);
    if step.state() != State::Undoing {
        step.set_state(State::Undoing);
        step.undo_attempts = 1;
    }
}

fn turn_back(job: &mut Job, rules: &[Rule], problem: Status, now_ms: i64) {
    for step in &mut job.steps {
        if step.state() == State::Running {
            step.set_state(State::Failed);
            step.ended_ms = now_ms;
            "Stopped by the cancel.".clone_into(&mut step.message);
        }
    }
    job.problem = Some(problem);
    job.set_state(JobState::Undoing);
    back(job, rules, now_ms);
}

fn cancelled(job: &Job) -> Status {
    Status::new(
        Code::Cancelled,
        format!("The job was cancelled by {}.", job.cancelled_by),
    )
    .action("Restart the job if the change is wanted after all.")
}

fn end(job: &mut Job, state: JobState, now_ms: i64) {
    job.set_state(state);
    job.ended_ms = now_ms;
    job.message = match state {
        JobState::Succeeded if job.cancel_requested => {
            "Finished; the cancel came when nothing led back.".to_owned()
        }
        JobState::Succeeded => "Finished.".to_owned(),
        JobState::Failed => "Failed; everything that was done is undone.".to_owned(),
        JobState::Cancelled => "Cancelled; everything that was done is undone.".to_owned(),
        _ => "Stuck: a person must look.".to_owned(),
    };
    if state == JobState::Succeeded {
        job.progress_percent = 100;
    }
    if state == JobState::Failed {
        // The failure itself, also after an undo that was stuck for a while.
        let failed = job.steps.iter().find(|s| s.name == job.failed_step);
        job.problem = failed
            .and_then(|s| s.problem.clone())
            .or(job.problem.take());
    }
}

fn percent(done: usize, all: usize) -> u32 {
    u32::try_from(done * 100 / all.max(1)).unwrap_or(100)
}

/// A step was done.
pub(crate) fn done(job: &mut Job, rules: &[Rule], index: usize, message: &str, now_ms: i64) {
    if let Some(step) = job.steps.get_mut(index) {
        step.set_state(State::Done);
        step.ended_ms = now_ms;
        message.clone_into(&mut step.message);
    }
    go_on(job, rules, now_ms);
}

/// A step failed and is not tried again.
pub(crate) fn failed(job: &mut Job, rules: &[Rule], index: usize, problem: Status, now_ms: i64) {
    let is_closing = rules
        .get(index)
        .is_some_and(|r| r.undo == UndoRule::Closing);
    let beyond = is_closing || is_beyond_return(job, rules, |s| s.state() == State::Done);
    if let Some(step) = job.steps.get_mut(index) {
        step.set_state(State::Failed);
        step.ended_ms = now_ms;
        step.message.clone_from(&problem.message);
        step.problem = Some(problem.clone());
        job.failed_step.clone_from(&step.name);
    }
    if beyond {
        job.problem = Some(stuck_forward(&problem));
        end(job, JobState::Stuck, now_ms);
    } else {
        turn_back(job, rules, problem, now_ms);
    }
}

/// A cancel stopped a step while it ran.
pub(crate) fn stopped(job: &mut Job, rules: &[Rule], now_ms: i64) {
    go_on(job, rules, now_ms);
}

/// A step or an undo is to be tried again after a failure that may pass.
pub(crate) fn again(job: &mut Job, index: usize, problem: &Status, attempt: u32) {
    let undoing = job.state() == JobState::Undoing;
    if let Some(step) = job.steps.get_mut(index) {
        let attempts = if undoing {
            &mut step.undo_attempts
        } else {
            &mut step.attempts
        };
        let first_time = *attempts < attempt;
        *attempts = attempt;
        step.message = format!("Tried again after: {}", problem.message);
        if first_time && is_answer(problem) {
            step.operation += 1;
        }
    }
}

/// Whether the other side certainly answered: only then may a retry be a new operation. The other retryable failures
/// may be lost answers, for which the stored result is wanted.
fn is_answer(problem: &Status) -> bool {
    problem.code() == Code::Aborted
}

/// A step was undone.
pub(crate) fn undone(job: &mut Job, rules: &[Rule], index: usize, now_ms: i64) {
    if let Some(step) = job.steps.get_mut(index) {
        step.set_state(State::Undone);
        step.ended_ms = now_ms;
    }
    go_on(job, rules, now_ms);
}

/// A step cannot be undone: a person must look.
pub(crate) fn undo_failed(
    job: &mut Job,
    rules: &[Rule],
    index: usize,
    error: &Status,
    now_ms: i64,
) {
    let what = rules.get(index).map_or("a step", |r| r.description);
    if let Some(step) = job.steps.get_mut(index) {
        step.set_state(State::UndoFailed);
        step.ended_ms = now_ms;
        step.message = format!("Undoing failed: {}", error.message);
        step.operation += 1;
    }
    job.problem = Some(stuck_back(what, error, job.problem.as_ref()));
    end(job, JobState::Stuck, now_ms);
}

fn stuck_back(what: &str, error: &Status, cause: Option<&Status>) -> Status {
    let cause = cause.map_or(String::new(), |c| {
        format!(" It was being undone because: {}", c.message)
    });
    Status {
        code: error.code,
        message: format!("{what}: this could not be undone: {}{cause}", error.message),
        recommended_action: join(
            &error.recommended_action,
            "Mend the cause, then restart the job: it goes on undoing. The object stays taken until then.",
        ),
        object: error.object.clone(),
        field: String::new(),
    }
}

fn stuck_forward(error: &Status) -> Status {
    Status {
        recommended_action: join(
            &error.recommended_action,
            "What was done before cannot be undone. Mend the cause, then restart the job: it goes on from this step.",
        ),
        ..error.clone()
    }
}

fn join(first: &str, second: &str) -> String {
    format!("{first} {second}").trim().to_owned()
}

/// Another job has the object: this one waits for it, as if it had not begun.
pub(crate) fn wait(job: &mut Job, holder: &str, message: String) {
    job.set_state(JobState::Waiting);
    holder.clone_into(&mut job.waits_for_job_id);
    job.message = message;
    for step in &mut job.steps {
        step.set_state(State::Pending);
        step.started_ms = 0;
    }
}

/// The job cannot be worked on at all: a person must look.
pub(crate) fn give_up(job: &mut Job, problem: Status, now_ms: i64) {
    job.problem = Some(problem);
    end(job, JobState::Stuck, now_ms);
}

/// A cancel was asked for. A job that was not begun ends at once; another is stopped by its runner.
pub(crate) fn cancel(job: &mut Job, by: &str, now_ms: i64) {
    job.cancel_requested = true;
    by.clone_into(&mut job.cancelled_by);
    let untouched = matches!(job.state(), JobState::Queued | JobState::Waiting)
        && job.steps.iter().all(|s| s.state() == State::Pending);
    if untouched {
        job.problem = Some(cancelled(job));
        end(job, JobState::Cancelled, now_ms);
    }
}

/// A person wants an ended job to run again: from the first step after a full undo, and where it was stuck from there.
/// Every step is then a new operation, since the stored results are of what was undone.
pub(crate) fn restart(job: &mut Job) {
    let stuck_back = job.steps.iter().any(|s| s.state() == State::UndoFailed);
    let stuck_forward = job.state() == JobState::Stuck && !stuck_back;
    for step in &mut job.steps {
        match step.state() {
            State::UndoFailed => {
                step.set_state(State::Undoing);
                step.undo_attempts = 1;
            }
            State::Done if stuck_forward => {}
            _ if stuck_back => {}
            _ => {
                *step = Step {
                    name: std::mem::take(&mut step.name),
                    operation: step.operation + 1,
                    ..Step::default()
                };
                step.set_state(State::Pending);
            }
        }
    }
    // What was seen may have gone with a log since: who restarts a job does not wait for what never comes.
    job.seen.clear();
    job.restarts += 1;
    job.ended_ms = 0;
    "Restarted.".clone_into(&mut job.message);
    job.set_state(if stuck_back {
        JobState::Undoing
    } else {
        JobState::Queued
    });
    if !stuck_back {
        job.cancel_requested = false;
        job.cancelled_by.clear();
        job.failed_step.clear();
        job.problem = None;
        job.progress_percent = 0;
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
