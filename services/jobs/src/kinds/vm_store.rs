//! Stores a machine that is off in a share of the library: its disks, each a file of its own, and a definition that it is
//! brought back by. Then it goes from its host, unless it is to be kept. Or the disks alone, and a template is made of them.
//!
//! The files are made ready at the host, and come into a hidden folder of the share. It gets its name when all are whole, on
//! disk and verified; only then is anything taken away.

use contracts::call::Context;
use contracts::data::FileRef;
use contracts::host::{HostClient, PackVmRequest, Parcel, ParcelFile};
use contracts::jobs::{Plan, VmStore};
use contracts::library::{CloseParcelRequest, ParcelPlace};
use contracts::names::{check_folder_path, check_id};
use contracts::transfer::{Endpoint, StartRequest};
use contracts::{Code, Status, stored};
use kit::world::World;

use super::machine::{self, Machine};
use super::table::{Moment, Object, Step, Table, Target, Undo, always};
use super::transfers::{bring, take_back, tell};
use super::vm_delete::forget;
use crate::core::naming;
use crate::core::power::Action;
use crate::fleet::Fleet;
use crate::hands::{Calls, Done, Hands};

mod share;
mod template;

use share::Share;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    #[prost(message, required, tag = "1")]
    machine: Machine,
    /// As asked, with everything filled in that was left open.
    #[prost(message, required, tag = "2")]
    request: VmStore,
    #[prost(string, tag = "3")]
    parcel_id: String,
    #[prost(message, required, tag = "4")]
    share: Share,
    /// What the host has made ready.
    #[prost(message, optional, tag = "5")]
    parcel: Option<Parcel>,
    /// Where the files come into, below the share.
    #[prost(string, tag = "6")]
    hidden_folder: String,
    /// Of a template: its disks as items of the library.
    #[prost(string, repeated, tag = "7")]
    item_ids: Vec<String>,
}

pub(crate) static KIND: Table<State> = Table {
    name: "vm_store",
    object: Object::Existing,
    target: |state| target(&state.machine),
    look,
    plan: |calls, state| Box::pin(plan(calls, state)),
    steps: &[
        Step {
            name: "pack",
            description: "Make files of the machine that can travel",
            needed: always,
            action: |hands, state| Box::pin(pack(hands, state)),
            undo: Undo::By(|hands, state| Box::pin(unpack(hands, state))),
        },
        Step {
            name: "folder",
            description: "Make a hidden folder for it in the share",
            needed: always,
            action: |hands, state| Box::pin(open(hands, state)),
            undo: Undo::By(|hands, state| Box::pin(close(hands, state, Made::Removed))),
        },
        Step {
            name: "send",
            description: "Send the files to the library server and verify them",
            needed: always,
            action: |hands, state| Box::pin(send(hands, state)),
            undo: Undo::By(|hands, state| Box::pin(take_files_back(hands, state))),
        },
        Step {
            name: "name",
            description: "Give the folder its name",
            needed: always,
            action: |hands, state| Box::pin(name(hands, state)),
            undo: Undo::Nothing("The folder goes as a whole."),
        },
        Step {
            name: "disks",
            description: "Delete the machine and its disks at the host",
            needed: |state| !state.request.keep,
            action: |hands, state| Box::pin(delete(hands, state)),
            undo: Undo::Impossible("The disks are in the library alone."),
        },
        Step {
            name: "forget",
            description: "Forget the machine and give its name free",
            needed: |state| !state.request.keep,
            action: |hands, state| Box::pin(forget(hands, &state.machine)),
            undo: Undo::Impossible("The machine is in the library alone."),
        },
        Step {
            name: "items",
            description: "Wait until the library has seen the disks",
            needed: State::is_template,
            action: |hands, state| Box::pin(template::find_items(hands, state)),
            undo: Undo::Nothing("It only looks."),
        },
        Step {
            name: "profile",
            description: "Make a hardware profile of what the machine is made of",
            needed: State::is_template,
            action: |hands, state| Box::pin(template::put_profile(hands, state)),
            undo: Undo::By(|hands, state| Box::pin(template::remove_profile(hands, state))),
        },
        Step {
            name: "template",
            description: "Make the template",
            needed: State::is_template,
            action: |hands, state| Box::pin(template::put(hands, state)),
            undo: Undo::By(|hands, state| Box::pin(template::remove(hands, state))),
        },
        Step {
            name: "keep",
            description: "Keep what is stored, and remove what was made to send it",
            needed: always,
            action: |hands, state| Box::pin(keep(hands, state)),
            undo: Undo::Closing,
        },
    ],
};

