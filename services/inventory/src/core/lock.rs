//! Objects that a job takes before it changes them: the object's record names the job.

use contracts::inventory::{Host, HostGroup, TakeRequest, Vm};
use contracts::jobs::step::State;
use contracts::jobs::{Job, JobState, Step};
use contracts::records::Record;
use contracts::{ObjectRef, Status};
use kit::records::{Decision, Stored};

/// A record that names the job that changes its object.
pub trait Held: Record {
    fn holder(&self) -> &str;

    /// Names the holder; empty: nobody.
    fn set_holder(&mut self, job_id: &str);

    /// The holder is taking the object out of the fleet.
    fn set_removing(&mut self) {}

    /// The object, for messages.
    fn object(&self) -> ObjectRef;
}

impl Held for Vm {
    fn holder(&self) -> &str {
        &self.job_id
    }

    fn set_holder(&mut self, job_id: &str) {
        job_id.clone_into(&mut self.job_id);
    }

    fn object(&self) -> ObjectRef {
        ObjectRef::new(Self::BUCKET, &self.id, &self.name)
    }
}

impl Held for Host {
    fn holder(&self) -> &str {
        &self.job_id
    }

    fn set_holder(&mut self, job_id: &str) {
        job_id.clone_into(&mut self.job_id);
        // What the former holder was about to do, it does no more.
        self.removing = false;
    }

    fn set_removing(&mut self) {
        self.removing = true;
    }

    fn object(&self) -> ObjectRef {
        ObjectRef::new(Self::BUCKET, &self.id, &self.name)
    }
}

impl Held for HostGroup {
    fn holder(&self) -> &str {
        &self.job_id
    }

    fn set_holder(&mut self, job_id: &str) {
        job_id.clone_into(&mut self.job_id);
    }

    fn object(&self) -> ObjectRef {
        ObjectRef::new(Self::BUCKET, &self.id, &self.name)
    }
}

/// What a job that wants an object comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    Taken,
    /// Another job has it, or had it when the asker looked: look again.
    Lost,
}

/// Gives the object to a job. `seen` is the revision of the record that was there when both the job and the holder were
/// looked at: the one may take, and the other has ended.
///
/// The same job taking again is written too, unchanged: a job that was restarted a moment ago thereby makes the write of
/// one that has just found it dead fail.
pub fn take<R: Held>(
    current: Option<&Stored<R>>,
    request: &TakeRequest,
    seen: u64,
    is_removal: bool,
) -> Result<Decision<R, Claim>, Status> {
    let current = found(current, request)?;
    if current.revision != seen {
        return Ok(Decision::Keep(Claim::Lost));
    }
    let mut record = current.value.clone();
    record.set_holder(&request.job_id);
    if is_removal {
        record.set_removing();
    }
    Ok(Decision::Put(record, Claim::Taken))
}

/// Refuses a job that is past taking, or making, its object: the request was held up on its way, and nobody would give back
/// what it takes. A job takes its object in its first step.
pub fn check_may_take(job: &Job) -> Result<(), Status> {
    let goes_forward = matches!(
        job.state(),
        JobState::Queued | JobState::Waiting | JobState::Running
    );
    let is_begun = |step: &Step| !matches!(step.state(), State::Pending | State::Running);
    let is_past = job.steps.first().is_some_and(is_begun);
    if goes_forward && !is_past {
        return Ok(());
    }
    let message = format!("Job {} ({}) is past taking its object.", job.id, job.kind);
    Err(Status::precondition(message)
        .about(ObjectRef::new("job", &job.id, &job.kind))
        .action("Nothing was changed. Look at the job."))
}

/// Gives the object back. One that is gone is left alone. One that the job does not hold is written too, unchanged: its take
/// may be unknown here yet, or still on its way to the log, where it then comes too late.
pub fn release<R: Held>(current: Option<&Stored<R>>, job_id: &str) -> Decision<R, ()> {
    let Some(current) = current else {
        return Decision::Keep(());
    };
    let mut record = current.value.clone();
    if record.holder() == job_id {
        record.set_holder("");
    }
    Decision::Put(record, ())
}

