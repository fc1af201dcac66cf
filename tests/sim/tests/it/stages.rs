//! The servers that the conformance suite runs on.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kit::bus::nats::NatsBus;
use kit::bus::{Bus, LogKind, LogSpec};
use kit::config::BusConfig;
use sim::bus::{Faults, Order, Server};
use sim::conformance::{Hands, Stage};
use sim::world::World;
use support::{NatsCluster, NatsServer, eventually};
use tokio::sync::Mutex;

pub(crate) async fn model(order: Order) -> Stage {
    let server = Server::new(&World::new(1), &Faults::none(), order);
    Stage {
        bus: Arc::new(server.connect("bus")),
        other: Arc::new(server.connect("other")),
        order,
        hands: Box::new(Model(server)),
    }
}

struct Model(Arc<Server>);

#[async_trait(?Send)]
impl Hands for Model {
    async fn stop(&self) {
        self.0.stop();
    }

    async fn start(&self) {
        self.0.start();
    }

    async fn lose_everything(&self) {
        for log in ["b", "s", "q"] {
            self.0.lose_log(log);
        }
    }
}

pub(crate) async fn nats() -> Stage {
    let nats = NatsServer::start().await.unwrap();
    let config = nats.bus_config();
    Stage {
        bus: connect("bus", &config).await,
        other: connect("other", &config).await,
        order: Order::ConflictFirst,
        hands: Box::new(Real(Mutex::new(nats))),
    }
}

async fn connect(name: &str, config: &BusConfig) -> Arc<dyn Bus> {
    Arc::new(NatsBus::connect(name, config).await.unwrap())
}

struct Real(Mutex<NatsServer>);

#[async_trait(?Send)]
impl Hands for Real {
    async fn stop(&self) {
        self.0.lock().await.kill();
    }

    async fn start(&self) {
        self.0.lock().await.restart().await.unwrap();
    }

    async fn lose_everything(&self) {
        self.0.lock().await.lose_store().unwrap();
    }
}

/// Three servers with three copies of each log. Nothing is done to them.
pub(crate) async fn cluster() -> Stage {
    let cluster = NatsCluster::start().await.unwrap();
    let config = cluster.bus_config();
    let stage = Stage {
        bus: connect("bus", &config).await,
        other: connect("other", &config).await,
        order: Order::DuplicateFirst,
        hands: Box::new(Left(cluster)),
    };
    let probe = LogSpec {
        name: "probe".to_owned(),
        subject: "probe.>".to_owned(),
        kind: LogKind::Bucket,
        first_sequence: 1,
    };
    eventually("the cluster to have a leader", async || {
        let made = tokio::time::timeout(Duration::from_secs(5), stage.bus.ensure(&probe));
        made.await.ok()?.ok()
    })
    .await
    .unwrap();
    stage
}

struct Left(#[expect(dead_code, reason = "held until the test ends")] NatsCluster);

#[async_trait(?Send)]
impl Hands for Left {
    async fn stop(&self) {}
    async fn start(&self) {}
    async fn lose_everything(&self) {}
}
