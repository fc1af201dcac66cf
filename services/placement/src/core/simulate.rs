//! What would fit: machines placed one after the other on a copy of the fleet that is changed as asked.
//!
//! Rules between machines are not looked at: it is a question of capacity.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};

use contracts::placement::{
    Bottleneck, HostState, RateRequest, Rating, Requirements, SimulateRequest, SimulateResponse,
    SimulatedOutcome, SimulatedReserves, SimulatedResource,
};
use contracts::{ObjectRef, Status, limits};

use super::fleet::Fleet;
use super::guest::Guest;
use super::model::{self, Resource};
use super::query::Query;
use super::units::{up, whole_up};
use super::{rate, scope, state, summary};

/// Who set reserves that a simulation sets.
const SIMULATION: &str = "the simulation";

/// Machines without a place that are told by name.
const LEFT_OVER_MAX: usize = 10;

/// Answers what became of the machines of lost hosts, and of those that were added.
pub fn run(fleet: &Fleet, request: &SimulateRequest) -> Result<SimulateResponse, Status> {
    check(request)?;
    let lost = lost(fleet, request)?;
    let inside = scope::below(fleet, &request.group_id)?;
    let mut hosts: Vec<HostState> = fleet
        .slots()
        .iter()
        .map(|slot| slot.state.clone())
        .filter(|state| !lost.contains(&state.host_id))
        .collect();
    let before = used(&hosts);
    if let Some(reserves) = &request.reserves {
        hosts
            .iter_mut()
            .for_each(|host| set_reserves(host, reserves));
    }
    let mut try_out = |needs: Requirements, names: &[String]| {
        let query = query(fleet, request, needs)?;
        let is_inside = |state: &HostState| {
            let inside = inside.as_ref();
            inside.is_none_or(|inside| inside.contains(state.group_id.as_str()))
        };
        Ok::<_, Status>(place(&mut hosts, &query, names, is_inside))
    };
    let mut moved = SimulatedOutcome::default();
    for (needs, names) in homeless(fleet, &lost) {
        add(&mut moved, try_out(needs, &names)?);
    }
    let mut added = Vec::new();
    for kind in &request.add {
        let needs = kind.requirements.clone().unwrap_or_default();
        let name = format!("{} vCPUs, {}", needs.vcpus, up(needs.memory_bytes));
        let names = vec![name; usize::try_from(kind.count).unwrap_or(0)];
        added.push(try_out(needs, &names)?);
    }
    Ok(SimulateResponse {
        hosts: u32::try_from(hosts.len()).unwrap_or(u32::MAX),
        moved: (!lost.is_empty()).then_some(moved),
        added,
        resources: resources(&before, &used(&hosts)),
    })
}

fn check(request: &SimulateRequest) -> Result<(), Status> {
    let added = request
        .add
        .iter()
        .map(|kind| u64::from(kind.count))
        .sum::<u64>();
    if added > limits::SIMULATED_MAX.into() {
        let message = format!("{added} machines are too many for one simulation.");
        let action = format!("Add at most {}.", limits::SIMULATED_MAX);
        return Err(Status::invalid("add", message).action(action));
    }
    let percent = request.reserves.as_ref().and_then(|r| r.cpu_percent);
    if percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
        let message = "A reserve in percent is not between 0 and 100.";
        return Err(Status::invalid("reserves.cpu_percent", message).action("Use 0 to 100."));
    }
    Ok(())
}

fn lost(fleet: &Fleet, request: &SimulateRequest) -> Result<HashSet<String>, Status> {
    let mut lost = HashSet::new();
    for host_id in &request.lose_host_ids {
        if fleet.slot(host_id).is_none() {
            return Err(Status::not_found(ObjectRef::new("host", host_id, "")));
        }
        lost.insert(host_id.clone());
    }
    for group_id in &request.lose_group_ids {
        let groups = scope::below(fleet, group_id)?.unwrap_or_default();
        let states = fleet.slots().iter().map(|slot| &slot.state);
        let inside = states.filter(|state| groups.contains(state.group_id.as_str()));
        lost.extend(inside.map(|state| state.host_id.clone()));
    }
    Ok(lost)
}

