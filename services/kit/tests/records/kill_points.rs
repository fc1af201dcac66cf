//! A process that dies at every point between a write, its acknowledgement, its view and its event.

use std::collections::BTreeMap;

use super::log::{assert_told_once, beginning, everything, jetstream, replay, shown};
use super::*;
use crate::child::Child;

/// Every point that a process passes while it makes a record, changes it and deletes it, with how often. A new await on
/// the bus is a new point: add it here, and it is died at.
const POINTS: [(&str, u32); 17] = [
    ("after append EVENTS", 3),
    ("after append KV_vm", 3),
    ("after ensure EVENTS", 2),
    ("after ensure KV_vm", 1),
    ("after info KV_vm", 2),
    ("after last EVENTS", 3),
    ("after last KV_vm", 1),
    ("after read KV_vm", 1),
    ("before append EVENTS", 3),
    ("before append KV_vm", 3),
    ("before ensure EVENTS", 2),
    ("before ensure KV_vm", 1),
    ("before entry KV_vm", 3),
    ("before info KV_vm", 2),
    ("before last EVENTS", 3),
    ("before last KV_vm", 1),
    ("before read KV_vm", 1),
];

/// In which a message id is recognised by the stream of events: over before the process is back.
const WINDOW: Duration = Duration::from_millis(100);

/// Servers that work on the points at the same time.
const LANES: usize = 3;

async fn begin_anew(jetstream: &async_nats::jetstream::Context) {
    for stream in [subjects::EVENTS, &subjects::bucket_stream("vm")] {
        // Not there the first time.
        let _ = jetstream.delete_stream(stream).await;
    }
    let config = async_nats::jetstream::stream::Config {
        name: subjects::EVENTS.to_owned(),
        subjects: vec![subjects::all_events()],
        duplicate_window: WINDOW,
        ..Default::default()
    };
    // The server may still be removing the folder of the one that was deleted.
    let made = eventually("the stream to be made", async || {
        jetstream.create_stream(config.clone()).await.ok()
    });
    made.await.unwrap();
}

/// How many writes were acknowledged before the process died.
async fn acknowledged_until_death(
    nats: &NatsServer,
    folder: &Path,
    point: &str,
    flushes: bool,
) -> u64 {
    let mut child = Child::that_dies(nats, folder, point, flushes);
    let mut acknowledged = 0;
    while let Some(said) = child.says().await {
        acknowledged += u64::from(said.starts_with("acked"));
    }
    assert!(!child.ended().await.success(), "it did not die at {point}");
    acknowledged
}

async fn window_has_passed(bus: &dyn Bus) {
    let all = subjects::all_events();
    let Some(last) = bus.last(subjects::EVENTS, &all).await.unwrap() else {
        return;
    };
    eventually("the duplicate window to be over", async || {
        let now_ms = bus.info(subjects::EVENTS).await.unwrap().now_ms;
        (now_ms - last.time_ms > 2 * WINDOW.as_millis() as i64).then_some(())
    })
    .await
    .unwrap();
}

async fn dies_at(nats: &NatsServer, point: &str, flushes: bool) {
    let jetstream = jetstream(nats).await;
    begin_anew(&jetstream).await;
    let folder = tempfile::tempdir().unwrap();
    let acknowledged = acknowledged_until_death(nats, folder.path(), point, flushes).await;
    let bus = NatsBus::connect("test", &nats.bus_config()).await.unwrap();
    window_has_passed(&bus).await;
    let a = Instance::start(nats, folder.path()).await;
    let beginning = beginning(&jetstream).await;
    let written = a.vms.revision().saturating_sub(beginning);
    assert!(
        (acknowledged..=acknowledged + 1).contains(&written),
        "{point}: {acknowledged} acknowledged, {written} in the log"
    );
    a.put("x", VmState::Running).await.unwrap();
    a.put("y", VmState::Running).await.unwrap();
    assert_eq!(shown(&a.vms), replay(&jetstream).await, "{point}");
    let kept = everything(&jetstream, &subjects::bucket_stream("vm")).await;
    let last = kept.last().unwrap().sequence;
    assert_eq!(last - beginning, written + 2, "{point}");
    let revisions: Vec<u64> = (1..=written + 2).collect();
    assert_told_once(&jetstream, &revisions).await;
    assert!(!folder.path().join("records.damaged").exists(), "{point}");
}

/// The points that a process passes that nobody kills.
async fn passed(nats: &NatsServer) -> BTreeMap<String, u32> {
    begin_anew(&jetstream(nats).await).await;
    let folder = tempfile::tempdir().unwrap();
    let mut child = Child::start("script", nats, folder.path());
    let mut points = BTreeMap::new();
    // The last event and the last entry come in any order: the view does not wait for the log's copy of an own write.
    let is_over = |points: &BTreeMap<String, u32>| {
        let last = ["after append EVENTS", "before entry KV_vm"];
        last.iter().all(|name| points.get(*name) == Some(&3))
    };
    while !is_over(&points) {
        let said = child.says().await.expect("the process ended early");
        if let Some(point) = said.strip_prefix("point ") {
            let (name, _) = point.rsplit_once(' ').unwrap();
            *points.entry(name.to_owned()).or_default() += 1;
        }
    }
    points
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_at_any_point_loses_and_doubles_nothing() {
    let expected = POINTS.map(|(name, often)| (name.to_owned(), often));
    let first = NatsServer::start().await.unwrap();
    assert_eq!(passed(&first).await, BTreeMap::from(expected));
    let deaths: Vec<(String, bool)> = POINTS
        .iter()
        .flat_map(|(name, often)| (1..=*often).map(move |n| format!("{name} {n}")))
        .flat_map(|point| [(point.clone(), false), (point, true)])
        .collect();
    // With and without everything on the disk.
    assert_eq!(deaths.len(), 2 * 35);
    let lanes = (0..LANES).map(async |lane| {
        let nats = NatsServer::start().await.unwrap();
        for (point, flushes) in deaths.iter().skip(lane).step_by(LANES) {
            dies_at(&nats, point, *flushes).await;
        }
    });
    futures::future::join_all(lanes).await;
}
