//! What clients send of placement and of what it goes by, as others take it.

use contracts::{inventory, jobs, limits, placement, rest};

use super::requests::{Scope, nothing_to_change, within};
use crate::error::{Failure, Outcome};

/// Ids of the hosts that a request named.
#[derive(Clone, Debug, Default)]
pub(crate) struct NamedHosts {
    pub(crate) possible: Vec<String>,
    pub(crate) preferred: Vec<String>,
}

pub(crate) fn rate(
    request: rest::RateRequest,
    scope: Scope,
    named: NamedHosts,
    vm_id: String,
) -> Outcome<placement::RateRequest> {
    let rest::RateRequest {
        vcpus,
        memory_bytes,
        disk_bytes,
        images,
        expected_cpu_percent,
        group: _,
        host: _,
        placing,
        limit,
        vm: _,
    } = request;
    // Of a machine that there is sizes may be left out: they are its own.
    let vcpus = vcpus.unwrap_or(if vm_id.is_empty() { 1 } else { 0 });
    if vm_id.is_empty() {
        within("vcpus", vcpus.into(), 1, limits::VCPUS_MAX.into())?;
        within("memory_bytes", memory_bytes, 1, limits::VM_MEMORY_BYTES_MAX)?;
    }
    within("images", images.len() as u64, 0, limits::DISKS_MAX as u64)?;
    if expected_cpu_percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
        return Err(Failure::invalid(
            "expected_cpu_percent",
            "expected_cpu_percent: not between 0 and 100.",
            "Choose a value between the two.",
        ));
    }
    let (goal, weights) = (goal(&placing), placing.weights.map(Into::into));
    Ok(placement::RateRequest {
        requirements: Some(placement::Requirements {
            vcpus,
            memory_bytes,
            disk_bytes,
            images,
            expected_cpu_percent,
            ..requirements(placing, named)
        }),
        group_id: scope.group_id,
        host_id: scope.host_id,
        goal,
        weights,
        vm_id,
        limit: limit.unwrap_or(0),
    })
}

pub(crate) fn goal(placing: &rest::Placing) -> i32 {
    placing
        .goal
        .map_or(placement::Goal::Unspecified, Into::into)
        .into()
}

/// All that is no size.
pub(crate) fn requirements(placing: rest::Placing, named: NamedHosts) -> placement::Requirements {
    let rest::Placing {
        goal: _,
        weights: _,
        expected_disk_io_per_sec,
        expected_network_mbit,
        expected_stay_secs,
        networks,
        highly_available,
        platform,
        accelerator,
        cpu_features,
        host_tags,
        datastore_tags,
        // Looked up in `named`.
        possible_hosts: _,
        preferred_hosts: _,
        vm_tags,
    } = placing;
    placement::Requirements {
        expected_disk_io_per_sec,
        expected_network_mbit,
        expected_stay_secs,
        networks,
        highly_available,
        platform: platform.unwrap_or_default(),
        accelerator: accelerator.unwrap_or_default(),
        cpu_features,
        host_tags,
        datastore_tags,
        possible_host_ids: named.possible,
        preferred_host_ids: named.preferred,
        tags: vm_tags.into_iter().collect(),
        ..placement::Requirements::default()
    }
}

pub(crate) fn host_set(host_id: String, request: rest::SetHost) -> Outcome<jobs::HostSet> {
    if request == rest::SetHost::default() {
        return Err(nothing_to_change());
    }
    let rest::SetHost {
        reserves,
        inherit,
        maintenance,
        add_tags,
        remove_tags,
        datastore_tags,
        rack,
        room,
        cluster,
        disk_io_per_sec_max,
        network_mbit_max,
    } = request;
    Ok(jobs::HostSet {
        host_id,
        reserves: reserves.map(Into::into),
        inherit,
        maintenance,
        add_tags,
        remove_tags,
        datastore_tags: datastore_tags
            .into_iter()
            .map(|(name, tags)| (name, inventory::Tags { tags }))
            .collect(),
        rack,
        room,
        cluster,
        disk_io_per_sec_max,
        network_mbit_max,
    })
}

/// Ids of what a simulation named.
#[derive(Clone, Debug, Default)]
pub(crate) struct NamedParts {
    pub(crate) hosts: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) group_id: String,
}

pub(crate) fn simulate(request: rest::Simulate, named: NamedParts) -> placement::SimulateRequest {
    let rest::Simulate {
        lose_hosts: _,
        lose_groups: _,
        add,
        reserves,
        goal,
        weights,
        group: _,
    } = request;
    placement::SimulateRequest {
        lose_host_ids: named.hosts,
        lose_group_ids: named.groups,
        add: add.into_iter().map(machines).collect(),
        reserves: reserves.map(|reserves| placement::SimulatedReserves {
            cpu_percent: reserves.cpu_percent,
            memory_bytes: reserves.memory_bytes,
            disk_bytes: reserves.disk_bytes,
        }),
        goal: goal.map_or(placement::Goal::Unspecified, Into::into).into(),
        weights: weights.map(Into::into),
        group_id: named.group_id,
    }
}

fn machines(kind: rest::SimulatedMachines) -> placement::SimulatedMachines {
    let rest::SimulatedMachines {
        count,
        vcpus,
        memory_bytes,
        disk_bytes,
        expected_cpu_percent,
    } = kind;
    placement::SimulatedMachines {
        count,
        requirements: Some(placement::Requirements {
            vcpus,
            memory_bytes,
            disk_bytes,
            expected_cpu_percent,
            ..placement::Requirements::default()
        }),
    }
}

/// A rule under an id of its own, its machines and hosts by their ids.
pub(crate) fn rule(
    id: String,
    request: rest::AddRule,
    vm_ids: Vec<String>,
    host_ids: Vec<String>,
) -> placement::Rule {
    let rest::AddRule {
        name,
        bond,
        strength,
        level,
        vms: _,
        vm_tag,
        hosts: _,
        host_tag,
    } = request;
    placement::Rule {
        id,
        name,
        bond: placement::rule::Bond::from(bond).into(),
        strength: placement::rule::Strength::from(strength).into(),
        level: placement::rule::Level::from(level).into(),
        vm_ids,
        vm_tag: vm_tag.unwrap_or_default(),
        host_ids,
        host_tag: host_tag.unwrap_or_default(),
        ..placement::Rule::default()
    }
}
