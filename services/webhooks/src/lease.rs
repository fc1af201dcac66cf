//! Which instance delivers: the one that changes the record of the lease every few seconds. Another takes it when it has
//! seen no change for longer than the holder would go on without one. Time is what passes here, not what clocks say.

use std::time::Duration;

use contracts::call::Context;
use contracts::webhooks::WebhookLease;
use kit::records::Decision;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::store::Desk;

/// How often the holder says that it is there.
const BEAT: Duration = Duration::from_secs(2);

/// Without a word this old, the holder stops to deliver.
const HOLD: Duration = Duration::from_secs(6);

/// Without a word this old, another takes the lease. Longer than [`HOLD`], so that two deliver only when one is stopped in
/// the middle of a request: then an event comes twice.
const TAKE: Duration = Duration::from_secs(10);

const ID: &str = "deliveries";

/// Keeps the lease or waits for it, for ever.
pub(crate) async fn run(desk: &Desk, me: &str, held: &watch::Sender<bool>) {
    let mut ticks = tokio::time::interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = (0, Instant::now());
    let mut confirmed = None;
    loop {
        ticks.tick().await;
        let revision = desk
            .lease
            .get(ID)
            .ok()
            .flatten()
            .map_or(0, |lease| lease.revision);
        if revision != seen.0 {
            seen = (revision, Instant::now());
        }
        let stale = (seen.1.elapsed() > TAKE).then_some(revision);
        match tokio::time::timeout(HOLD, beat(desk, me, stale)).await {
            Ok(Ok(true)) => confirmed = Some(Instant::now()),
            Ok(Ok(false)) => confirmed = None,
            // Nobody else can have it before this is known for too long.
            Ok(Err(_)) | Err(_) => {}
        }
        let holds = confirmed.is_some_and(|at: Instant| at.elapsed() < HOLD);
        if held.send_if_modified(|was| std::mem::replace(was, holds) != holds) {
            tracing::info!(holds, "the lease of deliveries has changed");
        }
    }
}

/// Whether we have it. It is taken from another only at the revision that has stood for too long.
async fn beat(desk: &Desk, me: &str, stale: Option<u64>) -> Result<bool, contracts::Status> {
    let context = Context::new("system");
    desk.lease
        .update(&context, ID, |current| {
            let lease = current.map(|c| c.value.clone()).unwrap_or_default();
            let is_stale = stale.is_some() && current.map(|c| c.revision) == stale;
            let is_free = lease.holder.is_empty() || is_stale;
            if lease.holder != me && !is_free {
                return Ok(Decision::Keep(false));
            }
            let lease = WebhookLease {
                holder: me.to_owned(),
                beat: lease.beat.wrapping_add(1),
            };
            Ok(Decision::Put(lease, true))
        })
        .await
}

/// Lets another have it at once.
pub(crate) async fn give_up(desk: &Desk, me: &str) {
    let context = Context::new("system");
    let given = desk.lease.update(&context, ID, |current| {
        let held = current
            .map(|c| c.value.clone())
            .filter(|lease| lease.holder == me);
        Ok(match held {
            Some(lease) => Decision::Put(
                WebhookLease {
                    holder: String::new(),
                    ..lease
                },
                (),
            ),
            None => Decision::Keep(()),
        })
    });
    // If it does not work, another has it a little later.
    let _ = tokio::time::timeout(BEAT, given).await;
}
