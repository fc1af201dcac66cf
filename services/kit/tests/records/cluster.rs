//! Three servers: what they say that one never does.

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
