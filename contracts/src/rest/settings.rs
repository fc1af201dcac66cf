//! What clients set of hosts and host groups.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Tips;
use crate::inventory;

/// Reserves to set; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SetReserves {
    pub cpu_percent: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub disk_bytes: Option<u64>,
    /// Disk operations a second.
    pub disk_io_per_sec: Option<f64>,
    pub network_percent: Option<f64>,
}

impl From<SetReserves> for inventory::Reserves {
    fn from(reserves: SetReserves) -> Self {
        let SetReserves {
            cpu_percent,
            memory_bytes,
            disk_bytes,
            disk_io_per_sec,
            network_percent,
        } = reserves;
        Self {
            cpu_percent,
            memory_bytes,
            disk_bytes,
            disk_io_per_sec,
            network_percent,
        }
    }
}

/// Settings of a host group to set; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SetGroupSettings {
    /// Whether tips are shown.
    pub tips: Option<bool>,
    /// Tips of at least this weight are shown.
    pub tips_from: Option<Tips>,
    /// Tips of at least this weight are carried out without asking.
    pub tips_automatic: Option<Tips>,
}

impl From<SetGroupSettings> for inventory::GroupSettings {
    fn from(settings: SetGroupSettings) -> Self {
        let number = |tips: Tips| inventory::group_settings::Tips::from(tips).into();
        let SetGroupSettings {
            tips,
            tips_from,
            tips_automatic,
        } = settings;
        Self {
            tips,
            tips_from: tips_from.map(number),
            tips_automatic: tips_automatic.map(number),
        }
    }
}

/// What is to be different about a host; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SetHost {
    pub reserves: Option<SetReserves>,
    /// Reserves that are to be inherited again, by name: `memory_bytes`.
    pub inherit: Vec<String>,
    /// Nothing new is placed on a host in maintenance mode.
    pub maintenance: Option<bool>,
    /// `key` or `key=value`.
    pub add_tags: Vec<String>,
    pub remove_tags: Vec<String>,
    /// Replaces the tags of these datastores.
    pub datastore_tags: BTreeMap<String, Vec<String>>,
    /// Failure domains; empty takes the host out of its one.
    pub rack: Option<String>,
    pub room: Option<String>,
    pub cluster: Option<String>,
    /// Operations a second that the host's disks can do; 0: not known.
    pub disk_io_per_sec_max: Option<u32>,
    /// What the host's uplinks carry; 0: what the host says of itself.
    pub network_mbit_max: Option<u32>,
}
