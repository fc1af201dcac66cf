//! Says which kinds of refresh inventory serves. Whoever listens later hears it a few seconds later.

use std::sync::Arc;
use std::time::Duration;

use contracts::refresher::Announcement;
use contracts::subjects;
use kit::bus::{Bus, Message};
use kit::config::Section;
use kit::service::Parts;
use prost::Message as _;

use crate::Config;
use crate::core::refresh;

/// A refresher that has just started waits for it.
const INTERVAL: Duration = Duration::from_secs(3);

/// Runs until the service stops.
pub(crate) async fn run(parts: &Parts<Config>) {
    parts.stop.run_until_cancelled(announce(&parts.bus)).await;
}

async fn announce(bus: &Arc<dyn Bus>) {
    let subject = subjects::refreshable(Config::NAME);
    let said = Announcement {
        service: Config::NAME.to_owned(),
        kinds: refresh::kinds(),
    }
    .encode_to_vec();
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        interval.tick().await;
        if let Err(error) = bus.publish(&subject, Message::new(said.clone())).await {
            tracing::debug!(%error, "what inventory serves was not told");
        }
    }
}