pub fn found<'a, R: Held>(
    current: Option<&'a Stored<R>>,
    request: &TakeRequest,
) -> Result<&'a Stored<R>, Status> {
    current.ok_or_else(|| Status::not_found(ObjectRef::new(&request.kind, &request.id, "")))
}

/// Refuses a change by one job of an object that another has taken.
pub fn check_holder<R: Held>(record: &R, job_id: &str) -> Result<(), Status> {
    let holder = record.holder();
    if holder.is_empty() || holder == job_id {
        return Ok(());
    }
    let object = record.object();
    Err(Status::precondition(format!(
        "Another job ({holder}) is changing {}.",
        object.describe()
    ))
    .about(object)
    .action("Wait until that job has ended, or cancel it."))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_holder_may_change_what_is_taken() {
        let vm = Vm {
            job_id: "j1".to_owned(),
            ..Vm::default()
        };
        assert!(check_holder(&vm, "j1").is_ok());
        assert!(check_holder(&vm, "j2").unwrap_err().message.contains("j1"));
        assert!(check_holder(&Vm::default(), "j2").is_ok());
    }

    fn taken(holder: &str, seen: u64) -> Claim {
        let vm = Vm {
            job_id: holder.to_owned(),
            ..Vm::default()
        };
        let stored = Stored {
            id: "v1".to_owned(),
            revision: 5,
            value: vm,
        };
        let request = TakeRequest {
            job_id: "j1".to_owned(),
            ..TakeRequest::default()
        };
        match take(Some(&stored), &request, seen, false).unwrap() {
            Decision::Put(vm, claim) => {
                assert_eq!(vm.job_id, "j1");
                claim
            }
            Decision::Keep(claim) | Decision::Delete(claim) | Decision::Bar(claim) => claim,
        }
    }

    #[test]
    fn what_has_changed_since_it_was_looked_at_is_not_taken() {
        for holder in ["", "j1", "j2"] {
            assert_eq!(taken(holder, 5), Claim::Taken);
            assert_eq!(taken(holder, 4), Claim::Lost);
        }
    }

    #[test]
    fn a_job_takes_in_its_first_step_and_not_later() {
        let job = |state: JobState, first: State| Job {
            state: state.into(),
            steps: vec![Step {
                state: first.into(),
                ..Step::default()
            }],
            ..Job::default()
        };
        assert!(check_may_take(&job(JobState::Running, State::Running)).is_ok());
        for (state, first) in [
            (JobState::Running, State::Done),
            (JobState::Undoing, State::Done),
            (JobState::Undoing, State::Running),
            (JobState::Stuck, State::Running),
            (JobState::Failed, State::Undone),
            (JobState::Cancelled, State::Pending),
        ] {
            assert!(check_may_take(&job(state, first)).is_err(), "{state:?}");
        }
    }

    #[test]
    fn a_release_is_written_whether_the_take_is_known_or_not() {
        for (holder, after) in [("j1", ""), ("", ""), ("j2", "j2")] {
            let current = Stored {
                id: "v1".to_owned(),
                revision: 5,
                value: Vm {
                    job_id: holder.to_owned(),
                    ..Vm::default()
                },
            };
            let written = release(Some(&current), "j1");
            assert!(matches!(written, Decision::Put(vm, ()) if vm.job_id == after));
        }
        assert!(matches!(release::<Vm>(None, "j1"), Decision::Keep(())));
    }

    #[test]
    fn a_host_that_is_given_back_is_not_being_removed_any_more() {
        let mut host = Host {
            job_id: "j1".to_owned(),
            removing: true,
            ..Host::default()
        };
        host.set_holder("");
        assert!(!host.removing);
    }
}
