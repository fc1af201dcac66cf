//! Which machines there are. One entry for an id, whatever is going on with it, so that nothing is made or deleted
//! twice at once.

mod clone;
mod found;
mod pack;

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contracts::host::{CreateVmRequest, Hardware, VmReport, VmState};
use contracts::{Code, ObjectRef, Status, names};
use tokio::sync::{Notify, broadcast, oneshot, watch};

use super::adopt::{self, Found};
use super::folder::{self, DELETING};
use super::machine::Machine;
use super::worker::{self, Handle, Message};
use super::{Environment, create, making, parcel};
use crate::hypervisor::Change;
use crate::{limits, meter};

pub(super) use found::Word;

enum Entry {
    Making(Making),
    Present(Handle),
    /// Off, and kept so: what is being done with its disks.
    Held(Handle, &'static str),
    Leaving(Handle),
}

/// A machine that is to be made.
struct Asked<'a> {
    vm_id: &'a str,
    name: &'a str,
    operation_id: &'a str,
}

/// A machine that is being made.
#[derive(Clone)]
struct Making {
    name: String,
    hardware: Option<Hardware>,
    /// Ends the making.
    cancel: Arc<Notify>,
    /// Closed when the making has ended, one way or the other.
    ended: watch::Receiver<()>,
}

pub(super) struct Registry {
    environment: Arc<Environment>,
    entries: Mutex<HashMap<String, Entry>>,
    packings: pack::Packings,
    changes: broadcast::Sender<Change>,
}

fn vm(vm_id: &str) -> ObjectRef {
    ObjectRef::new("vm", vm_id, "")
}

fn being_made(vm_id: &str, name: &str) -> Status {
    Status::new(Code::Aborted, format!("{name} is just being made."))
        .about(ObjectRef::new("vm", vm_id, name))
        .action("Wait until it is there, and try again.")
}

