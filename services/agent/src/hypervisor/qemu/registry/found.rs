//! Machines that came or went without this agent's doing.

use std::sync::Arc;

use super::{Entry, Registry};
use crate::hypervisor::Change;
use crate::hypervisor::qemu::adopt;
use crate::hypervisor::qemu::machine::Machine;
use crate::hypervisor::qemu::worker::{self, Handle};
use crate::meter;

/// Whether others hear that a machine is gone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::hypervisor::qemu) enum Word {
    Told,
    /// It is back at once.
    Quietly,
}

impl Registry {
    /// Machines of one datastore with which nothing is being done.
    pub(in crate::hypervisor::qemu) fn present_on(&self, datastore: &str) -> Vec<Handle> {
        let entries = self.entries();
        let present = entries.values().filter_map(|entry| match entry {
            Entry::Present(handle) => Some(handle.clone()),
            Entry::Making(_) | Entry::Held(..) | Entry::Leaving(_) => None,
        });
        present
            .filter(|h| h.machine.datastore.name == datastore)
            .collect()
    }

    /// Takes over a machine that has come into a datastore, unless it is there already.
    pub(in crate::hypervisor::qemu) async fn find(&self, machine: Machine) {
        let vm_id = machine.definition.vm_id.clone();
        if self.entries().contains_key(&vm_id) {
            return;
        }
        let found = adopt::adopt(&machine).await;
        let mut entries = self.entries();
        // One that was deleted since we looked has no definition any more: its folder goes before its entry does.
        if entries.contains_key(&vm_id) || !machine.folder.definition().exists() {
            return;
        }
        let handle = worker::start(Arc::new(machine), found, self.changes.clone());
        let state = handle.report.borrow().state();
        tracing::info!(
            machine = handle.machine.name(),
            ?state,
            "has come into a datastore"
        );
        meter::note_adoption(state);
        entries.insert(vm_id, Entry::Present(handle));
    }

    /// Forgets a machine whose definition is gone or is another now. One that runs is kept until it is off.
    pub(in crate::hypervisor::qemu) async fn let_go(&self, handle: &Handle, word: Word) {
        let (name, vm_id) = (handle.machine.name(), &handle.machine.definition.vm_id);
        if let Err(status) = self.retire(handle, "being looked at").await {
            tracing::warn!(machine = name, %status, "its definition has changed or is gone; it is kept while it is not off");
            return;
        }
        let mut entries = self.entries();
        let is_ours = |entry: &Entry| match entry {
            Entry::Present(there) => Arc::ptr_eq(&there.machine, &handle.machine),
            Entry::Making(_) | Entry::Held(..) | Entry::Leaving(_) => false,
        };
        if entries.get(vm_id).is_some_and(is_ours) {
            entries.remove(vm_id);
            tracing::info!(
                machine = name,
                "has gone from its datastore, or changed there"
            );
            if word == Word::Told {
                let vm_id = vm_id.clone();
                let _ = self.changes.send(Change::Removed { vm_id });
            }
        }
    }
}
