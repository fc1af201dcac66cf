//! Deletes a host group that holds no group and no host.

use contracts::Status;
use contracts::inventory::{HostGroup, ObjectId};
use contracts::jobs::GroupTarget;
use contracts::names::check_id;
use contracts::records::indexes;

use super::groups::{check_not_root, counted, object};
use super::table::{Moment, Object, Step, Table, Target, Undo, always, no_more};
use super::vm_delete::gone;
use crate::fleet::Fleet;
use crate::hands::{Done, Hands};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    #[prost(message, required, tag = "1")]
    group: HostGroup,
}

pub(crate) static KIND: Table<State> = Table {
    name: "group_delete",
    object: Object::Existing,
    target: |state| Target {
        object: object(&state.group),
        group_id: state.group.id.clone(),
    },
    look,
    plan: no_more,
    steps: &[Step {
        name: "delete",
        description: "Delete the host group",
        needed: always,
        action: |hands, state| Box::pin(delete(hands, state)),
        undo: Undo::Impossible("An empty group is as quickly made again as brought back."),
    }],
};

pub(super) fn read(request: &GroupTarget) -> Result<State, Status> {
    check_id("group_id", &request.group_id)?;
    Ok(State {
        group: HostGroup {
            id: request.group_id.clone(),
            ..HostGroup::default()
        },
    })
}

fn look(fleet: &Fleet, _: Moment, state: &mut State) -> Result<(), Status> {
    let group = fleet.group(&state.group.id)?;
    check_not_root(&group, "deleted")?;
    let groups = fleet.groups.find(indexes::GROUP, &group.id)?.len();
    let hosts = fleet.hosts.find(indexes::GROUP, &group.id)?.len();
    if groups + hosts > 0 {
        let message = format!(
            "Host group {} is not empty: it holds {} and {}.",
            group.name,
            counted(hosts, "host"),
            counted(groups, "host group")
        );
        return Err(Status::precondition(message)
            .about(object(&group))
            .action("Move them to another group first."));
    }
    state.group = group;
    Ok(())
}

async fn delete(hands: &Hands, state: &State) -> Result<Done, Status> {
    let request = ObjectId {
        id: state.group.id.clone(),
        job_id: hands.job_id.clone(),
    };
    gone(
        hands
            .inventory()
            .delete_group(&hands.context, &request)
            .await,
    )
}
