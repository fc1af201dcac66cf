//! Whose turn it is among the jobs that want one object: in order of creation.

use contracts::jobs::{Job, JobState};
use contracts::{Code, Status};

/// The job that comes right before this one for the same object, if one does that has not ended.
pub(crate) fn ahead<'a>(job: &Job, others: &'a [Job]) -> Option<&'a Job> {
    others
        .iter()
        .filter(|other| same_object(other, job))
        .filter(|other| !other.state().is_final() && place(other) < place(job))
        .max_by_key(|other| place(other))
}

/// The last in line for one object: the one that a new job waits for.
pub(crate) fn last_open(jobs: &[Job]) -> Option<&Job> {
    jobs.iter()
        .filter(|job| !job.state().is_final())
        .max_by_key(|job| place(job))
}

fn same_object(a: &Job, b: &Job) -> bool {
    match (&a.target, &b.target) {
        (Some(a), Some(b)) => a.kind == b.kind && a.id == b.id,
        _ => false,
    }
}

fn place(job: &Job) -> (i64, &str) {
    (job.created_ms, &job.id)
}

/// Whether a waiting job should try for its object now. `holder` is the job that it waits for, when there still is one.
/// A job that is stuck keeps its object: waiting goes on, and its end or restart is news that wakes.
pub(crate) fn is_due(job: &Job, holder: Option<&Job>, others: &[Job]) -> bool {
    let held = holder.is_some_and(|h| h.state().keeps_object());
    !held && ahead(job, others).is_none()
}

/// What a waiting job says.
pub(crate) fn waiting_message(job: &Job, holder_id: &str, holder: Option<&Job>) -> String {
    let object = job
        .target
        .as_ref()
        .map_or_else(|| "its object".to_owned(), contracts::ObjectRef::describe);
    match holder {
        Some(holder) if holder.state() == JobState::Stuck => format!(
            "Waits for job {holder_id} ({}), which is stuck and has {object}: restart that job first.",
            holder.kind
        ),
        Some(holder) => format!(
            "Waits for job {holder_id} ({}) to end with {object}.",
            holder.kind
        ),
        None => format!("Waits for job {holder_id} to end with {object}."),
    }
}

/// What a job says that was to be refused rather than to wait.
pub(crate) fn busy(job: &Job, message: String) -> Status {
    let status = Status::new(Code::FailedPrecondition, message)
        .action("Wait until that job has ended, or let this one wait for it.");
    match &job.target {
        Some(object) => status.about(object.clone()),
        None => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::ObjectRef;

    fn job(id: &str, created_ms: i64, state: JobState) -> Job {
        Job {
            id: id.to_owned(),
            created_ms,
            state: state.into(),
            target: Some(ObjectRef::new("vm", "v1", "web")),
            ..Job::default()
        }
    }

    #[test]
    fn the_one_right_before_is_the_one_to_wait_for() {
        let jobs = [
            job("a", 1, JobState::Running),
            job("b", 2, JobState::Waiting),
            job("c", 3, JobState::Waiting),
            job("x", 2, JobState::Succeeded),
        ];
        let ahead_of = |i: usize| ahead(&jobs[i], &jobs).map(|j| j.id.as_str());
        assert_eq!(
            (ahead_of(0), ahead_of(1), ahead_of(2)),
            (None, Some("a"), Some("b"))
        );
    }

    #[test]
    fn a_job_is_due_when_the_holder_has_ended_and_nobody_is_before_it() {
        let (a, b, c) = (
            job("a", 1, JobState::Succeeded),
            job("b", 2, JobState::Waiting),
            job("c", 3, JobState::Waiting),
        );
        let all = [a.clone(), b.clone(), c.clone()];
        assert!(is_due(&b, Some(&a), &all));
        assert!(is_due(&b, None, &all));
        assert!(!is_due(&c, Some(&b), &all));
        let stuck = job("a", 1, JobState::Stuck);
        assert!(!is_due(&b, Some(&stuck), &[stuck.clone(), b.clone()]));
    }
}
