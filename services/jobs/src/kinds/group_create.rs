//! Makes a host group.

use contracts::inventory::{GroupChange, HostGroup, ObjectId};
use contracts::jobs::{GroupCreate, Plan};
use contracts::names::check_title;
use contracts::{ObjectRef, Status, diff};
use kit::world::World;

use super::groups::check_place;
use super::table::{Moment, Object, Step, Table, Target, Undo, always};
use super::vm_delete::gone;
use crate::fleet::{Fleet, or_root};
use crate::hands::{Calls, Done, Hands};
use contracts::names::check_words;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, required, tag = "2")]
    request: GroupCreate,
}

pub(crate) static KIND: Table<State> = Table {
    name: "group_create",
    object: Object::New,
    target: |state| Target {
        object: ObjectRef::new("host_group", &state.id, &state.request.name),
        group_id: state.request.parent_id.clone(),
    },
    look,
    plan: |calls, state| Box::pin(plan(calls, state)),
    steps: &[Step {
        name: "group",
        description: "Make the host group",
        needed: always,
        action: |hands, state| Box::pin(create(hands, state)),
        undo: Undo::By(|hands, state| Box::pin(delete(hands, state))),
    }],
};

pub(super) fn read(request: &GroupCreate, world: &World) -> Result<State, Status> {
    check_title("name", &request.name)?;
    check_words("", &request.description, &Default::default())?;
    let mut request = request.clone();
    request.parent_id = or_root(&request.parent_id).to_owned();
    Ok(State {
        id: world.new_id(),
        request,
    })
}

fn look(fleet: &Fleet, _: Moment, state: &mut State) -> Result<(), Status> {
    check_place(
        fleet,
        &state.id,
        &state.request.name,
        &state.request.parent_id,
        1,
    )
}

async fn plan(_: &Calls, state: &State) -> Result<Plan, Status> {
    let group = HostGroup {
        name: state.request.name.clone(),
        parent_id: state.request.parent_id.clone(),
        description: state.request.description.clone(),
        ..HostGroup::default()
    };
    Ok(Plan {
        changes: diff::changes(None, Some(&group)),
        ..Plan::default()
    })
}

async fn create(hands: &Hands, state: &State) -> Result<Done, Status> {
    let change = GroupChange {
        id: state.id.clone(),
        name: Some(state.request.name.clone()),
        parent_id: Some(state.request.parent_id.clone()),
        description: Some(state.request.description.clone()),
        job_id: hands.job_id.clone(),
        ..GroupChange::default()
    };
    hands
        .inventory()
        .create_group(&hands.context, &change)
        .await?;
    Done::quiet()
}

async fn delete(hands: &Hands, state: &State) -> Result<Done, Status> {
    let request = ObjectId {
        id: state.id.clone(),
        job_id: hands.job_id.clone(),
    };
    gone(
        hands
            .inventory()
            .delete_group(&hands.context, &request)
            .await,
    )
}
