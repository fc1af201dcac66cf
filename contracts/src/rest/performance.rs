//! What hosts and machines use.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{id, time};
use crate::performance;

/// What is used. A figure that cannot be had is null, never 0; rates are means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Of all of the host's CPUs; of a machine's own virtual ones. 0 to 100.
    pub cpu_percent: Option<f64>,
    /// Memory in use on the host; what a machine's process keeps resident there.
    pub memory_bytes: Option<u64>,
    pub disk_read_bytes_per_sec: Option<u64>,
    pub disk_write_bytes_per_sec: Option<u64>,
    /// Reads and writes together.
    pub disk_operations_per_sec: Option<u64>,
    /// Bytes that are taken on the host's datastores; that a machine's disks take there.
    pub disk_used_bytes: Option<u64>,
    pub network_received_bytes_per_sec: Option<u64>,
    pub network_sent_bytes_per_sec: Option<u64>,
}

impl From<performance::Usage> for Usage {
    fn from(message: performance::Usage) -> Self {
        let performance::Usage {
            cpu_percent,
            memory_bytes,
            disk_read_bytes_per_sec,
            disk_write_bytes_per_sec,
            disk_operations_per_sec,
            disk_used_bytes,
            network_received_bytes_per_sec,
            network_sent_bytes_per_sec,
        } = message;
        Self {
            // A hundredth of a percent is all that is known.
            cpu_percent: cpu_percent.map(|percent| (f64::from(percent) * 100.0).round() / 100.0),
            memory_bytes,
            disk_read_bytes_per_sec,
            disk_write_bytes_per_sec,
            disk_operations_per_sec,
            disk_used_bytes,
            network_received_bytes_per_sec,
            network_sent_bytes_per_sec,
        }
    }
}

/// What to sort a list by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    #[default]
    Cpu,
    Memory,
    DiskRead,
    DiskWrite,
    DiskOperations,
    DiskUsed,
    NetworkReceived,
    NetworkSent,
}

impl Figure {
    pub const ALL: [Self; 8] = [
        Self::Cpu,
        Self::Memory,
        Self::DiskRead,
        Self::DiskWrite,
        Self::DiskOperations,
        Self::DiskUsed,
        Self::NetworkReceived,
        Self::NetworkSent,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::DiskRead => "disk_read",
            Self::DiskWrite => "disk_write",
            Self::DiskOperations => "disk_operations",
            Self::DiskUsed => "disk_used",
            Self::NetworkReceived => "network_received",
            Self::NetworkSent => "network_sent",
        }
    }
}

/// Kinds that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MeasuredKind {
    Host,
    Vm,
}

impl MeasuredKind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Vm => "vm",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TopQuery {
    /// `host` or `vm`.
    #[param(inline)]
    pub kind: MeasuredKind,
    /// `cpu` when absent.
    #[serde(default)]
    #[param(inline)]
    pub sort: Figure,
    /// Rows; 20 when absent.
    #[param(minimum = 1, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only on hosts of this group and of those below it: id or name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// What uses most now, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Top {
    pub items: Vec<TopEntry>,
    /// Objects of which there are samples, shown or not.
    pub total: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TopEntry {
    pub id: String,
    pub name: String,
    /// The host itself, or the one that the machine runs on.
    pub host_id: Option<String>,
    pub host: String,
    /// Start of the minute that was sampled.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub time: Option<jiff::Timestamp>,
    pub usage: Usage,
}

impl TopEntry {
    /// With the names that the ids stand for.
    pub fn new(message: performance::TopEntry, name: String, host: String) -> Self {
        let performance::TopEntry {
            id: object_id,
            host_id,
            time_ms,
            usage,
        } = message;
        Self {
            id: object_id,
            name,
            host_id: id(host_id),
            host,
            time: time(time_ms),
            usage: usage.unwrap_or_default().into(),
        }
    }
}

/// How far apart the points of a history are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// Of the last hour.
    Minute,
    /// Means, of the last week.
    NineMinutes,
}

impl From<Resolution> for performance::Resolution {
    fn from(resolution: Resolution) -> Self {
        match resolution {
            Resolution::Minute => Self::Minute,
            Resolution::NineMinutes => Self::NineMinutes,
        }
    }
}

impl From<performance::Resolution> for Resolution {
    fn from(message: performance::Resolution) -> Self {
        match message {
            performance::Resolution::Unspecified | performance::Resolution::Minute => Self::Minute,
            performance::Resolution::NineMinutes => Self::NineMinutes,
        }
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// An hour ago when absent; a week is kept.
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<jiff::Timestamp>,
    /// Now when absent.
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<jiff::Timestamp>,
    /// When absent: minutes if all of it is within the last hour, else nine minutes.
    #[param(inline)]
    pub resolution: Option<Resolution>,
}

/// What one object has used. Where nothing was heard there is no point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct History {
    pub resolution: Resolution,
    pub points: Vec<Point>,
}

impl From<performance::HistoryResponse> for History {
    fn from(message: performance::HistoryResponse) -> Self {
        let resolution = message.resolution().into();
        let performance::HistoryResponse {
            resolution: _,
            points,
        } = message;
        Self {
            resolution,
            points: points.into_iter().map(Into::into).collect(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Point {
    /// Start of the minute, or of the nine.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub time: Option<jiff::Timestamp>,
    pub usage: Usage,
}

impl From<performance::Point> for Point {
    fn from(message: performance::Point) -> Self {
        let performance::Point { time_ms, usage } = message;
        Self {
            time: time(time_ms),
            usage: usage.unwrap_or_default().into(),
        }
    }
}
