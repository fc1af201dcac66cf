//! What is refreshed next: what is due, and what was asked for.
//!
//! Each instance plans for the servers of its share ([`super::share`]), each target at the moments of its grid
//! ([`super::schedule`]). What is due goes into one line with what was asked for by hand ([`line`]).

pub mod line;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use contracts::Status;
use contracts::refresher::{Intervals, Kind, Target};

use super::backoff::Backoff;
use super::intervals::{self, Pace, Parents};
use super::schedule::Grid;
use super::share;
use line::{Key, Line, Priority, Start};

/// A service that has not said for this long that it is there is not asked, in milliseconds. Several announcements.
const SERVED_FOR_MS: i64 = 20_000;

/// An instance that has not been heard for this long is gone, in milliseconds: its share is the others'. Too low and a
/// busy one loses its share for a moment; too high and what it had is refreshed late.
const INSTANCE_SILENCE_MAX_MS: i64 = 5_000;

struct Served {
    service: String,
    kind: Kind,
    heard_ms: i64,
}

struct Entry {
    target: Target,
    /// `None`: it is off, or another instance has it.
    grid: Option<Grid>,
    last_due_ms: Option<i64>,
}

/// Whether a target would be refreshed if it were due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Fine,
    Off,
    PassedOver,
    /// Another instance has it.
    Others,
}

/// How the targets of one kind stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub targets: u32,
    pub off: u32,
    pub passed_over: u32,
}

/// How a refresh ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Fine,
    /// The target's server did not do its part.
    ServerFailed,
    /// Something else did not: no fault of the server's.
    OthersFailed,
}

pub struct Plan {
    own: String,
    kinds: BTreeMap<String, Served>,
    /// By kind and target.
    entries: BTreeMap<(String, String), Entry>,
    due: BTreeSet<(i64, String, String)>,
    intervals: BTreeMap<String, Intervals>,
    parents: Parents,
    /// The other instances, with when each was heard.
    others: BTreeMap<String, i64>,
    line: Line,
    backoff: BTreeMap<String, Backoff>,
}

impl Plan {
    pub fn new(own: &str, limits: line::Limits) -> Self {
        Self {
            own: own.to_owned(),
            kinds: BTreeMap::new(),
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            intervals: BTreeMap::new(),
            parents: Parents::new(),
            others: BTreeMap::new(),
            line: Line::new(limits),
            backoff: BTreeMap::new(),
        }
    }

    // ---- what is known ---------------------------------------------------------------------------------------------

    /// A service says which kinds it serves.
    pub fn announced(&mut self, service: &str, kinds: Vec<Kind>, now_ms: i64) {
        let names: BTreeSet<String> = kinds.iter().map(|kind| kind.name.clone()).collect();
        self.kinds
            .retain(|name, served| served.service != service || names.contains(name));
        let mut is_news = false;
        for kind in kinds {
            let known = self.kinds.get(&kind.name);
            is_news |= known.is_none_or(|known| known.kind != kind);
            let served = Served {
                service: service.to_owned(),
                heard_ms: now_ms,
                kind,
            };
            self.kinds.insert(served.kind.name.clone(), served);
        }
        if is_news {
            self.plan_all(now_ms);
        }
    }

    /// Services that are there.
    pub fn services(&self, now_ms: i64) -> BTreeSet<String> {
        let served = self.kinds.values().filter(|served| served.is_there(now_ms));
        served.map(|served| served.service.clone()).collect()
    }

