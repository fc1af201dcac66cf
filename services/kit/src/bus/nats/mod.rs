//! The real bus: NATS with JetStream. The traps of async-nats end here.

mod calls;
mod connect;
mod convert;
mod logs;
mod read;

use std::time::Duration;

use async_nats::{Client, jetstream};
use async_trait::async_trait;
use futures::stream::BoxStream;
use tokio::sync::watch;

use super::{
    Append, AppendError, Bus, BusError, Deliveries, Endpoints, Entries, Incoming, LogEntry,
    LogInfo, LogSpec, Message, Serving,
};

#[derive(Clone)]
pub struct NatsBus {
    client: Client,
    jetstream: jetstream::Context,
    /// The same, less patient.
    appends: jetstream::Context,
    replicas: usize,
    reconnects: watch::Receiver<u64>,
}

#[async_trait]
impl Bus for NatsBus {
    async fn request(
        &self,
        subject: &str,
        message: Message,
        timeout: Duration,
    ) -> Result<Message, BusError> {
        self.request_on_nats(subject, message, timeout).await
    }

    async fn serve(&self, endpoints: Endpoints) -> Result<Serving, BusError> {
        self.serve_on_nats(endpoints).await
    }

    async fn publish(&self, subject: &str, message: Message) -> Result<(), BusError> {
        self.publish_on_nats(subject, message).await
    }

    async fn subscribe(&self, subject: &str) -> Result<BoxStream<'static, Incoming>, BusError> {
        self.subscribe_on_nats(subject).await
    }

    async fn ensure(&self, spec: &LogSpec) -> Result<LogInfo, BusError> {
        self.ensure_on_nats(spec).await
    }

    async fn info(&self, log: &str) -> Result<LogInfo, BusError> {
        self.info_on_nats(log).await
    }

    async fn append(&self, entry: &Append) -> Result<u64, AppendError> {
        self.append_on_nats(entry).await
    }

    async fn read(&self, log: &str, filter: &str, from: u64) -> Result<Entries, BusError> {
        self.read_on_nats(log, filter, from).await
    }

    async fn last(&self, log: &str, filter: &str) -> Result<Option<LogEntry>, BusError> {
        self.last_on_nats(log, filter).await
    }

    async fn consume(&self, log: &str, lease: Duration) -> Result<Deliveries, BusError> {
        self.consume_on_nats(log, lease).await
    }
}
