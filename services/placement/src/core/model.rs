//! The numbers that hosts are compared by, and what is asked of them: whole numbers in few units, so that every machine
//! computes the same and a fleet fits into columns.
//!
//! [`score`] is the definition. Whatever is quicker must answer the same.

/// What is rated and packed. Used as an index into [`Amounts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// In hundredths of a processor.
    Cpu = 0,
    /// In MiB: needs and use rounded up, what is there rounded down.
    Memory = 1,
    /// In operations a second.
    DiskIo = 2,
    /// In Mbit/s.
    Network = 3,
}

pub const RESOURCES: usize = 4;

/// An amount of each [`Resource`], in its unit.
pub type Amounts = [u32; RESOURCES];

/// A set of resources: bit 0 is CPU, and so on.
pub type ResourceSet = u8;

/// A set of properties of hosts; which bit means what is the caller's business.
pub type Features = u64;

impl Resource {
    pub const ALL: [Self; RESOURCES] = [Self::Cpu, Self::Memory, Self::DiskIo, Self::Network];

    pub const fn bit(self) -> ResourceSet {
        1 << self as u8
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::DiskIo => "disk_io",
            Self::Network => "network",
        }
    }
}

/// One host, as far as numbers go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// What there is beyond the reserves.
    pub total: Amounts,
    /// In use or promised, with what one more machine takes beside its own (memory of the hypervisor). May exceed `total`.
    pub used: Amounts,
    /// Resources of which the host's total is known. The others are left out of its score.
    pub rated: ResourceSet,
    pub features: Features,
}

/// What a machine asks of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    pub need: Amounts,
    /// Resources that must fit. The others may be overcommitted, and then count as used up.
    pub limits: ResourceSet,
    /// The host must have all of these.
    pub features: Features,
    /// How much each resource counts; at most [`WEIGHT_MAX`], not all 0.
    pub weights: Amounts,
    pub goal: Goal,
}

/// Which end of the scale is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Goal {
    /// Load balancing: the host with most left rates highest.
    #[default]
    Balance,
    /// Resource maximisation: the fullest host that still fits rates highest.
    Maximise,
}

/// Five stars. A power of two, so that the score is exact as a float too.
pub const SCORE_ONE: u32 = 1 << 24;

/// Weights are in thousandths: 100 as people write it. So that no sum overflows.
pub const WEIGHT_MAX: u32 = 100_000;

/// The score of a host for a machine, 0 to [`SCORE_ONE`]: the weighted mean of what is left of each rated resource (or of what
/// is used of it). `None`: the machine does not fit.
pub fn score(row: &Row, ask: &Ask) -> Option<u32> {
    if row.features & ask.features != ask.features || !fits(row, ask) {
        return None;
    }
    let (mut sum, mut weights) = (0_u64, 0_u64);
    for resource in Resource::ALL {
        if row.rated & resource.bit() != 0 {
            let weight = u64::from(of(&ask.weights, resource));
            let left = u64::from(left(row, &ask.need, resource));
            sum += weight
                * match ask.goal {
                    Goal::Balance => left,
                    Goal::Maximise => u64::from(SCORE_ONE) - left,
                };
            weights += weight;
        }
    }
    // Nothing that counts is known of the host.
    let mean = sum.checked_div(weights).unwrap_or(0);
    Some(u32::try_from(mean).unwrap_or(SCORE_ONE))
}

/// Whether everything that must fit does.
pub fn fits(row: &Row, ask: &Ask) -> bool {
    Resource::ALL.into_iter().all(|resource| {
        let after = u64::from(of(&row.used, resource)) + u64::from(of(&ask.need, resource));
        ask.limits & resource.bit() == 0 || after <= u64::from(of(&row.total, resource))
    })
}

/// What is left of a resource with the machine, in parts of [`SCORE_ONE`], rounded down.
pub fn left(row: &Row, need: &Amounts, resource: Resource) -> u32 {
    let total = u64::from(of(&row.total, resource));
    let after = u64::from(of(&row.used, resource)) + u64::from(of(need, resource));
    let free = total.saturating_sub(after);
    let parts = (free * u64::from(SCORE_ONE)).checked_div(total);
    parts.map_or(0, |parts| u32::try_from(parts).unwrap_or(SCORE_ONE))
}

