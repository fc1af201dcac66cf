//! Changes what people say of a host: reserves, maintenance mode, tags, failure domains, limits.

use contracts::inventory::{Host, HostSettings, HostSettingsChange};
use contracts::jobs::{HostSet, Plan};
use contracts::names::check_id;
use contracts::{ObjectRef, Status, diff, limits};

use super::settings::{check_fits, check_inherit, check_reserves, reserves};
use super::table::{Moment, Object, Step, Table, Target, Undo, always};
use super::vm_delete::gone;
use crate::fleet::Fleet;
use crate::hands::{Calls, Done, Hands};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    #[prost(message, required, tag = "1")]
    request: HostSet,
    /// The host before.
    #[prost(message, required, tag = "2")]
    before: Host,
}

pub(crate) static KIND: Table<State> = Table {
    name: "host_set",
    object: Object::Existing,
    target: |state| Target {
        object: ObjectRef::new("host", &state.request.host_id, &state.before.name),
        group_id: state.before.group_id.clone(),
    },
    look,
    plan: |calls, state| Box::pin(plan(calls, state)),
    steps: &[Step {
        name: "set",
        description: "Change the host's settings",
        needed: always,
        action: |hands, state| Box::pin(set(hands, state)),
        undo: Undo::By(|hands, state| Box::pin(restore(hands, state))),
    }],
};

pub(super) fn read(request: &HostSet) -> Result<State, Status> {
    check_id("host_id", &request.host_id)?;
    let id = request.host_id.clone();
    if *request
        == (HostSet {
            host_id: id,
            ..HostSet::default()
        })
    {
        return Err(Status::invalid("", "Nothing is to be changed.")
            .action("Give a reserve, tags, maintenance or another setting."));
    }
    check_reserves(&request.reserves.unwrap_or_default())?;
    check_inherit(&request.inherit, false)?;
    let words = [&request.rack, &request.room, &request.cluster];
    let words = words.into_iter().flatten().chain(&request.add_tags);
    let on_datastores = request.datastore_tags.values().flat_map(|tags| &tags.tags);
    for word in words.chain(on_datastores) {
        check_word(word)?;
    }
    Ok(State {
        request: request.clone(),
        before: Host::default(),
    })
}

fn check_word(word: &str) -> Result<(), Status> {
    if word.chars().count() <= limits::TAG_CHARS_MAX && !word.chars().any(char::is_control) {
        return Ok(());
    }
    let message = format!(
        "{:?} is no tag or name of a domain.",
        contracts::names::shorten(word)
    );
    Err(Status::invalid("", message)
        .action(format!("Use at most {} characters.", limits::TAG_CHARS_MAX)))
}

fn look(fleet: &Fleet, _: Moment, state: &mut State) -> Result<(), Status> {
    state.before = fleet.host(&state.request.host_id)?;
    let after = after(state);
    check_fits(&after.reserves.unwrap_or_default(), &after)?;
    let settings = after.settings.unwrap_or_default();
    let tags = settings.datastore_tags.values().map(|tags| tags.tags.len());
    let most = tags.chain([settings.tags.len()]).max().unwrap_or(0);
    if most > limits::TAGS_MAX {
        let message = format!("{most} tags are too many.");
        return Err(
            Status::invalid("tags", message).action(format!("Use at most {}.", limits::TAGS_MAX))
        );
    }
    Ok(())
}

fn after(state: &State) -> Host {
    let (request, before) = (&state.request, &state.before);
    let own = before.settings.clone().unwrap_or_default();
    let mut tags = own.tags;
    tags.retain(|tag| !request.remove_tags.contains(tag));
    tags.extend(request.add_tags.iter().cloned());
    tags.sort();
    tags.dedup();
    let mut datastore_tags = own.datastore_tags;
    datastore_tags.extend(request.datastore_tags.clone());
    datastore_tags.retain(|_, tags| !tags.tags.is_empty());
    let word = |said: &Option<String>, before: String| said.clone().unwrap_or(before);
    let settings = HostSettings {
        maintenance: request.maintenance.unwrap_or(own.maintenance),
        tags,
        datastore_tags,
        rack: word(&request.rack, own.rack),
        room: word(&request.room, own.room),
        cluster: word(&request.cluster, own.cluster),
        disk_io_per_sec_max: request
            .disk_io_per_sec_max
            .unwrap_or(own.disk_io_per_sec_max),
        network_mbit_max: request.network_mbit_max.unwrap_or(own.network_mbit_max),
    };
    Host {
        reserves: reserves(before.reserves, request.reserves.as_ref(), &request.inherit),
        settings: Some(settings),
        ..before.clone()
    }
}

async fn plan(_: &Calls, state: &State) -> Result<Plan, Status> {
    Ok(Plan {
        changes: diff::changes(Some(&state.before), Some(&after(state))),
        ..Plan::default()
    })
}

fn change(hands: &Hands, host: &Host) -> HostSettingsChange {
    HostSettingsChange {
        id: host.id.clone(),
        job_id: hands.job_id.clone(),
        reserves: Some(host.reserves.unwrap_or_default()),
        settings: Some(host.settings.clone().unwrap_or_default()),
    }
}

async fn set(hands: &Hands, state: &State) -> Result<Done, Status> {
    let change = change(hands, &after(state));
    hands.inventory().set_host(&hands.context, &change).await?;
    Done::quiet()
}

async fn restore(hands: &Hands, state: &State) -> Result<Done, Status> {
    let change = change(hands, &state.before);
    gone(hands.inventory().set_host(&hands.context, &change).await)
}
