//! Copies an image file to a datastore, of the same host or another.

use contracts::data::FileRef;
use contracts::jobs::{ImageCopy, Plan};
use contracts::names::{check_id, check_image_file};
use contracts::transfer::{Endpoint, StartRequest};
use contracts::{ObjectRef, Status};
use kit::world::World;

use super::table::{Moment, Object, Step, Table, Target, Undo, always};
use super::transfers::{bring, take_back, tell};
use crate::fleet::{Fleet, check_responding};
use crate::hands::{Calls, Done, Hands};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    /// As asked, with everything filled in that was left open.
    #[prost(message, required, tag = "1")]
    request: ImageCopy,
    #[prost(string, tag = "2")]
    transfer_id: String,
    /// Name of the target's host.
    #[prost(string, tag = "3")]
    host_name: String,
    #[prost(string, tag = "4")]
    group_id: String,
}

pub(crate) static KIND: Table<State> = Table {
    name: "image_copy",
    object: Object::Untouched,
    target: |state| Target {
        object: ObjectRef::new("image", &state.transfer_id, &state.title()),
        group_id: state.group_id.clone(),
    },
    look,
    plan: |calls, state| Box::pin(plan(calls, state)),
    steps: &[Step {
        name: "copy",
        description: "Copy the file and verify it",
        needed: always,
        action: |hands, state| Box::pin(copy(hands, state)),
        undo: Undo::By(|hands, state| Box::pin(remove(hands, state))),
    }],
};

/// `<datastore>/<file>`.
pub(super) fn split<'a>(field: &str, image: &'a str) -> Result<(&'a str, &'a str), Status> {
    let (datastore, file) = image.split_once('/').unwrap_or(("", image));
    if datastore.is_empty() {
        let message = "The datastore of the image is not named.";
        return Err(Status::invalid(field, message).action("Write <datastore>/<file>."));
    }
    check_id(field, datastore)?;
    check_image_file(field, file)?;
    Ok((datastore, file))
}

pub(super) fn read(request: &ImageCopy, world: &World) -> Result<State, Status> {
    let mut request = request.clone();
    check_id("source_host_id", &request.source_host_id)?;
    check_id("target_host_id", &request.target_host_id)?;
    let source_image = request.source_image.clone();
    let (datastore, file) = split("source_image", &source_image)?;
    if request.target_datastore.is_empty() {
        datastore.clone_into(&mut request.target_datastore);
    }
    if request.target_file.is_empty() {
        file.clone_into(&mut request.target_file);
    }
    check_id("target_datastore", &request.target_datastore)?;
    check_image_file("target_file", &request.target_file)?;
    for seed in &request.seeds {
        split("seeds", seed)?;
    }
    Ok(State {
        request,
        transfer_id: world.new_id(),
        ..State::default()
    })
}

fn look(fleet: &Fleet, _: Moment, state: &mut State) -> Result<(), Status> {
    check_responding(&fleet.host(&state.request.source_host_id)?)?;
    let host = fleet.host(&state.request.target_host_id)?;
    check_responding(&host)?;
    state.host_name = host.name;
    state.group_id = host.group_id;
    Ok(())
}

impl State {
    fn title(&self) -> String {
        let request = &self.request;
        format!(
            "{}:{}/{}",
            self.host_name, request.target_datastore, request.target_file
        )
    }

    fn start_request(&self, job_id: &str) -> Result<StartRequest, Status> {
        let request = &self.request;
        let image = |datastore: &str, file: &str| FileRef::new(datastore, format!("images/{file}"));
        let (datastore, file) = split("source_image", &request.source_image)?;
        let seeds = request.seeds.iter().map(|seed| {
            let (datastore, file) = split("seeds", seed)?;
            Ok(image(datastore, file))
        });
        let from = image(datastore, file);
        let to = image(&request.target_datastore, &request.target_file);
        Ok(StartRequest {
            transfer_id: self.transfer_id.clone(),
            source: Some(Endpoint::new(&request.source_host_id, from)),
            target: Some(Endpoint::new(&request.target_host_id, to)),
            seeds: seeds.collect::<Result<_, Status>>()?,
            bytes_per_sec: request.bytes_per_sec,
            job_id: job_id.to_owned(),
            ..StartRequest::default()
        })
    }
}

async fn plan(calls: &Calls, state: &State) -> Result<Plan, Status> {
    let request = state.start_request("")?;
    let plan = calls.transfer().plan(&calls.context, &request).await?;
    Ok(Plan {
        host_id: state.request.target_host_id.clone(),
        host_name: state.host_name.clone(),
        bytes_to_move: plan.allocated_bytes,
        ..Plan::default()
    })
}

async fn copy(hands: &Hands, state: &State) -> Result<Done, Status> {
    let request = state.start_request(&hands.job_id)?;
    Done::saying(tell(&bring(hands, &request).await?))
}

async fn remove(hands: &Hands, state: &State) -> Result<Done, Status> {
    take_back(hands, &state.transfer_id, &state.title()).await?;
    Done::quiet()
}
