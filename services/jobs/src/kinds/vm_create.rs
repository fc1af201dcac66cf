//! Creates a machine on the host that placement rates best, and starts it if that is wanted.

use contracts::call::Context;
use contracts::host::{CreateVmRequest, GuestSetup, Hardware, HostClient, VmReport, VmState};
use contracts::inventory::{CreateVmRecord, Host, ObjectId, UpdateVmRecord};
use contracts::jobs::VmCreate;
use contracts::library::UserDataRef;
use contracts::names::{check_id, check_vm_name, check_words};
use contracts::placement::{Decision, PlaceRequest, ReleaseRequest};
use contracts::{ObjectRef, Status};
use kit::world::World;

use super::machine::{Machine, unstart};
use super::table::{Moment, Object, Step, Table, Target, Undo, always};
use super::vm_delete::gone;
use crate::core::{datastore, hardware, rating};
use crate::fleet::{Fleet, or_root};
use crate::hands::{Command, Done, Hands};

mod addresses;
mod clone;
mod from_share;
mod guest;
mod images;
mod package;
mod preflight;
mod stored;
mod template;

use addresses::free_mac;
use guest::wait_for_guest;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    /// As asked, with everything filled in that was left open.
    #[prost(message, required, tag = "1")]
    request: VmCreate,
    #[prost(string, tag = "2")]
    vm_id: String,
    /// Where it was placed.
    #[prost(string, tag = "3")]
    host_id: String,
    /// What the disks may grow to.
    #[prost(uint64, tag = "4")]
    disk_bytes: u64,
    /// What the host said of the machine when it was made.
    #[prost(message, optional, tag = "5")]
    report: Option<VmReport>,
    /// Images that come from the library.
    #[prost(message, repeated, tag = "6")]
    images: Vec<images::FromLibrary>,
    /// What the guest is told, user data aside.
    #[prost(message, optional, tag = "7")]
    guest: Option<GuestSetup>,
    /// What user data it is told. Not the text, which may hold passwords: a job's record is told in events.
    #[prost(message, optional, tag = "8")]
    user_data: Option<UserDataRef>,
    /// The template, with its version, for people.
    #[prost(string, tag = "9")]
    template: String,
    /// Of the host: where the images are and the disks will be. Chosen anew with each host.
    #[prost(string, tag = "10")]
    datastore: String,
    /// A machine of the library that it is.
    #[prost(message, optional, tag = "11")]
    stored: Option<from_share::FromShare>,
}

pub(crate) static KIND: Table<State> = Table {
    name: "vm_create",
    object: Object::New,
    target: |state| Target {
        object: ObjectRef::new("vm", &state.vm_id, &state.request.name),
        group_id: or_root(&state.request.group_id).to_owned(),
    },
    look,
    plan: |calls, state| Box::pin(preflight::plan(calls, state)),
    steps: &[
        Step {
            name: "record",
            description: "Make the machine's record and take its name",
            needed: always,
            action: |hands, state| Box::pin(record(hands, state)),
            undo: Undo::By(|hands, state| Box::pin(forget(hands, state))),
        },
        Step {
            name: "place",
            description: "Choose the best host and claim room there",
            needed: always,
            action: |hands, state| Box::pin(place(hands, state)),
            undo: Undo::By(|hands, state| Box::pin(release_claim(hands, state))),
        },
        Step {
            name: "assign",
            description: "Assign the machine to the host",
            needed: always,
            action: |hands, state| Box::pin(assign(hands, state)),
            undo: Undo::Nothing("The record goes as a whole."),
        },
        Step {
            name: "image",
            description: "Fetch the images of the template from the library",
            needed: |state| !state.images.is_empty(),
            action: |hands, state| Box::pin(images::fetch(hands, state)),
            undo: Undo::By(|hands, state| Box::pin(images::leave(hands, state))),
        },
        Step {
            name: "receive",
            description: "Bring the machine's files from the library",
            needed: |state| state.stored.is_some(),
            action: |hands, state| Box::pin(from_share::bring_files(hands, state)),
            undo: Undo::By(|hands, state| Box::pin(from_share::leave(hands, state))),
        },
        Step {
            name: "disks",
            description: "Make the disks and the machine at the host",
            needed: always,
            action: |hands, state| Box::pin(make_disks(hands, state)),
            undo: Undo::By(|hands, state| Box::pin(delete_disks(hands, state))),
        },
        Step {
            name: "report",
            description: "Take over what the host says of the machine",
            needed: always,
            action: |hands, state| Box::pin(apply_report(hands, state)),
            undo: Undo::Nothing("The record goes as a whole."),
        },
        Step {
            name: "start",
            description: "Start the machine",
            needed: |state| state.request.start,
            action: |hands, state| Box::pin(start(hands, state)),
            undo: Undo::By(|hands, state| Box::pin(stop(hands, state))),
        },
        Step {
            name: "guest",
            description: "Wait until the guest agent answers",
            needed: |state| state.request.start && state.request.wait_for_guest,
            action: |hands, state| Box::pin(wait_for_guest(hands, state)),
            undo: Undo::Nothing("It only looks."),
        },
        Step {
            name: "claim",
            description: "Give the claim on the host's room back: the machine itself takes it now",
            needed: always,
            action: |hands, state| Box::pin(release_claim(hands, state)),
            undo: Undo::Closing,
        },
    ],
};

