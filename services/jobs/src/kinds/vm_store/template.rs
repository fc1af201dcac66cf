//! A template that is made of a machine: its disks, stored as images, and a hardware profile of what it is made of.

use std::time::Duration;

use contracts::host::Hardware;
use contracts::inventory::Vm;
use contracts::jobs::TemplateOf;
use contracts::library::{
    DefinitionRef, HardwareProfile, ItemRef, ItemStatus, Put, PutHardwareProfileRequest,
    PutTemplateRequest, Template, TemplateDisk,
};
use contracts::names::{check_title, check_words};
use contracts::{Code, ObjectRef, Status};

use super::State;
use crate::hands::{Calls, Done, Hands};

/// How long one try of the step waits until the library has seen the disks. The engine tries more than once.
const SEEN_PATIENCE: Duration = Duration::from_secs(20);

const LOOK_INTERVAL: Duration = Duration::from_millis(200);

pub(super) fn read(wanted: &TemplateOf) -> Result<(), Status> {
    check_title("name", &wanted.name)?;
    check_words(&wanted.owner, &wanted.description, &Default::default())
}

fn reference(name: &str) -> DefinitionRef {
    DefinitionRef {
        definition: name.to_owned(),
    }
}

fn taken(kind: &str, what: &str, name: &str) -> Status {
    let object = ObjectRef::new(kind, name, name);
    Status::already_exists(object, format!("There is a {what} {name} already."))
        .action("Choose another name, or remove that one.")
}

/// Refuses names that are taken, and a machine that nothing can be made of.
pub(super) async fn check(calls: &Calls, vm: &Vm, wanted: &TemplateOf) -> Result<(), Status> {
    let hardware = vm.hardware.clone().unwrap_or_default();
    if hardware.disks.is_empty() {
        let message = format!("Virtual machine {} has no disk to make others of.", vm.name);
        return Err(Status::precondition(message)
            .about(ObjectRef::new("vm", &vm.id, &vm.name))
            .action("Name a machine that has one."));
    }
    let (templates, name) = (calls.templates(), reference(&wanted.name));
    let of_template = templates.get_template(&calls.context, &name).await;
    if is_there(of_template)?.is_some() {
        return Err(taken("template", "template", &wanted.name));
    }
    let of_profile = templates.get_hardware_profile(&calls.context, &name).await;
    match is_there(of_profile)? {
        Some(_) => Err(taken("hardware_profile", "hardware profile", &wanted.name)),
        None => Ok(()),
    }
}

fn is_there<T>(asked: Result<T, Status>) -> Result<Option<T>, Status> {
    match asked {
        Err(unknown) if unknown.code() == Code::NotFound => Ok(None),
        found => found.map(Some),
    }
}

fn wanted(state: &State) -> TemplateOf {
    state.request.template.clone().unwrap_or_default()
}

/// Waits until the library has seen the disks, and notes which items they are.
pub(super) async fn find_items(hands: &Hands, state: &mut State) -> Result<Done, Status> {
    let seen = async {
        let mut ids = Vec::new();
        for file in state.files() {
            ids.push(find_item(hands, state, &file.name).await);
        }
        ids
    };
    let found = tokio::time::timeout(SEEN_PATIENCE, seen).await;
    match found {
        Ok(ids) => state.item_ids = ids,
        Err(_) => {
            let message = format!("The library has not seen {} yet.", state.title());
            return Err(Status::unavailable(message).action("Refresh the share."));
        }
    }
    Done::quiet()
}

