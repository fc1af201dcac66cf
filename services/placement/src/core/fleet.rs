//! The fleet in memory, kept up to date change by change: hosts as they are rated, with their numbers, in order of name.
//!
//! Nothing is copied for a request: whoever asks looks at it in place. A change marks the hosts that it touches; they are
//! counted anew before the next look.

mod kept;
mod members;
mod stays;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use contracts::inherit::Groups;
use contracts::inventory::{Host, HostGroup};
use contracts::placement::{Claim, HostClaims, HostState, Rule};

use kept::{Kept, forget, is_same};
use stays::Stays;

use super::claims::{self, Owner};
use super::guest::Guest;
use super::model::Row;
use super::query::Defaults;
use super::scan::Columns;
use super::state::{self, Carried};

/// A host in its place.
#[derive(Clone, Debug)]
pub struct Slot {
    pub state: HostState,
    pub row: Row,
}

pub struct Fleet {
    defaults: Defaults,
    /// Samples from before this time are not trusted.
    trusted_from_ms: i64,
    groups: Groups,
    hosts: HashMap<String, Host>,
    guests: HashMap<String, Guest>,
    guests_on: HashMap<String, BTreeSet<String>>,
    claims: HashMap<String, Kept>,
    /// Hosts that have a claim for a machine, by machine.
    claimed: HashMap<String, BTreeSet<String>>,
    /// The least revision of machines that all records of claims ask for.
    vm_revision_wanted: u64,
    rules: BTreeMap<String, Rule>,
    /// In order of name and id.
    slots: Vec<Slot>,
    /// The numbers of the slots, in the same order.
    columns: Columns,
    places: HashMap<String, usize>,
    dirty: HashSet<String>,
    /// Hosts came, went or changed their names.
    is_order_dirty: bool,
    stays: Stays,
}

impl Fleet {
    pub fn new(defaults: Defaults) -> Self {
        Self {
            defaults,
            trusted_from_ms: 0,
            groups: Groups::new(),
            hosts: HashMap::new(),
            guests: HashMap::new(),
            guests_on: HashMap::new(),
            claims: HashMap::new(),
            claimed: HashMap::new(),
            vm_revision_wanted: 0,
            rules: BTreeMap::new(),
            slots: Vec::new(),
            columns: Columns::default(),
            places: HashMap::new(),
            dirty: HashSet::new(),
            is_order_dirty: false,
            stays: Stays::default(),
        }
    }

    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Every host, in order of name and id.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Their numbers, in the same order.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// The same for work that leaves them as they were.
    pub fn columns_mut(&mut self) -> &mut Columns {
        &mut self.columns
    }

    /// Where a host is among the slots.
    pub fn place(&self, host_id: &str) -> Option<usize> {
        self.places.get(host_id).copied()
    }

    pub fn slot(&self, host_id: &str) -> Option<&Slot> {
        self.slots.get(*self.places.get(host_id)?)
    }

    pub fn guest(&self, id: &str) -> Option<&Guest> {
        self.guests.get(id)
    }

    pub fn guests(&self) -> impl Iterator<Item = &Guest> {
        self.guests.values()
    }

    /// Machines on a host, in order of id.
    pub fn guests_on(&self, host_id: &str) -> impl Iterator<Item = &Guest> + Clone {
        let ids = self.guests_on.get(host_id).into_iter().flatten();
        ids.filter_map(|id| self.guests.get(id))
    }

