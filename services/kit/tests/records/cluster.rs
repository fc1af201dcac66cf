//! Three servers: what they say that one never does.

use std::time::Instant;

use futures::TryStreamExt;
use support::NatsCluster;

use super::log::{assert_told_once, jetstream};
use super::*;

#[tokio::test]
async fn writers_that_meet_on_three_servers_never_lose_each_others_change() {
    const WRITERS: usize = 6;
    const STEPS: u64 = 5;
    let cluster = NatsCluster::start().await.unwrap();
    let bus = NatsBus::connect("test", &cluster.bus_config())
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let a = Instance::start_on(Arc::new(bus), folder.path(), &World::real()).await;
    let count_up = (0..WRITERS).map(|_| async {
        for _ in 0..STEPS {
            a.count_up("x").await.unwrap();
        }
    });
    futures::future::join_all(count_up).await;
    let steps = STEPS * WRITERS as u64;
    let counted = a.vms.get("x").unwrap().unwrap();
    assert_eq!(u64::from(counted.value.pid), steps);
    let jetstream = jetstream(&cluster.servers[0]).await;
    let revisions: Vec<u64> = (1..=steps).collect();
    assert_told_once(&jetstream, &revisions).await;
}

/// More than a view is without a server that feeds it, and less than the half minute in which a reader that trusts its
/// connection notices that.
const FED_AGAIN_MAX: Duration = Duration::from_secs(20);

/// The servers that feed the readers of the records.
async fn feeders(cluster: &NatsCluster) -> Vec<usize> {
    let jetstream = jetstream(&cluster.servers[0]).await;
    let log = jetstream.get_stream(subjects::bucket_stream("vm")).await;
    let readers = log.unwrap().consumers();
    let readers: Vec<_> = readers.try_collect().await.unwrap();
    let server = |reader: async_nats::jetstream::consumer::Info| {
        let name = reader.cluster?.leader?;
        name.strip_prefix('n')?.parse().ok()
    };
    readers.into_iter().filter_map(server).collect()
}

#[tokio::test]
async fn views_are_fed_again_soon_after_another_server_than_theirs_died() {
    let mut cluster = NatsCluster::start().await.unwrap();
    let config = BusConfig {
        url: cluster.servers[0].url(),
        ..cluster.bus_config()
    };
    let mut instances = Vec::new();
    let victim = loop {
        let bus = NatsBus::connect("test", &config).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let instance = Instance::start_on(Arc::new(bus), folder.path(), &World::real()).await;
        instances.push((instance, folder));
        let feeders = feeders(&cluster).await;
        if let Some(other) = feeders.into_iter().find(|server| *server != 0) {
            break other;
        }
    };
    cluster.servers[victim].kill();
    eventually("a write to be taken again", async || {
        instances[0].0.put("x", VmState::Running).await.ok()
    })
    .await
    .unwrap();
    let written = Instant::now();
    for (instance, _) in &instances {
        eventually("the view to have it", async || instance.state("x"))
            .await
            .unwrap();
    }
    let took = written.elapsed();
    assert!(
        took < FED_AGAIN_MAX,
        "the views were fed only after {took:?}"
    );
}
