//! Machines that are held: off, and kept off while something is made of their disks.

use std::fs::File;
use std::sync::Arc;

use contracts::Status;
use contracts::host::{CloneVmRequest, VmReport, VmState};

use super::{Asked, Entry, Registry};
use crate::hypervisor::qemu::adopt::Found;
use crate::hypervisor::qemu::clone;
use crate::hypervisor::qemu::layer;
use crate::hypervisor::qemu::machine::Machine;
use crate::hypervisor::qemu::process;
use crate::hypervisor::qemu::users;
use crate::hypervisor::qemu::worker::{self, Handle};

/// A machine that nobody starts, changes or deletes until this is dropped.
pub(in crate::hypervisor::qemu) struct Held {
    registry: Arc<Registry>,
    pub(in crate::hypervisor::qemu) machine: Arc<Machine>,
    state: VmState,
    reason: String,
    /// Keeps the machine from being started by others too.
    lock: Option<File>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.lock = None;
        let found = Found::Off {
            state: self.state,
            reason: std::mem::take(&mut self.reason),
        };
        let changes = self.registry.changes.clone();
        let handle = worker::start(Arc::clone(&self.machine), found, changes);
        let vm_id = self.machine.definition.vm_id.clone();
        self.registry
            .entries()
            .insert(vm_id, Entry::Present(handle));
    }
}

impl Held {
    /// Makes layers of the disks. It comes to its end also when nobody waits for it.
    async fn freeze(mut self) -> Result<Self, Status> {
        let name = self.machine.name().to_owned();
        let work = async move {
            let definition = layer::freeze(&self.machine).await?;
            let machine = &self.machine;
            self.machine = Arc::new(Machine::new(
                Arc::clone(&machine.environment),
                machine.datastore.clone(),
                definition,
            ));
            Ok(self)
        };
        let done = tokio::spawn(work).await;
        done.unwrap_or_else(|error| {
            Err(Status::internal(format!(
                "{name} could not be cloned: {error}."
            )))
        })
    }
}

impl Registry {
    /// Makes a machine of another one.
    pub(in crate::hypervisor::qemu) async fn clone_machine(
        self: &Arc<Self>,
        request: CloneVmRequest,
    ) -> Result<VmReport, Status> {
        clone::check(&request)?;
        let asked = Asked {
            vm_id: &request.vm_id,
            name: &request.name,
            operation_id: &request.operation_id,
        };
        let work = async {
            let mut held = self.hold(&request.source_vm_id, "being cloned").await?;
            if request.linked {
                held = held.freeze().await?;
            }
            clone::make(&held.machine, &request).await
        };
        self.make(asked, None, work).await
    }

    /// Holds a machine that is off. It comes to its end also when nobody waits for it: a machine is never left without a
    /// worker.
    pub(super) async fn hold(
        self: &Arc<Self>,
        vm_id: &str,
        doing: &'static str,
    ) -> Result<Held, Status> {
        let handle = self.handle(vm_id)?;
        let (registry, name) = (Arc::clone(self), handle.machine.name().to_owned());
        let held = tokio::spawn(async move { registry.hold_now(handle, doing).await }).await;
        held.unwrap_or_else(|error| {
            Err(Status::internal(format!(
                "{name} could not be held: {error}."
            )))
        })
    }

    async fn hold_now(
        self: Arc<Self>,
        handle: Handle,
        doing: &'static str,
    ) -> Result<Held, Status> {
        self.retire(&handle, doing).await?;
        let machine = Arc::clone(&handle.machine);
        let vm_id = machine.definition.vm_id.clone();
        let reason = handle.report.borrow().state_reason.clone();
        self.entries().insert(vm_id, Entry::Held(handle, doing));
        let mut held = Held {
            registry: self,
            state: match machine.folder.state().exists() {
                true => VmState::Saved,
                false => VmState::Stopped,
            },
            machine,
            reason,
            lock: None,
        };
        let machine = &held.machine;
        if held.state == VmState::Saved {
            let why = "is saved, and what it has in memory goes with its disks";
            let instead = "Start it and shut it down, or turn it off to give up its memory.";
            return Err(machine.forbidden(why, instead));
        }
        let lock = process::try_lock(&machine.folder.lock());
        held.lock = lock.map_err(|error| machine.failed("held", error))?;
        match held.lock {
            Some(_) => Ok(held),
            None => Err(held.machine.forbidden(
                "has a process that this agent does not know",
                "Look which process holds its lock file, and end it.",
            )),
        }
    }

    /// Removes an image that nobody lies on. Nothing may lie on it unseen: no machine is being made meanwhile.
    pub(in crate::hypervisor::qemu) async fn remove_image(
        self: &Arc<Self>,
        image: &str,
        check_only: bool,
    ) -> Result<(), Status> {
        let (registry, image) = (Arc::clone(self), image.to_owned());
        let removed = tokio::task::spawn_blocking(move || {
            // Held until the end: none is begun either. Who only asks holds up nobody.
            let entries = (!check_only).then(|| registry.entries());
            let mut making = entries.iter().flat_map(|entries| entries.iter());
            let making = making.find_map(|(vm_id, entry)| match entry {
                Entry::Making(making) => Some(super::being_made(vm_id, &making.name)),
                _ => None,
            });
            match making {
                Some(status) => Err(status),
                None => users::remove_image(&registry.environment.datastores, &image, check_only),
            }
        });
        removed.await.unwrap_or_else(|error| {
            Err(Status::internal(format!(
                "The image could not be removed: {error}."
            )))
        })
    }
}
