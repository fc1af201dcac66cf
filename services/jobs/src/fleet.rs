//! The fleet as this instance's mirrors have it.

use std::sync::Arc;
use std::time::Duration;

use contracts::call::Context;
use contracts::diff;
use contracts::inventory::{Host, HostGroup, Vm, host};
use contracts::names::ROOT_GROUP_ID;
use contracts::records::{Record, indexes};
use contracts::{ObjectRef, PropertyChange, Status};
use kit::records::{Mirror, Store};
use kit::rpc::Gate;
use prost::Message;

/// How long a view may take to reach what a call has shown.
const VIEW_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct Fleet {
    pub(crate) store: Arc<Store>,
    pub(crate) vms: Mirror<Vm>,
    pub(crate) hosts: Mirror<Host>,
    pub(crate) groups: Mirror<HostGroup>,
}

fn found<R: Record>(mirror: &Mirror<R>, kind: &str, id: &str) -> Result<R, Status> {
    let stored = mirror.get(id)?;
    stored
        .map(|s| s.value)
        .ok_or_else(|| Status::not_found(ObjectRef::new(kind, id, "")))
}

impl Fleet {
    pub(crate) fn vm(&self, id: &str) -> Result<Vm, Status> {
        found(&self.vms, "vm", id)
    }

    pub(crate) fn host(&self, id: &str) -> Result<Host, Status> {
        found(&self.hosts, "host", id)
    }

    pub(crate) fn group(&self, id: &str) -> Result<HostGroup, Status> {
        found(&self.groups, "host_group", id)
    }

    /// Whether the host is one of the fleet's. What was on one that is not is nobody's any more.
    pub(crate) fn knows_host(&self, id: &str) -> Result<bool, Status> {
        Ok(!id.is_empty() && self.hosts.get(id)?.is_some())
    }

    /// Waits until the views reflect everything that was seen with the context.
    pub(crate) async fn catch_up(&self, context: &Context) -> Result<(), Status> {
        if self.store.wait_for(&context.seen(), VIEW_PATIENCE).await {
            return Ok(());
        }
        Err(
            Status::unavailable("This instance's view of the fleet is behind.")
                .action("Try again."),
        )
    }

    /// The job that has an object, as the object's record says; empty when none does.
    pub(crate) fn holder(&self, object: &ObjectRef) -> Result<String, Status> {
        Ok(match object.kind.as_str() {
            "vm" => self.vms.get(&object.id)?.map(|s| s.value.job_id),
            "host" => self.hosts.get(&object.id)?.map(|s| s.value.job_id),
            "host_group" => self.groups.get(&object.id)?.map(|s| s.value.job_id),
            _ => None,
        }
        .unwrap_or_default())
    }

    /// An object's encoded record; empty when there is none.
    pub(crate) fn snapshot(&self, object: &ObjectRef) -> Result<Vec<u8>, Status> {
        Ok(match object.kind.as_str() {
            "vm" => self.vms.get(&object.id)?.map(|s| s.value.encode_to_vec()),
            "host" => self.hosts.get(&object.id)?.map(|s| s.value.encode_to_vec()),
            "host_group" => self
                .groups
                .get(&object.id)?
                .map(|s| s.value.encode_to_vec()),
            _ => None,
        }
        .unwrap_or_default())
    }
}

/// What became of an object between two snapshots. That a job had it is no change of it.
pub(crate) fn changes(kind: &str, before: &[u8], after: &[u8]) -> Vec<PropertyChange> {
    let mut changes = match kind {
        "vm" => changes_of::<Vm>(before, after),
        "host" => changes_of::<Host>(before, after),
        "host_group" => changes_of::<HostGroup>(before, after),
        _ => Vec::new(),
    };
    changes.retain(|change| change.property != "job_id");
    changes
}

fn changes_of<R: Record>(before: &[u8], after: &[u8]) -> Vec<PropertyChange> {
    let read = |bytes: &[u8]| (!bytes.is_empty()).then(|| R::decode(bytes).ok())?;
    diff::changes(read(before).as_ref(), read(after).as_ref())
}

/// Refuses a host that does not respond, by name.
pub(crate) fn check_responding(host: &Host) -> Result<(), Status> {
    if host.status() == host::Status::Responding {
        return Ok(());
    }
    let object = ObjectRef::new("host", &host.id, &host.name);
    Err(
        Status::unavailable(format!("Host {} does not respond.", host.name))
            .about(object)
            .action("Bring the host and its agent back, then try again."),
    )
}

/// The group that an id stands for: none is the root.
pub(crate) fn or_root(group_id: &str) -> &str {
    if group_id.is_empty() {
        ROOT_GROUP_ID
    } else {
        group_id
    }
}

impl Fleet {
    /// Machines on a host.
    pub(crate) fn vms_on(&self, host_id: &str) -> Result<Vec<Vm>, Status> {
        let found = self.vms.find(indexes::HOST, host_id)?;
        Ok(found.into_iter().map(|s| s.value).collect())
    }

    /// The machine of a name, whatever its case.
    pub(crate) fn vm_named(&self, name: &str) -> Result<Option<Vm>, Status> {
        let found = self.vms.find(indexes::NAME, &name.to_lowercase())?;
        Ok(found.into_iter().next().map(|s| s.value))
    }

    /// Refuses a name that a machine has.
    pub(crate) fn check_name_free(&self, name: &str) -> Result<(), Status> {
        let Some(vm) = self.vm_named(name)? else {
            return Ok(());
        };
        let object = ObjectRef::new("vm", &vm.id, &vm.name);
        let message = format!("There is a virtual machine {} already.", vm.name);
        Err(Status::already_exists(object, message)
            .action("Choose another name, or delete that machine."))
    }

    /// The machine that has a hardware address.
    pub(crate) fn vm_with_mac(&self, mac: &str) -> Result<Option<Vm>, Status> {
        let found = self.vms.find(indexes::MAC, mac)?;
        Ok(found.into_iter().next().map(|s| s.value))
    }

    /// The groups above one, itself first, up to the root.
    pub(crate) fn line_of(&self, group_id: &str) -> Result<Vec<HostGroup>, Status> {
        let mut line = vec![self.group(group_id)?];
        while let Some(parent) = line.last().map(|g| g.parent_id.clone()) {
            // The depth is bounded when groups are made; twice that ends a circle.
            if parent.is_empty() || line.len() > 2 * contracts::limits::GROUP_DEPTH_MAX {
                break;
            }
            line.push(self.group(&parent)?);
        }
        Ok(line)
    }
}