fn query(fleet: &Fleet, request: &SimulateRequest, needs: Requirements) -> Result<Query, Status> {
    let rate = RateRequest {
        requirements: Some(needs),
        goal: request.goal,
        weights: request.weights,
        ..RateRequest::default()
    };
    Query::new(&rate, fleet.defaults())
}

fn set_reserves(host: &mut HostState, reserves: &SimulatedReserves) {
    let own = host.reserves.get_or_insert_default();
    if let Some(percent) = reserves.cpu_percent {
        (own.cpu_percent, own.cpu_from) = (percent, SIMULATION.to_owned());
    }
    if let Some(bytes) = reserves.memory_bytes {
        (own.memory_bytes, own.memory_from) = (bytes, SIMULATION.to_owned());
    }
    if let Some(bytes) = reserves.disk_bytes {
        (own.disk_bytes, own.disk_from) = (bytes, SIMULATION.to_owned());
    }
}

/// Running machines of lost hosts by what they need, the largest first: those are the hardest to place.
fn homeless(fleet: &Fleet, lost: &HashSet<String>) -> Vec<(Requirements, Vec<String>)> {
    let mut kinds: BTreeMap<Reverse<(u64, u32, u64)>, Vec<String>> = BTreeMap::new();
    let on_lost = |guest: &&Guest| lost.contains(&guest.host_id) && guest.counts();
    for guest in fleet.guests().filter(on_lost) {
        let size = (guest.memory_bytes, guest.vcpus, guest.disk_bytes);
        kinds
            .entry(Reverse(size))
            .or_default()
            .push(guest.name.clone());
    }
    let needs = |(Reverse((memory_bytes, vcpus, disk_bytes)), mut names): (_, Vec<String>)| {
        names.sort();
        let needs = Requirements {
            // What a host reports may be beyond what can be asked for.
            vcpus: u32::clamp(vcpus, 1, limits::VCPUS_MAX),
            memory_bytes: u64::max(memory_bytes, limits::VM_MEMORY_BYTES_MIN),
            disk_bytes,
            ..Requirements::default()
        };
        (needs, names)
    };
    kinds.into_iter().map(needs).collect()
}

/// Places machines of one kind until none fits any more. After each only the host that took it is looked at again.
fn place(
    hosts: &mut [HostState],
    query: &Query,
    names: &[String],
    is_inside: impl Fn(&HostState) -> bool,
) -> SimulatedOutcome {
    let score = |state: &HostState| {
        let score = rate::score(state, &[], query);
        (score.possible && is_inside(state)).then_some(score.parts)
    };
    let mut heap: BinaryHeap<(u32, Reverse<usize>)> = hosts
        .iter()
        .enumerate()
        .filter_map(|(at, state)| Some((score(state)?, Reverse(at))))
        .collect();
    let (mut placed, mut used) = (0, HashSet::new());
    for _ in names {
        let Some((_, Reverse(at))) = heap.pop() else {
            break;
        };
        let Some(host) = hosts.get_mut(at) else { break };
        take(host, query);
        placed += 1;
        used.insert(at);
        heap.extend(score(host).map(|score| (score, Reverse(at))));
    }
    let bottlenecks = if placed < names.len() {
        let inside = hosts.iter().filter(|state| is_inside(state));
        bottlenecks(inside.map(|state| rate::rate(state, &[], query)).collect())
    } else {
        Vec::new()
    };
    let cut = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    SimulatedOutcome {
        asked: cut(names.len()),
        placed: cut(placed),
        bottlenecks,
        left_over: names
            .iter()
            .skip(placed)
            .take(LEFT_OVER_MAX)
            .cloned()
            .collect(),
        hosts_used: cut(used.len()),
    }
}

