//! Which records there are: bucket, message, indexes, and the event that a change of one is.
//!
//! Everything here is a pure function of the record, so that every reader and every instance agrees.

mod library;

use prost::{Message, Name};

use crate::host::VmState;
use crate::inventory::{Host, HostGroup, JoinToken, Vm, VmName};
use crate::jobs::Job;
use crate::names::ROOT_GROUP_ID;
use crate::placement::{HostClaims, Rule};
use crate::refresher::Intervals;
use crate::subjects::buckets;
use crate::transfer::{Authority, DataEndRecord, TransferRecord};
use crate::webhooks::{DeadLetter, Webhook, WebhookLease, WebhookState};

/// A message that is kept as a record: one per id, in a bucket of its own.
pub trait Record: Message + Name + Default + Clone + PartialEq + 'static {
    const BUCKET: &'static str;

    /// Values to find the record by: index name and key.
    fn indexes(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// How events of the record are named; `None` for records whose changes are nobody else's business.
    fn event(_before: Option<&Self>, _after: Option<&Self>) -> Option<EventName> {
        None
    }
}

/// Subject tokens and title of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName {
    pub group_id: String,
    pub verb: &'static str,
    pub name: String,
}

/// Names of indexes.
pub mod indexes {
    /// Of machines: the host.
    pub const HOST: &str = "host";
    /// Of machines: the address of each network card, in lower case.
    pub const MAC: &str = "mac";
    /// Of machines, hosts, groups and rules: the name, in lower case.
    pub const NAME: &str = "name";
    /// Of hosts and groups: the group that holds it.
    pub const GROUP: &str = "group";
    /// Of jobs and transfers: "open" while not finished, else "ended".
    pub const PHASE: &str = "phase";
    /// Of jobs: `<kind>/<id>` of the object that the job changes.
    pub const TARGET: &str = "target";
    /// Of dead letters: the webhook.
    pub const WEBHOOK: &str = "webhook";
    /// Of library items: the share.
    pub const SHARE: &str = "share";
    /// Of library shares: the server.
    pub const SERVER: &str = "server";
}

fn event_name<R>(
    before: Option<&R>,
    after: Option<&R>,
    changed: impl Fn(&R, &R) -> &'static str,
    place: impl Fn(&R) -> (String, String),
) -> Option<EventName> {
    let (group_id, name) = place(after.or(before)?);
    let verb = match (before, after) {
        (None, _) => "created",
        (_, None) => "deleted",
        (Some(before), Some(after)) => changed(before, after),
    };
    Some(EventName {
        group_id: if group_id.is_empty() {
            ROOT_GROUP_ID.to_owned()
        } else {
            group_id
        },
        verb,
        name,
    })
}

impl Record for HostGroup {
    const BUCKET: &'static str = buckets::HOST_GROUP;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![
            (indexes::GROUP, self.parent_id.clone()),
            (indexes::NAME, self.name.to_lowercase()),
        ]
    }

    fn event(before: Option<&Self>, after: Option<&Self>) -> Option<EventName> {
        let changed = |b: &Self, a: &Self| {
            if b.parent_id == a.parent_id {
                "updated"
            } else {
                "moved"
            }
        };
        event_name(before, after, changed, |g| (g.id.clone(), g.name.clone()))
    }
}

impl Record for Host {
    const BUCKET: &'static str = buckets::HOST;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![
            (indexes::GROUP, self.group_id.clone()),
            (indexes::NAME, self.name.to_lowercase()),
        ]
    }

    fn event(before: Option<&Self>, after: Option<&Self>) -> Option<EventName> {
        let changed = |b: &Self, a: &Self| {
            if b.group_id != a.group_id {
                "moved"
            } else if (b.status, b.approval) != (a.status, a.approval) {
                "state_changed"
            } else {
                "updated"
            }
        };
        event_name(before, after, changed, |h| {
            (h.group_id.clone(), h.name.clone())
        })
    }
}

impl Record for Vm {
    const BUCKET: &'static str = buckets::VM;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        let cards = self.hardware.iter().flat_map(|h| &h.network_cards);
        let macs = cards.map(|card| (indexes::MAC, card.mac.to_lowercase()));
        [
            (indexes::HOST, self.host_id.clone()),
            (indexes::NAME, self.name.to_lowercase()),
        ]
        .into_iter()
        .chain(macs)
        .collect()
    }

    fn event(before: Option<&Self>, after: Option<&Self>) -> Option<EventName> {
        let changed = |b: &Self, a: &Self| {
            if b.host_id != a.host_id && !b.host_id.is_empty() {
                "moved"
            } else if b.state != a.state {
                "state_changed"
            } else {
                "updated"
            }
        };
        event_name(before, after, changed, |vm| {
            (vm.group_id.clone(), vm.name.clone())
        })
    }
}

impl Record for VmName {
    const BUCKET: &'static str = buckets::VM_NAME;
}

impl Record for JoinToken {
    const BUCKET: &'static str = buckets::JOIN_TOKEN;
}

impl Record for HostClaims {
    const BUCKET: &'static str = buckets::HOST_CLAIMS;
}

impl Record for Intervals {
    const BUCKET: &'static str = buckets::REFRESHER;

