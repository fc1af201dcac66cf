//! Stars for one machine on one host, and the order of hosts.
//!
//! The formulas are those of Virtual Machine Manager ("How Virtual Machine Manager Rates Hosts") for load balancing:
//!
//! - CPU: `1 - CPU utilization / (100 - CPU reserve)`, in percent
//! - memory: `1 - memory used / (total memory - memory reserve)`
//! - disk I/O: `1 - disk IOPS / maximum disk IOPS`
//! - network: `1 - network utilization / (100 - network reserve)`, in percent
//!
//! with the use that is expected once the machine runs there. The rating is their weighted mean times five stars, shown in
//! half stars; a resource of which the host's total is not known is left out. Resource maximisation rates how full the host
//! would be (`fullness`). Each wish that a host does not meet costs stars on top. The rating does not depend on other hosts.
//! A host that passes every check has at least half a star, so that no stars always means that the machine cannot be there.

mod explain;
mod wishes;

pub(super) use wishes::{CROWD_MAX, WISH_HALF_STARS};

use std::cmp::Ordering;

use contracts::placement::{HostState, Rating, Reason, RuleStanding};

use super::checks;
use super::model::{self, Ask, SCORE_ONE};
use super::query::Query;
use super::state;

pub(super) const STARS_MAX: f64 = 5.0;

/// Half stars of a host that can take the machine.
const HALF_STARS: (u32, u32) = (1, 10);

/// What a half star is of the whole scale.
pub(super) const HALF_STAR: u32 = SCORE_ONE / 10;

/// How good a host is, as hosts are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Score {
    pub possible: bool,
    /// In parts of [`SCORE_ONE`], after what wishes cost.
    pub parts: u32,
}

/// Hosts that can take the machine first, by score. Of hosts that are alike the first by name and id comes first, which is
/// the order that they are kept in.
pub fn better_first(a: &Score, b: &Score) -> Ordering {
    b.possible
        .cmp(&a.possible)
        .then_with(|| b.parts.cmp(&a.parts))
}

pub fn can_take(rating: &Rating) -> bool {
    rating.zero_reasons.is_empty()
}

/// A host's score, and its rating when that is wanted.
pub fn score(state: &HostState, rules: &[RuleStanding], query: &Query) -> Score {
    let (possible, lost) = standing(state, rules, query);
    Score {
        possible,
        parts: if possible {
            parts(state, &query.ask, lost)
        } else {
            0
        },
    }
}

/// Whether a host can take the machine, and the half stars that wishes cost it.
pub fn standing(state: &HostState, rules: &[RuleStanding], query: &Query) -> (bool, u32) {
    let possible = checks::failed(state, rules, query).is_empty();
    let remarks = wishes::remarks(state, rules, query);
    (possible, half_stars_lost(&remarks))
}

/// Rates one host.
pub fn rate(state: &HostState, rules: &[RuleStanding], query: &Query) -> Rating {
    let zero_reasons = checks::failed(state, rules, query);
    let remarks = wishes::remarks(state, rules, query);
    let parts = if zero_reasons.is_empty() {
        parts(state, &query.ask, half_stars_lost(&remarks))
    } else {
        0
    };
    Rating {
        host_id: state.host_id.clone(),
        host_name: state.host_name.clone(),
        group_id: state.group_id.clone(),
        half_stars: if zero_reasons.is_empty() {
            half_stars(parts)
        } else {
            0
        },
        resources: explain::resources(state, query),
        zero_reasons,
        // Exact: the scale is a power of two.
        score: f64::from(parts) / f64::from(SCORE_ONE) * STARS_MAX,
        remarks,
        transfer: None,
    }
}

fn half_stars_lost(remarks: &[Reason]) -> u32 {
    remarks.iter().map(|remark| remark.half_stars_lost).sum()
}

/// What the numbers give, less what wishes cost.
fn parts(state: &HostState, ask: &Ask, half_stars_lost: u32) -> u32 {
    let given = model::value(&state::row(state), ask);
    given.saturating_sub(half_stars_lost.saturating_mul(HALF_STAR))
}

/// What rounding down can have taken from a score: less than one part for a resource, and less than one for the mean.
const ROUNDED_PARTS: u64 = 2;

/// Rounded to the nearest half star, halves of one up.
fn half_stars(parts: u32) -> u32 {
    let (least, most) = HALF_STARS;
    let doubled = (u64::from(parts) + ROUNDED_PARTS) * 20 / u64::from(SCORE_ONE);
    u32::try_from(doubled.div_ceil(2))
        .unwrap_or(most)
        .clamp(least, most)
}

#[cfg(test)]
mod tests;
