//! Claims that are over are forgotten, and with a host its record of claims.

use std::time::Duration;

use contracts::Status;
use contracts::call::Context;
use contracts::placement::{Claim, HostClaims};
use kit::records::{Decision, Stored};
use tokio_util::sync::CancellationToken;

use crate::core::claims;
use crate::store::Capacity;

/// Nothing waits for it: a claim that is over counts for nothing anyway. Less than a claim lives, so that every instance
/// has seen each early.
const INTERVAL: Duration = Duration::from_secs(600);

/// Runs until the service stops.
pub(crate) async fn run(capacity: &Capacity, stop: &CancellationToken) {
    let work = async {
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            interval.tick().await;
            if let Err(status) = sweep(capacity).await {
                tracing::warn!(%status, "claims that are over were not removed; it is tried again");
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

async fn sweep(capacity: &Capacity) -> Result<(), Status> {
    let context = Context::new("system");
    let records = capacity.claims.list()?;
    capacity.forget_all_but(&records);
    for record in records {
        let (vms, vm_revision) = capacity.vms_on(&record.id)?;
        let is_known = capacity.knows_host(&record.id)?;
        let decide = |current: Option<&Stored<HostClaims>>| {
            let Some(current) = current.map(|c| &c.value) else {
                return Ok(Decision::Keep(()));
            };
            let is_over = |c: &Claim| !capacity.is_open(c);
            let kept = claims::without(Some(current), &vms, vm_revision, is_over);
            Ok(if kept.claims.is_empty() && !is_known {
                Decision::Delete(())
            } else if kept == *current {
                Decision::Keep(())
            } else {
                Decision::Put(kept, ())
            })
        };
        capacity.claims.update(&context, &record.id, decide).await?;
    }
    Ok(())
}
