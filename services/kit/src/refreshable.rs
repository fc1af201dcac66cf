//! Says which kinds of refresh a service serves. Whoever listens later hears it a few seconds later.

use std::sync::Arc;
use std::time::Duration;

use contracts::refresher::{Announcement, Kind};
use contracts::subjects;
use prost::Message as _;

use crate::bus::{Bus, Message};

/// A refresher that has just started waits for it.
const INTERVAL: Duration = Duration::from_secs(3);

/// Goes on for ever.
pub async fn announce(bus: &Arc<dyn Bus>, service: &str, kinds: Vec<Kind>) {
    let subject = subjects::refreshable(service);
    let said = Announcement {
        service: service.to_owned(),
        kinds,
    }
    .encode_to_vec();
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        interval.tick().await;
        if let Err(error) = bus.publish(&subject, Message::new(said.clone())).await {
            tracing::debug!(%error, service, "what can be refreshed was not told");
        }
    }
}
