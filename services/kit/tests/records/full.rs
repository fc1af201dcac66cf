//! No room: on the disk of an instance, and in the log.

use std::collections::BTreeSet;
use std::time::Instant;

use contracts::Code;

use super::log::{all_events, everything, jetstream, replay, shown};
use super::*;
use crate::child::Child;

/// What a filling process has said so far.
struct Said {
    since: Instant,
    acknowledged: BTreeSet<String>,
    /// How far its view was, each time.
    views: Vec<u64>,
}

impl Said {
    /// Reads on until it says how far its view is, which must be read, or say why not, at all times.
    async fn next_view(&mut self, child: &mut Child) -> u64 {
        loop {
            let last = &self.views[self.views.len().saturating_sub(50)..];
            let acknowledged = self.acknowledged.len();
            assert!(
                self.since.elapsed() < 2 * support::PATIENCE,
                "it does not get on: {acknowledged} acknowledged, the view at {last:?}"
            );
            let said = tokio::time::timeout(support::PATIENCE, child.says()).await;
            let said = said.expect("it says nothing").expect("the process ended");
            if let Some(id) = said.strip_prefix("acked ") {
                self.acknowledged.insert(id.to_owned());
            } else if let Some(view) = said.strip_prefix("view ") {
                let (revision, read) = view.split_once(' ').unwrap();
                let says_why = read.contains("rebuilt from the log") || read == "whole";
                assert!(says_why, "the view cannot be read: {read}");
                self.views.push(revision.parse().unwrap());
                return self.views[self.views.len() - 1];
            }
        }
    }
}

async fn last_sequence(jetstream: &async_nats::jetstream::Context) -> u64 {
    let stream = jetstream.get_stream(subjects::bucket_stream("vm")).await;
    stream.unwrap().cached_info().state.last_sequence
}

#[tokio::test]
async fn a_disk_that_is_full_stops_a_view_and_loses_nothing() {
    let nats = NatsServer::start().await.unwrap();
    let jetstream = jetstream(&nats).await;
    let folder = tempfile::tempdir().unwrap();
    let mut child = Child::start("filler", &nats, folder.path());
    let mut said = Said {
        since: Instant::now(),
        acknowledged: BTreeSet::new(),
        views: Vec::new(),
    };
    while said.next_view(&mut child).await < 5 {}
    let file = std::fs::metadata(folder.path().join("records.redb")).unwrap();
    support::limit_file_size(child.process_id(), Some(file.len())).unwrap();
    // The log goes on while the view comes no further, and is read all the time. After each failure it goes back to what is on
    // disk, and may come as far as before again.
    let (mut still, mut furthest) = (0, 0);
    while still < 20 {
        let now = said.next_view(&mut child).await;
        let is_behind = now < last_sequence(&jetstream).await;
        still = match is_behind && now <= furthest {
            true => still + 1,
            false => 0,
        };
        furthest = furthest.max(now);
    }
    support::limit_file_size(child.process_id(), None).unwrap();
    let behind = last_sequence(&jetstream).await;
    while said.next_view(&mut child).await < behind {}
    child.kill().await;
    let a = Instance::start(&nats, folder.path()).await;
    let log = replay(&jetstream).await;
    assert_eq!(shown(&a.vms), log);
    assert!(said.acknowledged.iter().all(|id| log.contains_key(id)));
    assert!(!folder.path().join("records.damaged").exists());
}

#[tokio::test]
async fn a_log_that_is_full_refuses_and_takes_again_when_there_is_room() {
    let nats = NatsServer::start().await.unwrap();
    let jetstream = jetstream(&nats).await;
    let mut config = async_nats::jetstream::stream::Config {
        name: subjects::bucket_stream("vm"),
        subjects: vec![subjects::all_records("vm")],
        max_messages_per_subject: 1,
        max_bytes: 4_096,
        discard: async_nats::jetstream::stream::DiscardPolicy::New,
        allow_message_ttl: true,
        ..Default::default()
    };
    jetstream.create_stream(config.clone()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let a = Instance::start(&nats, folder.path()).await;
    let mut written = 0;
    let refusal = loop {
        match a.put(&format!("vm-{written}"), VmState::Running).await {
            Ok(()) => written += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
    assert!(written > 2);
    // Nothing has changed, neither here nor there.
    let log = replay(&jetstream).await;
    assert_eq!(log.len(), written);
    assert_eq!(shown(&a.vms), log);
    assert_eq!(all_events(&jetstream, written).await.len(), written);
    config.max_bytes = 1 << 20;
    jetstream.update_stream(config).await.unwrap();
    a.put("one-more", VmState::Running).await.unwrap();
    assert_eq!(a.state("one-more"), Some(VmState::Running));
    let kept = everything(&jetstream, &subjects::bucket_stream("vm")).await;
    assert_eq!(kept.len(), written + 1);
}

#[tokio::test]
async fn an_event_that_is_too_large_is_told_without_what_was_before() {
    let nats = NatsServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let a = Instance::start(&nats, folder.path()).await;
    let large = Vm {
        // Fits the bus once, but not before and after in one event.
        owner: "x".repeat(5 << 20),
        ..Vm::default()
    };
    for pid in [1, 2] {
        let vm = Vm {
            pid,
            ..large.clone()
        };
        let put = |_: Option<&Stored<Vm>>| Ok(Decision::Put(vm.clone(), ()));
        let context = Context::new("tester");
        a.vms.update(&context, "large", put).await.unwrap();
    }
    a.put("small", VmState::Running).await.unwrap();
    let events = all_events(&jetstream(&nats).await, 3).await;
    let told: Vec<_> = events
        .iter()
        .map(|e| {
            (
                e.id.as_str(),
                e.verb.as_str(),
                e.before.is_empty(),
                e.after.is_empty(),
            )
        })
        .collect();
    let (whole, without_before) = (false, true);
    assert_eq!(
        told,
        [
            ("large", "created", true, whole),
            ("large", "updated", without_before, whole),
            ("small", "created", true, whole)
        ]
    );
}
