//! Says every few seconds that the host is alive. A task of its own, which waits for nothing else: a host that copies an
//! image must not look dead.

use std::sync::Arc;
use std::time::Duration;

use contracts::inventory::Heartbeat;
use contracts::subjects;
use kit::bus::{Bus, Message};
use prost::Message as _;
use tokio::time::{MissedTickBehavior, interval};

use crate::store::Identity;

/// Goes on for ever.
pub(crate) async fn run(bus: Arc<dyn Bus>, identity: Identity, every: Duration) {
    let subject = subjects::heartbeat(&identity.host_id);
    let beat = Heartbeat {
        host_id: identity.host_id,
        generation: identity.generation,
    }
    .encode_to_vec();
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = bus.publish(&subject, Message::new(beat.clone())).await {
            tracing::debug!(%error, "a heartbeat was not sent");
        }
    }
}