impl Registry {
    pub(super) fn new(environment: Arc<Environment>) -> Self {
        let changes = broadcast::Sender::new(limits::CHANGES_MAX);
        Self {
            environment,
            entries: Mutex::default(),
            packings: pack::Packings::default(),
            changes,
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    pub(super) fn handle(&self, vm_id: &str) -> Result<Handle, Status> {
        match self.entries().get(vm_id) {
            Some(Entry::Present(handle)) => Ok(handle.clone()),
            Some(Entry::Making(making)) => Err(being_made(vm_id, &making.name)),
            Some(Entry::Held(handle, doing)) => Err(handle.machine.busy(doing)),
            Some(Entry::Leaving(handle)) => Err(handle.machine.busy("being deleted")),
            None => Err(Status::not_found(vm(vm_id))),
        }
    }

    pub(super) fn reports(&self) -> Vec<VmReport> {
        let entries = self.entries();
        let mut reports: Vec<VmReport> = entries
            .iter()
            .map(|(vm_id, entry)| report(vm_id, entry))
            .collect();
        reports.sort_by(|a, b| a.vm_id.cmp(&b.vm_id));
        reports
    }

    /// The report of a machine that has no worker to ask.
    pub(super) fn report_of_unfinished(&self, vm_id: &str) -> Option<VmReport> {
        match self.entries().get(vm_id)? {
            Entry::Present(_) => None,
            entry => Some(report(vm_id, entry)),
        }
    }

    /// Takes over a machine that was found in a datastore.
    pub(super) async fn adopt(&self, machine: Machine) {
        let vm_id = machine.definition.vm_id.clone();
        if self.entries().contains_key(&vm_id) {
            tracing::error!(folder = %machine.folder.path().display(), "left alone: another datastore has this machine");
            return;
        }
        let found = adopt::adopt(&machine).await;
        let handle = worker::start(Arc::new(machine), found, self.changes.clone());
        let state = handle.report.borrow().state();
        tracing::info!(machine = handle.machine.name(), ?state, "found");
        meter::note_adoption(state);
        self.entries().insert(vm_id, Entry::Present(handle));
    }

    // ---- making ----------------------------------------------------------------------------------------------------

    pub(super) async fn create(&self, request: CreateVmRequest) -> Result<VmReport, Status> {
        names::check_id("vm_id", &request.vm_id)?;
        let asked = Asked {
            vm_id: &request.vm_id,
            name: &request.name,
            operation_id: &request.operation_id,
        };
        let work = create::create(&self.environment, &request);
        let made = self.make(asked, request.hardware.clone(), work).await?;
        if let Some(received) = &request.received {
            // Its files have second names in the machine's folder by now.
            parcel::drop_parcel(&self.environment.datastores, &received.parcel_id)?;
        }
        Ok(made)
    }

    /// Has a machine made, unless that was done already. The work is dropped when the machine is to be deleted meanwhile.
    async fn make(
        &self,
        asked: Asked<'_>,
        hardware: Option<Hardware>,
        work: impl Future<Output = Result<Machine, Status>>,
    ) -> Result<VmReport, Status> {
        let (cancel, ended) = (Arc::new(Notify::new()), watch::channel(()));
        let making = Making {
            name: asked.name.to_owned(),
            hardware,
            cancel: cancel.clone(),
            ended: ended.1,
        };
        if let Some(there) = self.begin_making(&asked, making)? {
            return Ok(there);
        }
        let made = tokio::select! {
            made = work => made,
            () = cancel.notified() => Err(self.give_up(&asked)),
        };
        let result = made.map(|machine| self.present(machine));
        if result.is_err() {
            self.entries().remove(asked.vm_id);
        }
        drop(ended.0);
        result
    }

    /// Takes the id. A machine that the same operation has made is the answer.
    fn begin_making(&self, asked: &Asked<'_>, making: Making) -> Result<Option<VmReport>, Status> {
        let mut entries = self.entries();
        match entries.get(asked.vm_id) {
            None => {
                self.check_free(asked.vm_id)?;
                entries.insert(asked.vm_id.to_owned(), Entry::Making(making));
                Ok(None)
            }
            Some(Entry::Making(making)) => Err(being_made(asked.vm_id, &making.name)),
            Some(Entry::Leaving(handle)) => Err(handle.machine.busy("being deleted")),
            Some(Entry::Present(handle) | Entry::Held(handle, _)) => {
                let machine = &handle.machine;
                let same = machine.definition.operation_id == asked.operation_id;
                if same && !asked.operation_id.is_empty() {
                    return Ok(Some(handle.report.borrow().clone()));
                }
                let message = format!(
                    "There is already a machine {} with this id.",
                    machine.name()
                );
                Err(Status::already_exists(machine.object(), message)
                    .action("Use another id, or delete that one."))
            }
        }
    }

    /// A folder that could not be read at the start still holds somebody's disks.
    fn check_free(&self, vm_id: &str) -> Result<(), Status> {
        match self.folder_without_worker(vm_id) {
            None => Ok(()),
            Some(folder) => {
                let message = format!(
                    "{} holds something that this agent cannot read.",
                    folder.display()
                );
                Err(Status::already_exists(vm(vm_id), message)
                    .action("Look at it at the host, and move it away."))
            }
        }
    }

    fn folder_without_worker(&self, vm_id: &str) -> Option<PathBuf> {
        let folders = self
            .environment
            .datastores
            .iter()
            .map(|d| d.folder(vm_id).path().to_owned());
        folders.into_iter().find(|folder| folder.exists())
    }

    fn give_up(&self, asked: &Asked<'_>) -> Status {
        for datastore in &self.environment.datastores {
            making::discard(datastore, asked.vm_id);
        }
        Status::new(
            Code::Cancelled,
            format!(
                "The making of {} was ended: it was to be deleted.",
                asked.name
            ),
        )
        .about(ObjectRef::new("vm", asked.vm_id, asked.name))
    }

    fn present(&self, machine: Machine) -> VmReport {
        let vm_id = machine.definition.vm_id.clone();
        let found = Found::Off {
            state: VmState::Stopped,
            reason: String::new(),
        };
        let handle = worker::start(Arc::new(machine), found, self.changes.clone());
        let report = handle.report.borrow().clone();
        self.entries().insert(vm_id, Entry::Present(handle));
        report
    }

    // ---- deleting --------------------------------------------------------------------------------------------------

    pub(super) async fn delete(&self, vm_id: &str) -> Result<(), Status> {
        names::check_id("vm_id", vm_id)?;
        self.end_making(vm_id).await;
        let handle = match self.handle(vm_id) {
            Ok(handle) => handle,
            Err(status) if status.code() == Code::NotFound => return self.nothing_left(vm_id),
            Err(status) => return Err(status),
        };
        self.retire(&handle, "being deleted").await?;
        self.entries()
            .insert(vm_id.to_owned(), Entry::Leaving(handle.clone()));
        if let Err(status) = remove_files(&handle.machine).await {
            // It is still there, and gets a worker again.
            self.entries().remove(vm_id);
            let machine = &handle.machine;
            self.adopt(Machine::new(
                self.environment.clone(),
                machine.datastore.clone(),
                machine.definition.clone(),
            ))
            .await;
            return Err(status);
        }
        self.entries().remove(vm_id);
        let _ = self.changes.send(Change::Removed {
            vm_id: vm_id.to_owned(),
        });
        Ok(())
    }

    async fn end_making(&self, vm_id: &str) {
        let making = match self.entries().get(vm_id) {
            Some(Entry::Making(making)) => Some(making.clone()),
            _ => None,
        };
        if let Some(mut making) = making {
            making.cancel.notify_one();
            // An error is what we wait for: the other end was dropped.
            let _ = making.ended.changed().await;
        }
    }

    fn nothing_left(&self, vm_id: &str) -> Result<(), Status> {
        match self.folder_without_worker(vm_id) {
            None => Ok(()),
            Some(folder) => {
                let message = format!(
                    "{} holds a machine that this agent cannot read.",
                    folder.display()
                );
                Err(Status::precondition(message)
                    .about(vm(vm_id))
                    .action("Look at it at the host, and remove it there."))
            }
        }
    }

    /// Ends the worker of a machine that is off. `doing` is what is begun with it, as whoever comes too late hears.
    async fn retire(&self, handle: &Handle, doing: &str) -> Result<(), Status> {
        let (reply, answer) = oneshot::channel();
        let gone = || handle.machine.busy(doing);
        handle
            .mailbox
            .send(Message::Retire { reply })
            .await
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn report(vm_id: &str, entry: &Entry) -> VmReport {
    match entry {
        Entry::Present(handle) | Entry::Held(handle, _) => handle.report.borrow().clone(),
        Entry::Leaving(handle) => {
            let mut report = handle.report.borrow().clone();
            report.set_state(VmState::Deleting);
            report
        }
        Entry::Making(making) => VmReport {
            vm_id: vm_id.to_owned(),
            name: making.name.clone(),
            state: VmState::Creating.into(),
            hardware: making.hardware.clone(),
            ..VmReport::default()
        },
    }
}

/// Takes the folder's name away first: from then on it is no machine any more, and what cannot be removed now the next
/// start of the agent removes.
async fn remove_files(machine: &Arc<Machine>) -> Result<(), Status> {
    let folder = machine.folder.path().to_owned();
    let leaving = machine
        .datastore
        .machines()
        .join(format!("{}{DELETING}", machine.definition.vm_id));
    let sockets = machine.sockets.dir().to_owned();
    let removed = tokio::task::spawn_blocking(move || {
        folder::remove_folder(&leaving)?;
        folder::rename_durably(&folder, &leaving)?;
        for left in [sockets, leaving] {
            if let Err(error) = folder::remove_folder(&left) {
                tracing::warn!(path = %left.display(), %error, "this stays until the next start");
            }
        }
        Ok(())
    });
    let removed = removed
        .await
        .map_err(std::io::Error::other)
        .and_then(|removed| removed);
    removed.map_err(|error| machine.failed("deleted", error))
}