async fn find_item(hands: &Hands, state: &State, file: &str) -> String {
    let request = ItemRef {
        item: format!("{}/{}/{file}", state.share.id, state.request.path),
    };
    loop {
        match hands.library().get_item(&hands.context, &request).await {
            Ok(item) if item.status() == ItemStatus::Ok => return item.id,
            _ => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
}

/// Tells a profile that this job has made from one of the same name that somebody else has.
fn mark(hands: &Hands, state: &State) -> String {
    format!(
        "Of virtual machine {}, by job {}.",
        state.machine.name, hands.job_id
    )
}

pub(super) async fn put_profile(hands: &Hands, state: &State) -> Result<Done, Status> {
    let (wanted, templates) = (wanted(state), hands.templates());
    let vm = hands.fleet.vm(&state.machine.vm_id)?;
    let hardware: Hardware = vm.hardware.unwrap_or_default();
    let cards = hardware.network_cards.into_iter();
    let profile = HardwareProfile {
        name: wanted.name.clone(),
        owner: wanted.owner,
        description: mark(hands, state),
        vcpus: hardware.vcpus,
        memory_bytes: hardware.memory_bytes,
        networks: cards.map(|card| card.network).collect(),
        firmware: hardware.firmware,
        boot_order: hardware.boot_order,
        ..HardwareProfile::default()
    };
    let request = PutHardwareProfileRequest {
        put: Put::Create.into(),
        profile: Some(profile),
    };
    match templates
        .put_hardware_profile(&hands.context, &request)
        .await
    {
        Err(there) if there.code() == Code::AlreadyExists => {
            match own_profile(hands, state).await? {
                true => Done::quiet(),
                false => Err(taken("hardware_profile", "hardware profile", &wanted.name)),
            }
        }
        made => {
            made?;
            Done::quiet()
        }
    }
}

async fn own_profile(hands: &Hands, state: &State) -> Result<bool, Status> {
    let name = reference(&wanted(state).name);
    let asked = hands
        .templates()
        .get_hardware_profile(&hands.context, &name)
        .await;
    let there = is_there(asked)?;
    Ok(there.is_some_and(|profile| profile.description == mark(hands, state)))
}

pub(super) async fn remove_profile(hands: &Hands, state: &State) -> Result<Done, Status> {
    if own_profile(hands, state).await? {
        let name = reference(&wanted(state).name);
        let templates = hands.templates();
        is_there(
            templates
                .remove_hardware_profile(&hands.context, &name)
                .await,
        )?;
    }
    Done::quiet()
}

pub(super) async fn put(hands: &Hands, state: &State) -> Result<Done, Status> {
    let wanted = wanted(state);
    let disks = state.item_ids.iter().map(|id| TemplateDisk {
        item_id: id.clone(),
        ..TemplateDisk::default()
    });
    let template = Template {
        name: wanted.name.clone(),
        owner: wanted.owner,
        description: wanted.description,
        disks: disks.collect(),
        hardware_profile_id: wanted.name.clone(),
        ..Template::default()
    };
    let request = PutTemplateRequest {
        put: Put::Create.into(),
        template: Some(template),
    };
    let templates = hands.templates();
    let put = templates.put_template(&hands.context, &request).await;
    if let Err(refusal) = put {
        if refusal.code() != Code::AlreadyExists {
            return Err(refusal);
        }
        if !is_own(hands, state).await? {
            return Err(taken("template", "template", &wanted.name));
        }
    }
    Done::saying(format!("Template {} is made.", wanted.name))
}

/// Whether the template is of the disks that this job has stored, which no other can name before.
async fn is_own(hands: &Hands, state: &State) -> Result<bool, Status> {
    let name = reference(&wanted(state).name);
    let asked = hands.templates().get_template(&hands.context, &name).await;
    let there = is_there(asked)?.unwrap_or_default();
    let ids = there.disks.iter().map(|disk| &disk.item_id);
    Ok(!state.item_ids.is_empty() && ids.eq(&state.item_ids))
}

pub(super) async fn remove(hands: &Hands, state: &State) -> Result<Done, Status> {
    if is_own(hands, state).await? {
        let name = reference(&wanted(state).name);
        let templates = hands.templates();
        is_there(templates.remove_template(&hands.context, &name).await)?;
    }
    Done::quiet()
}
