//! Renames, describes or moves a host group, or says how files travel to and from its hosts.

use contracts::inventory::{GroupChange, HostGroup};
use contracts::jobs::{GroupUpdate, Plan};
use contracts::names::{check_id, check_title};
use contracts::{Status, diff};

use super::groups::{check_not_root, check_place, depth, object};
use super::table::{Moment, Object, Step, Table, Target, Undo, always};
use super::vm_delete::gone;
use crate::core::hardware::check_words;
use crate::fleet::Fleet;
use crate::hands::{Calls, Done, Hands};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    #[prost(message, required, tag = "1")]
    request: GroupUpdate,
    #[prost(message, required, tag = "2")]
    before: HostGroup,
}

pub(crate) static KIND: Table<State> = Table {
    name: "group_update",
    object: Object::Existing,
    target: |state| Target {
        object: object(&state.before),
        group_id: state.request.group_id.clone(),
    },
    look,
    plan: |calls, state| Box::pin(plan(calls, state)),
    steps: &[Step {
        name: "update",
        description: "Change the host group",
        needed: always,
        action: |hands, state| Box::pin(update(hands, state)),
        undo: Undo::By(|hands, state| Box::pin(restore(hands, state))),
    }],
};

pub(super) fn read(request: &GroupUpdate) -> Result<State, Status> {
    check_id("group_id", &request.group_id)?;
    let change = GroupUpdate {
        group_id: String::new(),
        ..request.clone()
    };
    if change == GroupUpdate::default() {
        return Err(Status::invalid("", "Nothing is to be changed.")
            .action("Give a name, a parent, a description or an encryption."));
    }
    if let Some(name) = &request.name {
        check_title("name", name)?;
    }
    if let Some(parent_id) = &request.parent_id {
        check_id("parent_id", parent_id)?;
    }
    check_words(
        "",
        request.description.as_deref().unwrap_or_default(),
        &Default::default(),
    )?;
    Ok(State {
        request: request.clone(),
        before: HostGroup::default(),
    })
}

fn look(fleet: &Fleet, _: Moment, state: &mut State) -> Result<(), Status> {
    let request = &state.request;
    let before = fleet.group(&request.group_id)?;
    check_not_root(&before, "changed")?;
    state.before = before;
    let after = after(state);
    let levels = depth(fleet, &after.id)?;
    check_place(fleet, &after.id, &after.name, &after.parent_id, levels)
}

fn after(state: &State) -> HostGroup {
    let (request, before) = (&state.request, state.before.clone());
    HostGroup {
        name: request.name.clone().unwrap_or(before.name),
        parent_id: request.parent_id.clone().unwrap_or(before.parent_id),
        description: request.description.clone().unwrap_or(before.description),
        encryption: request.encryption.unwrap_or(before.encryption),
        ..before
    }
}

async fn plan(_: &Calls, state: &State) -> Result<Plan, Status> {
    Ok(Plan {
        changes: diff::changes(Some(&state.before), Some(&after(state))),
        ..Plan::default()
    })
}

async fn update(hands: &Hands, state: &State) -> Result<Done, Status> {
    let request = &state.request;
    let change = GroupChange {
        id: request.group_id.clone(),
        name: request.name.clone(),
        parent_id: request.parent_id.clone(),
        description: request.description.clone(),
        encryption: request.encryption,
        job_id: hands.job_id.clone(),
    };
    hands
        .inventory()
        .update_group(&hands.context, &change)
        .await?;
    Done::quiet()
}

async fn restore(hands: &Hands, state: &State) -> Result<Done, Status> {
    let (request, before) = (&state.request, &state.before);
    let change = GroupChange {
        id: request.group_id.clone(),
        name: request.name.as_ref().map(|_| before.name.clone()),
        parent_id: request.parent_id.as_ref().map(|_| before.parent_id.clone()),
        description: request
            .description
            .as_ref()
            .map(|_| before.description.clone()),
        encryption: request.encryption.map(|_| before.encryption),
        job_id: hands.job_id.clone(),
    };
    gone(
        hands
            .inventory()
            .update_group(&hands.context, &change)
            .await,
    )
}
