//! What a refresh finds becomes jobs.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use contracts::call::{Context, Serve, Service};
use contracts::host::VmState;
use contracts::jobs::{FoundChange, JOBS, RecordRequest};
use contracts::refresher::{Outcome, RefreshRequest};
use contracts::{ObjectRef, Status, subjects};
use futures::StreamExt as _;
use prost::Message as _;

use crate::harness::{Fleet, context, seen};
use crate::refresh::{NoRecords, PlayedHost, client, outcome};

/// Notes what was found, and the job in whose name.
#[derive(Default)]
struct Recorded(Mutex<Vec<(String, FoundChange)>>);

#[async_trait]
impl Serve for Recorded {
    fn service(&self) -> &'static Service {
        &JOBS
    }

    async fn dispatch(
        &self,
        method: &str,
        context: &Context,
        payload: &[u8],
    ) -> Result<Vec<u8>, Status> {
        assert_eq!(method, "Record");
        let found = RecordRequest::decode(payload).unwrap().found;
        let found = found.into_iter().map(|one| (context.job_id.clone(), one));
        self.0.lock().unwrap().extend(found);
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn what_is_found_becomes_a_job_for_each_object_and_what_only_measures_does_not() {
    let fleet = Fleet::start().await;
    let recorded = Arc::new(Recorded::default());
    let server = Arc::clone(&recorded);
    let jobs = kit::rpc::serve(&fleet.bus, Arc::new(NoRecords), JOBS.subject, server).await;
    let machines = vec![seen("v1", VmState::Running), seen("v2", VmState::Stopped)];
    let (host, _serving) = PlayedHost::start(&fleet, "h1", machines).await;
    host.with(|played| {
        played.machines[0].set_state(VmState::Paused);
        played.machines.push(seen("v3", VmState::Stopped));
        played.facts.memory_used_bytes = 5;
    });
    let request = RefreshRequest {
        kind: "vm_light".to_owned(),
        target_id: "h1".to_owned(),
        ..RefreshRequest::default()
    };
    let mut context = context();
    context.job_id = "by-hand".to_owned();
    client(&fleet).refresh(&context, &request).await.unwrap();
    assert_eq!(outcome(&fleet, "host").await, (Outcome::Unchanged, 0));
    let found = recorded.0.lock().unwrap().clone();
    assert!(found.iter().all(|(parent, _)| parent == "by-hand"));
    let of = |id: &str| {
        let is_it = |target: &ObjectRef| target.kind == "vm" && target.id == id;
        let one = found
            .iter()
            .find(|(_, one)| one.target.as_ref().is_some_and(is_it));
        one.unwrap().1.clone()
    };
    assert_eq!(found.len(), 2);
    let state = of("v1")
        .changes
        .into_iter()
        .find(|c| c.property == "state")
        .unwrap();
    assert_eq!(
        (state.previous.as_str(), state.new.as_str()),
        ("running", "paused")
    );
    assert!(
        of("v3")
            .changes
            .iter()
            .any(|c| c.property == "origin" && c.new == "imported")
    );
    assert!(of("v1").message.contains("vm_light"), "{:?}", of("v1"));
    assert_eq!(of("v1").group_id, contracts::names::ROOT_GROUP_ID);
    // The event of the change names the job.
    let kind = subjects::events_of_kind("vm");
    let mut events = fleet.bus.read(subjects::EVENTS, &kind, 1).await.unwrap();
    loop {
        let entry = events.next().await.unwrap().unwrap();
        let event = contracts::common::Event::decode(entry.message.payload).unwrap();
        if event.id == "v1" && event.verb == "state_changed" {
            assert_eq!(event.job_id, of("v1").job_id);
            break;
        }
    }
    drop(jobs);
}