/// The amount of one resource.
pub fn of(amounts: &Amounts, resource: Resource) -> u32 {
    let [cpu, memory, disk_io, network] = *amounts;
    match resource {
        Resource::Cpu => cpu,
        Resource::Memory => memory,
        Resource::DiskIo => disk_io,
        Resource::Network => network,
    }
}

/// How wide a failure takes machines down together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Host = 0,
    Rack = 1,
    Room = 2,
}

pub const LEVELS: usize = 3;

/// The failure domains of a host, numbered for each level. [`NO_DOMAIN`]: nobody said which.
pub type Domains = [u32; LEVELS];

pub const NO_DOMAIN: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bond {
    /// In one domain.
    Together,
    /// In different domains.
    Apart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strength {
    Must,
    /// Kept where it can be; each pair that breaks it costs.
    Should,
}

/// A rule between machines of one batch, and those of them that have a host already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tie {
    pub bond: Bond,
    pub strength: Strength,
    pub level: Level,
    /// Indexes of the batch's machines.
    pub members: Vec<u32>,
    /// Hosts, by row, of members that are placed already; one entry a machine.
    pub placed: Vec<u32>,
}

/// A machine of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub ask: Ask,
    /// Rows that come into question, in rising order; `None`: all.
    pub rows: Option<Vec<u32>>,
}

/// A batch: machines to be placed together on a fleet. Rows are in order of hosts' names, and of hosts that are alike the
/// first one wins, so that the answer is one.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    pub rows: &'a [Row],
    /// For each row.
    pub domains: &'a [Domains],
    pub items: &'a [Item],
    pub ties: &'a [Tie],
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU_AND_MEMORY: ResourceSet = Resource::Cpu.bit() | Resource::Memory.bit();

    fn row() -> Row {
        Row {
            total: [1_000, 1_000, 0, 0],
            used: [250, 500, 9, 9],
            rated: CPU_AND_MEMORY,
            features: 0b11,
        }
    }

    fn ask() -> Ask {
        Ask {
            need: [250, 250, 0, 0],
            limits: Resource::Memory.bit(),
            features: 0b01,
            weights: [1_000, 1_000, 1_000, 1_000],
            goal: Goal::Balance,
        }
    }

    #[test]
    fn the_score_is_the_weighted_mean_of_what_is_left() {
        // Left: 1/2 of the CPU, 1/4 of the memory; disk and network are not known.
        assert_eq!(score(&row(), &ask()), Some(SCORE_ONE / 8 * 3));
        let cpu_counts_thrice = Ask {
            weights: [3_000, 1_000, 0, 0],
            ..ask()
        };
        assert_eq!(score(&row(), &cpu_counts_thrice), Some(SCORE_ONE / 16 * 7));
        let maximise = Ask {
            goal: Goal::Maximise,
            ..ask()
        };
        assert_eq!(score(&row(), &maximise), Some(SCORE_ONE / 8 * 5));
    }

    #[test]
    fn what_is_limited_must_fit_and_what_is_not_may_be_used_up() {
        let with_need = |need| score(&row(), &Ask { need, ..ask() });
        assert_eq!(with_need([0, 501, 0, 0]), None);
        assert_eq!(with_need([9_000, 500, 0, 0]), Some(0));
        assert_eq!(with_need([u32::MAX, u32::MAX, 0, 0]), None);
        let other = Ask {
            features: 0b100,
            ..ask()
        };
        assert_eq!(score(&row(), &other), None);
    }

    #[test]
    fn a_host_of_which_nothing_that_counts_is_known_scores_nothing() {
        let unknown = Row { rated: 0, ..row() };
        assert_eq!(score(&unknown, &ask()), Some(0));
        assert_eq!(score(&Row::default(), &ask()), None);
    }
}
