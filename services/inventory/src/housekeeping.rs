//! What is over is removed: join tokens that have expired, names whose machine was never made.

use std::time::Duration;

use contracts::Status;
use contracts::call::Context;
use kit::records::Decision;
use tokio_util::sync::CancellationToken;

use crate::core::machine::is_orphan;
use crate::store::Fleet;

/// Nothing waits for it: an expired token is refused and an orphaned name is taken over anyway.
const INTERVAL: Duration = Duration::from_secs(600);

/// Runs until the service stops.
pub(crate) async fn run(fleet: &Fleet, stop: &CancellationToken) {
    let work = async {
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            interval.tick().await;
            for swept in [sweep_tokens(fleet).await, sweep_names(fleet).await] {
                if let Err(status) = swept {
                    tracing::warn!(%status, "what is over was not removed; it is tried again");
                }
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

/// Of a token that has expired. It is of no more use, but by the clock of another instance it may be still.
const TOKEN_KEPT_MS: i64 = 24 * 3600 * 1000;

async fn sweep_tokens(fleet: &Fleet) -> Result<(), Status> {
    let expired_ms = fleet.now_ms() - TOKEN_KEPT_MS;
    let context = Context::new("system");
    let tokens = fleet.tokens.list()?;
    for token in tokens
        .iter()
        .filter(|token| token.value.expires_ms <= expired_ms)
    {
        let forget = fleet
            .tokens
            .update(&context, &token.id, |_| Ok(Decision::Delete(())));
        forget.await?;
    }
    Ok(())
}

async fn sweep_names(fleet: &Fleet) -> Result<(), Status> {
    let now_ms = fleet.now_ms();
    let context = Context::new("system");
    for name in fleet.names.list()? {
        let exists = fleet.vms.get(&name.value.vm_id)?.is_some();
        if !is_orphan(&name.value, exists, now_ms) {
            continue;
        }
        let forget = fleet.names.update(&context, &name.id, |current| {
            Ok(match current {
                Some(current) if is_orphan(&current.value, exists, now_ms) => Decision::Delete(()),
                _ => Decision::Keep(()),
            })
        });
        forget.await?;
    }
    Ok(())
}