/// What becomes of the folder in the share.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    Kept,
    Removed,
}

fn target(machine: &Machine) -> Target {
    machine::target(machine)
}

pub(super) fn read(request: &VmStore, world: &World) -> Result<State, Status> {
    check_id("vm_id", &request.vm_id)?;
    if request.share.is_empty() {
        return Err(Status::invalid("share", "No share is named.")
            .action("Name one of the library's shares."));
    }
    if !request.path.is_empty() {
        check_folder_path("path", &request.path)?;
    }
    let mut request = request.clone();
    if let Some(wanted) = &request.template {
        template::read(wanted)?;
        if request.path.is_empty() {
            request.path.clone_from(&wanted.name);
        }
        check_folder_path("path", &request.path)?;
        request.keep = true;
    }
    Ok(State {
        machine: Machine {
            vm_id: request.vm_id.clone(),
            ..Machine::default()
        },
        request,
        parcel_id: world.new_id(),
        ..State::default()
    })
}

fn look(fleet: &Fleet, moment: Moment, state: &mut State) -> Result<(), Status> {
    machine::look(fleet, moment, &mut state.machine, Action::Store)?;
    if state.request.path.is_empty() {
        state.request.path.clone_from(&state.machine.name);
    }
    Ok(())
}

impl State {
    fn is_template(&self) -> bool {
        self.request.template.is_some()
    }

    /// `<share>/<folder>`.
    fn title(&self) -> String {
        format!("{}/{}", self.share.name, self.request.path)
    }

    fn files(&self) -> &[ParcelFile] {
        self.parcel.as_ref().map_or(&[], |parcel| &parcel.files)
    }

    fn place(&self) -> ParcelPlace {
        ParcelPlace {
            parcel_id: self.parcel_id.clone(),
            share_id: self.share.id.clone(),
            folder: self.request.path.clone(),
            files: self.files().iter().map(|file| file.name.clone()).collect(),
        }
    }

    fn pack_request(&self, fleet: &Fleet, operation_id: &str) -> Result<PackVmRequest, Status> {
        let vm = fleet.vm(&self.machine.vm_id)?;
        Ok(PackVmRequest {
            operation_id: operation_id.to_owned(),
            vm_id: vm.id,
            parcel_id: self.parcel_id.clone(),
            owner: vm.owner,
            description: vm.description,
            tags: vm.tags,
            disks_only: self.is_template(),
            ..PackVmRequest::default()
        })
    }

    fn transfer_id(&self, file: &ParcelFile) -> String {
        naming::parcel_transfer(&self.parcel_id, &file.name)
    }

    fn start_request(&self, job_id: &str, file: &ParcelFile) -> StartRequest {
        let datastore = self.parcel.as_ref().map_or("", |parcel| &parcel.datastore);
        let from = FileRef::new(datastore, &file.path);
        let to = FileRef::new(
            &self.share.id,
            format!("{}/{}", self.hidden_folder, file.name),
        );
        StartRequest {
            transfer_id: self.transfer_id(file),
            source: Some(Endpoint::new(&self.machine.host_id, from)),
            target: Some(Endpoint::new(&self.share.server_id, to)),
            job_id: job_id.to_owned(),
            ..StartRequest::default()
        }
    }
}