    pub fn rules(&self) -> impl Iterator<Item = &Rule> + Clone {
        self.rules.values()
    }

    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.get(id)
    }

    pub fn put_group(&mut self, id: String, group: Option<HostGroup>) {
        match group {
            Some(group) => self.groups.insert(id, group),
            None => self.groups.remove(&id),
        };
        // What it hands down reaches hosts anywhere below.
        self.dirty.extend(self.hosts.keys().cloned());
    }

    pub fn put_host(&mut self, id: String, host: Option<Host>) {
        let name = |host: Option<&Host>| host.map(|host| host.name.clone());
        let before = name(self.hosts.get(&id));
        self.is_order_dirty |= before != name(host.as_ref());
        match host {
            Some(host) => self.hosts.insert(id.clone(), host),
            None => self.hosts.remove(&id),
        };
        self.dirty.insert(id);
    }

    pub fn put_guest(&mut self, id: String, guest: Option<Guest>) {
        self.stays.note(&id, guest.as_ref());
        let host_id = |guest: &Guest| guest.host_id.clone();
        let after = guest.as_ref().map(host_id);
        let before = match guest {
            Some(guest) => self.guests.insert(id.clone(), guest),
            None => self.guests.remove(&id),
        };
        let before = before.as_ref().map(host_id);
        if before != after
            && let Some(host_id) = &before
        {
            let left = self.guests_on.get_mut(host_id).map(|on| {
                on.remove(&id);
                on.is_empty()
            });
            if left == Some(true) {
                self.guests_on.remove(host_id);
            }
        }
        if let Some(host_id) = after.clone() {
            self.guests_on.entry(host_id).or_default().insert(id);
        }
        self.dirty.extend(before.into_iter().chain(after));
    }

    pub fn put_rule(&mut self, id: String, rule: Option<Rule>) {
        match rule {
            Some(rule) => self.rules.insert(id, rule),
            None => self.rules.remove(&id),
        };
    }

    /// A host's record of claims, as it is at a revision.
    pub fn put_claims(&mut self, host_id: String, revision: u64, record: Option<HostClaims>) {
        let kept = self.claims.entry(host_id.clone()).or_default();
        kept.revision = if record.is_some() { revision } else { 0 };
        let before = std::mem::replace(&mut kept.record, record.unwrap_or_default());
        self.vm_revision_wanted = self.vm_revision_wanted.max(kept.record.vm_revision);
        for claim in &kept.record.claims {
            let hosts = self.claimed.entry(claim.vm_id.clone()).or_default();
            hosts.insert(host_id.clone());
        }
        let claims = &kept.record.claims;
        let is_gone = |vm_id: &str| !claims.iter().chain(&kept.pending).any(|c| c.vm_id == vm_id);
        for claim in before.claims.iter().filter(|claim| is_gone(&claim.vm_id)) {
            forget(&mut self.claimed, &claim.vm_id, &host_id);
        }
        kept.closed.retain(|(vm_id, job_id)| {
            let owner = Owner { vm_id, job_id };
            claims.iter().any(|claim| owner.has(claim))
        });
        // What was being written is there.
        kept.pending
            .retain(|pending| !claims.iter().any(|claim| is_same(claim, pending)));
        self.dirty.insert(host_id);
    }

    /// From now on the claim counts no more.
    pub fn close_claim(&mut self, host_id: &str, owner: Owner<'_>) {
        if let Some(kept) = self.claims.get_mut(host_id) {
            let key = (owner.vm_id.to_owned(), owner.job_id.to_owned());
            kept.closed.insert(key);
            self.dirty.insert(host_id.to_owned());
        }
    }

    /// A claim that this instance has chosen and is about to write: it counts at once, and once.
    pub fn add_pending(&mut self, host_id: &str, claim: Claim) {
        let hosts = self.claimed.entry(claim.vm_id.clone()).or_default();
        hosts.insert(host_id.to_owned());
        let kept = self.claims.entry(host_id.to_owned()).or_default();
        if !kept.pending.iter().any(|pending| is_same(pending, &claim)) {
            kept.pending.push(claim);
        }
        self.dirty.insert(host_id.to_owned());
        self.refresh();
    }

    /// The claim will not be written.
    pub fn drop_pending(&mut self, host_id: &str, claim: &Claim) {
        if let Some(kept) = self.claims.get_mut(host_id) {
            kept.pending.retain(|pending| !is_same(claim, pending));
            let written = &kept.record.claims;
            if !written.iter().any(|written| written.vm_id == claim.vm_id) {
                forget(&mut self.claimed, &claim.vm_id, host_id);
            }
            self.dirty.insert(host_id.to_owned());
            self.refresh();
        }
    }

    /// Revision and record of a host's claims; 0: there is none.
    pub fn claims(&self, host_id: &str) -> (u64, Option<&HostClaims>) {
        let kept = self.claims.get(host_id).filter(|kept| kept.revision > 0);
        kept.map_or((0, None), |kept| (kept.revision, Some(&kept.record)))
    }

    /// Hosts that have a record of claims, or are about to.
    pub fn claimed_hosts(&self) -> Vec<String> {
        self.claims.keys().cloned().collect()
    }

    /// Hosts that have a claim for a machine, whether it counts or not.
    pub fn hosts_with_claim(&self, vm_id: &str) -> Vec<String> {
        let hosts = self.claimed.get(vm_id).into_iter().flatten();
        hosts.cloned().collect()
    }

    /// Claims for a machine that count, with their hosts.
    pub fn claims_for<'a>(&'a self, vm_id: &'a str) -> impl Iterator<Item = (&'a str, &'a Claim)> {
        let hosts = self.claimed.get(vm_id).into_iter().flatten();
        hosts.flat_map(move |host_id| {
            let open = self
                .open_on(host_id)
                .filter(move |claim| claim.vm_id == vm_id);
            open.map(move |claim| (host_id.as_str(), claim))
        })
    }

    /// Claims on a host that count.
    pub fn open_on<'a>(&'a self, host_id: &'a str) -> impl Iterator<Item = &'a Claim> {
        let open = self.claims.get(host_id).into_iter().flat_map(Kept::open);
        open.filter(move |claim| !claims::is_confirmed(claim, self.guest_on(host_id, &claim.vm_id)))
    }

    /// A machine, if it is on the host.
    pub fn guest_on(&self, host_id: &str, vm_id: &str) -> Option<&Guest> {
        self.guests
            .get(vm_id)
            .filter(|guest| guest.host_id == host_id)
    }

    /// The least revision of machines to look at the claims with.
    pub fn vm_revision_wanted(&self) -> u64 {
        self.vm_revision_wanted
    }

    pub fn is_closed(&self, host_id: &str, claim: &Claim) -> bool {
        let key = (claim.vm_id.clone(), claim.job_id.clone());
        let kept = self.claims.get(host_id);
        kept.is_some_and(|kept| kept.closed.contains(&key))
    }

    /// Samples from before this time are not trusted any more.
    pub fn trust_from(&mut self, from_ms: i64) {
        let is_stale = |host: &&Host, from_ms| host.facts_ms != 0 && host.facts_ms < from_ms;
        let turned = self
            .hosts
            .values()
            .filter(|host| is_stale(host, from_ms) != is_stale(host, self.trusted_from_ms));
        self.dirty.extend(turned.map(|host| host.id.clone()));
        self.trusted_from_ms = from_ms;
    }

    /// Counts anew what was touched.
    pub fn refresh(&mut self) {
        if self.is_order_dirty {
            self.order();
        }
        for host_id in std::mem::take(&mut self.dirty) {
            let slot = self.hosts.get(&host_id).map(|host| self.count(host, ""));
            let at = self.places.get(&host_id).copied();
            if let (Some(at), Some(slot)) = (at, slot)
                && let Some(place) = self.slots.get_mut(at)
            {
                self.columns.set(at, slot.row);
                *place = slot;
            }
        }
    }

    fn order(&mut self) {
        self.is_order_dirty = false;
        self.slots = self
            .hosts
            .values()
            .map(|host| self.count(host, ""))
            .collect();
        self.slots.sort_by(|a, b| {
            let key = |slot: &Slot| (slot.state.host_name.clone(), slot.state.host_id.clone());
            key(a).cmp(&key(b))
        });
        self.columns = Columns::new(self.slots.iter().map(|slot| slot.row).collect());
        let places = self.slots.iter().enumerate();
        self.places = places
            .map(|(at, slot)| (slot.state.host_id.clone(), at))
            .collect();
        self.dirty.clear();
    }

    /// The host as it would be without a machine; with an empty id: as it is.
    pub fn without(&self, host_id: &str, vm_id: &str) -> Option<Slot> {
        self.hosts.get(host_id).map(|host| self.count(host, vm_id))
    }

    fn count(&self, host: &Host, without: &str) -> Slot {
        let guests: Vec<&Guest> = self
            .guests_on(&host.id)
            .filter(|guest| guest.id != without)
            .collect();
        let claims: Vec<&Claim> = self
            .open_on(&host.id)
            .filter(|claim| claim.vm_id != without)
            .collect();
        let carried = Carried {
            guests: &guests,
            claims: &claims,
            stale: host.facts_ms != 0 && host.facts_ms < self.trusted_from_ms,
        };
        let mut state = state::of(host, &self.groups, carried, &self.defaults);
        state.expected_stay_secs = self.stays.of_host(carried);
        let row = state::row(&state);
        Slot { state, row }
    }
}

#[cfg(test)]
mod tests;
