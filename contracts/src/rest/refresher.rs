//! Refreshers: what is looked at again, and when.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{RefreshOutcome, RefreshTrigger, id, time};
use crate::refresher;

/// A kind of refresh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Refresher {
    /// `vm_light`, `host`, ...
    pub name: String,
    /// What it looks at.
    pub covers: String,
    /// What it changes when that differs.
    pub writes: String,
    /// The service that serves it.
    pub service: String,
    /// Whether that service has been heard of lately.
    pub is_served: bool,
    /// Seconds from one refresh to the next, where nobody says otherwise.
    pub default_interval_secs: u32,
    /// Least that can be set.
    pub interval_secs_min: u32,
    pub interval_secs_max: u32,
    pub may_be_off: bool,
    /// What somebody has set; the nearest to a target counts.
    pub set: Vec<RefresherInterval>,
    pub targets: u32,
    /// Targets that are off.
    pub off: u32,
    /// Targets that are passed over for now: their server does not respond, failed lately, or is in maintenance.
    pub passed_over: u32,
    /// Targets whose last refresh failed.
    pub failing: u32,
    /// What servers sent for the last refresh of each target.
    pub bytes: u64,
}

/// An interval that somebody has set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefresherInterval {
    /// Host group that it counts for; null: not for a group.
    pub group_id: Option<String>,
    /// Server that it counts for; null: not for one. Neither: for all.
    pub server_id: Option<String>,
    /// Null when it is off.
    pub interval_secs: Option<u32>,
    pub off: bool,
}

impl RefresherInterval {
    fn new(group_id: &str, server_id: &str, interval: refresher::Interval) -> Self {
        let refresher::Interval { secs, off } = interval;
        Self {
            group_id: id(group_id.to_owned()),
            server_id: id(server_id.to_owned()),
            interval_secs: (!off).then_some(secs),
            off,
        }
    }

    fn all(intervals: refresher::Intervals) -> Vec<Self> {
        let refresher::Intervals {
            kind: _,
            all,
            groups,
            servers,
        } = intervals;
        let all = all.into_iter().map(|interval| Self::new("", "", interval));
        let groups = groups
            .iter()
            .map(|(id, interval)| Self::new(id, "", *interval));
        let servers = servers
            .iter()
            .map(|(id, interval)| Self::new("", id, *interval));
        all.chain(groups).chain(servers).collect()
    }
}

impl From<refresher::KindState> for Refresher {
    fn from(message: refresher::KindState) -> Self {
        let refresher::KindState {
            kind,
            service,
            is_served,
            intervals,
            targets,
            off,
            passed_over,
            failing,
            bytes,
        } = message;
        let refresher::Kind {
            name,
            covers,
            writes,
            interval_secs,
            interval_secs_min,
            interval_secs_max,
            may_be_off,
            // Between the services alone.
            passes_over: _,
            object_kinds: _,
            by_hand: _,
        } = kind.unwrap_or_default();
        Self {
            name,
            covers,
            writes,
            service,
            is_served,
            default_interval_secs: interval_secs,
            interval_secs_min,
            interval_secs_max,
            may_be_off,
            set: intervals.map(RefresherInterval::all).unwrap_or_default(),
            targets,
            off,
            passed_over,
            failing,
            bytes,
        }
    }
}

/// Every kind of refresh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Refreshers {
    pub items: Vec<Refresher>,
}

/// When an object was refreshed last, by one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refreshed {
    /// The kind of refresh.
    pub by: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub time: Option<jiff::Timestamp>,
    pub outcome: RefreshOutcome,
    pub trigger: RefreshTrigger,
    /// Why it failed; empty when it did not.
    pub error: String,
    /// When it last did not fail; null: never, as far as is known.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub succeeded: Option<jiff::Timestamp>,
    /// What the object's server sent for it.
    pub bytes: u64,
    pub duration_ms: u32,
}

impl From<refresher::Refreshed> for Refreshed {
    fn from(message: refresher::Refreshed) -> Self {
        let (outcome, trigger) = (message.outcome().into(), message.trigger().into());
        let refresher::Refreshed {
            kind,
            // Whose it is says where it stands.
            target_id: _,
            object_id: _,
            time_ms,
            outcome: _,
            trigger: _,
            bytes,
            duration_ms,
            error,
            succeeded_ms,
        } = message;
        Self {
            by: kind,
            time: time(time_ms),
            outcome,
            trigger,
            error,
            succeeded: time(succeeded_ms),
            bytes,
            duration_ms,
        }
    }
}

/// How often a kind of refresh is due. Neither an interval nor off: what was set is taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRefresher {
    /// Only for this host group and those below it, by id, name or path.
    #[serde(default)]
    pub group: Option<String>,
    /// Only for this host or library server, by id or name.
    #[serde(default)]
    pub server: Option<String>,
    #[serde(default)]
    pub interval_secs: Option<u32>,
    #[serde(default)]
    pub off: bool,
}