/// Reads the request. Ids and addresses are drawn here, once, so that a runner that takes the job over has the same.
pub(super) fn read(
    request: &VmCreate,
    owner: &str,
    fleet: &Fleet,
    world: &World,
) -> Result<State, Status> {
    let mut request = request.clone();
    let is_stored = !request.stored.is_empty();
    // What is not said of one that is stored, it says itself.
    if !is_stored || !request.name.is_empty() {
        check_vm_name(&request.name)?;
    }
    if request.owner.is_empty() && !is_stored {
        owner.clone_into(&mut request.owner);
    }
    check_words(&request.owner, &request.description, &request.tags)?;
    for (field, id) in [
        ("group_id", &request.group_id),
        ("host_id", &request.host_id),
        ("datastore", &request.datastore),
    ] {
        if !id.is_empty() {
            check_id(field, id)?;
        }
    }
    template::check(&request)?;
    if is_stored {
        stored::check(&request)?;
    }
    if !request.clone_of.is_empty() {
        clone::take_over(&mut request, fleet)?;
    }
    let hardware = request.hardware.get_or_insert_default();
    // That of a template is whole when the template was looked at, and that of a machine is, stored or not.
    if request.template.is_empty() && request.clone_of.is_empty() && !is_stored {
        hardware::complete(hardware)?;
    }
    for card in hardware
        .network_cards
        .iter_mut()
        .filter(|card| card.mac.is_empty())
    {
        card.mac = free_mac(fleet, world)?;
    }
    Ok(State {
        guest: template::guest_of(&request),
        request,
        vm_id: world.new_id(),
        ..State::default()
    })
}

fn look(fleet: &Fleet, _: Moment, state: &mut State) -> Result<(), Status> {
    let request = &state.request;
    fleet.check_name_free(&request.name)?;
    if !request.clone_of.is_empty() {
        clone::look(fleet, request)?;
    }
    if !request.group_id.is_empty() {
        fleet.group(&request.group_id)?;
    }
    if !request.host_id.is_empty() {
        fleet.host(&request.host_id)?;
    }
    for card in state.hardware().network_cards {
        if let Some(vm) = fleet.vm_with_mac(&card.mac)? {
            let message = format!(
                "Virtual machine {} has the hardware address {}.",
                vm.name, card.mac
            );
            return Err(
                Status::already_exists(ObjectRef::new("vm", &vm.id, &vm.name), message)
                    .action("Leave the address out, or give another."),
            );
        }
    }
    Ok(())
}

impl State {
    fn hardware(&self) -> Hardware {
        self.request.hardware.clone().unwrap_or_default()
    }

    /// Whether files come to the host before the machine is made.
    fn comes_from_library(&self) -> bool {
        !self.images.is_empty() || self.stored.is_some()
    }

    /// Where its images are, or will be.
    fn choose_datastore(&self, host: &Host) -> Result<String, Status> {
        let files: Vec<&str> = self.images.iter().map(|i| i.image.file.as_str()).collect();
        let wanted = &self.request.datastore;
        datastore::choose(host, wanted, &files, self.disk_bytes).map(str::to_owned)
    }

    fn machine(&self) -> Machine {
        Machine {
            vm_id: self.vm_id.clone(),
            host_id: self.host_id.clone(),
            found: VmState::Stopped.into(),
            ..Machine::default()
        }
    }
}

