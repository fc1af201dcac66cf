//! A host makes itself known.

use contracts::inventory::host::{Approval, Status as HostStatus};
use contracts::inventory::{Host, RegisterRequest};
use contracts::names::{self, ROOT_GROUP_ID};
use contracts::{ObjectRef, Status, digest};
use kit::records::Decision;

use super::facts;

/// Refuses a request that is wrong in itself.
pub fn check(request: &RegisterRequest) -> Result<(), Status> {
    names::check_id("host_id", &request.host_id)?;
    names::check_title("name", &request.name)?;
    if request.generation == 0 {
        return Err(Status::invalid("generation", "A generation counts from 1.")
            .action("Update the agent; it sends what cannot be right."));
    }
    request.facts.as_ref().map_or(Ok(()), facts::check)
}

/// The word of a join token that lets a host in.
pub struct Invitation<'a> {
    pub group_id: &'a str,
    /// Whose hold on the host is over, if it is held.
    pub past_job: &'a str,
}

/// What became of the host's record.
#[derive(Debug)]
pub struct Registered {
    pub before: Option<Host>,
    pub host: Host,
}

impl Registered {
    pub fn has_joined(&self) -> bool {
        is_approved(&self.host) && !self.before.as_ref().is_some_and(is_approved)
    }
}

/// What becomes of the host's record.
pub fn register(
    current: Option<&Host>,
    request: &RegisterRequest,
    invitation: Option<&Invitation<'_>>,
    now_ms: i64,
) -> Result<Decision<Host, Registered>, Status> {
    let mut host = match current {
        Some(current) => again(current, request)?,
        None => first(request, now_ms),
    };
    if let Some(invitation) = invitation
        && !is_approved(&host)
        && host.job_id == invitation.past_job
    {
        host.approval = Approval::Approved.into();
        invitation.group_id.clone_into(&mut host.group_id);
    }
    let registered = |host: Host| Registered {
        before: current.cloned(),
        host,
    };
    // That the same is said again is no change worth a record: hosts that wait for their approval ask again and again.
    if current == Some(&host) {
        return Ok(Decision::Keep(registered(host)));
    }
    host.facts_ms = now_ms;
    Ok(Decision::Put(host.clone(), registered(host)))
}

/// A host that is known.
fn again(current: &Host, request: &RegisterRequest) -> Result<Host, Status> {
    check_generation(current, request.generation)?;
    let mut host = current.clone();
    if request.generation > host.generation {
        host.generation = request.generation;
        host.report_number = 0;
    }
    host.name.clone_from(&request.name);
    if tells_more(current, request) {
        host.facts.clone_from(&request.facts);
    }
    Ok(host)
}

/// Whether a host says more of itself than other measurements.
fn tells_more(known: &Host, request: &RegisterRequest) -> bool {
    let Some(facts) = &request.facts else {
        return false;
    };
    let known = known.facts.as_ref().map(digest::facts);
    known.is_none_or(|known| known != digest::facts(facts))
}

fn first(request: &RegisterRequest, now_ms: i64) -> Host {
    Host {
        id: request.host_id.clone(),
        name: request.name.clone(),
        group_id: ROOT_GROUP_ID.to_owned(),
        approval: Approval::Pending.into(),
        status: HostStatus::Responding.into(),
        facts: request.facts.clone(),
        facts_ms: now_ms,
        created_ms: now_ms,
        status_changed_ms: now_ms,
        generation: request.generation,
        ..Host::default()
    }
}

/// Refuses an agent that was started before the one that is known.
pub fn check_generation(host: &Host, generation: u64) -> Result<(), Status> {
    if generation >= host.generation {
        return Ok(());
    }
    let object = ObjectRef::new("host", &host.id, &host.name);
    Err(Status::precondition(format!(
        "Another agent runs as {}: it is at generation {}, this one at {generation}.",
        object.describe(),
        host.generation
    ))
    .about(object)
    .action("Stop one of the two agents; a copied machine needs a host id of its own (a new data folder)."))
}

/// The host with a status, and the time when it changed.
pub fn with_status(host: &Host, status: HostStatus, now_ms: i64) -> Host {
    Host {
        status: status.into(),
        status_changed_ms: if host.status() == status {
            host.status_changed_ms
        } else {
            now_ms
        },
        ..host.clone()
    }
}

/// Whether the status changed less than a time ago. A host that has just reported need not have been heard yet.
pub fn has_new_status(host: &Host, within_ms: u64, now_ms: i64) -> bool {
    let age_ms = now_ms.saturating_sub(host.status_changed_ms);
    u64::try_from(age_ms).unwrap_or(0) < within_ms
}