    /// Everything that one service has to refresh.
    pub fn set_targets(&mut self, service: &str, targets: Vec<Target>, now_ms: i64) {
        self.line_up(now_ms);
        let is_served = |kind: &str| {
            let served = self.kinds.get(kind);
            served.is_some_and(|served| served.service == service)
        };
        let (mut before, mut entries): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.entries)
                .into_iter()
                .partition(|((kind, _), _)| is_served(kind));
        for target in targets {
            for kind in target.kinds.iter().filter(|kind| is_served(kind)) {
                let key = (kind.clone(), target.id.clone());
                let known = before.remove(&key);
                if known
                    .as_ref()
                    .is_some_and(|known| is_back(&known.target, &target))
                {
                    self.backoff.remove(&target.server_id);
                }
                let entry = Entry {
                    target: target.clone(),
                    grid: None,
                    last_due_ms: known.and_then(|known| known.last_due_ms),
                };
                entries.insert(key, entry);
            }
        }
        self.entries = entries;
        self.forget_servers();
        self.plan_all(now_ms);
    }

    fn forget_servers(&mut self) {
        let servers: BTreeSet<&String> =
            self.entries.values().map(|e| &e.target.server_id).collect();
        self.backoff.retain(|server, _| servers.contains(server));
    }

    pub fn set_intervals(&mut self, intervals: BTreeMap<String, Intervals>, now_ms: i64) {
        if self.intervals != intervals {
            self.intervals = intervals;
            self.plan_all(now_ms);
        }
    }

    pub fn set_parents(&mut self, parents: Parents, now_ms: i64) {
        if self.parents != parents {
            self.parents = parents;
            self.plan_all(now_ms);
        }
    }

    /// Another instance says that it is there, or that it ends.
    pub fn heard(&mut self, instance: &str, is_leaving: bool, now_ms: i64) {
        if instance == self.own {
            return;
        }
        let is_news = if is_leaving {
            self.others.remove(instance).is_some()
        } else {
            self.others.insert(instance.to_owned(), now_ms).is_none()
        };
        if is_news {
            self.plan_all(now_ms);
        }
    }

    fn forget_silent(&mut self, now_ms: i64) {
        let count = self.others.len();
        self.others
            .retain(|_, heard_ms| now_ms - *heard_ms < INSTANCE_SILENCE_MAX_MS);
        if self.others.len() != count {
            self.plan_all(now_ms);
        }
    }

    // ---- when each is due ------------------------------------------------------------------------------------------

    /// Says anew when each target is due.
    fn plan_all(&mut self, now_ms: i64) {
        self.line_up(now_ms);
        let instances: BTreeSet<String> = self
            .others
            .keys()
            .cloned()
            .chain([self.own.clone()])
            .collect();
        self.due.clear();
        for ((kind, id), entry) in &mut self.entries {
            let Some(served) = self.kinds.get(kind) else {
                continue;
            };
            let is_ours = share::owner(&instances, &entry.target.server_id) == Some(&self.own);
            let set = self.intervals.get(kind);
            let pace = intervals::pace(&served.kind, set, &entry.target, &self.parents);
            entry.grid = match pace {
                Pace::Every { interval_ms } if is_ours => Some(Grid::new(kind, id, interval_ms)),
                Pace::Every { .. } | Pace::Off => None,
            };
            if let Some(grid) = entry.grid {
                let due_ms = grid.next(now_ms, entry.last_due_ms);
                self.due.insert((due_ms, kind.clone(), id.clone()));
            }
        }
    }

    /// Puts what is due into the line, unless it is passed over this time.
    fn line_up(&mut self, now_ms: i64) {
        while let Some((due_ms, kind, id)) = self.due.first().cloned() {
            if due_ms > now_ms {
                return;
            }
            self.due.pop_first();
            let place = (kind, id);
            let is_fine = self.standing(&place, now_ms) == Standing::Fine;
            let Some(entry) = self.entries.get_mut(&place) else {
                continue;
            };
            let Some(grid) = entry.grid else { continue };
            entry.last_due_ms = Some(due_ms);
            let next_ms = grid.next(now_ms, entry.last_due_ms);
            let (kind, id) = place;
            self.due.insert((next_ms, kind.clone(), id.clone()));
            // If this process stood still, the next turn is near, and all that were missed at once would be a burst.
            let is_missed = now_ms - due_ms >= grid.interval_ms();
            if is_fine && !is_missed {
                self.line
                    .add(Key::of_target(kind, id), Priority::Due, due_ms);
            }
        }
    }

    fn standing(&self, place: &(String, String), now_ms: i64) -> Standing {
        let (Some(entry), Some(served)) = (self.entries.get(place), self.kinds.get(&place.0))
        else {
            return Standing::PassedOver;
        };
        let set = self.intervals.get(&place.0);
        if intervals::pace(&served.kind, set, &entry.target, &self.parents) == Pace::Off {
            return Standing::Off;
        }
        let in_condition = |condition| served.kind.passes_over.contains(condition);
        let held_back = self.backoff.get(&entry.target.server_id);
        let is_passed_over = !served.is_there(now_ms)
            || entry.target.conditions.iter().any(in_condition)
            || held_back.is_some_and(|backoff| backoff.holds_back(now_ms));
        match (is_passed_over, entry.grid) {
            (true, _) => Standing::PassedOver,
            (false, None) => Standing::Others,
            (false, Some(_)) => Standing::Fine,
        }
    }

    // ---- what is done ----------------------------------------------------------------------------------------------

    /// What is to be begun now.
    pub fn start(&mut self, now_ms: i64) -> Vec<Start> {
        self.forget_silent(now_ms);
        self.line_up(now_ms);
        let (entries, kinds) = (&self.entries, &self.kinds);
        self.line.begin(now_ms, |key| {
            let entry = entries.get(&(key.kind.clone(), key.target_id.clone()))?;
            let served = kinds.get(&key.kind)?;
            Some((served.service.clone(), entry.target.server_id.clone()))
        })
    }

    /// When something is due next.
    pub fn next_ms(&self) -> Option<i64> {
        self.due.first().map(|(due_ms, ..)| *due_ms)
    }

    /// What was begun has ended.
    pub fn ended(&mut self, start: &Start, ending: Ending, now_ms: i64) {
        self.line.ended(start);
        match ending {
            Ending::Fine => _ = self.backoff.remove(&start.server_id),
            Ending::ServerFailed => {
                let backoff = self.backoff.entry(start.server_id.clone()).or_default();
                backoff.failed(now_ms);
            }
            Ending::OthersFailed => {}
        }
    }

    /// Puts a refresh that somebody asked for before all that are only due.
    pub fn ask(&mut self, key: Key, now_ms: i64) -> Result<(), Status> {
        self.line.ask(key, now_ms)
    }
}

impl Served {
    fn is_there(&self, now_ms: i64) -> bool {
        now_ms - self.heard_ms < SERVED_FOR_MS
    }
}

/// Whether a target that was in some condition is in none any more: whatever its server's failures were, they are over.
fn is_back(before: &Target, now: &Target) -> bool {
    !before.conditions.is_empty() && now.conditions.is_empty()
}

#[cfg(test)]
mod tests;
