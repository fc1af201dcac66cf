//! Refreshing: what the plan says is to be begun is asked for, each in a task of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::Status;
use contracts::call::Context;
use contracts::refresher::{
    Outcome, RefreshRequest, RefreshResponse, RefreshableClient, Refreshed, Trigger,
};

use crate::core::plan::Ending;
use crate::core::plan::line::{Priority, Start};
use crate::meter;
use crate::shared::{Shared, Waiter};

/// The longest between two looks at the plan: other instances may have fallen silent, which nobody says.
const LOOK_INTERVAL_MS: i64 = 1_000;

/// Goes on until the service stops.
pub(crate) async fn run(shared: &Arc<Shared>) {
    loop {
        let now_ms = shared.now_ms();
        let (starts, next_ms) = {
            let mut plan = shared.plan();
            (plan.start(now_ms), plan.next_ms())
        };
        for start in starts {
            begin(shared, start);
        }
        let pause_ms = next_ms.map_or(LOOK_INTERVAL_MS, |next_ms| next_ms - now_ms);
        let pause = Duration::from_millis(pause_ms.clamp(1, LOOK_INTERVAL_MS).unsigned_abs());
        // Either is reason enough to look again.
        let _ = tokio::time::timeout(pause, shared.wake.notified()).await;
    }
}

fn begin(shared: &Arc<Shared>, start: Start) {
    let waiters = match start.priority {
        Priority::Asked => shared.take_waiters(&start.key),
        Priority::Due => Vec::new(),
    };
    let shared = Arc::clone(shared);
    let tasks = shared.tasks.clone();
    tasks.spawn(async move { refresh(&shared, &start, waiters).await });
}

async fn refresh(shared: &Shared, start: &Start, waiters: Vec<Waiter>) {
    let begun = Instant::now();
    let answer = ask(shared, start, waiters.first()).await;
    let (now_ms, took) = (shared.world.now_ms(), begun.elapsed());
    let refreshed = shared
        .ledger()
        .note(taken_down(start, &answer, now_ms, took));
    meter::note_refresh(start, &refreshed);
    if let Err(status) = &answer {
        tracing::debug!(kind = start.key.kind, target = start.key.target_id, %status, "not refreshed");
    }
    shared
        .plan()
        .ended(start, ending(answer.as_ref().err()), shared.now_ms());
    shared.wake.notify_one();
    for waiter in waiters {
        // Who asked may have gone.
        let _ = waiter.reply.send(refreshed.clone());
    }
}

async fn ask(
    shared: &Shared,
    start: &Start,
    waiter: Option<&Waiter>,
) -> Result<RefreshResponse, Status> {
    let mut context = Context::new("refresher");
    if let Some(waiter) = waiter {
        context.job_id.clone_from(&waiter.job_id);
        context.trace_parent.clone_from(&waiter.trace_parent);
    }
    let request = RefreshRequest {
        kind: start.key.kind.clone(),
        target_id: start.key.target_id.clone(),
        object_id: start.key.object_id.clone(),
    };
    RefreshableClient::new(Arc::clone(&shared.caller), &start.service)
        .refresh(&context, &request)
        .await
}

fn taken_down(
    start: &Start,
    answer: &Result<RefreshResponse, Status>,
    time_ms: i64,
    took: Duration,
) -> Refreshed {
    let outcome = match answer {
        Ok(answer) => answer.outcome(),
        Err(_) => Outcome::Failed,
    };
    let trigger = match start.priority {
        Priority::Asked => Trigger::Manual,
        Priority::Due => Trigger::Schedule,
    };
    let error = answer.as_ref().err().map(|status| status.message.clone());
    Refreshed {
        kind: start.key.kind.clone(),
        target_id: start.key.target_id.clone(),
        object_id: start.key.object_id.clone(),
        time_ms,
        outcome: outcome.into(),
        trigger: trigger.into(),
        bytes: answer.as_ref().map_or(0, |answer| answer.bytes),
        duration_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
        error: error.unwrap_or_default(),
        // The ledger knows.
        succeeded_ms: 0,
    }
}

/// A failure that names an object is the object's server's; one that names none came about on the way.
fn ending(failure: Option<&Status>) -> Ending {
    match failure {
        None => Ending::Fine,
        Some(status) if status.object.is_some() => Ending::ServerFailed,
        Some(_) => Ending::OthersFailed,
    }
}
