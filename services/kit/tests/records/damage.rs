//! Store files that have rotted, by the thousand: the view is right in the end, or the file is set aside and rebuilt.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::stream::BoxStream;
use kit::bus::{
    Append, AppendError, BusError, Deliveries, Endpoints, Entries, Incoming, LogEntry, LogInfo,
    LogSpec, Message, Serving,
};
use support::dice::Dice;

use super::log::{jetstream, replay, shown};
use super::*;

const FILES: u64 = 1_000;
const AT_A_TIME: usize = 8;
const PAGE_BYTES: usize = 4_096;

/// Nobody cuts the power here, so nothing needs to wait for a disk.
const IN_MEMORY: &str = "/dev/shm";

/// A real log, read once: a thousand readers at a time are more than a server is made for.
struct Recorded {
    info: LogInfo,
    entries: Vec<LogEntry>,
}

impl Recorded {
    async fn of(bus: &dyn Bus) -> Self {
        let (log, all) = (subjects::bucket_stream("vm"), subjects::all_records("vm"));
        let info = bus.info(&log).await.unwrap();
        let mut read = bus.read(&log, &all, 1).await.unwrap();
        let mut entries: Vec<LogEntry> = Vec::new();
        while entries
            .last()
            .is_none_or(|e| e.sequence < info.last_sequence)
        {
            entries.push(read.next().await.unwrap().unwrap());
        }
        Self { info, entries }
    }
}

#[async_trait]
impl Bus for Recorded {
    async fn info(&self, _: &str) -> Result<LogInfo, BusError> {
        Ok(self.info.clone())
    }

    async fn last(&self, _: &str, _: &str) -> Result<Option<LogEntry>, BusError> {
        Ok(self.entries.last().cloned())
    }

    async fn read(&self, _: &str, _: &str, from: u64) -> Result<Entries, BusError> {
        let entries = self.entries.iter().filter(|e| e.sequence >= from).cloned();
        let entries: Vec<_> = entries.map(Ok).collect();
        Ok(futures::stream::iter(entries)
            .chain(futures::stream::pending())
            .boxed())
    }

    async fn request(&self, _: &str, _: Message, _: Duration) -> Result<Message, BusError> {
        unreachable!("a mirror only reads")
    }

    async fn serve(&self, _: Endpoints) -> Result<Serving, BusError> {
        unreachable!("a mirror only reads")
    }

    async fn publish(&self, _: &str, _: Message) -> Result<(), BusError> {
        unreachable!("a mirror only reads")
    }

    async fn subscribe(&self, _: &str) -> Result<BoxStream<'static, Incoming>, BusError> {
        unreachable!("a mirror only reads")
    }

    async fn ensure(&self, _: &LogSpec) -> Result<LogInfo, BusError> {
        unreachable!("a mirror only reads")
    }

    async fn append(&self, _: &Append) -> Result<u64, AppendError> {
        unreachable!("a mirror only reads")
    }

    async fn consume(&self, _: &str, _: Duration) -> Result<Deliveries, BusError> {
        unreachable!("a mirror only reads")
    }
}

/// What happens to a file.
fn damage(file: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(file.len());
    match dice.below(4) {
        0 => file.truncate(at),
        1 => file[at] ^= 1 << dice.below(8),
        2 => {
            let page = at / PAGE_BYTES * PAGE_BYTES;
            let end = file.len().min(page + PAGE_BYTES);
            file[page..end].fill(0);
        }
        // The first pages say where everything else is.
        _ => file[at % (2 * PAGE_BYTES)] ^= 1 << dice.below(8),
    }
}

/// Opens a damaged file. Answers whether the view is right in the end, and whether the file was set aside.
async fn opened(
    bus: &Arc<dyn Bus>,
    file: Vec<u8>,
    truth: &BTreeMap<String, (u64, Vm)>,
) -> (bool, bool) {
    let folder = tempfile::tempdir_in(IN_MEMORY).unwrap();
    std::fs::write(folder.path().join("records.redb"), file).unwrap();
    let stop = CancellationToken::new();
    let store = Store::open(folder.path(), Arc::clone(bus), &World::real(), stop.clone()).unwrap();
    let vms = store.mirror::<Vm>().await.unwrap();
    let is_right = shown(&vms) == *truth;
    stop.cancel();
    (is_right, folder.path().join("records.damaged").exists())
}

/// A store with a hundred records: closed in order, and as a kill leaves it.
async fn files(nats: &NatsServer) -> [Vec<u8>; 2] {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.redb");
    let a = Instance::start(nats, folder.path()).await;
    let puts = (0..100).map(|n| {
        let (id, a) = (format!("vm-{n}"), &a);
        async move { a.put(&id, VmState::Running).await.unwrap() }
    });
    futures::stream::iter(puts)
        .buffer_unordered(32)
        .collect::<()>()
        .await;
    for n in 0..10 {
        a.delete(&format!("vm-{n}")).await.unwrap();
    }
    a.store.flush().await.unwrap();
    a.put("vm-50", VmState::Stopped).await.unwrap();
    let killed = std::fs::read(&path).unwrap();
    a.close().await;
    [std::fs::read(&path).unwrap(), killed]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_damaged_stores_never_answer_wrongly() {
    let nats = NatsServer::start().await.unwrap();
    let files = files(&nats).await;
    let truth = replay(&jetstream(&nats).await).await;
    assert_eq!(truth.len(), 90);
    let nats = NatsBus::connect("test", &nats.bus_config()).await.unwrap();
    let bus: Arc<dyn Bus> = Arc::new(Recorded::of(&nats).await);
    let tries = (0..FILES).map(|seed| {
        let (bus, truth) = (Arc::clone(&bus), truth.clone());
        let mut file = files[usize::try_from(seed % 2).unwrap()].clone();
        damage(&mut file, &mut Dice::new(seed));
        tokio::spawn(async move { (seed, opened(&bus, file, &truth).await) })
    });
    let results: Vec<_> = futures::stream::iter(tries)
        .buffer_unordered(AT_A_TIME)
        .map(|joined| joined.unwrap())
        .collect()
        .await;
    let wrong: Vec<u64> = results
        .iter()
        .filter(|(_, (right, _))| !right)
        .map(|(seed, _)| *seed)
        .collect();
    let aside = results.iter().filter(|(_, (_, aside))| *aside).count();
    assert!(wrong.is_empty(), "seeds {wrong:?} answer wrongly");
    // Damage of a page that is free is none; both must have been met.
    assert!((100..900).contains(&aside), "{aside} files were set aside");
}
