//! Machines that go into the library, and come back.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a machine that is stopped is to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreVm {
    /// Share of the library, by id or name.
    pub share: String,
    /// Folder below the share that it becomes; the one above it is there. Absent: the machine's name, at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The machine stays where it is, too. Else it goes from its host when all of it is stored.
    #[serde(default)]
    pub keep: bool,
}

/// A template that is to be made of a machine that is stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeTemplate {
    /// Of the template, and of a hardware profile with what the machine is made of.
    pub name: String,
    /// Share of the library that its disks are stored in, by id or name.
    pub share: String,
    /// Folder below the share that they lie in; the one above it is there. Absent: the template's name, at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Absent: who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// How a machine that is stored is brought back; what is absent is as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeployVm {
    /// 1 to 63 letters, digits and hyphens, starting and ending with a letter or digit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Only hosts of this group and below, by id or name. Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Only this host, by id or name. Absent: the best one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Datastore of the host. Absent: the largest that has room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datastore: Option<String>,
    /// Start the machine once it is there.
    pub start: bool,
    /// With `start`: the job ends when the guest's agent answers.
    pub wait_for_guest: bool,
}
