//! What happened, and what it happened to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{id, time};
use crate::common;

/// One object of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ObjectRef {
    /// `host_group`, `host`, `vm`, `job`, or another of those that docs/events.md lists.
    pub kind: String,
    pub id: String,
    pub name: String,
}

impl From<common::ObjectRef> for ObjectRef {
    fn from(message: common::ObjectRef) -> Self {
        let common::ObjectRef { kind, id, name } = message;
        Self { kind, id, name }
    }
}

/// One property that changed, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PropertyChange {
    /// Path of the property, as `hardware.memory_bytes` or `tags[env]`.
    pub property: String,
    /// Empty when it was not set before.
    pub previous: String,
    /// Empty when it is no longer set.
    pub new: String,
}

impl From<common::PropertyChange> for PropertyChange {
    fn from(message: common::PropertyChange) -> Self {
        let common::PropertyChange {
            property,
            previous,
            new,
        } = message;
        Self {
            property,
            previous,
            new,
        }
    }
}

/// What happened to one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Place in the stream of events: what `Last-Event-ID` continues from.
    pub sequence: u64,
    /// `host_group`, `host`, `vm`, `job`, or another of those that docs/events.md lists.
    pub kind: String,
    pub id: String,
    /// Name of the object after the change, or before it when it was deleted.
    pub name: String,
    /// `created`, `updated`, `state_changed`, `moved` or `deleted`.
    pub verb: String,
    /// Host group that the object belongs to.
    pub group_id: String,
    /// Revision of the record among those of its kind.
    pub revision: u64,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub time: Option<jiff::Timestamp>,
    /// Who caused it, when known.
    pub principal: String,
    /// The job that caused it, when there was one.
    pub job_id: Option<String>,
    pub changes: Vec<PropertyChange>,
}

impl Event {
    pub fn new(sequence: u64, message: common::Event) -> Self {
        let common::Event {
            kind,
            id: object_id,
            verb,
            group_id,
            revision,
            time_ms,
            principal,
            job_id,
            name,
            // The whole record is what the object's own address answers; here is what changed.
            before: _,
            after: _,
            changes,
        } = message;
        Self {
            sequence,
            kind,
            id: object_id,
            name,
            verb,
            group_id,
            revision,
            time: time(time_ms),
            principal,
            job_id: id(job_id),
            changes: changes.into_iter().map(Into::into).collect(),
        }
    }
}
