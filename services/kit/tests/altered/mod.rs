//! A real bus with something between it and the kit: what a test wants to see, to count, to bend or to end.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use kit::bus::{
    Append, AppendError, Bus, BusError, Deliveries, Endpoints, Entries, Incoming, LogEntry,
    LogInfo, LogSpec, Message, Serving,
};

/// What is different. Points are named "before append KV_vm", "after append KV_vm", "before entry KV_vm".
#[async_trait]
pub(crate) trait Alter: Send + Sync + 'static {
    async fn at(&self, _point: String) {}

    /// A filter whose last entry is looked up, or expected.
    fn filter(&self, _log: &str, _filter: &str) {}

    fn info(&self, info: LogInfo) -> LogInfo {
        info
    }

    /// What a reader of a log gets.
    fn entries(&self, _log: &str, entries: Entries) -> Entries {
        entries
    }
}

pub(crate) struct Altered<A> {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) by: Arc<A>,
}

impl<A: Alter> Altered<A> {
    async fn around<T>(&self, what: &str, log: &str, work: impl Future<Output = T> + Send) -> T {
        self.by.at(format!("before {what} {log}")).await;
        let result = work.await;
        self.by.at(format!("after {what} {log}")).await;
        result
    }
}

#[async_trait]
impl<A: Alter> Bus for Altered<A> {
    async fn ensure(&self, spec: &LogSpec) -> Result<LogInfo, BusError> {
        let work = self.bus.ensure(spec);
        let info = self.around("ensure", &spec.name, work).await?;
        Ok(self.by.info(info))
    }

    async fn info(&self, log: &str) -> Result<LogInfo, BusError> {
        let info = self.around("info", log, self.bus.info(log)).await?;
        Ok(self.by.info(info))
    }

    async fn append(&self, entry: &Append) -> Result<u64, AppendError> {
        if let Some(expect) = &entry.expect {
            self.by.filter(&entry.log, &expect.filter);
        }
        let work = self.bus.append(entry);
        self.around("append", &entry.log, work).await
    }

    async fn last(&self, log: &str, filter: &str) -> Result<Option<LogEntry>, BusError> {
        self.by.filter(log, filter);
        let work = self.bus.last(log, filter);
        self.around("last", log, work).await
    }

    async fn read(&self, log: &str, filter: &str, from: u64) -> Result<Entries, BusError> {
        let work = self.bus.read(log, filter, from);
        let entries = self.around("read", log, work).await?;
        let (by, name) = (Arc::clone(&self.by), log.to_owned());
        let seen = entries.then(move |entry| {
            let (by, point) = (Arc::clone(&by), format!("before entry {name}"));
            async move {
                by.at(point).await;
                entry
            }
        });
        Ok(self.by.entries(log, seen.boxed()))
    }

    async fn request(&self, s: &str, m: Message, t: Duration) -> Result<Message, BusError> {
        self.bus.request(s, m, t).await
    }

    async fn serve(&self, endpoints: Endpoints) -> Result<Serving, BusError> {
        self.bus.serve(endpoints).await
    }

    async fn publish(&self, subject: &str, message: Message) -> Result<(), BusError> {
        self.bus.publish(subject, message).await
    }

    async fn subscribe(&self, subject: &str) -> Result<BoxStream<'static, Incoming>, BusError> {
        self.bus.subscribe(subject).await
    }

    async fn consume(&self, log: &str, lease: Duration) -> Result<Deliveries, BusError> {
        self.bus.consume(log, lease).await
    }
}
