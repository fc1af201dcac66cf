//! The line of refreshes that wait: what was asked for first, then what is due, the longest wait before the others.
//!
//! Each waits there once, so the line is never longer than there are targets and requests; and a server is asked one
//! thing at a time, so that one that answers slowly takes one place and holds up nobody.

use std::collections::{BTreeMap, BTreeSet};

use contracts::{Code, ObjectRef, Status};

/// Requests by hand that a server is asked at a time, what is due among them: they go before it, so they must not wait
/// until a slow one has ended.
const PER_SERVER_MAX: u32 = 2;

/// How much may be done at a time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Refreshes that were due.
    pub due_max: usize,
    /// Refreshes in all: those asked for find room also when what is due has taken its own.
    pub all_max: usize,
    /// Refreshes that may wait that were asked for.
    pub asked_max: usize,
}

/// What is refreshed: a target, or one object of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub kind: String,
    pub target_id: String,
    /// Empty: the whole target.
    pub object_id: String,
}

impl Key {
    pub fn of_target(kind: String, target_id: String) -> Self {
        Self {
            kind,
            target_id,
            object_id: String::new(),
        }
    }
}

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    Asked,
    Due,
}

/// One refresh to begin now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub key: Key,
    pub service: String,
    pub server_id: String,
    pub priority: Priority,
    /// How long after it was due or asked for.
    pub late_ms: i64,
}

pub(super) struct Line {
    limits: Limits,
    places: BTreeSet<(Priority, i64, Key)>,
    /// Where each that waits stands.
    waiting: BTreeMap<Key, (Priority, i64)>,
    running: BTreeSet<Key>,
    due_running: usize,
    servers: BTreeMap<String, u32>,
}

impl Line {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            places: BTreeSet::new(),
            waiting: BTreeMap::new(),
            running: BTreeSet::new(),
            due_running: 0,
            servers: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, key: Key, priority: Priority, since_ms: i64) {
        if let Some((known, since)) = self.waiting.get(&key).copied() {
            if known <= priority {
                return;
            }
            self.places.remove(&(known, since, key.clone()));
        }
        self.waiting.insert(key.clone(), (priority, since_ms));
        self.places.insert((priority, since_ms, key));
    }

    pub(super) fn ask(&mut self, key: Key, now_ms: i64) -> Result<(), Status> {
        let asked = self
            .places
            .iter()
            .take_while(|(p, ..)| *p == Priority::Asked);
        if asked.count() < self.limits.asked_max {
            self.add(key, Priority::Asked, now_ms);
            return Ok(());
        }
        let object = ObjectRef::new("refresher", &key.kind, &key.kind);
        let message = format!(
            "{} refreshes that were asked for wait already.",
            self.limits.asked_max
        );
        Err(Status::new(Code::ResourceExhausted, message)
            .about(object)
            .action("Wait until some of them are done, then ask again."))
    }

    /// Begins what may begin. `serve` names the service and the server of each; what has none is gone.
    pub(super) fn begin(
        &mut self,
        now_ms: i64,
        serve: impl Fn(&Key) -> Option<(String, String)>,
    ) -> Vec<Start> {
        let mut begun = Vec::new();
        let mut gone = Vec::new();
        for (priority, since_ms, key) in &self.places {
            if self.running.len() >= self.limits.all_max {
                break;
            }
            let Some((service, server_id)) = serve(key) else {
                gone.push(key.clone());
                continue;
            };
            let load = self.servers.get(&server_id).copied().unwrap_or(0);
            let has_room = match priority {
                Priority::Asked => load < PER_SERVER_MAX,
                Priority::Due => load == 0 && self.due_running < self.limits.due_max,
            };
            if !has_room || self.running.contains(key) {
                continue;
            }
            self.running.insert(key.clone());
            self.due_running += usize::from(*priority == Priority::Due);
            self.servers.insert(server_id.clone(), load + 1);
            begun.push(Start {
                key: key.clone(),
                service,
                server_id,
                priority: *priority,
                late_ms: now_ms.saturating_sub(*since_ms).max(0),
            });
        }
        for key in begun.iter().map(|start| &start.key).chain(&gone) {
            if let Some((priority, since_ms)) = self.waiting.remove(key) {
                self.places.remove(&(priority, since_ms, key.clone()));
            }
        }
        begun
    }

    pub(super) fn ended(&mut self, start: &Start) {
        self.running.remove(&start.key);
        if start.priority == Priority::Due {
            self.due_running = self.due_running.saturating_sub(1);
        }
        let load = self.servers.get(&start.server_id).copied().unwrap_or(0);
        if load > 1 {
            self.servers.insert(start.server_id.clone(), load - 1);
        } else {
            self.servers.remove(&start.server_id);
        }
    }

    pub(super) fn waiting(&self) -> BTreeMap<Priority, usize> {
        let mut counts = BTreeMap::from([(Priority::Asked, 0), (Priority::Due, 0)]);
        for (priority, ..) in &self.places {
            *counts.entry(*priority).or_default() += 1;
        }
        counts
    }
}
