//! The numbers that hosts are compared by, and what is asked of them: whole numbers in few units, so that every machine
//! computes the same and a fleet fits into columns.
//!
//! [`score`] is the definition. Whatever is quicker must answer the same.

use super::fullness;
use super::stay::{self, Stay};

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

/// What one machine may have at most on a host: processors, and one more than the MiB of its disks on the roomiest datastore,
/// so that 0 is a host without any. Not rated.
pub const SIZES: usize = 2;

/// Processors and MiB of disks.
pub type Sizes = [u32; SIZES];

/// A set of resources: bit 0 is CPU, and so on.
pub type ResourceSet = u8;

/// A set of properties of hosts; which bit means what is the caller's business.
pub type Features = u64;

impl Ask {
    pub const NOTHING: Self = Self {
        need: [0; RESOURCES],
        limits: 0,
        features: 0,
        size: [0; SIZES],
        weights: [1; RESOURCES],
        goal: Goal::Balance,
        stay: Stay::UNKNOWN,
    };
}

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
    /// The largest machine that it can take.
    pub largest: Sizes,
    /// MiB that each machine takes beside its own (memory of the hypervisor). `used` has it for one more.
    pub overhead: u32,
    /// How long the last of its machines is expected to stay.
    pub stay: Stay,
}

/// What a machine asks of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    pub need: Amounts,
    /// Resources that must fit. The others may be overcommitted, and then count as used up.
    pub limits: ResourceSet,
    /// The host must have all of these.
    pub features: Features,
    pub size: Sizes,
    /// How much each resource counts; at most [`WEIGHT_MAX`], not all 0.
    pub weights: Amounts,
    pub goal: Goal,
    /// How long it is expected to stay. Counts for resource maximisation only.
    pub stay: Stay,
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

/// The score of a host for a machine. `None`: the host cannot take it.
pub fn score(row: &Row, ask: &Ask) -> Option<u32> {
    can_take(row, ask).then(|| value(row, ask))
}

/// How good a host is for a machine that it can take, 0 to [`SCORE_ONE`]: for load balancing the weighted mean of what is left
/// of each rated resource, for resource maximisation how full the host would be ([`fullness`]), less what it costs that the
/// machine stays longer or shorter than the others ([`stay`]).
pub fn value(row: &Row, ask: &Ask) -> u32 {
    match ask.goal {
        Goal::Balance => mean_left(row, ask),
        Goal::Maximise => {
            fullness::of_host(row, ask).saturating_sub(stay::cost(ask.stay, row.stay))
        }
    }
}

pub(super) fn mean_left(row: &Row, ask: &Ask) -> u32 {
    let (mut sum, mut weights) = (0_u64, 0_u64);
    for resource in Resource::ALL {
        if row.rated & resource.bit() != 0 {
            let weight = u64::from(of(&ask.weights, resource));
            sum += weight * u64::from(left(row, &ask.need, resource));
            weights += weight;
        }
    }
    // Nothing that counts is known of the host.
    let mean = sum.checked_div(weights).unwrap_or(0);
    u32::try_from(mean).unwrap_or(SCORE_ONE)
}

/// Whether a host has what is asked for and everything that must fit does.
pub fn can_take(row: &Row, ask: &Ask) -> bool {
    let has_features = row.features & ask.features == ask.features;
    let mut sizes = row.largest.iter().zip(&ask.size);
    has_features && sizes.all(|(most, size)| size <= most) && fits(row, ask)
}

/// Whether the resources that are limited suffice.
pub fn fits(row: &Row, ask: &Ask) -> bool {
    Resource::ALL.into_iter().all(|resource| {
        let after = u64::from(of(&row.used, resource)) + u64::from(of(&ask.need, resource));
        ask.limits & resource.bit() == 0 || after <= u64::from(of(&row.total, resource))
    })
}

/// A host with one more machine.
pub fn with(mut row: Row, ask: &Ask) -> Row {
    let amounts = taken(&row, ask);
    for (used, taken) in row.used.iter_mut().zip(amounts) {
        *used = used.saturating_add(taken);
    }
    let [_, disk] = &mut row.largest;
    *disk = disk.saturating_sub(disk_taken(ask));
    row.stay = row.stay.and(ask.stay);
    row
}

/// A host without a machine that it had. How long the others stay is not known by that: it is left as it was.
pub fn without(mut row: Row, ask: &Ask) -> Row {
    let amounts = taken(&row, ask);
    for (used, taken) in row.used.iter_mut().zip(amounts) {
        *used = used.saturating_sub(taken);
    }
    let [_, disk] = &mut row.largest;
    *disk = disk.saturating_add(disk_taken(ask));
    row
}

fn taken(row: &Row, ask: &Ask) -> Amounts {
    let [cpu, memory, disk_io, network] = ask.need;
    let memory = memory.saturating_add(row.overhead);
    [cpu, memory, disk_io, network]
}

/// The size of disks counts from one.
fn disk_taken(ask: &Ask) -> u32 {
    let [_, disk] = ask.size;
    disk.saturating_sub(1)
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
            largest: [2, 2],
            ..Row::default()
        }
    }

    fn ask() -> Ask {
        Ask {
            need: [250, 250, 0, 0],
            limits: Resource::Memory.bit(),
            features: 0b01,
            size: [2, 1],
            weights: [1_000, 1_000, 1_000, 1_000],
            ..Ask::NOTHING
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
        for size in [[3, 1], [1, 3]] {
            assert_eq!(score(&row(), &Ask { size, ..ask() }), None);
        }
    }

    #[test]
    fn a_host_of_which_nothing_that_counts_is_known_scores_nothing() {
        let unknown = Row { rated: 0, ..row() };
        assert_eq!(score(&unknown, &ask()), Some(0));
        assert_eq!(score(&Row::default(), &ask()), None);
    }
}
