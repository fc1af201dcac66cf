//! Forgets items of shares that are gone, and user data that no profile has. Any instance may; what one has forgotten is
//! nothing to the other.

use std::collections::BTreeSet;
use std::time::Duration;

use contracts::Status;
use contracts::call::Context;
use contracts::library::StoredUserData;
use kit::records::{Decision, Stored};
use tokio_util::sync::CancellationToken;

use crate::store::{Desk, delete};

/// Between two looks, unless a share was removed here.
const INTERVAL: Duration = Duration::from_secs(60);

/// How long user data is kept that no profile has any more. Shorter, and jobs that wait or are restarted do not find what
/// they were submitted with; longer, and what was taken back for its passwords stays about.
const USER_DATA_KEPT_MS: i64 = 24 * 3600 * 1000;

/// Runs until the service stops.
pub(crate) async fn run(desk: &Desk, stop: &CancellationToken) {
    let sweeping = async {
        loop {
            if let Err(status) = sweep(desk).await {
                tracing::warn!(%status, "items of shares that are gone were not forgotten; trying again");
            }
            if let Err(status) = sweep_user_data(desk).await {
                tracing::warn!(%status, "user data that no profile has was not forgotten; trying again");
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

async fn sweep_user_data(desk: &Desk) -> Result<(), Status> {
    let profiles = desk.definitions(&desk.guest_profiles)?.into_iter();
    let used: BTreeSet<String> = profiles.map(|profile| profile.user_data_id).collect();
    let now_ms = desk.world.now_ms();
    let context = Context::new("system");
    for Stored { value, .. } in desk.user_data.list()? {
        let is_used = used.contains(&value.id);
        if is_used == (value.unused_ms == 0) {
            let is_over = !is_used && now_ms.saturating_sub(value.unused_ms) > USER_DATA_KEPT_MS;
            if is_over {
                delete(&desk.user_data, &context, &value.id).await?;
            }
            continue;
        }
        let since_ms = if is_used { 0 } else { now_ms };
        let mark = |current: Option<&Stored<StoredUserData>>| {
            Ok(match current {
                None => Decision::Keep(()),
                Some(current) => Decision::Put(
                    StoredUserData {
                        unused_ms: since_ms,
                        ..current.value.clone()
                    },
                    (),
                ),
            })
        };
        desk.user_data.update(&context, &value.id, mark).await?;
    }
    Ok(())
}
