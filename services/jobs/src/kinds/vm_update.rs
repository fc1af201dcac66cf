//! Changes a machine's owner, description and tags.

use std::collections::BTreeMap;

use contracts::inventory::{UpdateVmRecord, Vm};
use contracts::jobs::{Plan, VmUpdate};
use contracts::names::check_id;
use contracts::{ObjectRef, Status, diff};

use super::table::{Moment, Object, Step, Table, Target, Undo, always};
use crate::fleet::Fleet;
use crate::hands::{Calls, Done, Hands};
use contracts::names::check_words;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    #[prost(message, required, tag = "1")]
    request: VmUpdate,
    /// The machine before.
    #[prost(message, required, tag = "2")]
    before: Vm,
}

pub(crate) static KIND: Table<State> = Table {
    name: "vm_update",
    object: Object::Existing,
    target: |state| Target {
        object: ObjectRef::new("vm", &state.request.vm_id, &state.before.name),
        group_id: state.before.group_id.clone(),
    },
    look,
    plan: |calls, state| Box::pin(plan(calls, state)),
    steps: &[Step {
        name: "update",
        description: "Change owner, description and tags",
        needed: always,
        action: |hands, state| Box::pin(update(hands, state)),
        undo: Undo::By(|hands, state| Box::pin(restore(hands, state))),
    }],
};

pub(super) fn read(request: &VmUpdate) -> Result<State, Status> {
    check_id("vm_id", &request.vm_id)?;
    let nothing = request.owner.is_none()
        && request.description.is_none()
        && request.set_tags.is_empty()
        && request.remove_tags.is_empty();
    if nothing {
        return Err(Status::invalid("", "Nothing is to be changed.")
            .action("Give an owner, a description or tags."));
    }
    Ok(State {
        request: request.clone(),
        before: Vm::default(),
    })
}

fn look(fleet: &Fleet, _: Moment, state: &mut State) -> Result<(), Status> {
    state.before = fleet.vm(&state.request.vm_id)?;
    let after = after(state);
    check_words(&after.owner, &after.description, &after.tags)
}

fn after(state: &State) -> Vm {
    let request = &state.request;
    let mut vm = state.before.clone();
    vm.owner = request.owner.clone().unwrap_or(vm.owner);
    vm.description = request.description.clone().unwrap_or(vm.description);
    vm.tags.retain(|tag, _| !request.remove_tags.contains(tag));
    vm.tags.extend(request.set_tags.clone());
    vm
}

async fn plan(_: &Calls, state: &State) -> Result<Plan, Status> {
    Ok(Plan {
        changes: diff::changes(Some(&state.before), Some(&after(state))),
        ..Plan::default()
    })
}

async fn update(hands: &Hands, state: &State) -> Result<Done, Status> {
    let request = &state.request;
    let record = UpdateVmRecord {
        vm_id: request.vm_id.clone(),
        job_id: hands.job_id.clone(),
        owner: request.owner.clone(),
        description: request.description.clone(),
        set_tags: request.set_tags.clone(),
        remove_tags: request.remove_tags.clone(),
        ..UpdateVmRecord::default()
    };
    hands.inventory().update_vm(&hands.context, &record).await?;
    Done::quiet()
}

async fn restore(hands: &Hands, state: &State) -> Result<Done, Status> {
    let (request, before) = (&state.request, &state.before);
    let is_new = |tag: &&String| !before.tags.contains_key(*tag);
    let touched =
        |tag: &String| request.set_tags.contains_key(tag) || request.remove_tags.contains(tag);
    let set_tags: BTreeMap<_, _> = before
        .tags
        .clone()
        .into_iter()
        .filter(|(tag, _)| touched(tag))
        .collect();
    let record = UpdateVmRecord {
        vm_id: request.vm_id.clone(),
        job_id: hands.job_id.clone(),
        owner: request.owner.as_ref().map(|_| before.owner.clone()),
        description: request
            .description
            .as_ref()
            .map(|_| before.description.clone()),
        set_tags,
        remove_tags: request.set_tags.keys().filter(is_new).cloned().collect(),
        ..UpdateVmRecord::default()
    };
    super::vm_delete::gone(hands.inventory().update_vm(&hands.context, &record).await)
}
