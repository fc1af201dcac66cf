//! Virtual machines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BootDevice, DiskSource, Firmware, Refreshed, VmOrigin, VmState, id, time};
use crate::{host, inventory};

/// A virtual machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Vm {
    pub id: String,
    pub name: String,
    pub state: VmState,
    /// Why the machine is in its state, when that is worth a word.
    pub state_reason: String,
    /// Null until placed.
    pub host_id: Option<String>,
    pub host_name: Option<String>,
    pub group_id: Option<String>,
    pub owner: String,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    pub hardware: Option<Hardware>,
    pub guest: Option<GuestFacts>,
    /// `kvm`, `tcg` or `simulated`; empty while stopped.
    pub accelerator: String,
    /// Process of the hypervisor at the host; null while stopped.
    pub pid: Option<u32>,
    pub datastore: String,
    pub origin: VmOrigin,
    /// When its process was started; null while stopped.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started: Option<jiff::Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created: Option<jiff::Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub state_changed: Option<jiff::Timestamp>,
    /// The job that changes the machine now.
    pub job_id: Option<String>,
    /// When it was refreshed last, by each kind of refresh that shows on it. Only where one object is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refreshed: Vec<Refreshed>,
}

impl From<inventory::Vm> for Vm {
    /// `host_name` and `refreshed` take knowing more.
    fn from(message: inventory::Vm) -> Self {
        let state = message.state().into();
        let origin = message.origin().into();
        let inventory::Vm {
            id: vm_id,
            name,
            host_id,
            group_id,
            state: _,
            state_reason,
            owner,
            description,
            tags,
            hardware,
            guest,
            accelerator,
            pid,
            started_ms,
            created_ms,
            state_changed_ms,
            job_id,
            datastore,
            origin: _,
            report_sequence: _,
        } = message;
        Self {
            id: vm_id,
            name,
            state,
            state_reason,
            host_id: id(host_id),
            host_name: None,
            group_id: id(group_id),
            owner,
            description,
            tags,
            hardware: hardware.map(Into::into),
            guest: guest.map(Into::into),
            accelerator,
            pid: (pid != 0).then_some(pid),
            datastore,
            origin,
            started: time(started_ms),
            created: time(created_ms),
            state_changed: time(state_changed_ms),
            job_id: id(job_id),
            refreshed: Vec::new(),
        }
    }
}

/// What a machine is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hardware {
    pub vcpus: u32,
    pub memory_bytes: u64,
    pub disks: Vec<Disk>,
    pub network_cards: Vec<NetworkCard>,
    #[serde(default)]
    pub firmware: Firmware,
    /// What the firmware tries, in this order; empty: the disks.
    #[serde(default)]
    pub boot_order: Vec<BootDevice>,
}

impl From<host::Hardware> for Hardware {
    fn from(message: host::Hardware) -> Self {
        let (firmware, boot_order) = (message.firmware(), message.boot_order());
        let (firmware, boot_order) = (firmware.into(), boot_order.map(Into::into).collect());
        let host::Hardware {
            vcpus,
            memory_bytes,
            disks,
            network_cards,
            firmware: _,
            boot_order: _,
        } = message;
        Self {
            vcpus,
            memory_bytes,
            disks: disks.into_iter().map(Into::into).collect(),
            network_cards: network_cards.into_iter().map(Into::into).collect(),
            firmware,
            boot_order,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Disk {
    /// Stays the same for the disk's life.
    pub id: String,
    /// Image that it was made from, as `<datastore>/<file>` or `<file>`; null for a blank disk.
    pub image: Option<String>,
    pub source: DiskSource,
    /// Size that the guest sees.
    pub size_bytes: u64,
    /// Bytes that it takes on the datastore now.
    pub allocated_bytes: u64,
    pub path: String,
    pub format: String,
}

impl From<host::Disk> for Disk {
    fn from(message: host::Disk) -> Self {
        let source = message.source().into();
        let host::Disk {
            id: disk_id,
            image,
            source: _,
            size_bytes,
            path,
            format,
            allocated_bytes,
        } = message;
        Self {
            id: disk_id,
            image: id(image),
            source,
            size_bytes,
            allocated_bytes,
            path,
            format,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkCard {
    /// Stays the same for the card's life.
    pub id: String,
    pub mac: String,
    pub network: String,
}

impl From<host::NetworkCard> for NetworkCard {
    fn from(message: host::NetworkCard) -> Self {
        let host::NetworkCard { id, mac, network } = message;
        Self { id, mac, network }
    }
}

/// What the guest says of itself through its agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuestFacts {
    pub agent_responding: bool,
    pub hostname: String,
    pub os: String,
    pub kernel: String,
    pub addresses: Vec<String>,
    /// Seconds since the guest's kernel booted, when its host last reported.
    pub uptime_secs: u64,
}

impl From<host::GuestFacts> for GuestFacts {
    fn from(message: host::GuestFacts) -> Self {
        let host::GuestFacts {
            agent_responding,
            hostname,
            os,
            kernel,
            addresses,
            uptime_secs,
        } = message;
        Self {
            agent_responding,
            hostname,
            os,
            kernel,
            addresses,
            uptime_secs,
        }
    }
}
