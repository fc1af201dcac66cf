//! Which library servers have been heard of lately. Each instance hears for itself, and hears nobody else: of a fleet's
//! agents few are library servers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::subjects;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use kit::bus::Bus;
use kit::service::Parts;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tokio_stream::StreamMap;

use crate::Config;
use crate::store::Desk;

const RETRY_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Heard {
    silence_max: Duration,
    started: Instant,
    /// When each server that is listened to was heard last, or was first listened to.
    last: Mutex<HashMap<String, Instant>>,
}

impl Heard {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            silence_max: Duration::from_secs(config.server_silence_max_secs),
            started: Instant::now(),
            last: Mutex::default(),
        }
    }

    /// Whether a server responds. Nobody is silent before there was time to be heard.
    pub(crate) fn responds(&self, server_id: &str) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let since = last.get(server_id).unwrap_or(&self.started);
        since.elapsed() < self.silence_max
    }

    fn hear(&self, server_id: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(server_id.to_owned(), Instant::now());
    }

    fn forget(&self, server_id: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.remove(server_id);
    }
}

/// Runs until the service stops.
pub(crate) async fn listen(heard: &Heard, desk: &Desk, parts: &Parts<Config>) {
    let listening = async {
        loop {
            if let Err(error) = listen_once(heard, desk, &parts.bus).await {
                tracing::warn!(%error, "heartbeats are not heard now; trying again");
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    };
    parts.stop.run_until_cancelled(listening).await;
}

/// Heartbeats of each server, and whether the bus still gives them.
type Heartbeats = StreamMap<String, BoxStream<'static, bool>>;

async fn listen_once(heard: &Heard, desk: &Desk, bus: &Arc<dyn Bus>) -> anyhow::Result<()> {
    let mut changes = desk.servers.changes();
    let mut heartbeats = Heartbeats::new();
    follow(heard, &mut heartbeats, desk, bus).await?;
    loop {
        tokio::select! {
            Some((server_id, is_given)) = heartbeats.next() => {
                if !is_given {
                    return Ok(());
                }
                heard.hear(&server_id);
            }
            change = changes.recv() => match change {
                Err(RecvError::Closed) => return Ok(()),
                Ok(_) | Err(RecvError::Lagged(_)) => follow(heard, &mut heartbeats, desk, bus).await?,
            },
        }
    }
}

/// Listens to the servers that there are now, and to no other.
async fn follow(
    heard: &Heard,
    heartbeats: &mut Heartbeats,
    desk: &Desk,
    bus: &Arc<dyn Bus>,
) -> anyhow::Result<()> {
    let servers = desk.all_servers()?;
    let mut gone: Vec<String> = heartbeats.keys().cloned().collect();
    gone.retain(|id| servers.iter().all(|server| server.id != *id));
    for id in gone {
        heartbeats.remove(&id);
        heard.forget(&id);
    }
    for server in servers {
        if heartbeats.contains_key(&server.id) {
            continue;
        }
        let given = bus.subscribe(&subjects::heartbeat(&server.id)).await?;
        let given = given.map(|_| true).chain(stream::once(async { false }));
        // Who has just registered is there.
        heard.hear(&server.id);
        heartbeats.insert(server.id, given.boxed());
    }
    Ok(())
}
