//! Machines and where they are, as rules name them.

use contracts::host::VmState;
use contracts::placement::{Claim, HostState};

use super::Fleet;
use crate::core::standing::Member;

impl Fleet {
    /// Machines that are somewhere, or are about to be by a claim that counts here, as rules name them.
    pub fn members(&self, counts: impl Fn(&str, &Claim) -> bool) -> Vec<(Member<'_>, &HostState)> {
        let guests = self.guests.values();
        let guests = guests.filter(|guest| guest.state != VmState::Missing);
        let guests = guests.filter_map(|guest| {
            let member = Member {
                id: &guest.id,
                name: &guest.name,
                tags: &guest.tags,
            };
            Some((member, &self.slot(&guest.host_id)?.state))
        });
        let claims = self
            .claims
            .iter()
            .flat_map(|(host_id, kept)| kept.open().map(move |claim| (host_id, claim)));
        let claims = claims.filter(|(host_id, claim)| counts(host_id, claim));
        let claims = claims.filter_map(|(host_id, claim)| {
            let known = self.guests.get(&claim.vm_id);
            if known.is_some_and(|guest| !guest.host_id.is_empty()) {
                return None;
            }
            let member = Member {
                id: &claim.vm_id,
                name: known.map_or(claim.vm_id.as_str(), |guest| &guest.name),
                tags: &claim.tags,
            };
            Some((member, &self.slot(host_id)?.state))
        });
        guests.chain(claims).collect()
    }
}
