//! How long a machine is expected to stay, beside the last machine of a host: what that costs the host for resource
//! maximisation.
//!
//! A host can only be empty when its last machine goes. So a machine that stays longer than all others keeps a host in use for
//! itself, and one that goes much earlier takes room that a machine which stays could have had. Both are counted in
//! doublings, since a guess is off by a factor, not by hours:
//!
//! ```text
//! cost = 1/5 for each doubling that the machine stays longer than the host's last one
//!      + 1/20 for each doubling that it stays shorter
//! ```
//!
//! What stays an hour or less is all the same, and so is what stays ten days or more. Lifetime alignment is known from
//! Google's NILAS and LAVA ("LAVA: Lifetime-Aware VM Allocation with Learned Distributions and Adaptation to Mispredictions",
//! arXiv 2412.09840); the weights were measured (`docs/benchmarks.md`).

use super::model::SCORE_ONE;

/// Steps of one doubling.
const STEPS: u64 = 16;

/// What stays no longer is as good as gone.
const LEAST_SECS: u64 = 3_600;

/// What stays longer stays.
pub const MOST_SECS: u64 = 10 * 86_400;

/// What a step costs that the machine stays longer than the host's last one, and shorter.
const LONGER: u32 = SCORE_ONE / 5 / STEPS as u32;
const SHORTER: u32 = SCORE_ONE / 20 / STEPS as u32;

/// How long something is expected to stay: not known, or a level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stay(u8);

impl Stay {
    /// Nothing is counted for it.
    pub const UNKNOWN: Self = Self(0);

    /// Levels start from 1. Between two doublings they go in a straight line: whole numbers, the same on every machine.
    pub fn of_secs(secs: u64) -> Self {
        let times = secs.clamp(LEAST_SECS, MOST_SECS) * STEPS / LEAST_SECS;
        let doublings = u64::from(times.ilog2() - STEPS.ilog2());
        let beyond = (times >> doublings) - STEPS;
        Self(u8::try_from(1 + doublings * STEPS + beyond).unwrap_or(u8::MAX))
    }

    pub fn is_known(self) -> bool {
        self != Self::UNKNOWN
    }

    pub(super) fn level(self) -> u8 {
        self.0
    }

    /// Of a host with one machine more. One that nothing is known of leaves nothing known.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self.is_known() && other.is_known() {
            self.max(other)
        } else {
            Self::UNKNOWN
        }
    }
}

/// What a machine's stay costs a host, in parts of [`SCORE_ONE`].
pub fn cost(machine: Stay, host: Stay) -> u32 {
    if !machine.is_known() || !host.is_known() {
        return 0;
    }
    let longer = u32::from(machine.0.saturating_sub(host.0));
    let shorter = u32::from(host.0.saturating_sub(machine.0));
    longer * LONGER + shorter * SHORTER
}

/// The same for an estimate: what a step costs, as parts of one.
pub(super) fn step_costs() -> (f32, f32) {
    let part = |parts: u32| parts as f32 / SCORE_ONE as f32;
    (part(LONGER), part(SHORTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600;

    #[test]
    fn each_doubling_is_sixteen_levels_from_an_hour_to_ten_days() {
        let level = |secs| Stay::of_secs(secs).level();
        assert_eq!([0, HOUR, 2 * HOUR, 4 * HOUR].map(level), [1, 1, 17, 33]);
        assert_eq!(level(3 * HOUR), 25);
        assert_eq!(level(MOST_SECS), level(u64::MAX));
        let mut before = 0;
        for secs in (0..MOST_SECS).step_by(60) {
            assert!(level(secs) >= before);
            before = level(secs);
        }
    }

    #[test]
    fn staying_longer_than_the_host_costs_four_times_what_staying_shorter_does() {
        let (short, long) = (Stay::of_secs(2 * HOUR), Stay::of_secs(8 * HOUR));
        assert_eq!(cost(long, short), 32 * LONGER);
        assert_eq!(cost(short, long), 32 * SHORTER);
        assert_eq!(cost(long, long), 0);
        assert_eq!(LONGER / SHORTER, 4);
    }

    #[test]
    fn what_is_not_known_costs_nothing() {
        let known = Stay::of_secs(HOUR);
        for (machine, host) in [(Stay::UNKNOWN, known), (known, Stay::UNKNOWN)] {
            assert_eq!(cost(machine, host), 0);
            assert_eq!(machine.and(host), Stay::UNKNOWN);
        }
        assert_eq!(known.and(Stay::of_secs(0)), known);
    }
}
