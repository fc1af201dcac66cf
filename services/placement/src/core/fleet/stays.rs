//! How long the machines of a fleet are expected to stay, learned from those that went while this instance or one before it
//! looked, and from the ages of those that are there.
//!
//! An expectation is as old as the last look: every ten minutes all is counted anew.

use std::collections::HashMap;

use contracts::placement::Claim;

use super::{Carried, Fleet, Guest};
use crate::core::lifetimes::{self, Kind, Lifetimes};
use crate::core::units::mib_up;

/// What is expected of hours and days need not be looked at more often, and all hosts are counted anew with it.
const LOOK_INTERVAL_MS: i64 = 10 * 60 * 1_000;

/// Nothing is expected until it is asked to learn.
#[derive(Default)]
pub(super) struct Stays {
    is_learning: bool,
    now_ms: i64,
    looked_ms: Option<i64>,
    lifetimes: Lifetimes,
    /// Machines that there are, with their kinds and when they were made.
    known: HashMap<String, Known>,
}

#[derive(Clone, Copy)]
struct Known {
    kind: Kind,
    /// `None`: it has no host yet. So machines of one batch are expected to stay the same, whoever's record came first.
    since_ms: Option<i64>,
    /// How old a machine is that was found is not known: nothing is learned from it.
    is_found: bool,
}

impl Stays {
    /// A machine came, changed or went.
    pub(super) fn note(&mut self, id: &str, after: Option<&Guest>) {
        if !self.is_learning {
            return;
        }
        if let Some(guest) = after {
            let known = Known {
                kind: self.kind(guest),
                since_ms: (!guest.host_id.is_empty()).then_some(guest.created_ms),
                is_found: guest.is_found,
            };
            self.known.insert(id.to_owned(), known);
            return;
        }
        let gone = self.known.remove(id);
        let teaches = |known: &Known| !known.is_found && known.since_ms.is_some();
        if let Some(known) = gone.filter(teaches) {
            self.lifetimes.went(known.kind, self.age_secs(known));
        }
    }

    fn kind(&mut self, guest: &Guest) -> Kind {
        let size = [guest.vcpus.saturating_mul(100), mib_up(guest.memory_bytes)];
        let names = lifetimes::names(size, &guest.owner);
        self.lifetimes.kind(names.iter().map(String::as_str))
    }

    fn age_secs(&self, known: Known) -> u64 {
        let since_ms = known.since_ms.unwrap_or(self.now_ms);
        let age_ms = self.now_ms.saturating_sub(since_ms);
        u64::try_from(age_ms / 1_000).unwrap_or(0)
    }

    fn of_machine(&self, id: &str) -> Option<u64> {
        let known = *self.known.get(id)?;
        self.lifetimes
            .expected_secs(known.kind, self.age_secs(known))
    }

    /// How long the last machine stays that a host carries or is about to.
    pub(super) fn of_host(&self, carried: Carried<'_>) -> Option<u64> {
        if !self.is_learning {
            return None;
        }
        let counting = carried.guests.iter().filter(|guest| guest.counts());
        let claimed = carried.claims.iter().map(|claim: &&Claim| &claim.vm_id);
        let mut all = counting.map(|guest| &guest.id).chain(claimed);
        all.try_fold(0, |last, id| Some(last.max(self.of_machine(id)?)))
    }

    fn look(&mut self) {
        let known = self.known.values().filter(|known| !known.is_found);
        let aged: Vec<(Kind, u64)> = known
            .map(|known| (known.kind, self.age_secs(*known)))
            .collect();
        self.lifetimes.look(aged);
        self.looked_ms = Some(self.now_ms);
    }
}

impl Fleet {
    /// From now on it is learned how long machines stay, beside what is known already. To be called before the first
    /// machine is put in.
    pub fn learn_stays(&mut self, known: Lifetimes) {
        self.stays.is_learning = true;
        self.stays.lifetimes = known;
    }

    /// What was learned so far; `None`: nothing is learned.
    pub fn lifetimes(&self) -> Option<&Lifetimes> {
        self.stays.is_learning.then_some(&self.stays.lifetimes)
    }

    /// Time has passed: what goes from now on goes at this time.
    pub fn grow_older(&mut self, now_ms: i64) {
        self.stays.now_ms = now_ms;
    }

    /// Counts anew what is expected, now and then: machines are older, and others have gone.
    pub fn look_at_stays(&mut self) {
        let now_ms = self.stays.now_ms;
        let since = |looked_ms: i64| now_ms.saturating_sub(looked_ms);
        // A clock that was set back is no reason to wait.
        let is_recent = |looked_ms| (0..LOOK_INTERVAL_MS).contains(&since(looked_ms));
        if !self.stays.is_learning || self.stays.looked_ms.is_some_and(is_recent) {
            return;
        }
        self.stays.look();
        self.dirty.extend(self.hosts.keys().cloned());
    }

    /// How long a machine is expected to stay, in seconds from now. `None`: that is not known.
    pub fn expected_stay_secs(&self, vm_id: &str) -> Option<u64> {
        self.stays.of_machine(vm_id)
    }
}

#[cfg(test)]
mod tests;
