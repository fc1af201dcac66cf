//! What clients send. Unknown fields are refused by name, so that a misspelt one is never passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    BootDevice, DiskSource, Encryption, Firmware, Goal, IfBusy, SetGroupSettings, SetReserves, time,
};
use crate::{inventory, placement};

/// How a change is to be made; in the query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChangeOptions {
    /// Only say what would be done.
    pub dry_run: bool,
    /// What to do when another job has the object.
    pub if_busy: IfBusy,
}

/// How something is to be removed; in the query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteOptions {
    /// Only say what would be done.
    pub dry_run: bool,
    /// What to do when another job has the object.
    pub if_busy: IfBusy,
    /// Also a running machine, which is turned off first, or a host with machines on it.
    pub force: bool,
}

/// A virtual machine to be made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateVm {
    /// 1 to 63 letters, digits and hyphens, starting and ending with a letter or digit.
    pub name: String,
    /// Template of the library, by id or name. What is said beside it is otherwise than in the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// With a template: what the guest is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<SetGuest>,
    /// Virtual processors. Absent: 1, or those of the template.
    #[serde(default)]
    pub vcpus: Option<u32>,
    /// Must be there without a template.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// In the order that the machine sees them; behind those of a template.
    #[serde(default)]
    pub disks: Vec<NewDisk>,
    /// Absent: one card on the network `user`, or those of the template.
    #[serde(default)]
    pub network_cards: Option<Vec<NewNetworkCard>>,
    /// Absent: BIOS, or what the template says, which cannot be said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Firmware>,
    /// What the firmware tries, in this order. Empty: the disks, or what the template says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boot_order: Vec<BootDevice>,
    /// Absent: who asks.
    #[serde(default)]
    pub owner: Option<String>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Only hosts of this group and below, by id or name. Absent: all.
    #[serde(default)]
    pub group: Option<String>,
    /// Only this host, by id or name. Absent: the best one.
    #[serde(default)]
    pub host: Option<String>,
    /// Datastore of the host. Absent: the one with most room.
    #[serde(default)]
    pub datastore: Option<String>,
    /// Start the machine once it is made.
    #[serde(default)]
    pub start: bool,
    /// With `start`: the job ends when the guest's agent answers.
    #[serde(default)]
    pub wait_for_guest: bool,
    /// What placement looks for beside sizes.
    #[serde(default)]
    pub placing: Placing,
}

/// A virtual machine to be made of another one that is stopped, beside it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloneVm {
    /// 1 to 63 letters, digits and hyphens, starting and ending with a letter or digit.
    pub name: String,
    /// Both share what the disks hold now, and write beside it: instant. Else each disk becomes a file of its own.
    #[serde(default)]
    pub linked: bool,
    /// What the guest is told; absent: nothing, whatever the other was told. `profile` is for templates only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<SetGuest>,
    /// Absent: who asks.
    #[serde(default)]
    pub owner: Option<String>,
    #[serde(default)]
    pub description: String,
    /// Beside those of the other.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Start the machine once it is made.
    #[serde(default)]
    pub start: bool,
    /// With `start`: the job ends when the guest's agent answers.
    #[serde(default)]
    pub wait_for_guest: bool,
}

/// What the guest of a machine is told otherwise than the template's profile says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SetGuest {
    /// Instead of the template's guest profile, by id or name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    /// Beside those of the profile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh_keys: Vec<String>,
}

/// A disk to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDisk {
    /// Image on the host's datastores, as `<datastore>/<file>` or `<file>`. Absent: a blank disk.
    #[serde(default)]
    pub image: Option<String>,
    /// Absent: `overlay` with an image, else `blank`.
    #[serde(default)]
    pub source: Option<DiskSource>,
    /// Size that the guest sees. Absent with an image: the image's own.
    #[serde(default)]
    pub size_bytes: Option<u64>,
}

/// A network card to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewNetworkCard {
    /// `user`: the hypervisor's own network, no bridge needed.
    pub network: String,
    /// Absent: one is made up.
    #[serde(default)]
    pub mac: Option<String>,
}

/// What is to be different about a virtual machine; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpdateVm {
    pub owner: Option<String>,
    pub description: Option<String>,
    /// Tags to set; null removes one. Others stay.
    pub tags: BTreeMap<String, Option<String>>,
}

/// A host group to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateGroup {
    pub name: String,
    /// The group above, by id or name. Absent: the root.
    #[serde(default)]
    pub parent: Option<String>,
    #[serde(default)]
    pub description: String,
}

/// What is to be different about a host group; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpdateGroup {
    pub name: Option<String>,
    /// The group to move it below, by id or name.
    pub parent: Option<String>,
    pub description: Option<String>,
    /// How files travel between its hosts and others.
    pub encryption: Option<Encryption>,
    pub reserves: Option<SetReserves>,
    pub settings: Option<SetGroupSettings>,
    /// Reserves and settings that are to be inherited again, by name: `memory_bytes`, `tips`.
    pub inherit: Vec<String>,
}

