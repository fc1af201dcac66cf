//! Hosts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use std::collections::BTreeMap;

use super::{Approval, EffectiveReserves, HostStatus, Refreshed, Reserves, id, time};
use crate::{host, inventory};

/// A machine that runs virtual machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Host {
    pub id: String,
    pub name: String,
    pub group_id: Option<String>,
    /// Path of the group, as in the group itself.
    pub group_path: Option<String>,
    pub approval: Approval,
    pub status: HostStatus,
    pub facts: Option<HostFacts>,
    /// Virtual machines on the host.
    pub vm_count: u64,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created: Option<jiff::Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub status_changed: Option<jiff::Timestamp>,
    /// The job that changes the host now.
    pub job_id: Option<String>,
    pub reserves: Option<Reserves>,
    /// Whether the host is being taken out of the fleet.
    pub removing: bool,
    /// When it was refreshed last, by each kind of refresh that shows on it. Only where one object is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refreshed: Vec<Refreshed>,
    #[serde(default)]
    pub settings: HostSettings,
    /// What is kept free for the host itself, and who said so. Only of one host, not in lists.
    #[serde(default)]
    pub effective_reserves: Option<EffectiveReserves>,
}

impl From<inventory::Host> for Host {
    /// `group_path`, `vm_count` and `refreshed` take knowing more.
    fn from(message: inventory::Host) -> Self {
        let approval = message.approval().into();
        let status = message.status().into();
        let inventory::Host {
            id: host_id,
            name,
            group_id,
            approval: _,
            status: _,
            facts,
            created_ms,
            status_changed_ms,
            job_id,
            // Between the agent and inventory alone.
            generation: _,
            report_number: _,
            reserves,
            removing,
            settings,
            // Placement's business.
            facts_ms: _,
        } = message;
        Self {
            id: host_id,
            name,
            group_id: id(group_id),
            group_path: None,
            approval,
            status,
            facts: facts.map(Into::into),
            vm_count: 0,
            created: time(created_ms),
            status_changed: time(status_changed_ms),
            job_id: id(job_id),
            reserves: reserves.map(Into::into),
            removing,
            settings: settings.unwrap_or_default().into(),
            effective_reserves: None,
            refreshed: Vec::new(),
        }
    }
}

/// What people say of a host, where it cannot say so itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct HostSettings {
    /// Nothing new is placed on the host.
    pub maintenance: bool,
    /// `key` or `key=value`.
    pub tags: Vec<String>,
    /// By the datastore's name.
    pub datastore_tags: BTreeMap<String, Vec<String>>,
    /// Failure domains.
    pub rack: Option<String>,
    pub room: Option<String>,
    pub cluster: Option<String>,
    /// Operations a second that the host's disks can do.
    pub disk_io_per_sec_max: Option<u32>,
    /// What the host's uplinks carry, where it does not know itself.
    pub network_mbit_max: Option<u32>,
}

impl From<inventory::HostSettings> for HostSettings {
    fn from(message: inventory::HostSettings) -> Self {
        let inventory::HostSettings {
            maintenance,
            tags,
            datastore_tags,
            rack,
            room,
            cluster,
            disk_io_per_sec_max,
            network_mbit_max,
        } = message;
        let known = |number: u32| (number != 0).then_some(number);
        Self {
            maintenance,
            tags,
            datastore_tags: datastore_tags
                .into_iter()
                .map(|(name, tags)| (name, tags.tags))
                .collect(),
            rack: id(rack),
            room: id(room),
            cluster: id(cluster),
            disk_io_per_sec_max: known(disk_io_per_sec_max),
            network_mbit_max: known(network_mbit_max),
        }
    }
}

