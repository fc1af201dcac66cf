//! Hardware profiles.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BootDevice, ExpectedLoad, Firmware, boot_numbers, time};
use crate::{host, library};

/// What machines of a template have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HardwareProfile {
    pub id: String,
    pub name: String,
    /// Counts up with each change.
    pub version: u64,
    pub owner: String,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    pub vcpus: u32,
    pub memory_bytes: u64,
    /// Sizes of blank disks, behind the disks of the template.
    pub disk_bytes: Vec<u64>,
    /// A card for each, on this network.
    pub networks: Vec<String>,
    /// What placement reckons with for machines of a template, where nobody says otherwise; null: the site's defaults.
    pub expected_load: Option<ExpectedLoad>,
    #[serde(default)]
    pub firmware: Firmware,
    /// What the firmware tries, in this order; empty: the disks.
    #[serde(default)]
    pub boot_order: Vec<BootDevice>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created: Option<jiff::Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub changed: Option<jiff::Timestamp>,
}

impl From<library::HardwareProfile> for HardwareProfile {
    fn from(message: library::HardwareProfile) -> Self {
        let (firmware, boot_order) = (message.firmware(), message.boot_order());
        let (firmware, boot_order) = (firmware.into(), boot_order.map(Into::into).collect());
        let library::HardwareProfile {
            id,
            name,
            version,
            created_ms,
            changed_ms,
            owner,
            description,
            tags,
            vcpus,
            memory_bytes,
            disk_bytes,
            networks,
            expected_load,
            firmware: _,
            boot_order: _,
        } = message;
        Self {
            id,
            name,
            version,
            owner,
            description,
            tags,
            vcpus,
            memory_bytes,
            disk_bytes,
            networks,
            expected_load: expected_load.map(Into::into),
            firmware,
            boot_order,
            created: time(created_ms),
            changed: time(changed_ms),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HardwareProfileList {
    pub items: Vec<HardwareProfile>,
}

/// A hardware profile as people write it, in requests and in files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetHardwareProfile {
    pub name: String,
    /// Of a profile that is to be replaced: the version that is meant. Absent: whatever there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Absent: who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    pub vcpus: u32,
    pub memory_bytes: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disk_bytes: Vec<u64>,
    #[serde(default)]
    pub networks: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_load: Option<ExpectedLoad>,
    #[serde(default, skip_serializing_if = "Firmware::is_bios")]
    pub firmware: Firmware,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boot_order: Vec<BootDevice>,
}

impl From<HardwareProfile> for SetHardwareProfile {
    fn from(profile: HardwareProfile) -> Self {
        Self {
            name: profile.name,
            version: Some(profile.version),
            owner: Some(profile.owner),
            description: profile.description,
            tags: profile.tags,
            vcpus: profile.vcpus,
            memory_bytes: profile.memory_bytes,
            disk_bytes: profile.disk_bytes,
            networks: profile.networks,
            expected_load: profile.expected_load,
            firmware: profile.firmware,
            boot_order: profile.boot_order,
        }
    }
}

impl SetHardwareProfile {
    /// As the library takes it.
    pub fn of(self, principal: &str) -> library::HardwareProfile {
        let Self {
            name,
            version,
            owner,
            description,
            tags,
            vcpus,
            memory_bytes,
            disk_bytes,
            networks,
            expected_load,
            firmware,
            boot_order,
        } = self;
        library::HardwareProfile {
            name,
            version: version.unwrap_or_default(),
            owner: owner.unwrap_or_else(|| principal.to_owned()),
            description,
            tags,
            vcpus,
            memory_bytes,
            disk_bytes,
            networks,
            expected_load: expected_load.map(Into::into),
            firmware: host::Firmware::from(firmware).into(),
            boot_order: boot_numbers(&boot_order),
            ..library::HardwareProfile::default()
        }
    }
}
