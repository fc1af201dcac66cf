//! The log from outside, by the plain client, and what must hold of it whatever was done to the kit.

use std::collections::BTreeMap;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures::TryStreamExt as _;
use kit::bus::headers;

use super::*;

/// A message as JetStream has it.
pub(super) struct Kept {
    pub(super) subject: String,
    pub(super) sequence: u64,
    pub(super) headers: async_nats::HeaderMap,
    pub(super) payload: Vec<u8>,
}

pub(super) async fn jetstream(nats: &NatsServer) -> jetstream::Context {
    jetstream::new(async_nats::connect(nats.url()).await.unwrap())
}

/// Everything that a stream holds, in order.
pub(super) async fn everything(jetstream: &jetstream::Context, stream: &str) -> Vec<Kept> {
    // A new consumer of a cluster has no leader for a moment, and is said to be not there.
    eventually("the stream to be read", async || {
        try_everything(jetstream, stream).await.ok()
    })
    .await
    .unwrap()
}

async fn try_everything(
    jetstream: &jetstream::Context,
    stream: &str,
) -> Result<Vec<Kept>, async_nats::Error> {
    let stream = jetstream.get_stream(stream).await?;
    let held = stream.cached_info().state.messages;
    let config = pull::Config {
        ack_policy: AckPolicy::None,
        deliver_policy: DeliverPolicy::All,
        ..Default::default()
    };
    let messages = stream.create_consumer(config).await?.messages().await?;
    let kept = messages
        .take(usize::try_from(held)?)
        .map_ok(|message| Kept {
            subject: message.subject.to_string(),
            sequence: message.info().unwrap().stream_sequence,
            headers: message.headers.clone().unwrap_or_default(),
            payload: message.payload.to_vec(),
        });
    Ok(kept.try_collect().await?)
}

/// What a replay of the log comes to: id, revision and record of all that is not deleted.
pub(super) async fn replay(jetstream: &jetstream::Context) -> BTreeMap<String, (u64, Vm)> {
    let mut records = BTreeMap::new();
    for kept in everything(jetstream, &subjects::bucket_stream("vm")).await {
        let id = subjects::record_id("vm", &kept.subject).unwrap().to_owned();
        if kept.headers.get(headers::OPERATION).is_some() {
            records.remove(&id);
        } else if let Ok(vm) = Vm::decode(kept.payload.as_slice()) {
            records.insert(id, (kept.sequence, vm));
        }
    }
    records
}

pub(super) fn shown(vms: &Mirror<Vm>) -> BTreeMap<String, (u64, Vm)> {
    let records = vms.list().unwrap().into_iter();
    records.map(|vm| (vm.id, (vm.revision, vm.value))).collect()
}

/// Every event that there is, in order, once as many are there as are due.
pub(super) async fn all_events(jetstream: &jetstream::Context, due: usize) -> Vec<common::Event> {
    let kept = eventually("every event to be published", async || {
        let kept = everything(jetstream, subjects::EVENTS).await;
        (kept.len() >= due).then_some(kept)
    })
    .await
    .unwrap();
    let decode = |kept: &Kept| common::Event::decode(kept.payload.as_slice()).unwrap();
    kept.iter().map(decode).collect()
}

/// The revision before the first that the log gives out: it counts from the time of its making.
pub(super) async fn beginning(jetstream: &jetstream::Context) -> u64 {
    let stream = jetstream.get_stream(subjects::bucket_stream("vm")).await;
    let stream = stream.unwrap();
    stream.cached_info().config.first_sequence.unwrap() - 1
}

/// Each of these revisions, counted from the beginning of the log, is one event; and the events of one record are in order
/// and follow from each other.
pub(super) async fn assert_told_once(jetstream: &jetstream::Context, revisions: &[u64]) {
    let beginning = beginning(jetstream).await;
    let events = all_events(jetstream, revisions.len()).await;
    let mut told: Vec<u64> = events.iter().map(|e| e.revision - beginning).collect();
    told.sort_unstable();
    assert_eq!(told, revisions);
    let mut states = BTreeMap::new();
    for event in events {
        let now = (event.revision, event.after);
        let (revision, before) = states.insert(event.id, now).unwrap_or_default();
        assert!(
            revision < event.revision,
            "{revision}, then {}",
            event.revision
        );
        assert_eq!(event.before, before, "revision {}", event.revision);
    }
}
