//! Acknowledgements that never arrive: the write is there once, and its event too.

use std::sync::atomic::{AtomicUsize, Ordering};

use support::NatsCluster;
use support::proxy::Proxy;

use super::log::{assert_told_once, beginning, jetstream, replay};
use super::*;

const COUNTERS: usize = 5;
const STEPS: u64 = 4;

/// Whether a message is the acknowledgement of an append to a stream.
fn acknowledges(message: &[u8], stream: &str) -> bool {
    let start = format!("\r\n{{\"stream\":\"{stream}");
    message
        .windows(start.len())
        .any(|part| part == start.as_bytes())
}

/// Loses every tenth acknowledgement of any stream; counts the lost.
fn lose_every_tenth(proxy: &Proxy, seen: &Arc<AtomicUsize>) {
    let seen = Arc::clone(seen);
    proxy.lose(move |message| {
        acknowledges(message, "") && (seen.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(10)
    });
}

/// Loses the next acknowledgement of one stream.
fn lose_next(proxy: &Proxy, stream: &'static str) -> Arc<AtomicUsize> {
    let lost = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lost);
    proxy.lose(move |message| {
        acknowledges(message, stream) && counted.fetch_add(1, Ordering::SeqCst) == 0
    });
    lost
}

async fn instance(proxies: &[Proxy], replicas: usize, folder: &Path) -> Instance {
    let urls: Vec<String> = proxies.iter().map(Proxy::url).collect();
    let config = BusConfig {
        url: urls.join(","),
        replicas,
        ..BusConfig::default()
    };
    let bus = NatsBus::connect("test", &config).await.unwrap();
    Instance::start_on(Arc::new(bus), folder, &World::real()).await
}

/// Five counters count to four while every tenth acknowledgement is lost.
async fn counting_survives(servers: &[&NatsServer]) {
    let mut proxies = Vec::new();
    let seen = Arc::new(AtomicUsize::new(0));
    for server in servers {
        proxies.push(Proxy::start(server.port).await.unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let a = instance(&proxies, servers.len(), folder.path()).await;
    for proxy in &proxies {
        lose_every_tenth(proxy, &seen);
    }
    let counters = (0..COUNTERS).map(async |n| {
        for _ in 0..STEPS {
            a.count_up(&format!("counter-{n}")).await.unwrap();
        }
    });
    futures::future::join_all(counters).await;
    let jetstream = jetstream(servers[0]).await;
    let counted: Vec<u64> = replay(&jetstream)
        .await
        .into_values()
        .map(|(_, vm)| u64::from(vm.pid))
        .collect();
    assert_eq!(counted, [STEPS; COUNTERS]);
    let revisions: Vec<u64> = (1..=STEPS * COUNTERS as u64).collect();
    assert_told_once(&jetstream, &revisions).await;
    // Every write and every event was acknowledged, so four or more of them in vain.
    assert!(seen.load(Ordering::SeqCst) >= 2 * revisions.len());
}

#[tokio::test]
async fn every_tenth_acknowledgement_of_one_server_may_be_lost() {
    let nats = NatsServer::start().await.unwrap();
    counting_survives(&[&nats]).await;
}

#[tokio::test]
async fn every_tenth_acknowledgement_of_three_servers_may_be_lost() {
    let cluster = NatsCluster::start().await.unwrap();
    let servers: Vec<&NatsServer> = cluster.servers.iter().collect();
    counting_survives(&servers).await;
}

#[tokio::test]
async fn a_write_whose_acknowledgement_is_lost_and_that_another_replaces_counts_once() {
    let nats = NatsServer::start().await.unwrap();
    let proxies = [Proxy::start(nats.port).await.unwrap()];
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let a = instance(&proxies, 1, a.path()).await;
    let b = Instance::start(&nats, b.path()).await;
    let lost = lose_next(&proxies[0], "KV_vm");
    let replace = async {
        eventually("the first write to arrive", async || b.state("x"))
            .await
            .unwrap();
        b.count_up("x").await
    };
    let (first, second) = tokio::join!(a.count_up("x"), replace);
    first.unwrap();
    second.unwrap();
    assert!(lost.load(Ordering::SeqCst) > 1, "nothing was lost");
    let jetstream = jetstream(&nats).await;
    let (revision, vm) = replay(&jetstream).await.remove("x").unwrap();
    assert_eq!(vm.pid, 2);
    let revision = revision - beginning(&jetstream).await;
    assert_told_once(&jetstream, &[revision - 1, revision]).await;
}

#[tokio::test]
async fn an_event_sent_again_after_the_duplicate_window_is_there_once() {
    let nats = NatsServer::start().await.unwrap();
    let jetstream = jetstream(&nats).await;
    jetstream
        .create_stream(async_nats::jetstream::stream::Config {
            name: subjects::EVENTS.to_owned(),
            subjects: vec![subjects::all_events()],
            // Long over when an event whose acknowledgement did not come is sent again.
            duplicate_window: Duration::from_millis(100),
            ..Default::default()
        })
        .await
        .unwrap();
    let proxies = [Proxy::start(nats.port).await.unwrap()];
    let folder = tempfile::tempdir().unwrap();
    let a = instance(&proxies, 1, folder.path()).await;
    let lost = lose_next(&proxies[0], subjects::EVENTS);
    a.count_up("x").await.unwrap();
    eventually("the event to be sent again", async || {
        (lost.load(Ordering::SeqCst) > 0).then_some(())
    })
    .await
    .unwrap();
    a.count_up("x").await.unwrap();
    assert_told_once(&jetstream, &[1, 2]).await;
}
