//! Claims that are over are forgotten, and with a host its record of claims. What does not agree with inventory is counted.

use std::time::Duration;

use contracts::Status;
use contracts::call::Context;
use contracts::placement::{Claim, HostClaims};
use kit::records::{Decision, Stored};
use tokio_util::sync::CancellationToken;

use crate::core::claims;
use crate::core::fleet::Fleet;
use crate::live::Look;
use crate::meter;
use crate::store::Store;

/// Nothing waits for it: a claim that is over counts for nothing anyway. It only looks in memory unless there is something
/// to take out.
const INTERVAL: Duration = Duration::from_secs(60);

/// Runs until the service stops.
pub(crate) async fn run(store: &Store, stop: &CancellationToken) {
    let work = async {
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            interval.tick().await;
            if let Err(status) = sweep(store).await {
                tracing::warn!(%status, "claims that are over were not removed; it is tried again");
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

/// Why a claim is over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    /// The machine is there.
    Confirmed,
    Drift(&'static str),
}

fn why(fleet: &Fleet, host_id: &str, claim: &Claim) -> Option<Over> {
    if fleet.slot(host_id).is_none() {
        return Some(Over::Drift("no_host"));
    }
    if claims::is_confirmed(claim, fleet.guest_on(host_id, &claim.vm_id)) {
        return Some(Over::Confirmed);
    }
    let guest = fleet.guest(&claim.vm_id);
    // While the job that claimed has the machine it may be about to bring it here.
    let is_elsewhere = guest.is_some_and(|guest| {
        let is_there = !guest.host_id.is_empty() && guest.host_id != host_id;
        is_there && guest.job_id != claim.job_id
    });
    if is_elsewhere {
        return Some(Over::Drift("elsewhere"));
    }
    fleet
        .is_closed(host_id, claim)
        .then_some(Over::Drift("expired"))
}

async fn sweep(store: &Store) -> Result<(), Status> {
    let (open, hosts) = store.look(to_sweep).await?;
    meter::CLAIMS.set(open, &[]);
    for host_id in hosts {
        let drift = sweep_host(store, &host_id).await?;
        for reason in ["no_host", "elsewhere", "expired"] {
            let count = drift.iter().filter(|of| **of == reason).count();
            meter::note_drift(reason, count as u64);
        }
    }
    Ok(())
}

/// How many claims count, and the hosts that have some which are over.
fn to_sweep(look: &mut Look<'_>) -> (u64, Vec<String>) {
    let fleet = &*look.fleet;
    let mut open = 0;
    let mut hosts = Vec::new();
    for host_id in fleet.claimed_hosts() {
        let (revision, record) = fleet.claims(&host_id);
        let claims = record
            .map(|record| record.claims.as_slice())
            .unwrap_or_default();
        let over = claims
            .iter()
            .filter(|claim| why(fleet, &host_id, claim).is_some());
        let over = over.count();
        open += (claims.len() - over) as u64;
        let is_orphan = revision > 0 && fleet.slot(&host_id).is_none();
        if over > 0 || is_orphan {
            hosts.push(host_id);
        }
    }
    (open, hosts)
}

/// Takes out what is over. Answers with why, for what was drift.
async fn sweep_host(store: &Store, host_id: &str) -> Result<Vec<&'static str>, Status> {
    let decide = |current: Option<&Stored<HostClaims>>| {
        let Some(current) = current else {
            return Ok(Decision::Keep(Vec::new()));
        };
        store.live.look(|look| {
            let fleet = &*look.fleet;
            let over = |claim: &Claim| why(fleet, host_id, claim);
            let claims = &current.value.claims;
            let drift = claims.iter().filter_map(|claim| match over(claim)? {
                Over::Confirmed => None,
                Over::Drift(reason) => Some(reason),
            });
            let drift: Vec<&'static str> = drift.collect();
            let guest = |vm_id: &str| fleet.guest_on(host_id, vm_id);
            let unwanted = |claim: &Claim| over(claim).is_some();
            let record =
                claims::changed(Some(&current.value), &[], guest, look.vm_revision, unwanted);
            if record.claims.is_empty() && fleet.slot(host_id).is_none() {
                Decision::Delete(drift)
            } else if record == current.value {
                Decision::Keep(Vec::new())
            } else {
                Decision::Put(record, drift)
            }
        })
    };
    let context = Context::new("system");
    store.claims.update(&context, host_id, decide).await
}
