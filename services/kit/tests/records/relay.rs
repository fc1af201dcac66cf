//! What telling costs: looks at the stream that do not grow with it, and no wait for each event of a writer that is gone.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::altered::{Alter, Altered};

/// Notes the filters that the server has to look up in the stream of events.
#[derive(Default)]
struct Filters(Mutex<Vec<String>>);

impl Alter for Filters {
    fn filter(&self, log: &str, filter: &str) {
        if log == subjects::EVENTS {
            self.0.lock().unwrap().push(filter.to_owned());
        }
    }
}

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
async fn no_event_is_looked_for_among_those_of_other_objects() {
    let nats = NatsServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let filters = Arc::<Filters>::default();
    let instance = instance(&nats, folder.path(), &filters).await;
    for id in ["x", "y"] {
        instance.put(id, VmState::Stopped).await.unwrap();
        instance.put(id, VmState::Running).await.unwrap();
        instance.delete(id).await.unwrap();
    }
    assert_eq!(events(&*instance.bus, 6).await.len(), 6);
    let filters = filters.0.lock().unwrap().clone();
    assert!(filters.len() >= 6, "{filters:?}");
    for filter in filters {
        assert!(!filter.contains(['*', '>']), "{filter}");
    }
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