    fn event(before: Option<&Self>, after: Option<&Self>) -> Option<EventName> {
        let place = |intervals: &Self| (String::new(), intervals.kind.clone());
        event_name(before, after, |_, _| "updated", place)
    }
}

impl Record for Webhook {
    const BUCKET: &'static str = buckets::WEBHOOK;
}

impl Record for WebhookState {
    const BUCKET: &'static str = buckets::WEBHOOK_STATE;
}

impl Record for WebhookLease {
    const BUCKET: &'static str = buckets::WEBHOOK_LEASE;
}

impl Record for DeadLetter {
    const BUCKET: &'static str = buckets::DEAD_LETTER;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![(indexes::WEBHOOK, self.webhook_id.clone())]
    }
}

impl Record for Rule {
    const BUCKET: &'static str = buckets::PLACEMENT_RULE;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![(indexes::NAME, self.name.to_lowercase())]
    }

    fn event(before: Option<&Self>, after: Option<&Self>) -> Option<EventName> {
        let place = |rule: &Self| (String::new(), rule.name.clone());
        event_name(before, after, |_, _| "updated", place)
    }
}

impl Record for Job {
    const BUCKET: &'static str = buckets::JOB;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        let phase = if self.state().is_final() {
            "ended"
        } else {
            "open"
        };
        let target = self.target.clone().unwrap_or_default();
        vec![
            (indexes::PHASE, phase.to_owned()),
            (indexes::TARGET, format!("{}/{}", target.kind, target.id)),
        ]
    }

    fn event(before: Option<&Self>, after: Option<&Self>) -> Option<EventName> {
        let changed = |b: &Self, a: &Self| {
            if b.state == a.state {
                "updated"
            } else {
                "state_changed"
            }
        };
        event_name(before, after, changed, |job| {
            (job.group_id.clone(), job.kind.clone())
        })
    }
}

impl Record for Authority {
    const BUCKET: &'static str = buckets::TRANSFER_AUTHORITY;
}

impl Record for DataEndRecord {
    const BUCKET: &'static str = buckets::DATA_END;
}

impl Record for TransferRecord {
    const BUCKET: &'static str = buckets::TRANSFER;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        let phase = if self.state().is_final() {
            "ended"
        } else {
            "open"
        };
        vec![(indexes::PHASE, phase.to_owned())]
    }

    fn event(before: Option<&Self>, after: Option<&Self>) -> Option<EventName> {
        let changed = |b: &Self, a: &Self| {
            if b.state == a.state {
                "updated"
            } else {
                "state_changed"
            }
        };
        let name = |transfer: &Self| {
            let file = transfer.target.clone().unwrap_or_default().file;
            file.unwrap_or_default().path
        };
        event_name(before, after, changed, |t| (t.group_id.clone(), name(t)))
    }
}

impl crate::transfer::transfer_record::State {
    /// Whether nothing more happens to the transfer by itself.
    pub fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
            Self::Unspecified
            | Self::Queued
            | Self::Running
            | Self::Retrying
            | Self::Cancelling => false,
        }
    }
}

impl crate::jobs::JobState {
    /// Whether nothing more happens to the job by itself.
    pub fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Stuck => true,
            Self::Unspecified | Self::Queued | Self::Waiting | Self::Running | Self::Undoing => {
                false
            }
        }
    }

    /// Whether the job may still change its object, so that no other job may have it. A job that is stuck does nothing by
    /// itself, and keeps what it took until a person has restarted it: what it could not undo is still there.
    pub fn keeps_object(self) -> bool {
        !self.is_final() || self == Self::Stuck
    }
}

impl VmState {
    /// Whether a process of the hypervisor holds memory for the machine.
    pub fn is_active(self) -> bool {
        match self {
            Self::Starting
            | Self::Running
            | Self::Paused
            | Self::Saving
            | Self::Stopping
            | Self::Crashed => true,
            Self::Unspecified
            | Self::Creating
            | Self::Stopped
            | Self::Saved
            | Self::Deleting
            | Self::Missing
            | Self::HostNotResponding => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_state_is_told_apart_from_other_changes() {
        let stopped = Vm {
            name: "a".to_owned(),
            group_id: "g1".to_owned(),
            state: VmState::Stopped.into(),
            ..Vm::default()
        };
        let running = Vm {
            state: VmState::Running.into(),
            ..stopped.clone()
        };
        let tagged = Vm {
            owner: "bob".to_owned(),
            ..stopped.clone()
        };
        let verb = |b, a| Vm::event(b, a).map(|e| e.verb);
        assert_eq!(verb(None, Some(&stopped)), Some("created"));
        assert_eq!(verb(Some(&stopped), Some(&running)), Some("state_changed"));
        assert_eq!(verb(Some(&stopped), Some(&tagged)), Some("updated"));
        assert_eq!(verb(Some(&stopped), None), Some("deleted"));
    }

    #[test]
    fn an_object_without_a_group_belongs_to_the_root() {
        let event = Vm::event(None, Some(&Vm::default()));
        assert_eq!(event.map(|e| e.group_id), Some(ROOT_GROUP_ID.to_owned()));
    }
}