/// An image file that is to be copied to a datastore, of the same host or another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyImage {
    /// Host that has the image, by id or name.
    pub source_host: String,
    /// The image there, as `<datastore>/<file>`.
    pub source_image: String,
    /// Host that gets it, by id or name.
    pub host: String,
    /// Datastore of that host. Absent: the one of the source's name.
    #[serde(default)]
    pub datastore: Option<String>,
    /// Name of the copy. Absent: that of the image.
    #[serde(default)]
    pub file: Option<String>,
    /// Images of that host, as `<datastore>/<file>`, that may hold parts of the same content: those do not travel. Absent:
    /// the host looks through those that it knows.
    #[serde(default)]
    pub like: Vec<String>,
    /// Bytes a second, at least 65536. Absent or 0: as fast as it goes.
    #[serde(default)]
    pub bytes_per_sec: u64,
}

/// An image file that is to be removed from a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteImage {
    /// Host that has the image, by id or name.
    pub host: String,
    /// The image there, as `<datastore>/<file>`.
    pub image: String,
}

/// A virtual disk of the library that is wanted in another format.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvertItem {
    /// `qcow2`, `raw`, `vhd`, `vhdx` or `vmdk`.
    pub format: String,
    /// Where it is to be, below the same share. Absent: beside the other, under its name with the ending of the format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// How fast something may go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetThrottle {
    /// Bytes a second, at least 65536; 0: as fast as it goes.
    pub bytes_per_sec: u64,
}

/// Lets a host that registered itself take part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AddHost {
    /// Group to put it into, by id or name. Absent: the root.
    pub group: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveHost {
    /// Group to move it to, by id or name.
    pub group: String,
}

/// A token to be made that lets hosts join without a person's approval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CreateJoinToken {
    /// Group that hosts join with it, by id or name. Absent: the root.
    pub group: Option<String>,
    /// How long it can be used. Absent: one hour. At most 30 days.
    pub lifetime_secs: Option<u64>,
}

/// A token that was made. The secret in it is shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinToken {
    pub token: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<jiff::Timestamp>,
}

impl From<inventory::JoinTokenSecret> for JoinToken {
    fn from(message: inventory::JoinTokenSecret) -> Self {
        let inventory::JoinTokenSecret { token, expires_ms } = message;
        Self {
            token,
            expires: time(expires_ms),
        }
    }
}

/// A machine to rate hosts for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RateRequest {
    /// Absent: 1, or those of the machine.
    #[serde(default)]
    pub vcpus: Option<u32>,
    /// Absent: that of the machine.
    #[serde(default)]
    pub memory_bytes: u64,
    /// Room on one datastore for all disks.
    #[serde(default)]
    pub disk_bytes: u64,
    /// Images that must be on the host.
    #[serde(default)]
    pub images: Vec<String>,
    /// CPU that the machine is expected to use, in percent of its own processors. Absent: what `vm` used in the last week,
    /// or 20.
    #[serde(default)]
    pub expected_cpu_percent: Option<f64>,
    /// Hosts of this group and below, by id or name. Absent: all.
    #[serde(default)]
    pub group: Option<String>,
    /// Only this host, by id or name.
    #[serde(default)]
    pub host: Option<String>,
    #[serde(default)]
    pub placing: Placing,
    /// At most that many ratings. Absent: 100.
    #[serde(default)]
    pub limit: Option<u32>,
    /// A machine that there is, by id or name: hosts are rated for a move of it.
    #[serde(default)]
    pub vm: Option<String>,
}

/// What a placement looks for beside sizes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Placing {
    /// Absent: the site's.
    pub goal: Option<Goal>,
    /// Absent: the site's.
    pub weights: Option<Weights>,
    /// Disk operations a second that are expected. Absent: 0.
    pub expected_disk_io_per_sec: Option<f64>,
    /// Mbit/s that are expected. Absent: 0.
    pub expected_network_mbit: Option<f64>,
    /// How long the machine is expected to stay. Absent: as long as placement has learned. Counts where the goal is
    /// `maximise`.
    pub expected_stay_secs: Option<u64>,
    /// Networks that the host must have, by name or by the location that they lead to.
    pub networks: Vec<String>,
    /// Only on a host of a cluster.
    pub highly_available: bool,
    /// `x86_64`; absent: any.
    pub platform: Option<String>,
    /// `kvm`; absent: any.
    pub accelerator: Option<String>,
    pub cpu_features: Vec<String>,
    /// The host must have all of these tags.
    pub host_tags: Vec<String>,
    /// The datastore must have all of these tags.
    pub datastore_tags: Vec<String>,
    /// Only these hosts, by id or name.
    pub possible_hosts: Vec<String>,
    /// Rather these hosts, by id or name.
    pub preferred_hosts: Vec<String>,
    /// The machine's own tags: rules may name machines by them.
    pub vm_tags: BTreeMap<String, String>,
}

/// How much each resource counts, 0 to 100 each, not all 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    pub cpu: f64,
    pub memory: f64,
    #[serde(default)]
    pub disk_io: f64,
    #[serde(default)]
    pub network: f64,
}

impl From<Weights> for placement::Weights {
    fn from(weights: Weights) -> Self {
        let Weights {
            cpu,
            memory,
            disk_io,
            network,
        } = weights;
        Self {
            cpu,
            memory,
            disk_io,
            network,
        }
    }
}
