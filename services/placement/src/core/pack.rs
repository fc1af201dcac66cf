//! How tightly a machine would sit on a host: the order in which resource maximisation tries hosts.
//!
//! The best host is the one of which least is left by the resource that has most left, with a small penalty for what the
//! machine does to the balance between resources: memory that is left where no CPU is left can be given to nobody. Both
//! are seen on the host after the machine; an empty host has most left, so it comes last.
//!
//! ```text
//! tightness = 5 - 4 x most left - (imbalance after - imbalance before)       in parts of SCORE_ONE
//! imbalance = most left - least left                                               over the resources that count
//! ```

use super::model::{Ask, RESOURCES, Resource, Row, SCORE_ONE, fits, left, of};

/// What is left weighs this much.
pub(super) const LEFT: u32 = 4;

/// A change of the balance weighs this much: a quarter of what is left. Chosen by trying seven weights on one trace; see
/// decision 0014 for how much that says.
pub(super) const BALANCE: u32 = 1;

/// The highest tightness is [`TIGHTNESS_MAX`], the lowest 0.
pub const TIGHTNESS_MAX: u32 = (LEFT + 2 * BALANCE) * SCORE_ONE;

/// How tightly a machine would sit on a host. `None`: it does not fit.
pub fn tightness(row: &Row, ask: &Ask) -> Option<u32> {
    if row.features & ask.features != ask.features || !fits(row, ask) {
        return None;
    }
    let (most, least) = ends(row, ask, &ask.need);
    let (most_before, least_before) = ends(row, ask, &[0; RESOURCES]);
    let balance = (most - least) - (most_before - least_before);
    let cost = i64::from(LEFT) * most + i64::from(BALANCE) * balance;
    let highest = i64::from(LEFT + BALANCE) * i64::from(SCORE_ONE);
    u32::try_from(highest - cost).ok()
}

/// Whether a resource of a host counts.
fn counts(row: &Row, ask: &Ask, resource: Resource) -> bool {
    let is_known = row.rated & resource.bit() != 0;
    is_known && of(&ask.weights, resource) > 0
}

/// What is left of the resource that has most left, and of the one that has least.
fn ends(row: &Row, ask: &Ask, need: &[u32; RESOURCES]) -> (i64, i64) {
    let counting = Resource::ALL.into_iter().filter(|r| counts(row, ask, *r));
    let left = counting.map(|resource| i64::from(left(row, need, resource)));
    left.fold((0, i64::from(SCORE_ONE)), |(most, least), left| {
        (most.max(left), least.min(left))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::Goal;

    const BOTH: u8 = Resource::Cpu.bit() | Resource::Memory.bit();

    fn row(cpu: u32, memory: u32) -> Row {
        Row {
            total: [1_000, 1_000, 0, 0],
            used: [cpu, memory, 0, 0],
            rated: BOTH,
            features: 0,
        }
    }

    fn ask(cpu: u32, memory: u32) -> Ask {
        Ask {
            need: [cpu, memory, 0, 0],
            limits: BOTH,
            features: 0,
            weights: [1; RESOURCES],
            goal: Goal::Maximise,
        }
    }

    #[test]
    fn the_fullest_host_wins_and_an_empty_one_comes_last() {
        let ask = ask(100, 100);
        let by = |cpu, memory| tightness(&row(cpu, memory), &ask);
        assert!(by(800, 800) > by(700, 700));
        assert!(by(100, 100) > by(0, 0));
        assert_eq!(by(950, 0), None);
        assert_eq!(by(900, 900), Some((LEFT + BALANCE) * SCORE_ONE));
    }

    #[test]
    fn of_hosts_with_as_much_left_the_one_that_becomes_more_balanced_wins() {
        // Much memory, little CPU.
        let ask = ask(100, 300);
        let crooked = tightness(&row(500, 300), &ask);
        let even = tightness(&row(500, 200), &ask);
        assert!(crooked > even, "{crooked:?} {even:?}");
        let more_memory_than_cpu = tightness(&row(300, 500), &ask);
        assert!(crooked > more_memory_than_cpu);
    }

    #[test]
    fn what_nobody_knows_or_weighs_does_not_count() {
        let blind = Row {
            rated: 0,
            ..row(1, 1)
        };
        assert_eq!(
            tightness(&blind, &ask(1, 1)),
            Some((LEFT + BALANCE) * SCORE_ONE)
        );
        let cpu_only = Ask {
            weights: [1, 0, 0, 0],
            ..ask(100, 100)
        };
        let by = |memory| tightness(&row(500, memory), &cpu_only);
        assert_eq!(by(0), by(900));
    }
}
