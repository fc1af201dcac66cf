//! A model of the bus in memory, under the seed: what nats-server does, as far as Muster relies on it, and its faults.
//!
//! A log and its leases are plain data that are handed the time; [`Server`] holds them; a [`SimBus`] is one client's
//! connection, on which messages travel, wait and get lost. The conformance suite holds it to the real server.

mod calls;
mod faults;
mod history;
mod link;
mod log;
mod logs;
mod queue;
mod read;
mod server;
mod signals;
mod subject;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use kit::bus::{
    Append, AppendError, Bus, BusError, Deliveries, Endpoints, Entries, Incoming, LogEntry,
    LogInfo, LogSpec, Message, Serving,
};
use tokio::sync::oneshot;

pub use faults::{Fault, Faults};
pub use history::Epoch;
pub use link::Death;
pub use log::Order;
pub use server::{Backup, Server};

use link::Link;

/// How long JetStream's answers are waited for, as the kit has it on the real bus.
const JETSTREAM_TIMEOUT: Duration = Duration::from_secs(5);

/// And acknowledgements.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);

/// One client's connection.
#[derive(Clone)]
pub struct SimBus {
    server: Arc<Server>,
    link: Arc<Link>,
}

impl SimBus {
    fn new(server: Arc<Server>, link: Arc<Link>) -> Self {
        Self { server, link }
    }

    pub fn name(&self) -> &str {
        &self.link.name
    }

    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The client will die at its n-th message from now on; the receiver then hears of it.
    pub fn die_at(&self, message: u64, death: Death) -> oneshot::Receiver<()> {
        self.link.die_at(message, death)
    }

    /// The client will not die at a message after all.
    pub fn live_on(&self) {
        self.link.live_on();
    }

    pub fn is_closed(&self) -> bool {
        self.link.is_closed()
    }

    /// The client died: what it had sent may still arrive, what it would get is lost.
    pub fn close(&self) {
        self.link.close();
    }
}

fn broken(what: &str, text: &str) -> BusError {
    BusError::Broken {
        what: what.to_owned(),
        source: text.to_owned().into(),
    }
}

#[async_trait]
impl Bus for SimBus {
    async fn request(
        &self,
        subject: &str,
        message: Message,
        timeout: Duration,
    ) -> Result<Message, BusError> {
        self.request_on_model(subject, message, timeout).await
    }

    async fn serve(&self, endpoints: Endpoints) -> Result<Serving, BusError> {
        Ok(self.serve_on_model(&endpoints))
    }

    async fn publish(&self, subject: &str, message: Message) -> Result<(), BusError> {
        self.publish_on_model(subject, message)
    }

    async fn subscribe(&self, subject: &str) -> Result<BoxStream<'static, Incoming>, BusError> {
        Ok(self.subscribe_on_model(subject))
    }

    async fn ensure(&self, spec: &LogSpec) -> Result<LogInfo, BusError> {
        self.ensure_on_model(spec).await
    }

    async fn info(&self, log: &str) -> Result<LogInfo, BusError> {
        let name = log.to_owned();
        self.ask(log, move |server| server.info(&name)).await?
    }

    async fn append(&self, entry: &Append) -> Result<u64, AppendError> {
        self.append_on_model(entry).await
    }

    async fn read(&self, log: &str, filter: &str, from: u64) -> Result<Entries, BusError> {
        self.read_on_model(log, filter, from).await
    }

    async fn last(&self, log: &str, filter: &str) -> Result<Option<LogEntry>, BusError> {
        let (name, filter) = (log.to_owned(), filter.to_owned());
        self.ask(log, move |server| server.last(&name, &filter))
            .await?
    }

    async fn consume(&self, log: &str, lease: Duration) -> Result<Deliveries, BusError> {
        self.consume_on_model(log, lease).await
    }
}
