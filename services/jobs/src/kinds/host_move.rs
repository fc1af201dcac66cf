//! Moves a host to another host group.

use contracts::inventory::{Host, HostChange, host};
use contracts::jobs::{HostMove, Plan};
use contracts::names::check_id;
use contracts::{ObjectRef, Status, diff};

use super::host_add::object;
use super::table::{Moment, Object, Step, Table, Target, Undo, always};
use super::vm_delete::gone;
use crate::fleet::{Fleet, or_root};
use crate::hands::{Calls, Done, Hands};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    #[prost(message, required, tag = "1")]
    request: HostMove,
    #[prost(string, tag = "2")]
    name: String,
    /// The group before.
    #[prost(string, tag = "3")]
    from: String,
}

pub(crate) static KIND: Table<State> = Table {
    name: "host_move",
    object: Object::Existing,
    target: |state| Target {
        object: ObjectRef::new("host", &state.request.host_id, &state.name),
        group_id: state.from.clone(),
    },
    look,
    plan: |calls, state| Box::pin(plan(calls, state)),
    steps: &[Step {
        name: "move",
        description: "Move the host to the group",
        needed: always,
        action: |hands, state| Box::pin(move_to(hands, state, &state.request.group_id)),
        undo: Undo::By(|hands, state| Box::pin(move_back(hands, state))),
    }],
};

pub(super) fn read(request: &HostMove) -> Result<State, Status> {
    check_id("host_id", &request.host_id)?;
    let mut request = request.clone();
    request.group_id = or_root(&request.group_id).to_owned();
    check_id("group_id", &request.group_id)?;
    Ok(State {
        request,
        ..State::default()
    })
}

fn look(fleet: &Fleet, moment: Moment, state: &mut State) -> Result<(), Status> {
    let host = fleet.host(&state.request.host_id)?;
    fleet.group(&state.request.group_id)?;
    state.name.clone_from(&host.name);
    state.from.clone_from(&host.group_id);
    if moment == Moment::InLine || host.approval() == host::Approval::Approved {
        return Ok(());
    }
    Err(
        Status::precondition(format!("Host {} is not in the fleet yet.", host.name))
            .about(object(&host))
            .action("Add it into the group."),
    )
}

async fn plan(_: &Calls, state: &State) -> Result<Plan, Status> {
    let in_group = |group_id: &str| Host {
        group_id: group_id.to_owned(),
        ..Host::default()
    };
    let (before, after) = (in_group(&state.from), in_group(&state.request.group_id));
    Ok(Plan {
        changes: diff::changes(Some(&before), Some(&after)),
        ..Plan::default()
    })
}

async fn move_to(hands: &Hands, state: &State, group_id: &str) -> Result<Done, Status> {
    let change = HostChange {
        id: state.request.host_id.clone(),
        group_id: group_id.to_owned(),
        job_id: hands.job_id.clone(),
    };
    hands.inventory().move_host(&hands.context, &change).await?;
    Done::quiet()
}

async fn move_back(hands: &Hands, state: &State) -> Result<Done, Status> {
    match move_to(hands, state, &state.from).await {
        // Nothing was moved when the step failed since the host or the group is not there.
        Err(error) => gone::<Done>(Err(error)),
        done => done,
    }
}
