//! What this instance has refreshed is told each second, and with it that the instance is there.

use std::time::Duration;

use contracts::refresher::{Refreshed, RefreshedBatch};
use contracts::subjects;
use kit::bus::Message;
use prost::Message as _;

use crate::core::ledger::BATCH_MAX;
use crate::meter;
use crate::shared::Shared;

/// Less than an instance may be silent (`core::plan`), by far.
const INTERVAL: Duration = Duration::from_secs(1);

/// Goes on until the service stops.
pub(crate) async fn run(shared: &Shared) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        tell(shared, false).await;
        meter::note_line(&shared.plan().waiting());
    }
}

/// The others take this instance's share at once.
pub(crate) async fn leave(shared: &Shared) {
    tell(shared, true).await;
}

async fn tell(shared: &Shared, leaving: bool) {
    let news = shared.ledger().take_news();
    let mut pieces: Vec<&[Refreshed]> = news.chunks(BATCH_MAX).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    for refreshed in pieces {
        let batch = RefreshedBatch {
            instance: shared.instance.clone(),
            refreshed: refreshed.to_vec(),
            leaving,
            ..RefreshedBatch::default()
        };
        let subject = subjects::refreshed(&shared.instance);
        let message = Message::new(batch.encode_to_vec());
        if let Err(error) = shared.bus.publish(&subject, message).await {
            tracing::debug!(%error, "what was refreshed was not told");
        }
    }
}
