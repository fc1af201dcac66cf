//! The claims of one host's record.

use contracts::inventory::Vm;
use contracts::placement::{Claim, HostClaims, Requirements};

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
pub fn is_confirmed(claim: &Claim, vms: &[Vm]) -> bool {
    vms.iter()
        .find(|vm| vm.id == claim.vm_id)
        .is_some_and(|vm| vm.state().is_active() || vm.job_id != claim.job_id)
}

/// The record with one more claim, without those that are over. `vms` are the machines on the host, of `vm_revision`.
pub fn with(
    current: Option<&HostClaims>,
    claim: Claim,
    vms: &[Vm],
    vm_revision: u64,
    is_open: impl Fn(&Claim) -> bool,
) -> HostClaims {
    let mut record = without(current, vms, vm_revision, |c| {
        c.vm_id == claim.vm_id || !is_open(c)
    });
    record.claims.push(claim);
    record
}

/// The record without some claims and those that inventory's own record of the machine has replaced.
///
/// Whoever reads it afterwards must see the machines that were seen here, or a machine would be counted neither as a claim
/// nor as a record.
pub fn without(
    current: Option<&HostClaims>,
    vms: &[Vm],
    vm_revision: u64,
    unwanted: impl Fn(&Claim) -> bool,
) -> HostClaims {
    let mut record = current.cloned().unwrap_or_default();
    let before = record.claims.len();
    record
        .claims
        .retain(|c| !is_confirmed(c, vms) && !unwanted(c));
    if record.claims.len() != before {
        record.vm_revision = record.vm_revision.max(vm_revision);
    }
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

    fn vm(id: &str, state: VmState, job_id: &str) -> Vm {
        Vm {
            id: id.to_owned(),
            state: state.into(),
            job_id: job_id.to_owned(),
            ..Vm::default()
        }
    }

    fn ids(record: &HostClaims) -> Vec<&str> {
        record.claims.iter().map(|c| c.vm_id.as_str()).collect()
    }

    #[test]
    fn a_claim_stays_while_its_job_still_works_on_a_machine_that_does_not_run() {
        use VmState::{Creating, Running, Stopped};
        let confirmed = |vms: &[Vm]| is_confirmed(&claim("v", 9), vms);
        assert!(!confirmed(&[]));
        assert!(!confirmed(&[vm("v", Creating, "j1")]));
        assert!(!confirmed(&[vm("v", Stopped, "j1")]));
        assert!(confirmed(&[vm("v", Running, "j1")]));
        assert!(confirmed(&[vm("v", Stopped, "")]));
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
        let seen = [vm("seen", VmState::Running, "j1")];
        let is_open = |c: &Claim| c.vm_id != "expired";
        let after = with(Some(&record), claim("mine", 20), &seen, 7, is_open);
        assert_eq!(ids(&after), ["open", "mine"]);
        assert_eq!(after.vm_revision, 7);
    }

    #[test]
    fn a_record_that_nothing_left_asks_for_no_newer_machines() {
        let record = HostClaims {
            claims: vec![claim("open", 9)],
            vm_revision: 3,
        };
        assert_eq!(
            with(Some(&record), claim("new", 9), &[], 7, |_| true).vm_revision,
            3
        );
        let released = without(Some(&record), &[], 7, |c| c.vm_id == "open");
        assert_eq!((ids(&released).len(), released.vm_revision), (0, 7));
    }
}
