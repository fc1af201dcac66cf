//! What telling costs: no wait for each event of a writer that is gone.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::altered::{Alter, Altered};

/// Writes records and never tells of them.
struct Mute;

#[async_trait]
impl Alter for Mute {
    async fn at(&self, point: String) {
        if point == "before append EVENTS" {
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Default)]
struct Looks(AtomicUsize);

impl Alter for Looks {
    fn filter(&self, log: &str, _: &str) {
        if log == subjects::EVENTS {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn instance<A: Alter>(nats: &NatsServer, folder: &Path, by: &Arc<A>) -> Instance {
    let bus = NatsBus::connect("test", &nats.bus_config()).await.unwrap();
    let altered = Altered {
        bus: Arc::new(bus),
        by: Arc::clone(by),
    };
    Instance::start_on(Arc::new(altered), folder, &World::real()).await
}

#[tokio::test]
async fn a_writer_that_does_not_tell_is_waited_for_once() {
    const WRITTEN: usize = 200;
    let nats = NatsServer::start().await.unwrap();
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mute = instance(&nats, a.path(), &Arc::new(Mute)).await;
    for n in 0..WRITTEN {
        mute.put(&format!("x{n}"), VmState::Running).await.unwrap();
    }
    let looks = Arc::<Looks>::default();
    let other = instance(&nats, b.path(), &looks).await;
    assert_eq!(events(&*other.bus, WRITTEN).await.len(), WRITTEN);
    // Waiting for one event is some eight looks. Told of without a wait, each is one append.
    let looks = looks.0.load(Ordering::Relaxed);
    assert!(looks < 4 * WRITTEN, "{looks} looks");
}
