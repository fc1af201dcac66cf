//! Forgets items of shares that are gone. Any instance may; what one has forgotten is nothing to the other.

use std::collections::BTreeSet;
use std::time::Duration;

use contracts::Status;
use tokio_util::sync::CancellationToken;

use crate::store::Desk;

/// Between two looks, unless a share was removed here.
const INTERVAL: Duration = Duration::from_secs(60);

/// Runs until the service stops.
pub(crate) async fn run(desk: &Desk, stop: &CancellationToken) {
    let sweeping = async {
        loop {
            if let Err(status) = sweep(desk).await {
                tracing::warn!(%status, "items of shares that are gone were not forgotten; trying again");
            }
            let removed = desk.removed.notified();
            // Whichever comes first.
            let _ = tokio::time::timeout(INTERVAL, removed).await;
        }
    };
    stop.run_until_cancelled(sweeping).await;
}

async fn sweep(desk: &Desk) -> Result<(), Status> {
    let items = desk.items.list()?;
    let shares: BTreeSet<&str> = items.iter().map(|i| i.value.share_id.as_str()).collect();
    let mut gone = BTreeSet::new();
    for id in shares {
        if !desk.share_is_there(id).await? {
            gone.insert(id.to_owned());
        }
    }
    let orphans = items.iter().filter(|i| gone.contains(&i.value.share_id));
    desk.forget_items(orphans).await
}
