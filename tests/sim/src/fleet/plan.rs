//! What a run is like, drawn from its seed.

use std::collections::BTreeMap;

use crate::bus::{Fault, Faults, Order};
use crate::chance::Chance;

/// What happens to the whole bus, to an instance of a service or to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disaster {
    /// One connection is lost for a while.
    Cut,
    /// The server is down for a while.
    Restart,
    /// An instance will die at one of the next messages that it sends.
    Trap,
    /// An instance dies now, and its folder is lost.
    LoseFolder,
    /// An instance ends in order.
    Stop,
    /// A host's agent dies. Its machines stay.
    LoseHost,
    /// The work queue is lost.
    LoseQueue,
    /// A machine ends by itself.
    PowerOff,
}

impl Disaster {
    pub const ALL: [Self; 8] = [
        Self::Cut,
        Self::Restart,
        Self::Trap,
        Self::LoseFolder,
        Self::Stop,
        Self::LoseHost,
        Self::LoseQueue,
        Self::PowerOff,
    ];

    /// How likely one is at a step, at most: such that a run sees a few.
    fn rate_max(self) -> f64 {
        match self {
            Self::Trap => 0.15,
            Self::Cut | Self::LoseHost => 0.06,
            Self::Restart | Self::LoseFolder | Self::Stop | Self::PowerOff => 0.03,
            Self::LoseQueue => 0.02,
        }
    }
}

/// What a host does with a command, beside doing it: the probability of each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whims {
    /// It cannot, and will not the next time.
    pub refuses: f64,
    /// It cannot now.
    pub is_busy: f64,
    /// It takes up to a quarter of a minute.
    pub is_slow: f64,
}

impl Whims {
    fn draw(chance: &mut Chance) -> Self {
        let mut rate = |most: f64| {
            if chance.happens(0.5) {
                most * chance.fraction()
            } else {
                0.0
            }
        };
        Self {
            refuses: rate(0.2),
            is_busy: rate(0.3),
            is_slow: rate(0.3),
        }
    }
}

pub struct Plan {
    pub inventories: usize,
    pub placements: usize,
    pub runners: usize,
    pub hosts: usize,
    pub sessions: usize,
    /// Names that machines may have: few make clients want the same.
    pub names: u64,
    pub steps: u64,
    pub order: Order,
    pub faults: Faults,
    pub whims: Whims,
    pub disasters: BTreeMap<Disaster, f64>,
    /// The longest pause between two steps.
    pub pause_ms_max: u64,
    pub jobs: jobs::Config,
}

impl Plan {
    pub fn draw(chance: &mut Chance, steps: u64) -> Self {
        let count = |chance: &mut Chance, low, high| {
            usize::try_from(chance.between(low, high)).unwrap_or(1)
        };
        let mut disasters = BTreeMap::new();
        for disaster in Disaster::ALL {
            if chance.happens(0.5) {
                disasters.insert(disaster, disaster.rate_max() * chance.fraction());
            }
        }
        Self {
            inventories: count(chance, 1, 3),
            placements: count(chance, 1, 3),
            runners: count(chance, 1, 4),
            hosts: count(chance, 1, 4),
            sessions: count(chance, 2, 7),
            names: chance.between(1, 6),
            steps,
            order: *chance.one_of(&[Order::ConflictFirst, Order::DuplicateFirst]),
            faults: faults(chance),
            whims: Whims::draw(chance),
            disasters,
            pause_ms_max: *chance.one_of(&[50, 500, 3_000]),
            jobs: config(chance),
        }
    }
}

/// What a connection to a real server does: it neither doubles a call nor lets one overtake another. Callers do, that ask
/// again; and calls come late all the same, over another connection.
fn faults(chance: &mut Chance) -> Faults {
    let faults = Faults::swarm(chance);
    faults.set(Fault::Duplicate, 0.0);
    faults.set(Fault::Reorder, 0.0);
    faults
}

/// As an operator might set it; most runs leave most as it is.
fn config(chance: &mut Chance) -> jobs::Config {
    let usual = jobs::Config::default();
    jobs::Config {
        runners_max: *chance.one_of(&[1, 3, usual.runners_max]),
        lease_secs: *chance.one_of(&[2, usual.lease_secs]),
        sweep_interval_secs: *chance.one_of(&[2, usual.sweep_interval_secs]),
        attempts_max: *chance.one_of(&[2, usual.attempts_max]),
        undo_attempts_max: *chance.one_of(&[2, usual.undo_attempts_max]),
        guest_patience_secs: *chance.one_of(&[3, 30]),
        drain_secs: *chance.one_of(&[1, usual.drain_secs]),
        ..usual
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} inventories, {} placements, {} runners, {} hosts, {} sessions, {} names, {} steps, {:?}; {}; {:.3?}; {:.3?}; {:?}",
            self.inventories,
            self.placements,
            self.runners,
            self.hosts,
            self.sessions,
            self.names,
            self.steps,
            self.order,
            self.faults,
            self.whims,
            self.disasters,
            self.jobs
        )
    }
}
