//! Entries of the log that come again, late, in any order, from streams that end: the view never goes back.

use std::collections::VecDeque;
use std::sync::Mutex;

use kit::bus::{Entries, LogEntry};
use support::dice::Dice;

use super::log::{assert_told_once, beginning, jetstream, replay, shown};
use super::*;
use crate::altered::{Alter, Altered};

/// Entries that may come again.
const REMEMBERED: usize = 12;

/// Delivers every entry three times with earlier ones between, and ends streams early.
struct Stammer {
    dice: Mutex<Dice>,
    past: Mutex<VecDeque<LogEntry>>,
}

impl Stammer {
    fn new(seed: u64) -> Self {
        Self {
            dice: Mutex::new(Dice::new(seed)),
            past: Mutex::default(),
        }
    }

    /// The entry, what comes again after it, and the entry twice more.
    fn stammer(&self, entry: &LogEntry) -> Vec<LogEntry> {
        let (mut dice, mut past) = (self.dice.lock().unwrap(), self.past.lock().unwrap());
        let mut said = vec![entry.clone()];
        for _ in 0..dice.below(REMEMBERED) {
            let again = past.get(dice.below(past.len())).cloned();
            said.extend(again);
        }
        said.extend([entry.clone(), entry.clone()]);
        past.push_back(entry.clone());
        if past.len() > REMEMBERED {
            past.pop_front();
        }
        said
    }

    /// What a new stream begins with: entries from before where it was asked to begin.
    fn begin(&self) -> Vec<LogEntry> {
        self.past.lock().unwrap().iter().rev().cloned().collect()
    }
}

/// Made of an `Arc`, since a stream outlives the call that made it.
struct Stammering(Arc<Stammer>);

impl Alter for Stammering {
    fn entries(&self, _log: &str, entries: Entries) -> Entries {
        let by = Arc::clone(&self.0);
        let end = 1 + by.dice.lock().unwrap().below(60);
        let past = futures::stream::iter(by.begin()).map(Ok);
        let said = entries.flat_map(move |entry| {
            let said = match entry {
                Ok(entry) => by.stammer(&entry).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            futures::stream::iter(said)
        });
        past.chain(said).take(REMEMBERED + end).boxed()
    }
}

async fn stammering(nats: &NatsServer, folder: &Path, seed: u64) -> Instance {
    let bus = NatsBus::connect("test", &nats.bus_config()).await.unwrap();
    let altered = Altered {
        bus: Arc::new(bus),
        by: Arc::new(Stammering(Arc::new(Stammer::new(seed)))),
    };
    Instance::start_on(Arc::new(altered), folder, &World::real()).await
}

#[tokio::test]
async fn entries_that_come_thrice_and_late_change_nothing() {
    let nats = NatsServer::start().await.unwrap();
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (
        stammering(&nats, a.path(), 1).await,
        stammering(&nats, b.path(), 2).await,
    );
    let mut changes = b.vms.changes();
    let mut dice = Dice::new(3);
    for _ in 0..100 {
        let writer = if dice.below(2) == 0 { &a } else { &b };
        let id = format!("vm-{}", dice.below(10));
        match dice.below(4) {
            0 => writer.delete(&id).await.unwrap(),
            _ => writer.count_up(&id).await.unwrap(),
        }
    }
    let jetstream = jetstream(&nats).await;
    let log = replay(&jetstream).await;
    let last = a.vms.revision().max(b.vms.revision());
    for instance in [&a, &b] {
        assert!(instance.vms.wait_for(last, support::PATIENCE).await);
        assert_eq!(shown(&instance.vms), log);
    }
    let written = last - beginning(&jetstream).await;
    let revisions: Vec<u64> = (1..=written).collect();
    assert_told_once(&jetstream, &revisions).await;
    let mut seen = 0;
    while let Ok(change) = changes.try_recv() {
        assert!(change.revision > seen, "{} after {seen}", change.revision);
        seen = change.revision;
    }
    assert_eq!(seen, last);
}
