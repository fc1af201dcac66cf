//! What a run is like, drawn from its seed.

use std::collections::BTreeMap;

use crate::bus::{Faults, Order};
use crate::chance::Chance;

/// What happens to the whole bus or to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disaster {
    /// One program loses its connection for a while.
    Cut,
    /// The server is down for a while.
    Restart,
    /// A program dies, and its view is what had reached the disk.
    Crash,
    /// A program dies, and its folder is lost.
    LoseFolder,
    /// A program ends in order.
    Stop,
    /// The log of records is lost.
    LoseLog,
    /// The bus is restored from an older copy.
    Restore,
    /// Hours or days pass: tombstones go, and views that were away grow too old.
    Skip,
}

impl Disaster {
    pub const ALL: [Self; 8] = [
        Self::Cut,
        Self::Restart,
        Self::Crash,
        Self::LoseFolder,
        Self::Stop,
        Self::LoseLog,
        Self::Restore,
        Self::Skip,
    ];

    /// How likely one is at a step, at most: such that a run sees a few.
    fn rate_max(self) -> f64 {
        match self {
            Self::Cut | Self::Crash => 0.08,
            Self::Restart | Self::LoseFolder | Self::Stop => 0.04,
            Self::LoseLog | Self::Restore | Self::Skip => 0.02,
        }
    }
}

pub struct Plan {
    pub owners: usize,
    pub mirrors: usize,
    pub sessions: usize,
    pub objects: u64,
    pub steps: u64,
    pub order: Order,
    pub faults: Faults,
    pub disasters: BTreeMap<Disaster, f64>,
    /// The longest pause between two steps: short ones make races, long ones let everything settle between.
    pub pause_ms_max: u64,
}

impl Plan {
    pub fn draw(chance: &mut Chance, steps: u64) -> Self {
        let count = |chance: &mut Chance, low, high| {
            usize::try_from(chance.between(low, high)).unwrap_or(1)
        };
        let mut disasters = BTreeMap::new();
        for disaster in Disaster::ALL {
            if chance.happens(0.4) {
                disasters.insert(disaster, disaster.rate_max() * chance.fraction());
            }
        }
        Self {
            owners: count(chance, 2, 4),
            mirrors: count(chance, 1, 3),
            sessions: count(chance, 2, 9),
            objects: chance.between(1, 8),
            steps,
            order: *chance.one_of(&[Order::ConflictFirst, Order::DuplicateFirst]),
            faults: Faults::swarm(chance),
            disasters,
            pause_ms_max: *chance.one_of(&[5, 50, 500, 3_000]),
        }
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} owners, {} mirrors, {} sessions, {} objects, {} steps, {:?}; {}; {:.3?}",
            self.owners,
            self.mirrors,
            self.sessions,
            self.objects,
            self.steps,
            self.order,
            self.faults,
            self.disasters
        )
    }
}
