//! The claims of one host, as a fleet keeps them.

use std::collections::{BTreeSet, HashMap, HashSet};

use contracts::placement::{Claim, HostClaims};

/// The claims of a host.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) revision: u64,
    pub(super) record: HostClaims,
    /// Claims, by machine and job, that count no more although nobody has taken them out yet.
    pub(super) closed: HashSet<(String, String)>,
    /// Chosen by this instance and being written.
    pub(super) pending: Vec<Claim>,
}

impl Kept {
    pub(super) fn open(&self) -> impl Iterator<Item = &Claim> {
        let written = self.record.claims.iter().filter(|claim| {
            let key = (claim.vm_id.clone(), claim.job_id.clone());
            self.closed.is_empty() || !self.closed.contains(&key)
        });
        written.chain(&self.pending)
    }
}

pub(super) fn forget(claimed: &mut HashMap<String, BTreeSet<String>>, vm_id: &str, host_id: &str) {
    if let Some(hosts) = claimed.get_mut(vm_id) {
        hosts.remove(host_id);
        if hosts.is_empty() {
            claimed.remove(vm_id);
        }
    }
}

pub(super) fn is_same(a: &Claim, b: &Claim) -> bool {
    a.vm_id == b.vm_id && a.job_id == b.job_id
}
