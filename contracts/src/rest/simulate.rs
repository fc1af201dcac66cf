//! Questions about a fleet that is not.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Goal, SetReserves, Weights};
use crate::placement;

/// A change of the fleet to try out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Simulate {
    /// Hosts that are lost with everything on them, by id or name.
    pub lose_hosts: Vec<String>,
    /// Host groups that are lost with every host in and below them, by id or name.
    pub lose_groups: Vec<String>,
    /// Machines to add, one kind after the other.
    pub add: Vec<SimulatedMachines>,
    /// CPU, memory and disk reserves for every host in place of its own.
    pub reserves: Option<SetReserves>,
    pub goal: Option<Goal>,
    pub weights: Option<Weights>,
    /// Only hosts of this group and below take machines.
    pub group: Option<String>,
}

/// Machines of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulatedMachines {
    pub count: u32,
    pub vcpus: u32,
    pub memory_bytes: u64,
    #[serde(default)]
    pub disk_bytes: u64,
    #[serde(default)]
    pub expected_cpu_percent: Option<f64>,
}

/// What would become of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Simulation {
    /// Hosts that are left.
    pub hosts: u32,
    /// Machines of lost hosts.
    pub moved: Option<SimulatedOutcome>,
    /// Of each kind that was added.
    pub added: Vec<SimulatedOutcome>,
    pub resources: Vec<SimulatedResource>,
}

impl From<placement::SimulateResponse> for Simulation {
    fn from(message: placement::SimulateResponse) -> Self {
        let placement::SimulateResponse {
            hosts,
            moved,
            added,
            resources,
        } = message;
        Self {
            hosts,
            moved: moved.map(Into::into),
            added: added.into_iter().map(Into::into).collect(),
            resources: resources.into_iter().map(Into::into).collect(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SimulatedOutcome {
    pub asked: u32,
    pub placed: u32,
    pub hosts_used: u32,
    /// Why the next one found no place, what stands in the way most often first.
    pub bottlenecks: Vec<Bottleneck>,
    /// Machines that found no place; ten at most.
    pub left_over: Vec<String>,
}

impl From<placement::SimulatedOutcome> for SimulatedOutcome {
    fn from(message: placement::SimulatedOutcome) -> Self {
        let placement::SimulatedOutcome {
            asked,
            placed,
            bottlenecks,
            left_over,
            hosts_used,
        } = message;
        Self {
            asked,
            placed,
            hosts_used,
            bottlenecks: bottlenecks.into_iter().map(Into::into).collect(),
            left_over,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bottleneck {
    /// `memory`, `disk`, ...
    pub check: String,
    pub hosts: u32,
    /// The smallest change that would help on the nearest host.
    pub recommended_action: String,
}

impl From<placement::Bottleneck> for Bottleneck {
    fn from(message: placement::Bottleneck) -> Self {
        let placement::Bottleneck {
            check,
            hosts,
            recommended_action,
        } = message;
        Self {
            check,
            hosts,
            recommended_action,
        }
    }
}

/// Of all hosts together, what is beyond the reserves being 100.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SimulatedResource {
    pub resource: String,
    pub used_percent_before: f64,
    pub used_percent_after: f64,
}

impl From<placement::SimulatedResource> for SimulatedResource {
    fn from(message: placement::SimulatedResource) -> Self {
        let placement::SimulatedResource {
            resource,
            used_percent_before,
            used_percent_after,
        } = message;
        Self {
            resource,
            used_percent_before,
            used_percent_after,
        }
    }
}