async fn record(hands: &Hands, state: &State) -> Result<Done, Status> {
    let request = &state.request;
    let record = CreateVmRecord {
        vm_id: state.vm_id.clone(),
        name: request.name.clone(),
        owner: request.owner.clone(),
        description: request.description.clone(),
        tags: request.tags.clone(),
        hardware: request.hardware.clone(),
        job_id: hands.job_id.clone(),
    };
    let made = hands.inventory().create_vm(&hands.context, &record).await?;
    stored::check_own(hands, state, &made)?;
    if let Some(stored) = &state.stored {
        return Done::saying(stored.tell());
    }
    match state.template.as_str() {
        "" => Done::quiet(),
        template => Done::saying(format!("From template {template}.")),
    }
}

async fn forget(hands: &Hands, state: &State) -> Result<Done, Status> {
    if !stored::is_own(hands, state).await? {
        return Done::saying("The machine of this id is another's.");
    }
    let request = ObjectId {
        id: state.vm_id.clone(),
        job_id: hands.job_id.clone(),
    };
    gone(hands.inventory().delete_vm(&hands.context, &request).await)
}

async fn place(hands: &Hands, state: &mut State) -> Result<Done, Status> {
    let request = PlaceRequest {
        vm_id: state.vm_id.clone(),
        job_id: hands.job_id.clone(),
        rate: Some(state.rate_request(state.disk_bytes)),
    };
    let placed = hands.placement().place(&hands.context, &request).await?;
    let chosen = placed.ratings.iter().find(|r| r.host_id == placed.host_id);
    let message = chosen.map_or_else(
        || format!("Chosen: {}.", placed.host_id),
        |r| format!("Chosen: {}, {}.", r.host_name, rating::stars(r)),
    );
    state.host_id = placed.host_id;
    if state.comes_from_library() {
        let host = hands.fleet.host(&state.host_id)?;
        state.datastore = state.choose_datastore(&host)?;
    }
    // Its ratings are kept once, with the job's.
    let decision = placed.decision.map(|decision| Decision {
        ratings: Vec::new(),
        ..decision
    });
    Ok(Done {
        message,
        ratings: placed.ratings,
        decision,
        ..Done::default()
    })
}

async fn release_claim(hands: &Hands, state: &State) -> Result<Done, Status> {
    let request = ReleaseRequest {
        vm_id: state.vm_id.clone(),
        job_id: hands.job_id.clone(),
    };
    gone(hands.placement().release(&hands.context, &request).await)
}

async fn assign(hands: &Hands, state: &State) -> Result<Done, Status> {
    let request = UpdateVmRecord {
        vm_id: state.vm_id.clone(),
        job_id: hands.job_id.clone(),
        host_id: Some(state.host_id.clone()),
        ..UpdateVmRecord::default()
    };
    hands
        .inventory()
        .update_vm(&hands.context, &request)
        .await?;
    Done::quiet()
}

async fn make_disks(hands: &Hands, state: &mut State) -> Result<Done, Status> {
    let guest = guest::setup(hands, state).await?;
    if !state.request.clone_of.is_empty() {
        state.report = Some(clone::make(hands, state, guest).await?);
        return Done::quiet();
    }
    let request = CreateVmRequest {
        guest,
        operation_id: hands.operation.clone(),
        vm_id: state.vm_id.clone(),
        name: state.request.name.clone(),
        hardware: state.request.hardware.clone(),
        datastore: match state.comes_from_library() {
            false => state.request.datastore.clone(),
            true => state.datastore.clone(),
        },
        received: state.stored.as_ref().map(from_share::FromShare::received),
    };
    let request = &request;
    let ask =
        |host: HostClient, context: Context| async move { host.create_vm(&context, request).await };
    let made = hands.ask_for_long(&state.host_id, &state.vm_id, ask);
    state.report = Some(made.await?);
    Done::quiet()
}

async fn delete_disks(hands: &Hands, state: &State) -> Result<Done, Status> {
    if !hands.fleet.knows_host(&state.host_id)? {
        return Done::saying("The host is no longer one of the fleet's.");
    }
    gone(hands.delete_vm(&state.host_id, &state.vm_id).await)
}

async fn apply_report(hands: &Hands, state: &mut State) -> Result<Done, Status> {
    if let Some(report) = state.report.clone() {
        hands.apply(&state.host_id, report).await?;
    }
    state.report = None;
    Done::quiet()
}

async fn start(hands: &Hands, state: &State) -> Result<Done, Status> {
    super::machine::command(hands, &state.machine(), Command::Start).await
}

async fn stop(hands: &Hands, state: &State) -> Result<Done, Status> {
    unstart(hands, &state.machine()).await
}
