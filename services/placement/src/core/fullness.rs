//! How full a host would be: the score of resource maximisation.
//!
//! The weighted mean of what is used of each resource, less a third of what the machine does to the balance between them: of
//! two hosts that would be as full, the one that it makes more even is better, since memory that is free where no processor
//! is free can be given to nobody.
//!
//! ```text
//! fullness  = 1 - mean left - 1/3 (imbalance after - imbalance before)      at least 0, at most 1
//! imbalance = most left - least left
//! ```
//!
//! over the resources that are rated and weigh anything.

use super::model::{Amounts, Ask, RESOURCES, Resource, Row, SCORE_ONE, left, mean_left, of};

/// A change of the balance weighs one of this many parts of what is used. Measured beside a half and a quarter on the public
/// trace (`docs/benchmarks.md`): a half is as good, a quarter better on hosts with little memory and no better on others.
pub(super) const BALANCE_PARTS: u32 = 3;

/// How full a host would be with a machine.
pub(super) fn of_host(row: &Row, ask: &Ask) -> u32 {
    let Some((most, least)) = ends(row, ask, &ask.need) else {
        return 0;
    };
    let (most_before, least_before) = ends(row, ask, &[0; RESOURCES]).unwrap_or_default();
    let imbalance = (most - least) - (most_before - least_before);
    let parts = i64::from(BALANCE_PARTS);
    let used = i64::from(SCORE_ONE) - i64::from(mean_left(row, ask));
    let value = (used * parts - imbalance).div_euclid(parts);
    u32::try_from(value.clamp(0, i64::from(SCORE_ONE))).unwrap_or(SCORE_ONE)
}

/// What a host loses (or, below 0, gains) beside the mean of what is used.
pub fn lost_to_balance(row: &Row, ask: &Ask) -> i64 {
    let used = i64::from(SCORE_ONE) - i64::from(mean_left(row, ask));
    used - i64::from(of_host(row, ask))
}

/// The resource of which most is left with a machine; of several the first.
pub fn emptiest(row: &Row, ask: &Ask) -> Option<Resource> {
    let counting = Resource::ALL.into_iter().filter(|r| counts(row, ask, *r));
    counting.min_by_key(|resource| std::cmp::Reverse(left(row, &ask.need, *resource)))
}

/// Whether a resource of a host counts.
fn counts(row: &Row, ask: &Ask, resource: Resource) -> bool {
    row.rated & resource.bit() != 0 && of(&ask.weights, resource) > 0
}

/// What is left of the resource that has most left, and of the one that has least. `None`: none counts.
fn ends(row: &Row, ask: &Ask, need: &Amounts) -> Option<(i64, i64)> {
    let counting = Resource::ALL.into_iter().filter(|r| counts(row, ask, *r));
    let left = counting.map(|resource| i64::from(left(row, need, resource)));
    left.fold(None, |ends, left| {
        let (most, least) = ends.unwrap_or((left, left));
        Some((most.max(left), least.min(left)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{Goal, score};

    const BOTH: u8 = Resource::Cpu.bit() | Resource::Memory.bit();

    fn row(cpu: u32, memory: u32) -> Row {
        Row {
            total: [1_000, 1_000, 0, 0],
            used: [cpu, memory, 0, 0],
            rated: BOTH,
            ..Row::default()
        }
    }

    fn ask(cpu: u32, memory: u32) -> Ask {
        Ask {
            need: [cpu, memory, 0, 0],
            limits: BOTH,
            features: 0,
            size: [0; 2],
            weights: [1; RESOURCES],
            goal: Goal::Maximise,
            ..Ask::NOTHING
        }
    }

    #[test]
    fn the_fullest_host_wins_and_an_empty_one_comes_last() {
        let ask = ask(100, 100);
        let by = |cpu, memory| score(&row(cpu, memory), &ask);
        assert!(by(800, 800) > by(700, 700));
        assert!(by(100, 100) > by(0, 0));
        assert_eq!(by(950, 0), None);
        assert_eq!(by(900, 900), Some(SCORE_ONE));
        assert_eq!(by(400, 400), Some(SCORE_ONE / 2));
    }

    #[test]
    fn of_hosts_with_as_much_left_the_one_that_becomes_more_balanced_wins() {
        // Much memory, little CPU.
        let ask = ask(100, 300);
        let made_even = score(&row(500, 300), &ask);
        let made_odd = score(&row(300, 500), &ask);
        assert!(made_even > made_odd, "{made_even:?} {made_odd:?}");
    }

    #[test]
    fn what_nobody_knows_or_weighs_does_not_count() {
        let blind = Row {
            rated: 0,
            ..row(1, 1)
        };
        assert_eq!(score(&blind, &ask(1, 1)), Some(0));
        let cpu_only = Ask {
            weights: [1, 0, 0, 0],
            ..ask(100, 100)
        };
        let by = |memory| score(&row(500, memory), &cpu_only);
        assert_eq!(by(0), by(900));
        assert_eq!(emptiest(&row(500, 200), &cpu_only), Some(Resource::Cpu));
        let both = ask(100, 100);
        assert_eq!(emptiest(&row(500, 200), &both), Some(Resource::Memory));
    }
}
