//! Reading logs and working off queues.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::{self, AckKind};
use async_trait::async_trait;
use futures::StreamExt;

use super::NatsBus;
use super::convert::{broken, to_entry};
use crate::bus::{BusError, Deliveries, Delivery, Entries, LogEntry};

/// Entries fetched at a time by a reader of a log.
const READ_BATCH: usize = 500;

/// How often a server says that it still serves a reader that has nothing to read. After two of these in silence the reader
/// ends: the server that fed it is gone, although the connection, which may be to another one, is not. Too low and a busy
/// server is taken for a dead one; too high and a view stands still after the death of a server.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How long a server keeps the place of a reader that does not ask.
const READER_KEPT: Duration = Duration::from_secs(30);

impl NatsBus {
    pub(super) async fn read_on_nats(
        &self,
        log: &str,
        filter: &str,
        from: u64,
    ) -> Result<Entries, BusError> {
        let stream = self
            .jetstream
            .get_stream_no_info(log)
            .await
            .map_err(|e| broken(format!("log {log}"), e))?;
        let consumer = stream
            .create_consumer(pull::Config {
                filter_subject: filter.to_owned(),
                deliver_policy: DeliverPolicy::ByStartSequence {
                    start_sequence: from.max(1),
                },
                ack_policy: AckPolicy::None,
                max_deliver: 1,
                inactive_threshold: READER_KEPT,
                memory_storage: true,
                num_replicas: 1,
                ..pull::Config::default()
            })
            .await
            .map_err(|e| broken(format!("reading log {log}"), e))?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(READ_BATCH)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(|e| broken(format!("reading log {log}"), e))?;
        let log = log.to_owned();
        let mut read = 0;
        Ok(messages
            .map(move |message| {
                let message = message.map_err(|e| broken(format!("reading log {log}"), e))?;
                read += 1;
                check_nothing_was_lost(&log, &message, read)?;
                to_entry(&log, &message)
            })
            .take_until(self.next_connection())
            .boxed())
    }

    pub(super) async fn consume_on_nats(
        &self,
        log: &str,
        lease: Duration,
    ) -> Result<Deliveries, BusError> {
        /// Entries fetched ahead: more would wait here while another instance idles.
        const FETCHED_AHEAD: usize = 16;
        let failed = |e: async_nats::Error| broken(format!("consuming {log}"), e);
        let stream = self
            .jetstream
            .get_stream_no_info(log)
            .await
            .map_err(|e| failed(e.into()))?;
        let consumer = stream
            .get_or_create_consumer(
                "workers",
                pull::Config {
                    durable_name: Some("workers".to_owned()),
                    ack_policy: AckPolicy::Explicit,
                    ack_wait: lease,
                    // For ever: an entry that is given up would be a job that nobody runs.
                    max_deliver: -1,
                    max_ack_pending: -1,
                    ..pull::Config::default()
                },
            )
            .await
            .map_err(|e| failed(e.into()))?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(FETCHED_AHEAD)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(|e| failed(e.into()))?;
        let log = log.to_owned();
        Ok(messages
            .map(move |message| {
                let message = message.map_err(|e| broken(format!("consuming {log}"), e))?;
                let entry = to_entry(&log, &message)?;
                Ok(Box::new(NatsDelivery { entry, message }) as Box<dyn Delivery>)
            })
            .take_until(self.next_connection())
            .boxed())
    }
}

/// A server numbers what it sends to a reader.
fn check_nothing_was_lost(
    log: &str,
    message: &jetstream::Message,
    expected: u64,
) -> Result<(), BusError> {
    let info = message
        .info()
        .map_err(|e| broken(format!("reading log {log}"), e))?;
    if info.consumer_sequence == expected {
        return Ok(());
    }
    let lost = format!(
        "entry {} came where entry {expected} was due",
        info.consumer_sequence
    );
    Err(broken(format!("reading log {log}"), lost))
}

struct NatsDelivery {
    entry: LogEntry,
    message: jetstream::Message,
}

impl NatsDelivery {
    async fn acknowledge(&self, kind: AckKind) -> Result<(), BusError> {
        self.message
            .ack_with(kind)
            .await
            .map_err(|e| broken(format!("acknowledging {}", self.entry.subject), e))
    }
}

#[async_trait]
impl Delivery for NatsDelivery {
    fn entry(&self) -> &LogEntry {
        &self.entry
    }

    async fn finish(&self) -> Result<(), BusError> {
        self.message
            .double_ack()
            .await
            .map_err(|e| broken(format!("finishing {}", self.entry.subject), e))
    }

    async fn extend(&self) -> Result<(), BusError> {
        self.acknowledge(AckKind::Progress).await
    }

    async fn give_back(&self, after: Duration) -> Result<(), BusError> {
        self.acknowledge(AckKind::Nak(Some(after))).await
    }
}