/// What a host is and has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostFacts {
    pub hostname: String,
    pub os: String,
    pub kernel: String,
    pub agent_version: String,
    pub hypervisor: String,
    pub hypervisor_version: String,
    /// `kvm`, `tcg` or `simulated`.
    pub accelerator: String,
    /// Why the accelerator is what it is.
    pub accelerator_reason: String,
    pub cpus: u32,
    pub cpu_model: String,
    pub memory_bytes: u64,
    /// In use now, virtual machines included.
    pub memory_used_bytes: u64,
    /// Memory that the hypervisor takes for each machine beside the guest's own.
    pub memory_overhead_bytes: u64,
    /// 0 to 100 for the whole host.
    pub cpu_used_percent: f64,
    pub datastores: Vec<Datastore>,
    /// Whether machines run unprivileged and sandboxed, and why not where they do not.
    pub confinement: String,
    /// Networks that machines can be attached to.
    #[serde(default)]
    pub networks: Vec<Network>,
    #[serde(default)]
    pub platform: String,
    #[serde(default)]
    pub cpu_features: Vec<String>,
    /// Other virtualization software that was found on the host.
    #[serde(default)]
    pub other_virtualization: Option<String>,
    /// Operations a second, all disks together.
    #[serde(default)]
    pub disk_io_per_sec: f64,
    #[serde(default)]
    pub network_mbit: f64,
    /// What the uplinks can carry together; 0: not known.
    #[serde(default)]
    pub network_mbit_max: u32,
    /// Machines can have UEFI firmware here. BIOS every host has.
    #[serde(default)]
    pub uefi: bool,
    /// Versions of QEMU's machine types `pc-q35-<version>` that are known here, that of new machines first. Empty: not known.
    #[serde(default)]
    pub q35_versions: Vec<String>,
}

impl From<host::HostFacts> for HostFacts {
    fn from(message: host::HostFacts) -> Self {
        let host::HostFacts {
            hostname,
            os,
            kernel,
            agent_version,
            hypervisor,
            hypervisor_version,
            accelerator,
            accelerator_reason,
            cpus,
            cpu_model,
            memory_bytes,
            memory_used_bytes,
            cpu_used_percent,
            datastores,
            confinement,
            memory_overhead_bytes,
            networks,
            platform,
            cpu_features,
            other_virtualization,
            disk_io_per_sec,
            network_mbit,
            network_mbit_max,
            uefi,
            q35_versions,
        } = message;
        Self {
            hostname,
            os,
            kernel,
            agent_version,
            hypervisor,
            hypervisor_version,
            accelerator,
            accelerator_reason,
            cpus,
            cpu_model,
            memory_bytes,
            memory_used_bytes,
            memory_overhead_bytes,
            cpu_used_percent,
            datastores: datastores.into_iter().map(Into::into).collect(),
            confinement,
            networks: networks.into_iter().map(Into::into).collect(),
            platform,
            cpu_features,
            other_virtualization: id(other_virtualization),
            disk_io_per_sec,
            network_mbit,
            network_mbit_max,
            uefi,
            q35_versions,
        }
    }
}

/// A network of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    pub name: String,
    /// What it leads to, the same on every host that reaches it.
    pub location: Option<String>,
}

impl From<host::Network> for Network {
    fn from(message: host::Network) -> Self {
        let host::Network { name, location } = message;
        Self {
            name,
            location: id(location),
        }
    }
}

/// A place for disks and images on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Datastore {
    /// Unique on the host.
    pub name: String,
    pub path: String,
    pub capacity_bytes: u64,
    pub free_bytes: u64,
    /// Image files that machines can be made from.
    pub images: Vec<ImageFile>,
    /// Why it cannot be used now; empty when it can.
    pub problem: String,
}

impl From<host::Datastore> for Datastore {
    fn from(message: host::Datastore) -> Self {
        let host::Datastore {
            name,
            path,
            capacity_bytes,
            free_bytes,
            images,
            problem,
        } = message;
        Self {
            name,
            path,
            capacity_bytes,
            free_bytes,
            images: images.into_iter().map(Into::into).collect(),
            problem,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageFile {
    pub name: String,
    /// Bytes of the file on disk.
    pub file_bytes: u64,
}

impl From<host::ImageFile> for ImageFile {
    fn from(message: host::ImageFile) -> Self {
        let host::ImageFile { name, file_bytes } = message;
        Self { name, file_bytes }
    }
}