pub fn is_approved(host: &Host) -> bool {
    host.approval() == Approval::Approved
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use contracts::Code;
    use contracts::host::{Datastore, HostFacts};

    fn request(generation: u64) -> RegisterRequest {
        RegisterRequest {
            host_id: "h1".to_owned(),
            name: "host-01".to_owned(),
            generation,
            ..RegisterRequest::default()
        }
    }

    fn put(decision: Decision<Host, Registered>) -> Host {
        match decision {
            Decision::Put(host, _) => host,
            _ => panic!("nothing was written"),
        }
    }

    #[test]
    fn an_unknown_host_waits_in_the_root_group() {
        let host = put(register(None, &request(1), None, 5).unwrap());
        assert_eq!(host.approval(), Approval::Pending);
        assert_eq!(host.group_id, ROOT_GROUP_ID);
        assert_eq!(host.created_ms, 5);
    }

    #[test]
    fn a_restarted_agent_counts_its_reports_from_the_start() {
        let known = Host {
            generation: 1,
            report_number: 9,
            ..put(register(None, &request(1), None, 5).unwrap())
        };
        let again = register(Some(&known), &request(1), None, 6).unwrap();
        assert!(matches!(again, Decision::Keep(_)));
        let restarted = put(register(Some(&known), &request(2), None, 6).unwrap());
        assert_eq!((restarted.generation, restarted.report_number), (2, 0));
    }

    #[test]
    fn a_host_that_asks_again_with_other_measurements_is_not_written() {
        let with = |free_bytes: u64, cpus: u32| RegisterRequest {
            facts: Some(HostFacts {
                cpus,
                datastores: vec![Datastore {
                    free_bytes,
                    ..Datastore::default()
                }],
                ..HostFacts::default()
            }),
            ..request(1)
        };
        let known = put(register(None, &with(5, 8), None, 5).unwrap());
        let again = register(Some(&known), &with(6, 8), None, 6).unwrap();
        assert!(matches!(again, Decision::Keep(_)));
        let grown = put(register(Some(&known), &with(6, 16), None, 6).unwrap());
        assert_eq!(grown.facts.unwrap().cpus, 16);
    }

    #[test]
    fn an_invitation_lets_in_who_is_held_by_no_job_that_may_still_act() {
        let lab = |past_job| Invitation {
            group_id: "lab",
            past_job,
        };
        let joined = put(register(None, &request(1), Some(&lab("")), 5).unwrap());
        assert!(is_approved(&joined) && joined.group_id == "lab");
        let held = Host {
            job_id: "j1".to_owned(),
            ..first(&request(1), 5)
        };
        let waits = register(Some(&held), &request(1), Some(&lab("")), 6).unwrap();
        assert!(matches!(waits, Decision::Keep(kept) if !kept.has_joined()));
        let freed = register(Some(&held), &request(1), Some(&lab("j1")), 6).unwrap();
        assert!(matches!(freed, Decision::Put(_, now) if now.has_joined()));
    }

    #[test]
    fn an_invitation_moves_no_host_that_is_in_the_fleet() {
        let invitation = Invitation {
            group_id: "lab",
            past_job: "",
        };
        let there = Host {
            approval: Approval::Approved.into(),
            ..first(&request(1), 5)
        };
        let again = register(Some(&there), &request(1), Some(&invitation), 6).unwrap();
        assert!(matches!(again, Decision::Keep(kept) if !kept.has_joined()));
    }

    #[test]
    fn an_older_agent_of_the_same_identity_is_refused() {
        let known = put(register(None, &request(2), None, 5).unwrap());
        let refused = register(Some(&known), &request(1), None, 6)
            .map(|_| ())
            .unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message.contains("Another agent"));
    }

    #[test]
    fn a_status_is_new_for_its_time_also_when_clocks_differ_a_little() {
        let host = Host {
            status_changed_ms: 1_000,
            ..Host::default()
        };
        assert!(has_new_status(&host, 500, 1_499));
        assert!(has_new_status(&host, 500, 900));
        assert!(!has_new_status(&host, 500, 1_500));
    }

    #[test]
    fn names_and_ids_are_checked() {
        let mut bad = request(1);
        bad.host_id = "a.b".to_owned();
        assert_eq!(check(&bad).unwrap_err().field, "host_id");
        let mut bad = request(1);
        bad.name = "a/b".to_owned();
        assert_eq!(check(&bad).unwrap_err().field, "name");
        assert_eq!(check(&request(0)).unwrap_err().field, "generation");
    }
}
