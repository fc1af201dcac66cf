//! Which library servers have been heard of lately. Each instance hears for itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::inventory::Heartbeat;
use contracts::subjects;
use futures::StreamExt;
use kit::bus::{Bus, BusError};
use kit::service::Parts;
use prost::Message as _;
use tokio::time::Instant;

use crate::Config;

const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Agents that are remembered: more than a fleet has.
const HEARD_MAX: usize = 100_000;

pub(crate) struct Heard {
    silence_max: Duration,
    started: Instant,
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

    fn hear(&self, server_id: String) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() < HEARD_MAX || last.contains_key(&server_id) {
            last.insert(server_id, Instant::now());
        }
    }
}

/// Runs until the service stops.
pub(crate) async fn listen(heard: &Heard, parts: &Parts<Config>) {
    let listening = async {
        loop {
            if let Err(error) = listen_once(heard, &parts.bus).await {
                tracing::warn!(%error, "heartbeats are not heard now; trying again");
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    };
    parts.stop.run_until_cancelled(listening).await;
}

async fn listen_once(heard: &Heard, bus: &Arc<dyn Bus>) -> Result<(), BusError> {
    let mut heartbeats = bus.subscribe(&subjects::all_heartbeats()).await?;
    while let Some(incoming) = heartbeats.next().await {
        let Ok(heartbeat) = Heartbeat::decode(incoming.message.payload.clone()) else {
            continue;
        };
        if incoming.subject == subjects::heartbeat(&heartbeat.host_id) {
            heard.hear(heartbeat.host_id);
        }
    }
    Ok(())
}
