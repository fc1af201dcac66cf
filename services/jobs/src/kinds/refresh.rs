//! Has an object looked at afresh, now. What is found is written by the service that knows the object, and shows as jobs
//! below this one.

use contracts::jobs::Refresh;
use contracts::names::check_id;
use contracts::refresher::{Outcome, RefreshNowRequest, Refreshed};
use contracts::rest::RefreshOutcome;
use contracts::{ObjectRef, Status};

use super::table::{Moment, Object, Step, Table, Target, Undo, always, no_more};
use crate::core::power::capitalised;
use crate::fleet::Fleet;
use crate::hands::{Done, Hands};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    #[prost(message, required, tag = "1")]
    request: Refresh,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    group_id: String,
    /// What is refreshed: the object itself, or of a machine its host.
    #[prost(string, tag = "4")]
    target_id: String,
}

impl State {
    fn object(&self) -> ObjectRef {
        ObjectRef::new(
            &self.request.object_kind,
            &self.request.object_id,
            &self.name,
        )
    }
}

pub(crate) static KIND: Table<State> = Table {
    name: "refresh",
    object: Object::Untouched,
    target: |state| Target {
        object: state.object(),
        group_id: state.group_id.clone(),
    },
    look,
    plan: no_more,
    steps: &[Step {
        name: "refresh",
        description: "Look at the object afresh",
        needed: always,
        action: |hands, state| Box::pin(refresh(hands, state)),
        undo: Undo::Nothing("What was found is true."),
    }],
};

pub(super) fn read(request: &Refresh) -> Result<State, Status> {
    check_id("object_kind", &request.object_kind)?;
    check_id("object_id", &request.object_id)?;
    for kind in &request.kinds {
        check_id("kinds", kind)?;
    }
    Ok(State {
        request: request.clone(),
        name: String::new(),
        group_id: String::new(),
        target_id: request.object_id.clone(),
    })
}

fn look(fleet: &Fleet, _: Moment, state: &mut State) -> Result<(), Status> {
    match state.request.object_kind.as_str() {
        "vm" => {
            let vm = fleet.vm(&state.request.object_id)?;
            if vm.host_id.is_empty() {
                let object = ObjectRef::new("vm", &vm.id, &vm.name);
                let message = format!("{} is on no host.", capitalised(&object.describe()));
                return Err(Status::precondition(message)
                    .about(object)
                    .action("Wait until it is placed, or delete it."));
            }
            (state.name, state.group_id, state.target_id) = (vm.name, vm.group_id, vm.host_id);
        }
        "host" => {
            let host = fleet.host(&state.request.object_id)?;
            (state.name, state.group_id) = (host.name, host.group_id);
        }
        // Of another service's: whether it is there, the refresher knows.
        _ => {}
    }
    Ok(())
}

async fn refresh(hands: &Hands, state: &State) -> Result<Done, Status> {
    let request = &state.request;
    let is_part = state.target_id != request.object_id;
    let asked = RefreshNowRequest {
        target_id: state.target_id.clone(),
        object_id: if is_part {
            request.object_id.clone()
        } else {
            String::new()
        },
        object_kind: request.object_kind.clone(),
        kinds: request.kinds.clone(),
    };
    let mut context = hands.context.clone();
    // It takes as long as the object's server.
    context.timeout = None;
    let answer = hands.refresher().refresh(&context, &asked).await?;
    match answer
        .refreshed
        .iter()
        .find(|r| r.outcome() == Outcome::Failed)
    {
        Some(failed) => Err(not_refreshed(state, failed)),
        None => Done::saying(said(&answer.refreshed)),
    }
}

fn said(refreshed: &[Refreshed]) -> String {
    let one = |r: &Refreshed| {
        let outcome = RefreshOutcome::from(r.outcome()).word();
        format!("{}: {outcome}, {} bytes", r.kind, r.bytes)
    };
    refreshed.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn not_refreshed(state: &State, failed: &Refreshed) -> Status {
    let object = state.object();
    let message = format!(
        "{} could not be refreshed by {}: {}",
        capitalised(&object.describe()),
        failed.kind,
        failed.error
    );
    Status::precondition(message)
        .about(object)
        .action("See to its host, then restart the job.")
}
