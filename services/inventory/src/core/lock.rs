//! Objects that a job takes before it changes them: the object's record names the job.

use contracts::inventory::{Host, HostGroup, TakeRequest, Vm};
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

/// Gives the object to a job. `dead` is the revision of the record whose holder was found to have ended.
///
/// The same job taking again is written too, unchanged: a job that was restarted a moment ago thereby makes the write of
/// one that has just found it dead fail.
pub fn take<R: Held>(
    current: Option<&Stored<R>>,
    request: &TakeRequest,
    dead: Option<u64>,
    is_removal: bool,
) -> Result<Decision<R, Claim>, Status> {
    let current = found(current, request)?;
    let holder = current.value.holder();
    let is_free = holder.is_empty() || holder == request.job_id;
    if !is_free && dead != Some(current.revision) {
        return Ok(Decision::Keep(Claim::Lost));
    }
    let mut record = current.value.clone();
    record.set_holder(&request.job_id);
    if is_removal {
        record.set_removing();
    }
    Ok(Decision::Put(record, Claim::Taken))
}

/// Gives the object back. One that is gone, or that another job holds, is left alone.
pub fn release<R: Held>(current: Option<&Stored<R>>, job_id: &str) -> Decision<R, ()> {
    match current {
        Some(current) if current.value.holder() == job_id => {
            let mut record = current.value.clone();
            record.set_holder("");
            Decision::Put(record, ())
        }
        _ => Decision::Keep(()),
    }
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

    fn taken(holder: &str, dead: Option<u64>) -> Claim {
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
        match take(Some(&stored), &request, dead, false).unwrap() {
            Decision::Put(vm, claim) => {
                assert_eq!(vm.job_id, "j1");
                claim
            }
            Decision::Keep(claim) | Decision::Delete(claim) => claim,
        }
    }

    #[test]
    fn what_is_free_or_already_held_or_held_by_a_dead_job_is_taken() {
        assert_eq!(taken("", None), Claim::Taken);
        assert_eq!(taken("j1", None), Claim::Taken);
        assert_eq!(taken("j2", None), Claim::Lost);
        assert_eq!(taken("j2", Some(5)), Claim::Taken);
        assert_eq!(taken("j2", Some(4)), Claim::Lost);
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
