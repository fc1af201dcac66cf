//! A bad line to the bus: slow, thin, and cut between a write and its acknowledgement.

use support::proxy::{Line, Proxy};

use super::log::{all_events, assert_told_once, jetstream, replay};
use super::*;

async fn through(proxy: &Proxy, folder: &Path) -> Instance {
    let config = BusConfig {
        url: proxy.url(),
        ..BusConfig::default()
    };
    let bus = NatsBus::connect("test", &config).await.unwrap();
    Instance::start_on(Arc::new(bus), folder, &World::real()).await
}

#[tokio::test]
async fn a_line_that_is_cut_before_the_acknowledgement_loses_and_doubles_nothing() {
    let nats = NatsServer::start().await.unwrap();
    let proxy = Proxy::start(nats.port).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let a = through(&proxy, folder.path()).await;
    let jetstream = jetstream(&nats).await;
    for written in 0..3 {
        all_events(&jetstream, written).await;
        let held = Line {
            is_paused: true,
            ..Line::default()
        };
        proxy.to_client(held);
        let cut = async {
            eventually("the log to have the write", async || {
                (replay(&jetstream).await.get("x")?.1.pid as usize > written).then_some(())
            })
            .await
            .unwrap();
            proxy.cut();
            proxy.to_client(Line::default());
        };
        let (counted, ()) = tokio::join!(a.count_up("x"), cut);
        counted.unwrap();
    }
    assert_eq!(replay(&jetstream).await["x"].1.pid, 3);
    assert_told_once(&jetstream, &[1, 2, 3]).await;
}

#[tokio::test]
async fn a_slow_thin_line_only_takes_longer() {
    let nats = NatsServer::start().await.unwrap();
    let proxy = Proxy::start(nats.port).await.unwrap();
    let line = Line {
        delay: Duration::from_millis(20),
        bytes_per_sec: 100_000,
        is_paused: false,
    };
    proxy.to_client(line);
    proxy.to_server(line);
    let folder = tempfile::tempdir().unwrap();
    let a = through(&proxy, folder.path()).await;
    for _ in 0..5 {
        a.count_up("x").await.unwrap();
    }
    assert_told_once(&jetstream(&nats).await, &[1, 2, 3, 4, 5]).await;
}
