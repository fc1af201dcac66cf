//! Approves a host that made itself known, into a host group.

use contracts::inventory::{Host, HostChange, ObjectId, host};
use contracts::jobs::HostAdd;
use contracts::names::check_id;
use contracts::{ObjectRef, Status};

use super::table::{Moment, Object, Step, Table, Target, Undo, always, no_more};
use super::vm_delete::gone;
use crate::fleet::{Fleet, or_root};
use crate::hands::{Done, Hands};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    #[prost(message, required, tag = "1")]
    request: HostAdd,
    #[prost(string, tag = "2")]
    name: String,
}

pub(crate) static KIND: Table<State> = Table {
    name: "host_add",
    object: Object::Existing,
    target: |state| Target {
        object: ObjectRef::new("host", &state.request.host_id, &state.name),
        group_id: state.request.group_id.clone(),
    },
    look,
    plan: no_more,
    steps: &[Step {
        name: "approve",
        description: "Take the host into the fleet",
        needed: always,
        action: |hands, state| Box::pin(approve(hands, state)),
        // The host registers again by itself, and waits for approval as before.
        undo: Undo::By(|hands, state| Box::pin(forget(hands, state))),
    }],
};

pub(super) fn read(request: &HostAdd) -> Result<State, Status> {
    check_id("host_id", &request.host_id)?;
    let mut request = request.clone();
    request.group_id = or_root(&request.group_id).to_owned();
    check_id("group_id", &request.group_id)?;
    Ok(State {
        request,
        name: String::new(),
    })
}

fn look(fleet: &Fleet, moment: Moment, state: &mut State) -> Result<(), Status> {
    let host = fleet.host(&state.request.host_id)?;
    state.name.clone_from(&host.name);
    fleet.group(&state.request.group_id)?;
    if moment == Moment::InLine || host.approval() != host::Approval::Approved {
        return Ok(());
    }
    Err(
        Status::precondition(format!("Host {} is in the fleet already.", host.name))
            .about(object(&host))
            .action("Move it if it should be in another group."),
    )
}

pub(super) fn object(host: &Host) -> ObjectRef {
    ObjectRef::new("host", &host.id, &host.name)
}

async fn approve(hands: &Hands, state: &State) -> Result<Done, Status> {
    let change = HostChange {
        id: state.request.host_id.clone(),
        group_id: state.request.group_id.clone(),
        job_id: hands.job_id.clone(),
    };
    hands
        .inventory()
        .approve_host(&hands.context, &change)
        .await?;
    Done::quiet()
}

async fn forget(hands: &Hands, state: &State) -> Result<Done, Status> {
    let request = ObjectId {
        id: state.request.host_id.clone(),
        job_id: hands.job_id.clone(),
    };
    gone(
        hands
            .inventory()
            .remove_host(&hands.context, &request)
            .await,
    )
}
