//! What each resource gave and took, in numbers and a sentence.

use contracts::placement::{HostState, ResourceRating};

use super::STARS_MAX;
use crate::core::fullness;
use crate::core::model::{self, Goal, Resource, Row, SCORE_ONE};
use crate::core::query::Query;
use crate::core::state;
use crate::core::units::{down, up};

pub(super) fn resources(state: &HostState, query: &Query) -> Vec<ResourceRating> {
    let row = state::row(state);
    let rated = Resource::ALL
        .into_iter()
        .filter(|r| row.rated & r.bit() != 0);
    let weights: u64 = rated.map(|r| weight(query, r)).sum();
    Resource::ALL
        .into_iter()
        .map(|resource| one(state, &row, query, resource, weights))
        .collect()
}

fn weight(query: &Query, resource: Resource) -> u64 {
    model::of(&query.ask.weights, resource).into()
}

fn one(
    state: &HostState,
    row: &Row,
    query: &Query,
    resource: Resource,
    weights: u64,
) -> ResourceRating {
    if row.rated & resource.bit() == 0 {
        return unknown(state, resource);
    }
    let (before, after, explanation) = match resource {
        Resource::Cpu => cpu(state, query),
        Resource::Memory => memory(state, query),
        Resource::DiskIo => disk_io(state, query),
        Resource::Network => network(state, query),
    };
    ResourceRating {
        resource: resource.name().to_owned(),
        used_percent_before: before,
        used_percent_after: after,
        stars_lost: stars_lost(row, query, resource, weights),
        explanation,
        #[allow(clippy::cast_precision_loss)] // At most 100,000.
        weight: weight(query, resource) as f64 / 1000.0,
    }
}

/// The stars that all resources lost and those that the host has make five.
#[allow(clippy::cast_precision_loss)] // Thousandths of weights need no 53 bits.
fn stars_lost(row: &Row, query: &Query, resource: Resource, weights: u64) -> f64 {
    if weights == 0 {
        return 0.0;
    }
    let stars = |parts: i64| parts as f64 / f64::from(SCORE_ONE) * STARS_MAX;
    let left = i64::from(model::left(row, &query.ask.need, resource));
    let share = weight(query, resource) as f64 / weights as f64;
    match query.ask.goal {
        Goal::Balance => stars(i64::from(SCORE_ONE) - left) * share,
        Goal::Maximise if is_emptiest(row, query, resource) => {
            stars(left) * share + stars(fullness::lost_to_balance(row, &query.ask))
        }
        Goal::Maximise => stars(left) * share,
    }
}

/// For resource maximisation the resource of which most is left also has what the balance costs, or gives.
fn is_emptiest(row: &Row, query: &Query, resource: Resource) -> bool {
    fullness::emptiest(row, &query.ask) == Some(resource)
}

fn unknown(state: &HostState, resource: Resource) -> ResourceRating {
    let name = &state.host_name;
    let (what, option) = match resource {
        Resource::Network => (
            "Network: what the host's uplinks can carry",
            "--network-mbit-max",
        ),
        _ => ("Disk I/O: what the host's disks can do", "--disk-io-max"),
    };
    ResourceRating {
        resource: resource.name().to_owned(),
        explanation: format!(
            "{what} is not known, so it does not count. Say it: muster host set {name} {option} <number>."
        ),
        ..ResourceRating::default()
    }
}

/// Percent of all that there is.
#[allow(clippy::cast_precision_loss)]
fn percent(used: u64, total: u64) -> f64 {
    if total == 0 {
        100.0
    } else {
        used as f64 / total as f64 * 100.0
    }
}

fn need(query: &Query, resource: Resource) -> u64 {
    model::of(&query.ask.need, resource).into()
}

fn cpu(state: &HostState, query: &Query) -> (f64, f64, String) {
    let total = u64::from(state.cpus) * 100;
    let before = percent(state.cpu_used, total);
    let with = state.cpu_used.saturating_add(need(query, Resource::Cpu));
    let after = percent(with, total);
    let reserve = state.reserves.clone().unwrap_or_default().cpu_percent;
    let explanation = format!(
        "CPU: {before:.0} % in use or promised, {after:.0} % with the machine, {reserve:.0} % kept for the host."
    );
    (before, after, explanation)
}

fn memory(state: &HostState, query: &Query) -> (f64, f64, String) {
    let total = state.memory_bytes;
    let before = state.memory_used_bytes;
    let after = before
        .saturating_add(query.needs.memory_bytes)
        .saturating_add(state.memory_overhead_bytes);
    let reserve = state.reserves.clone().unwrap_or_default().memory_bytes;
    let explanation = format!(
        "Memory: {} of {} in use or promised, {} with the machine, {} kept for the host.",
        up(before),
        down(total),
        up(after),
        up(reserve),
    );
    (percent(before, total), percent(after, total), explanation)
}

fn disk_io(state: &HostState, query: &Query) -> (f64, f64, String) {
    let (before, total) = (state.disk_io_used, state.disk_io_max);
    let after = before.saturating_add(need(query, Resource::DiskIo));
    let reserve = state.reserves.clone().unwrap_or_default().disk_io_per_sec;
    let explanation = format!(
        "Disk I/O: {before} of {total} operations a second in use or promised, {after} with the machine, {reserve:.0} kept for the host."
    );
    (percent(before, total), percent(after, total), explanation)
}

fn network(state: &HostState, query: &Query) -> (f64, f64, String) {
    let (before, total) = (state.network_used, state.network_max);
    let after = before.saturating_add(need(query, Resource::Network));
    let reserve = state.reserves.clone().unwrap_or_default().network_percent;
    let explanation = format!(
        "Network: {before} of {total} Mbit/s in use or promised, {after} with the machine, {reserve:.0} % kept for the host."
    );
    (percent(before, total), percent(after, total), explanation)
}
