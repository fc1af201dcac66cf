//! The claims of one host's record.

use contracts::placement::{Claim, HostClaims, Requirements};

use super::guest::Guest;

/// Whose claim it is.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    pub vm_id: &'a str,
    pub job_id: &'a str,
}

impl Owner<'_> {
    pub fn has(&self, claim: &Claim) -> bool {
        claim.vm_id == self.vm_id && claim.job_id == self.job_id
    }
}

/// Whether inventory has the machine on this host in a way that needs no claim any more: it runs, or the job that claimed
/// has let it go. While that job holds a machine that does not run, the claim keeps the place that it will start in.
///
/// `guest` is the claim's machine, if it is on this host.
pub fn is_confirmed(claim: &Claim, guest: Option<&Guest>) -> bool {
    guest.is_some_and(|guest| guest.state.is_active() || guest.job_id != claim.job_id)
}

/// The record with more claims in place of those for the same machines, and without what is over: claims that are not
/// open, and those that inventory's own record of the machine has replaced. `guest` finds machines on the host, of
/// `vm_revision`.
///
/// Whoever reads it afterwards must see the machines that were seen here, or a machine would be counted neither as a claim
/// nor as a record.
pub fn changed<'a>(
    current: Option<&HostClaims>,
    added: &[Claim],
    guest: impl Fn(&str) -> Option<&'a Guest>,
    vm_revision: u64,
    unwanted: impl Fn(&Claim) -> bool,
) -> HostClaims {
    let mut record = current.cloned().unwrap_or_default();
    let before = record.claims.len();
    record.claims.retain(|claim| {
        let is_replaced = added.iter().any(|a| a.vm_id == claim.vm_id);
        !is_replaced && !is_confirmed(claim, guest(&claim.vm_id)) && !unwanted(claim)
    });
    if record.claims.len() != before {
        record.vm_revision = record.vm_revision.max(vm_revision);
    }
    record.claims.extend_from_slice(added);
    record
}

pub fn new(owner: Owner<'_>, needs: &Requirements, expires_ms: i64) -> Claim {
    Claim {
        vm_id: owner.vm_id.to_owned(),
        job_id: owner.job_id.to_owned(),
        vcpus: needs.vcpus,
        memory_bytes: needs.memory_bytes,
        disk_bytes: needs.disk_bytes,
        expires_ms,
        expected_cpu_percent: needs.expected_cpu_percent,
        expected_disk_io_per_sec: needs.expected_disk_io_per_sec.unwrap_or(0.0),
        expected_network_mbit: needs.expected_network_mbit.unwrap_or(0.0),
        tags: needs.tags.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::host::VmState;

    fn claim(vm_id: &str, expires_ms: i64) -> Claim {
        let owner = Owner {
            vm_id,
            job_id: "j1",
        };
        new(owner, &Requirements::default(), expires_ms)
    }

    fn guest(id: &str, state: VmState, job_id: &str) -> Guest {
        Guest {
            id: id.to_owned(),
            state,
            job_id: job_id.to_owned(),
            ..Guest::default()
        }
    }

    fn ids(record: &HostClaims) -> Vec<&str> {
        record.claims.iter().map(|c| c.vm_id.as_str()).collect()
    }

    #[test]
    fn a_claim_stays_while_its_job_still_works_on_a_machine_that_does_not_run() {
        use VmState::{Creating, Running, Stopped};
        let confirmed = |guests: &[Guest]| is_confirmed(&claim("v", 9), guests.first());
        assert!(!confirmed(&[]));
        assert!(!confirmed(&[guest("v", Creating, "j1")]));
        assert!(!confirmed(&[guest("v", Stopped, "j1")]));
        assert!(confirmed(&[guest("v", Running, "j1")]));
        assert!(confirmed(&[guest("v", Stopped, "")]));
    }

    #[test]
    fn a_new_claim_replaces_the_machines_own_and_sweeps_out_what_is_over() {
        let record = HostClaims {
            claims: vec![
                claim("expired", 5),
                claim("mine", 9),
                claim("seen", 9),
                claim("open", 9),
            ],
            vm_revision: 3,
        };
        let seen = guest("seen", VmState::Running, "j1");
        let find = |id: &str| (id == seen.id).then_some(&seen);
        let is_over = |c: &Claim| c.vm_id == "expired";
        let after = changed(Some(&record), &[claim("mine", 20)], find, 7, is_over);
        assert_eq!(ids(&after), ["open", "mine"]);
        assert_eq!(after.vm_revision, 7);
    }

    #[test]
    fn a_record_that_nothing_left_asks_for_no_newer_machines() {
        let record = HostClaims {
            claims: vec![claim("open", 9)],
            vm_revision: 3,
        };
        let added = changed(Some(&record), &[claim("new", 9)], |_| None, 7, |_| false);
        assert_eq!(added.vm_revision, 3);
        let released = changed(Some(&record), &[], |_| None, 7, |c| c.vm_id == "open");
        assert_eq!((ids(&released).len(), released.vm_revision), (0, 7));
    }
}
