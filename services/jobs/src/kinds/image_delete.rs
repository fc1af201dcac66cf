//! Removes an image file from a datastore. The host refuses one that machines or other images lie on, and names them.

use contracts::call::Context;
use contracts::host::{HostClient, RemoveImageRequest};
use contracts::jobs::{ImageDelete, Plan};
use contracts::names::check_id;
use contracts::{ObjectRef, Status};
use kit::world::World;

use super::image_copy::split;
use super::table::{Moment, Object, Step, Table, Target, Undo, always};
use crate::fleet::{Fleet, check_responding};
use crate::hands::{Calls, Done, Hands};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    #[prost(message, required, tag = "1")]
    request: ImageDelete,
    #[prost(string, tag = "2")]
    object_id: String,
    #[prost(string, tag = "3")]
    host_name: String,
    #[prost(string, tag = "4")]
    group_id: String,
}

pub(crate) static KIND: Table<State> = Table {
    name: "image_delete",
    object: Object::Untouched,
    target: |state| Target {
        object: ObjectRef::new("image", &state.object_id, &state.title()),
        group_id: state.group_id.clone(),
    },
    look,
    plan: |calls, state| Box::pin(plan(calls, state)),
    steps: &[Step {
        name: "remove",
        description: "Remove the file",
        needed: always,
        action: |hands, state| Box::pin(remove(hands, state)),
        undo: Undo::Impossible("The file is gone."),
    }],
};

pub(super) fn read(request: &ImageDelete, world: &World) -> Result<State, Status> {
    check_id("host_id", &request.host_id)?;
    split("image", &request.image)?;
    Ok(State {
        request: request.clone(),
        object_id: world.new_id(),
        ..State::default()
    })
}

fn look(fleet: &Fleet, _: Moment, state: &mut State) -> Result<(), Status> {
    let host = fleet.host(&state.request.host_id)?;
    check_responding(&host)?;
    state.host_name = host.name;
    state.group_id = host.group_id;
    Ok(())
}

impl State {
    fn title(&self) -> String {
        format!("{}:{}", self.host_name, self.request.image)
    }

    fn remove_request(&self, operation_id: &str, check_only: bool) -> RemoveImageRequest {
        RemoveImageRequest {
            operation_id: operation_id.to_owned(),
            image: self.request.image.clone(),
            check_only,
        }
    }
}

/// The host says why it would not.
async fn plan(calls: &Calls, state: &State) -> Result<Plan, Status> {
    let request = state.remove_request("", true);
    let host = calls.host(&state.request.host_id);
    host.remove_image(&calls.context, &request).await?;
    Ok(Plan {
        host_id: state.request.host_id.clone(),
        host_name: state.host_name.clone(),
        ..Plan::default()
    })
}

async fn remove(hands: &Hands, state: &State) -> Result<Done, Status> {
    let request = &state.remove_request(&hands.operation, false);
    let ask = |host: HostClient, context: Context| async move {
        host.remove_image(&context, request).await
    };
    hands.ask(&state.request.host_id, ask).await?;
    Done::quiet()
}
