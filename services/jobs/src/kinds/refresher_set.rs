//! Changes how often a kind of refresh is due: everywhere, in a host group, or for one server.

use contracts::jobs::RefresherSet;
use contracts::names::check_id;
use contracts::refresher::{Interval, ListKindsRequest, SetIntervalRequest};
use contracts::{ObjectRef, PropertyChange, Status, jobs::Plan};
use futures::future::BoxFuture;

use super::table::{Object, Step, Table, Target, Undo, always};
use crate::hands::{Calls, Done, Hands};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    #[prost(message, required, tag = "1")]
    request: RefresherSet,
    /// What was set before, so that it can be set again.
    #[prost(message, optional, tag = "2")]
    before: Option<Interval>,
}

pub(crate) static KIND: Table<State> = Table {
    name: "refresher_set",
    object: Object::Untouched,
    target: |state| Target {
        object: ObjectRef::new("refresher", &state.request.kind, &state.request.kind),
        group_id: state.request.group_id.clone(),
    },
    look: |_, _, _| Ok(()),
    plan,
    steps: &[Step {
        name: "set",
        description: "Set the interval",
        needed: always,
        action: |hands, state| Box::pin(set(hands, state)),
        undo: Undo::By(|hands, state| Box::pin(set_back(hands, state))),
    }],
};

pub(super) fn read(request: &RefresherSet) -> Result<State, Status> {
    check_id("kind", &request.kind)?;
    Ok(State {
        request: request.clone(),
        before: None,
    })
}

/// Looks up what is set now, and refuses a kind that there is not.
fn plan<'a>(calls: &'a Calls, state: &'a mut State) -> BoxFuture<'a, Result<Plan, Status>> {
    Box::pin(async move {
        let request = state.request.clone();
        let answer = calls
            .refresher()
            .list_kinds(&calls.context, &ListKindsRequest {})
            .await?;
        let is_it = |name: &str| name == request.kind;
        let known = answer
            .kinds
            .into_iter()
            .find(|known| known.kind.as_ref().is_some_and(|kind| is_it(&kind.name)));
        let known = known.ok_or_else(|| {
            Status::not_found(ObjectRef::new("refresher", &request.kind, &request.kind))
        })?;
        let set = known.intervals.unwrap_or_default();
        state.before = if !request.server_id.is_empty() {
            set.servers.get(&request.server_id).copied()
        } else if !request.group_id.is_empty() {
            set.groups.get(&request.group_id).copied()
        } else {
            set.all
        };
        Ok(Plan {
            changes: vec![change(state.before, request.interval)],
            ..Plan::default()
        })
    })
}

fn change(before: Option<Interval>, after: Option<Interval>) -> PropertyChange {
    PropertyChange {
        property: "interval".to_owned(),
        previous: word(before),
        new: word(after),
    }
}

fn word(interval: Option<Interval>) -> String {
    match interval {
        None => String::new(),
        Some(interval) if interval.off => "off".to_owned(),
        Some(interval) => format!("{} s", interval.secs),
    }
}

async fn set(hands: &Hands, state: &State) -> Result<Done, Status> {
    write(hands, state, state.request.interval).await?;
    Ok(Done {
        changes: vec![change(state.before, state.request.interval)],
        ..Done::default()
    })
}

async fn set_back(hands: &Hands, state: &State) -> Result<Done, Status> {
    write(hands, state, state.before).await?;
    Done::quiet()
}

async fn write(hands: &Hands, state: &State, interval: Option<Interval>) -> Result<(), Status> {
    let request = SetIntervalRequest {
        kind: state.request.kind.clone(),
        group_id: state.request.group_id.clone(),
        server_id: state.request.server_id.clone(),
        interval,
    };
    hands
        .refresher()
        .set_interval(&hands.context, &request)
        .await?;
    Ok(())
}
