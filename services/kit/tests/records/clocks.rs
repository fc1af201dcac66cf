//! Clocks that jump, of this machine and of the server: nothing is thrown away, nothing is lost.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use async_trait::async_trait;
use kit::bus::LogInfo;
use kit::world::Clock;

use super::log::{assert_told_once, beginning, jetstream, replay, shown};
use super::*;
use crate::altered::{Alter, Altered};

const HOUR_MS: i64 = 3_600_000;

/// Both clocks, and how many entries of the log a view was given.
#[derive(Default)]
struct Jumping {
    ahead_ms: AtomicI64,
    entries: AtomicUsize,
}

impl Clock for Jumping {
    fn now_ms(&self) -> i64 {
        World::real().now_ms() + self.ahead_ms.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Alter for Jumping {
    async fn at(&self, point: String) {
        let is_entry = point.starts_with("before entry");
        self.entries
            .fetch_add(usize::from(is_entry), Ordering::SeqCst);
    }

    fn info(&self, info: LogInfo) -> LogInfo {
        LogInfo {
            now_ms: info.now_ms + self.ahead_ms.load(Ordering::SeqCst),
            ..info
        }
    }
}

async fn start(nats: &NatsServer, folder: &Path, clock: &Arc<Jumping>) -> Instance {
    let bus = NatsBus::connect("test", &nats.bus_config()).await.unwrap();
    let altered = Altered {
        bus: Arc::new(bus),
        by: Arc::clone(clock),
    };
    let world = World {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        ..World::real()
    };
    Instance::start_on(Arc::new(altered), folder, &world).await
}

#[tokio::test]
async fn clocks_that_jump_an_hour_rebuild_nothing_and_lose_nothing() {
    let nats = NatsServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Jumping::default());
    let mut written = 0;
    for jump in [0, HOUR_MS, -HOUR_MS, HOUR_MS, 0] {
        clock.ahead_ms.store(jump, Ordering::SeqCst);
        clock.entries.store(0, Ordering::SeqCst);
        let a = start(&nats, folder.path(), &clock).await;
        let beginning = beginning(&jetstream(&nats).await).await;
        assert_eq!(a.vms.revision().saturating_sub(beginning), written);
        assert_eq!(
            clock.entries.load(Ordering::SeqCst),
            0,
            "the view was rebuilt"
        );
        a.count_up("x").await.unwrap();
        // And while it runs.
        clock.ahead_ms.store(-jump, Ordering::SeqCst);
        a.count_up("x").await.unwrap();
        a.put(&format!("jump-{written}"), VmState::Running)
            .await
            .unwrap();
        written += 3;
        a.store.flush().await.unwrap();
        assert_eq!(shown(&a.vms), replay(&jetstream(&nats).await).await);
        a.close().await;
    }
    let revisions: Vec<u64> = (1..=written).collect();
    assert_told_once(&jetstream(&nats).await, &revisions).await;
}
