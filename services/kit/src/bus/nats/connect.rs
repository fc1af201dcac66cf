//! The connection: kept for ever, and said aloud when it is lost.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::watch;

use super::NatsBus;
use super::convert::broken;
use crate::bus::BusError;
use crate::config::BusConfig;

/// How long JetStream may take to answer a question. A caller with a deadline of its own gives up first.
const JETSTREAM_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an acknowledgement may take until the entry is sent again. Too low and a busy server gets more to do; too
/// high and one lost acknowledgement holds a writer up for as long.
pub(super) const ACK_TIMEOUT: Duration = Duration::from_secs(2);

/// By so much longer is waited after each attempt to connect again that failed.
const RECONNECT_DELAY: Duration = Duration::from_millis(50);

/// Too high and a server that is back is noticed late; too low and thousands press on one that is just starting.
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(1);

/// Messages that may wait in one subscription. Beyond that async-nats drops them and says so in an event only.
const SUBSCRIPTION_CAPACITY: usize = 65_536;

impl NatsBus {
    /// Connects, trying until the server is there or `patience` ends.
    pub async fn connect(name: &str, config: &BusConfig) -> Result<Self, BusError> {
        let (reconnected, reconnects) = watch::channel(0);
        let [random, ..] = *uuid::Uuid::new_v4().as_bytes();
        let part = f64::from(random) / f64::from(u8::MAX);
        let mut options = ConnectOptions::new()
            .name(format!("muster-{name}"))
            .custom_inbox_prefix(format!("_INBOX_{name}"))
            .subscription_capacity(SUBSCRIPTION_CAPACITY)
            .max_reconnects(None)
            .reconnect_delay_callback(move |attempts| reconnect_delay(attempts, part))
            .ping_interval(Duration::from_secs(10))
            .event_callback(move |event| {
                note_event(&event, &reconnected);
                futures::future::ready(())
            });
        if !config.user.is_empty() {
            options = options.user_and_password(config.user.clone(), config.password.clone());
        }
        let client = connect_with_patience(options, config).await?;
        let jetstream = jetstream::context::ContextBuilder::new()
            .timeout(JETSTREAM_TIMEOUT)
            .build(client.clone());
        let mut appends = jetstream.clone();
        // The builder's own `ack_timeout` is of acknowledgements that nobody waits for any more.
        appends.set_timeout(ACK_TIMEOUT);
        Ok(Self {
            client,
            jetstream,
            appends,
            replicas: config.replicas,
            reconnects,
        })
    }

    /// Comes back when the connection was lost and is back. A reader that waited for the heartbeats of its server
    /// would notice seconds later.
    pub(super) fn next_connection(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut reconnects = self.reconnects.clone();
        reconnects.mark_unchanged();
        async move {
            // An error: the connection is closed for good, and so are its readers.
            let _ = reconnects.changed().await;
        }
    }

    /// Comes back when the connection has ended for good, and nothing can be sent or received any more. async-nats keeps
    /// one for ever, unless it falls over in itself: a carriage return in a header is enough
    /// (<https://github.com/nats-io/nats.rs/pull/1612>), and a server passes on whatever a client sends.
    pub async fn ended(&self) {
        let mut reconnects = self.reconnects.clone();
        while reconnects.changed().await.is_ok() {}
    }

    /// Sends what is buffered and closes.
    pub async fn drain(&self) {
        if let Err(error) = self.client.drain().await {
            tracing::debug!(%error, "bus connection was closed before it drained");
        }
    }
}

/// The first connect is not retried by async-nats on its own: a server that starts a moment later would be missed.
async fn connect_with_patience(
    options: ConnectOptions,
    config: &BusConfig,
) -> Result<Client, BusError> {
    let patience = Duration::from_secs(config.connect_patience_secs);
    let client = options
        .retry_on_initial_connect()
        .connect(config.url.split(',').map(str::trim).collect::<Vec<_>>())
        .await
        .map_err(|e| broken(format!("connecting to the bus at {}", config.url), e))?;
    let connected = async {
        while client.connection_state() != async_nats::connection::State::Connected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(patience, connected)
        .await
        .map_err(|_| BusError::TimedOut(format!("the bus at {}", config.url)))?;
    Ok(client)
}

/// Waits longer after each attempt in vain, and each connection for times of its own: thousands of agents lose a server
/// at the same moment, and must not all come back at the same one.
fn reconnect_delay(attempts: usize, part: f64) -> Duration {
    let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
    let longest = RECONNECT_DELAY.saturating_mul(attempts);
    longest.min(RECONNECT_DELAY_MAX).mul_f64(0.5 + part / 2.0)
}

fn note_event(event: &Event, reconnected: &watch::Sender<u64>) {
    match event {
        Event::Connected => {
            reconnected.send_modify(|count| *count += 1);
            tracing::info!("connected to the bus");
        }
        Event::Disconnected => tracing::warn!("connection to the bus is lost; trying again"),
        Event::SlowConsumer(id) => {
            tracing::error!(
                subscription = id,
                "messages were dropped: a reader is too slow"
            );
        }
        other => tracing::info!(event = %other, "bus"),
    }
}
