//! Host groups.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Encryption, id, time};
use crate::inventory;

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
        }
    }
}

/// Kept free for the host itself; what is null is inherited from the group above.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reserves {
    pub cpu_percent: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub disk_bytes: Option<u64>,
}

impl From<inventory::Reserves> for Reserves {
    fn from(message: inventory::Reserves) -> Self {
        let inventory::Reserves {
            cpu_percent,
            memory_bytes,
            disk_bytes,
        } = message;
        Self {
            cpu_percent,
            memory_bytes,
            disk_bytes,
        }
    }
}
