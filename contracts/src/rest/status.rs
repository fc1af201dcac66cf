//! The whole at a glance.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the fleet and its manager are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    pub versions: Versions,
    /// The instance of the gateway that answered.
    pub instance: String,
    pub host_groups: u64,
    /// By status; hosts that wait for approval count as `pending`.
    pub hosts: Counts,
    pub vms: Counts,
    pub jobs: Counts,
    /// What the answer reflects, by record kind.
    pub revision: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Versions {
    pub gateway: String,
    /// Agents on hosts, by version.
    pub agents: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    pub total: u64,
    pub by_state: BTreeMap<String, u64>,
}
