//! Host groups.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Encryption, Tips, id, time};
use crate::inherit::{Effective, EffectiveSettings};
use crate::{inventory, placement};

/// A node of the tree of host groups. The root is `all-hosts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostGroup {
    pub id: String,
    pub name: String,
    /// Names from the root down to this group, joined by slashes.
    pub path: String,
    /// Null for the root only.
    pub parent_id: Option<String>,
    pub description: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created: Option<jiff::Timestamp>,
    /// The job that changes the group now.
    pub job_id: Option<String>,
    pub reserves: Option<Reserves>,
    #[serde(default)]
    pub encryption: Encryption,
    /// What hosts below inherit, where the group says something itself.
    #[serde(default)]
    pub settings: Option<GroupSettings>,
    /// What is in force for hosts in the group, and who said it. Only of one group, not in lists.
    #[serde(default)]
    pub effective: Option<EffectiveGroup>,
}

impl From<inventory::HostGroup> for HostGroup {
    /// `path` is the name alone: the path takes knowing the other groups.
    fn from(message: inventory::HostGroup) -> Self {
        let encryption = message.encryption().into();
        let inventory::HostGroup {
            id: group_id,
            name,
            parent_id,
            description,
            created_ms,
            job_id,
            reserves,
            encryption: _,
            settings,
        } = message;
        Self {
            id: group_id,
            path: name.clone(),
            name,
            parent_id: id(parent_id),
            description,
            created: time(created_ms),
            job_id: id(job_id),
            reserves: reserves.map(Into::into),
            encryption,
            settings: settings.map(Into::into),
            effective: None,
        }
    }
}

/// What host groups hand down; what is null is inherited from the group above.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct GroupSettings {
    /// Whether tips are shown.
    pub tips: Option<bool>,
    /// Tips of at least this weight are shown.
    pub tips_from: Option<Tips>,
    /// Tips of at least this weight are carried out without asking.
    pub tips_automatic: Option<Tips>,
}

impl From<inventory::GroupSettings> for GroupSettings {
    fn from(message: inventory::GroupSettings) -> Self {
        let known = |tips: Option<i32>| {
            let tips = inventory::group_settings::Tips::try_from(tips?).ok()?;
            Some(Tips::from(tips))
        };
        let inventory::GroupSettings {
            tips,
            tips_from,
            tips_automatic,
        } = message;
        Self {
            tips,
            tips_from: known(tips_from),
            tips_automatic: known(tips_automatic),
        }
    }
}

/// A value in force, and who said it: a host, a host group, or the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InForce<T> {
    pub value: T,
    pub from: String,
}

/// Everything that is in force for hosts of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EffectiveGroup {
    pub reserves: EffectiveReserves,
    pub encryption: InForce<Encryption>,
    pub tips: InForce<bool>,
    pub tips_from: InForce<Tips>,
    pub tips_automatic: InForce<Tips>,
}

impl EffectiveGroup {
    pub fn new(reserves: placement::EffectiveReserves, settings: EffectiveSettings) -> Self {
        fn told<T, U: From<T>>(effective: Effective<T>) -> InForce<U> {
            InForce {
                value: effective.value.into(),
                from: effective.from,
            }
        }
        let EffectiveSettings {
            encryption,
            tips,
            tips_from,
            tips_automatic,
        } = settings;
        Self {
            reserves: reserves.into(),
            encryption: told(encryption),
            tips: told(tips),
            tips_from: told(tips_from),
            tips_automatic: told(tips_automatic),
        }
    }
}

/// Reserves in force, and who said each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EffectiveReserves {
    pub cpu_percent: InForce<f64>,
    pub memory_bytes: InForce<u64>,
    pub disk_bytes: InForce<u64>,
    pub disk_io_per_sec: InForce<f64>,
    pub network_percent: InForce<f64>,
}

impl From<placement::EffectiveReserves> for EffectiveReserves {
    fn from(message: placement::EffectiveReserves) -> Self {
        fn told<T>(value: T, from: String) -> InForce<T> {
            InForce { value, from }
        }
        let placement::EffectiveReserves {
            cpu_percent,
            cpu_from,
            memory_bytes,
            memory_from,
            disk_bytes,
            disk_from,
            disk_io_per_sec,
            disk_io_from,
            network_percent,
            network_from,
        } = message;
        Self {
            cpu_percent: told(cpu_percent, cpu_from),
            memory_bytes: told(memory_bytes, memory_from),
            disk_bytes: told(disk_bytes, disk_from),
            disk_io_per_sec: told(disk_io_per_sec, disk_io_from),
            network_percent: told(network_percent, network_from),
        }
    }
}

/// Kept free for the host itself; what is null is inherited from the group above.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Reserves {
    pub cpu_percent: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub disk_bytes: Option<u64>,
    /// Disk operations a second.
    pub disk_io_per_sec: Option<f64>,
    pub network_percent: Option<f64>,
}

impl From<inventory::Reserves> for Reserves {
    fn from(message: inventory::Reserves) -> Self {
        let inventory::Reserves {
            cpu_percent,
            memory_bytes,
            disk_bytes,
            disk_io_per_sec,
            network_percent,
        } = message;
        Self {
            cpu_percent,
            memory_bytes,
            disk_bytes,
            disk_io_per_sec,
            network_percent,
        }
    }
}
