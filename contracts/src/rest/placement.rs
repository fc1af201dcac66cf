//! Star ratings.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{id, time};
use crate::{library, placement};

/// How well hosts suit a machine, best first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ratings {
    pub ratings: Vec<Rating>,
    /// Hosts in scope.
    #[serde(default)]
    pub hosts_rated: u32,
    /// Those of them that can take the machine.
    #[serde(default)]
    pub hosts_possible: u32,
    /// Of a machine that there is: what it is expected to use where the request does not say, by what it used in the last
    /// week. Absent: nothing was measured, or all was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learnt: Option<ExpectedLoad>,
}

/// What a machine is expected to use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExpectedLoad {
    /// Of its own processors.
    pub cpu_percent: Option<f64>,
    /// Reads and writes.
    pub disk_io_per_sec: Option<f64>,
    /// Received and sent.
    pub network_mbit: Option<f64>,
}

impl From<library::ExpectedLoad> for ExpectedLoad {
    fn from(message: library::ExpectedLoad) -> Self {
        let library::ExpectedLoad {
            cpu_percent,
            disk_io_per_sec,
            network_mbit,
        } = message;
        Self {
            cpu_percent,
            disk_io_per_sec,
            network_mbit,
        }
    }
}

impl From<ExpectedLoad> for library::ExpectedLoad {
    fn from(load: ExpectedLoad) -> Self {
        let ExpectedLoad {
            cpu_percent,
            disk_io_per_sec,
            network_mbit,
        } = load;
        Self {
            cpu_percent,
            disk_io_per_sec,
            network_mbit,
        }
    }
}

impl From<placement::RateResponse> for Ratings {
    fn from(message: placement::RateResponse) -> Self {
        let placement::RateResponse {
            ratings,
            hosts_rated,
            hosts_possible,
        } = message;
        Self {
            hosts_rated,
            hosts_possible,
            ratings: ratings.into_iter().map(Into::into).collect(),
            learnt: None,
        }
    }
}

/// How well one host suits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rating {
    pub host_id: String,
    pub host_name: String,
    pub group_id: Option<String>,
    /// 0 to 5 in halves.
    pub stars: f64,
    /// The exact rating, 0 to 5.
    pub score: f64,
    /// What each resource took away.
    pub resources: Vec<ResourceRating>,
    /// Why the host has no stars: every check that failed.
    pub zero_reasons: Vec<Reason>,
    /// What cost stars beside resources, and what the numbers do not say.
    #[serde(default)]
    pub remarks: Vec<Reason>,
    /// Of a machine that there is: how it would be moved there.
    #[serde(default)]
    pub transfer: Option<Transfer>,
}

impl From<placement::Rating> for Rating {
    fn from(message: placement::Rating) -> Self {
        let placement::Rating {
            host_id,
            host_name,
            half_stars,
            resources,
            zero_reasons,
            score,
            group_id,
            remarks,
            transfer,
        } = message;
        Self {
            host_id,
            host_name,
            group_id: id(group_id),
            stars: f64::from(half_stars) / 2.0,
            score,
            resources: resources.into_iter().map(Into::into).collect(),
            zero_reasons: zero_reasons.into_iter().map(Into::into).collect(),
            remarks: remarks.into_iter().map(Into::into).collect(),
            transfer: transfer.map(Into::into),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResourceRating {
    /// `cpu`, `memory`, `disk_io` or `network`.
    pub resource: String,
    pub used_percent_before: f64,
    pub used_percent_after: f64,
    pub stars_lost: f64,
    /// One sentence with the numbers.
    pub explanation: String,
    /// 0 to 100; 0 also where the resource does not count because the host's total is not known.
    #[serde(default)]
    pub weight: f64,
}

impl From<placement::ResourceRating> for ResourceRating {
    fn from(message: placement::ResourceRating) -> Self {
        let placement::ResourceRating {
            resource,
            used_percent_before,
            used_percent_after,
            stars_lost,
            explanation,
            weight,
        } = message;
        Self {
            resource,
            used_percent_before,
            used_percent_after,
            stars_lost,
            explanation,
            weight,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// `memory`, `disk`, `image`, `not_responding`, ...
    pub check: String,
    pub message: String,
    pub recommended_action: String,
    /// Stars that it cost; 0 for what makes a host impossible.
    #[serde(default)]
    pub stars_lost: f64,
}

impl From<placement::Reason> for Reason {
    fn from(message: placement::Reason) -> Self {
        let placement::Reason {
            check,
            message,
            recommended_action,
            half_stars_lost,
        } = message;
        Self {
            check,
            message,
            recommended_action,
            stars_lost: f64::from(half_stars_lost) / 2.0,
        }
    }
}

/// How a machine would get to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Transfer {
    /// The type that would be used; null: none is possible today.
    pub kind: Option<String>,
    /// Every type, best first.
    pub options: Vec<TransferOption>,
}

impl From<placement::Transfer> for Transfer {
    fn from(message: placement::Transfer) -> Self {
        let placement::Transfer { kind, options } = message;
        Self {
            kind: id(kind),
            options: options.into_iter().map(Into::into).collect(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransferOption {
    /// `live`, `shared_storage_quick`, `san`, `storage` or `network`.
    pub kind: String,
    pub possible: bool,
    /// Why not, or what it would do.
    pub explanation: String,
    pub expected_ms: Option<u64>,
}

impl From<placement::TransferOption> for TransferOption {
    fn from(message: placement::TransferOption) -> Self {
        let placement::TransferOption {
            kind,
            possible,
            explanation,
            expected_ms,
        } = message;
        Self {
            kind,
            possible,
            explanation,
            expected_ms: possible.then_some(expected_ms),
        }
    }
}

/// Why a machine is where it was placed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    pub vm_id: String,
    pub job_id: String,
    pub host_id: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub time: Option<jiff::Timestamp>,
    /// The hosts that it was chosen from, best first.
    pub ratings: Vec<Rating>,
    pub hosts_rated: u32,
    pub hosts_possible: u32,
    /// Hosts that could not take the machine, by failed check.
    pub failed_checks: std::collections::BTreeMap<String, u32>,
    /// Whether deciding again from the record gives the same, to the last bit.
    pub replays: bool,
}

impl Decision {
    pub fn new(message: placement::Decision, replays: bool) -> Self {
        let placement::Decision {
            vm_id,
            job_id,
            time_ms,
            // What a replay takes; people read the ratings.
            request: _,
            contenders: _,
            ratings,
            hosts_rated,
            hosts_possible,
            failed_checks,
            host_id,
        } = message;
        Self {
            vm_id,
            job_id,
            host_id,
            time: time(time_ms),
            ratings: ratings.into_iter().map(Into::into).collect(),
            hosts_rated,
            hosts_possible,
            failed_checks: failed_checks.into_iter().collect(),
            replays,
        }
    }
}