/// The machine is on the host.
fn take(host: &mut HostState, query: &Query) {
    let needs = &query.needs;
    let memory = needs
        .memory_bytes
        .saturating_add(host.memory_overhead_bytes);
    host.memory_used_bytes = host.memory_used_bytes.saturating_add(memory);
    let cpu = model::of(&query.ask.need, Resource::Cpu);
    host.cpu_used = host.cpu_used.saturating_add(cpu.into());
    host.disk_promised_bytes = host.disk_promised_bytes.saturating_add(needs.disk_bytes);
    let io = whole_up(needs.expected_disk_io_per_sec.unwrap_or(0.0));
    host.disk_io_used = host.disk_io_used.saturating_add(io);
    let network = whole_up(needs.expected_network_mbit.unwrap_or(0.0));
    host.network_used = host.network_used.saturating_add(network);
}

fn bottlenecks(ratings: Vec<Rating>) -> Vec<Bottleneck> {
    let mut by_check: BTreeMap<String, u32> = BTreeMap::new();
    for rating in &ratings {
        let checks: HashSet<&str> = rating
            .zero_reasons
            .iter()
            .map(|r| r.check.as_str())
            .collect();
        for check in checks {
            *by_check.entry(check.to_owned()).or_default() += 1;
        }
    }
    let nearest = summary::nearest(&ratings);
    let action = |check: &str| {
        let reasons = nearest.map(|rating| rating.zero_reasons.as_slice());
        let reason = reasons
            .unwrap_or_default()
            .iter()
            .find(|r| r.check == check);
        reason
            .map(|r| r.recommended_action.clone())
            .unwrap_or_default()
    };
    let mut all: Vec<Bottleneck> = by_check
        .into_iter()
        .map(|(check, hosts)| Bottleneck {
            recommended_action: action(&check),
            check,
            hosts,
        })
        .collect();
    all.sort_by(|a, b| b.hosts.cmp(&a.hosts).then_with(|| a.check.cmp(&b.check)));
    all
}

fn add(sum: &mut SimulatedOutcome, part: SimulatedOutcome) {
    sum.asked += part.asked;
    sum.placed += part.placed;
    sum.hosts_used = sum.hosts_used.max(part.hosts_used);
    sum.left_over.extend(part.left_over);
    sum.left_over.truncate(LEFT_OVER_MAX);
    if sum.bottlenecks.is_empty() {
        sum.bottlenecks = part.bottlenecks;
    }
}

/// In use and in all, beyond the reserves, over all hosts.
fn used(hosts: &[HostState]) -> Vec<(Resource, u64, u64)> {
    let rows: Vec<model::Row> = hosts.iter().map(state::row).collect();
    let sum = |resource| {
        let rated = rows
            .iter()
            .filter(|row| row.rated & Resource::bit(resource) != 0);
        let (mut used, mut total) = (0_u64, 0_u64);
        for row in rated {
            used += u64::from(model::of(&row.used, resource));
            total += u64::from(model::of(&row.total, resource));
        }
        (resource, used, total)
    };
    Resource::ALL.into_iter().map(sum).collect()
}

fn resources(
    before: &[(Resource, u64, u64)],
    after: &[(Resource, u64, u64)],
) -> Vec<SimulatedResource> {
    #[allow(clippy::cast_precision_loss)] // For people.
    let percent = |(_, used, total): &(Resource, u64, u64)| {
        if *total == 0 {
            0.0
        } else {
            *used as f64 / *total as f64 * 100.0
        }
    };
    before
        .iter()
        .zip(after)
        .filter(|((_, _, total), _)| *total > 0)
        .map(|(before, after)| SimulatedResource {
            resource: before.0.name().to_owned(),
            used_percent_before: percent(before),
            used_percent_after: percent(after),
        })
        .collect()
}

#[cfg(test)]
mod tests;
