//! Stars for one machine on one host, and the order of hosts.
//!
//! The formulas are those of Virtual Machine Manager ("How Virtual Machine Manager Rates Hosts") for load balancing:
//!
//! - CPU: `1 - CPU utilization / (100 - CPU reserve)`, in percent
//! - memory: `1 - memory used / (total memory - memory reserve)`
//!
//! with the use that is expected once the machine runs there. The rating is the mean of both (equal weights) times five
//! stars, shown in half stars. It does not depend on other hosts. A host that passes every check has at least half a star,
//! so that no stars always means that the machine cannot be there.

use std::cmp::Ordering;

use contracts::placement::{Rating, Requirements, ResourceRating};

use super::checks;
use super::load::{Candidate, Load, share};

const STARS_MAX: f64 = 5.0;

/// Half stars of a host that can take the machine.
const HALF_STARS: (u32, u32) = (1, 10);

/// Rates every candidate, best first.
pub fn rate_all(
    candidates: &[Candidate],
    needs: &Requirements,
    expected_default: f64,
) -> Vec<Rating> {
    let mut ratings: Vec<Rating> = candidates
        .iter()
        .map(|candidate| rate(candidate, needs, expected_default))
        .collect();
    ratings.sort_by(order);
    ratings
}

/// Hosts that can take the machine first, by score, then by name and id: a total order, so that every instance chooses
/// alike.
fn order(a: &Rating, b: &Rating) -> Ordering {
    can_take(b)
        .cmp(&can_take(a))
        .then(b.score.total_cmp(&a.score))
        .then_with(|| a.host_name.cmp(&b.host_name))
        .then_with(|| a.host_id.cmp(&b.host_id))
}

pub fn can_take(rating: &Rating) -> bool {
    rating.zero_reasons.is_empty()
}

/// The host that a machine goes to.
pub fn best(ratings: &[Rating]) -> Option<&Rating> {
    ratings.first().filter(|rating| can_take(rating))
}

/// Rates one host.
pub fn rate(candidate: &Candidate, needs: &Requirements, expected_default: f64) -> Rating {
    let load = candidate.load(expected_default);
    let expected = needs.expected_cpu_percent.unwrap_or(expected_default);
    let zero_reasons = checks::failed(candidate, &load, needs);
    let terms = [
        cpu(candidate, &load, needs.vcpus, expected),
        memory(candidate, &load, needs.memory_bytes),
    ];
    let kept: f64 = terms.iter().map(|(term, _)| term).sum();
    let score = if zero_reasons.is_empty() {
        kept / 2.0 * STARS_MAX
    } else {
        0.0
    };
    Rating {
        host_id: candidate.host.id.clone(),
        host_name: candidate.host.name.clone(),
        group_id: candidate.host.group_id.clone(),
        half_stars: if zero_reasons.is_empty() {
            half_stars(score)
        } else {
            0
        },
        resources: terms.into_iter().map(|(_, resource)| resource).collect(),
        zero_reasons,
        score,
    }
}

fn half_stars(score: f64) -> u32 {
    let (least, most) = HALF_STARS;
    // The score is 0 to 5, so the cast cuts nothing off.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rounded = (score * 2.0).round() as u32;
    rounded.clamp(least, most)
}

fn cpu(candidate: &Candidate, load: &Load, vcpus: u32, expected: f64) -> (f64, ResourceRating) {
    let reserve = candidate.reserved.cpu_percent;
    let before = load.cpu_percent;
    let after = before + share(vcpus, expected, candidate.facts().cpus);
    let term = term(after, 100.0 - reserve);
    let explanation = format!(
        "CPU: {before:.0} % in use or promised, {after:.0} % with the machine, {reserve:.0} % kept for the host."
    );
    (term, resource("cpu", before, after, term, explanation))
}

#[allow(clippy::cast_precision_loss)] // Percentages of bytes need no 53 bits.
fn memory(candidate: &Candidate, load: &Load, wanted: u64) -> (f64, ResourceRating) {
    const MIB: u64 = 1 << 20;
    let facts = candidate.facts();
    let (total, reserve) = (facts.memory_bytes, candidate.reserved.memory_bytes);
    let before = load.memory_bytes;
    let after = before
        .saturating_add(wanted)
        .saturating_add(facts.memory_overhead_bytes);
    let term = term(after as f64, total.saturating_sub(reserve) as f64);
    let percent = |used: u64| {
        if total == 0 {
            100.0
        } else {
            used as f64 / total as f64 * 100.0
        }
    };
    let explanation = format!(
        "Memory: {} MiB of {} MiB in use or promised, {} MiB with the machine, {} MiB kept for the host.",
        before.div_ceil(MIB),
        total / MIB,
        after.div_ceil(MIB),
        reserve.div_ceil(MIB),
    );
    (
        term,
        resource("memory", percent(before), percent(after), term, explanation),
    )
}

/// What is left of a resource, 0 to 1; nothing where there is none or where a number is none.
fn term(used: f64, available: f64) -> f64 {
    let left = 1.0 - used / available;
    if available > 0.0 && left.is_finite() {
        left.clamp(0.0, 1.0)
    } else {
        0.0
    }
}

fn resource(name: &str, before: f64, after: f64, term: f64, explanation: String) -> ResourceRating {
    ResourceRating {
        resource: name.to_owned(),
        used_percent_before: before,
        used_percent_after: after,
        stars_lost: (1.0 - term) * STARS_MAX,
        explanation,
    }
}

#[cfg(test)]
mod tests;