/// Has the host and the library server say why they would not.
async fn plan(calls: &Calls, state: &mut State) -> Result<Plan, Status> {
    state.share = share::find(calls, &state.request.share).await?;
    if let Some(wanted) = &state.request.template {
        let vm = calls.fleet.vm(&state.machine.vm_id)?;
        template::check(calls, &vm, wanted).await?;
    }
    if state.machine.host_id.is_empty() {
        return Ok(Plan::default());
    }
    let request = PackVmRequest {
        check_only: true,
        ..state.pack_request(&calls.fleet, "")?
    };
    let host = calls.host(&state.machine.host_id);
    let parcel = host.pack_vm(&calls.context, &request).await?;
    let bytes = parcel.files.iter().map(|file| file.bytes).sum();
    share::check(calls, &state.share, state.place(), bytes).await?;
    Ok(Plan {
        host_id: state.machine.host_id.clone(),
        bytes_to_move: bytes,
        ..Plan::default()
    })
}

async fn pack(hands: &Hands, state: &mut State) -> Result<Done, Status> {
    let request = &state.pack_request(&hands.fleet, &hands.operation)?;
    let ask =
        |host: HostClient, context: Context| async move { host.pack_vm(&context, request).await };
    let machine = &state.machine;
    let packed = hands.ask_for_long(&machine.host_id, &machine.vm_id, ask);
    state.parcel = Some(packed.await?);
    Done::quiet()
}

async fn unpack(hands: &Hands, state: &State) -> Result<Done, Status> {
    let machine = &state.machine;
    hands
        .drop_parcel(&machine.host_id, &machine.vm_id, &state.parcel_id)
        .await?;
    Done::quiet()
}

async fn open(hands: &Hands, state: &mut State) -> Result<Done, Status> {
    let bytes = state.files().iter().map(|file| file.bytes).sum();
    state.hidden_folder = share::open(hands, &state.share, state.place(), bytes).await?;
    Done::quiet()
}

async fn send(hands: &Hands, state: &State) -> Result<Done, Status> {
    let mut said = Vec::new();
    let vm = hands.fleet.vm(&state.machine.vm_id)?;
    let disks = vm.hardware.unwrap_or_default().disks;
    for file in state.files() {
        let disk = disks
            .iter()
            .find(|disk| stored::disk_file(&disk.id) == file.name);
        let seed = match disk {
            Some(disk) => share::seed(hands, &state.share, &disk.image).await,
            None => None,
        };
        let request = StartRequest {
            seeds: seed.into_iter().collect(),
            ..state.start_request(&hands.job_id, file)
        };
        let brought = bring(hands, &request).await.map_err(|why| {
            let message = format!(
                "{} could not be brought to {}: {}",
                file.name,
                state.title(),
                why.message
            );
            Status { message, ..why }
        })?;
        said.push(format!("{}: {}", file.name, tell(&brought)));
    }
    Done::saying(said.join(" "))
}

async fn take_files_back(hands: &Hands, state: &State) -> Result<Done, Status> {
    for file in state.files() {
        take_back(hands, &state.transfer_id(file), &state.title()).await?;
    }
    Done::quiet()
}

async fn name(hands: &Hands, state: &State) -> Result<Done, Status> {
    let end = hands.library_end(&state.share.server_id);
    end.name_parcel(&hands.context, &state.place()).await?;
    Done::saying(format!("It lies in {}.", state.title()))
}

async fn delete(hands: &Hands, state: &State) -> Result<Done, Status> {
    let machine = &state.machine;
    hands.delete_vm(&machine.host_id, &machine.vm_id).await?;
    Done::quiet()
}

async fn close(hands: &Hands, state: &State, made: Made) -> Result<Done, Status> {
    let request = CloseParcelRequest {
        place: Some(state.place()),
        keep: made == Made::Kept,
    };
    let end = hands.library_end(&state.share.server_id);
    match end.close_parcel(&hands.context, &request).await {
        // The share is none of the server's any more: what lies there is its owner's.
        Err(gone) if gone.code() == Code::NotFound => Done::saying("The share is gone."),
        closed => {
            closed?;
            Done::quiet()
        }
    }
}

async fn keep(hands: &Hands, state: &State) -> Result<Done, Status> {
    close(hands, state, Made::Kept).await?;
    unpack(hands, state).await?;
    if state.is_template() {
        return Done::quiet();
    }
    share::wait_for_item(hands, &state.share, &state.request.path).await
}
