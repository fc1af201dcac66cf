//! What is refused, and what to do instead.

use contracts::call::Context;
use contracts::jobs::{Job, JobState};
use contracts::{Code, ObjectRef, Status};

pub(super) fn check_same(job: &Job, context: &Context, hash: &[u8]) -> Result<(), Status> {
    if job.request_hash == hash {
        return Ok(());
    }
    Err(Status::new(
        Code::AlreadyExists,
        format!(
            "The idempotency key {:?} was used for another request: job {}.",
            context.idempotency_key, job.id
        ),
    )
    .about(ObjectRef::new("job", &job.id, &job.kind))
    .action("Use a new key for a new request."))
}

pub(super) fn over(job: &Job, what: &str) -> Status {
    let state = match job.state() {
        JobState::Succeeded => "has succeeded",
        JobState::Failed => "has failed",
        JobState::Cancelled => "was cancelled",
        JobState::Stuck => "is stuck",
        _ => "has not ended yet",
    };
    let action = match job.state() {
        JobState::Stuck => "Restart it once the cause is mended.",
        JobState::Failed | JobState::Cancelled => "Restart it to run it again.",
        JobState::Succeeded => "Ask for another job.",
        _ => "Wait until it has ended, or cancel it.",
    };
    Status::precondition(format!(
        "Job {} ({}) {state} and cannot be {what}.",
        job.id, job.kind
    ))
    .about(ObjectRef::new("job", &job.id, &job.kind))
    .action(action)
}
