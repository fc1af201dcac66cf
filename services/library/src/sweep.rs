//! Forgets items of shares that are gone. Any instance may; what one has forgotten is nothing to the other.

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
    for id in desk.count()?.into_keys() {
        if !desk.share_is_there(&id).await? {
            let orphans = desk.items_of(&id)?;
            let ids: Vec<String> = orphans.iter().map(|item| item.id.clone()).collect();
            desk.forget_items(&ids).await?;
        }
    }
    Ok(())
}
