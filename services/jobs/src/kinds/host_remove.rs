//! Takes a host out of the fleet. Machines on it go on running; Muster forgets them.

use contracts::Status;
use contracts::inventory::{Host, ObjectId};
use contracts::jobs::HostTarget;
use contracts::names::check_id;

use super::groups::counted;
use super::host_add::object;
use super::table::{Moment, Object, Step, Table, Target, Undo, always, no_more};
use super::vm_delete::gone;
use crate::fleet::Fleet;
use crate::hands::{Done, Hands};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    #[prost(string, tag = "1")]
    host_id: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    group_id: String,
    #[prost(bool, tag = "4")]
    force: bool,
}

pub(crate) static KIND: Table<State> = Table {
    name: "host_remove",
    object: Object::Existing,
    target: |state| Target {
        object: contracts::ObjectRef::new("host", &state.host_id, &state.name),
        group_id: state.group_id.clone(),
    },
    look,
    plan: no_more,
    steps: &[Step {
        name: "remove",
        description: "Forget the host and the machines on it",
        needed: always,
        action: |hands, state| Box::pin(remove(hands, state)),
        undo: Undo::Impossible("The host makes itself known again, and is added again."),
    }],
};

pub(super) fn read(request: &HostTarget) -> Result<State, Status> {
    check_id("host_id", &request.host_id)?;
    Ok(State {
        host_id: request.host_id.clone(),
        force: request.force,
        ..State::default()
    })
}

fn look(fleet: &Fleet, _: Moment, state: &mut State) -> Result<(), Status> {
    let host = fleet.host(&state.host_id)?;
    state.name.clone_from(&host.name);
    state.group_id.clone_from(&host.group_id);
    let machines = fleet.vms_on(&host.id)?.len();
    if machines == 0 || state.force {
        return Ok(());
    }
    Err(holds_machines(&host, machines))
}

fn holds_machines(host: &Host, machines: usize) -> Status {
    let them = counted(machines, "virtual machine");
    Status::precondition(format!("Host {} still has {them}.", host.name))
        .about(object(host))
        .action("Delete them first, or remove the host with force: they go on running, and Muster forgets them.")
}

async fn remove(hands: &Hands, state: &State) -> Result<Done, Status> {
    let request = ObjectId {
        id: state.host_id.clone(),
        job_id: hands.job_id.clone(),
    };
    gone(
        hands
            .inventory()
            .remove_host(&hands.context, &request)
            .await,
    )
}
