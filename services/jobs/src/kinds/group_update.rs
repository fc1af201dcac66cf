//! Renames, describes or moves a host group, or changes what hosts below it inherit.

use contracts::inventory::{GroupChange, HostGroup, Reserves};
use contracts::jobs::{GroupUpdate, Plan};
use contracts::names::{check_id, check_title};
use contracts::{Status, diff};

use super::groups::{check_not_root, check_place, depth, object};
use super::settings::{check_fits, check_inherit, check_reserves, reserves, settings};
use super::table::{Moment, Object, Step, Table, Target, Undo, always};
use super::vm_delete::gone;
use crate::fleet::Fleet;
use crate::hands::{Calls, Done, Hands};
use contracts::names::check_words;

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
    let group_id = request.group_id.clone();
    let nothing = GroupUpdate {
        group_id,
        ..GroupUpdate::default()
    };
    if *request == nothing {
        return Err(Status::invalid("", "Nothing is to be changed.")
            .action("Give a name, a parent, a description, reserves, an encryption or settings."));
    }
    check_reserves(&request.reserves.unwrap_or_default())?;
    check_inherit(&request.inherit, true)?;
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
    let request = &state.request.clone();
    let before = fleet.group(&request.group_id)?;
    state.before = before;
    let after = after(state);
    if let Some(reserves) = &request.reserves {
        check_hosts_below(fleet, &request.group_id, reserves)?;
    }
    // What the root hands down is the site's, and may be changed; where it is may not.
    if is_moved_or_named(request) {
        check_not_root(&state.before, "changed")?;
    } else {
        return Ok(());
    }
    let levels = depth(fleet, &after.id)?;
    check_place(fleet, &after.id, &after.name, &after.parent_id, levels)
}

/// Refuses reserves above what a host below has, unless it or a group in between says something else.
fn check_hosts_below(fleet: &Fleet, group_id: &str, reserves: &Reserves) -> Result<(), Status> {
    for stored in fleet.hosts.list()? {
        let host = stored.value;
        let line = fleet.line_of(&host.group_id).unwrap_or_default();
        let Some(at) = line.iter().position(|group| group.id == group_id) else {
            continue;
        };
        let between = line.iter().take(at).map(|group| group.reserves);
        let nearer: Vec<Reserves> = between.chain([host.reserves]).flatten().collect();
        let inherited = Reserves {
            memory_bytes: reserves
                .memory_bytes
                .filter(|_| nearer.iter().all(|said| said.memory_bytes.is_none())),
            disk_bytes: reserves
                .disk_bytes
                .filter(|_| nearer.iter().all(|said| said.disk_bytes.is_none())),
            ..Reserves::default()
        };
        check_fits(&inherited, &host)?;
    }
    Ok(())
}

fn is_moved_or_named(request: &GroupUpdate) -> bool {
    request.name.is_some() || request.parent_id.is_some() || request.description.is_some()
}

/// Whether anything of what is inherited is to be changed.
fn is_set(request: &GroupUpdate) -> bool {
    request.reserves.is_some() || request.settings.is_some() || !request.inherit.is_empty()
}

fn after(state: &State) -> HostGroup {
    let (request, before) = (&state.request, state.before.clone());
    HostGroup {
        name: request.name.clone().unwrap_or(before.name),
        parent_id: request.parent_id.clone().unwrap_or(before.parent_id),
        description: request.description.clone().unwrap_or(before.description),
        encryption: request.encryption.unwrap_or(before.encryption),
        reserves: reserves(before.reserves, request.reserves.as_ref(), &request.inherit),
        settings: settings(before.settings, request.settings.as_ref(), &request.inherit),
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
    let (request, after) = (&state.request, after(state));
    let is_set = is_set(request);
    let change = GroupChange {
        id: request.group_id.clone(),
        name: request.name.clone(),
        parent_id: request.parent_id.clone(),
        description: request.description.clone(),
        encryption: request.encryption,
        job_id: hands.job_id.clone(),
        reserves: is_set.then(|| after.reserves.unwrap_or_default()),
        settings: is_set.then(|| after.settings.unwrap_or_default()),
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
        reserves: is_set(request).then(|| before.reserves.unwrap_or_default()),
        settings: is_set(request).then(|| before.settings.unwrap_or_default()),
    };
    gone(
        hands
            .inventory()
            .update_group(&hands.context, &change)
            .await,
    )
}
