//! What the parts of one instance have in common.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::call::Call;
use contracts::refresher::Refreshed;
use kit::bus::Bus;
use kit::service::Parts;
use kit::world::World;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::Config;
use crate::core::ledger::Ledger;
use crate::core::plan::Plan;
use crate::core::plan::line::Key;

/// How long refreshes that are under way may take to end when the service stops.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Shared {
    /// This instance among all, new with each start.
    pub(crate) instance: String,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) caller: Arc<dyn Call>,
    pub(crate) world: World,
    /// Something may be begun that could not before.
    pub(crate) wake: Notify,
    /// A service was heard for the first time: ask what it has.
    pub(crate) new_service: Notify,
    pub(crate) tasks: TaskTracker,
    plan: Mutex<Plan>,
    ledger: Mutex<Ledger>,
    waiters: Mutex<HashMap<Key, Vec<Waiter>>>,
    started: Instant,
    started_ms: i64,
}

/// Somebody who asked for a refresh.
pub(crate) struct Waiter {
    /// The job that the request is part of.
    pub(crate) job_id: String,
    pub(crate) trace_parent: String,
    pub(crate) reply: oneshot::Sender<Refreshed>,
}

impl Shared {
    pub(crate) fn new(parts: &Parts<Config>, ledger: Ledger) -> Self {
        let instance = parts.world.new_id();
        Self {
            plan: Mutex::new(Plan::new(&instance, parts.config.limits())),
            instance,
            bus: Arc::clone(&parts.bus),
            caller: Arc::clone(&parts.caller),
            world: parts.world.clone(),
            wake: Notify::new(),
            new_service: Notify::new(),
            tasks: TaskTracker::new(),
            ledger: Mutex::new(ledger),
            waiters: Mutex::default(),
            started: Instant::now(),
            started_ms: parts.world.now_ms(),
        }
    }

    /// Milliseconds since 1970 UTC as they were at the start, and what has passed since: a wall clock that is set must not
    /// make everything due at once, or nothing for an hour.
    pub(crate) fn now_ms(&self) -> i64 {
        let passed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.started_ms.saturating_add(passed)
    }

    pub(crate) fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait_for(&self, key: Key, waiter: Waiter) {
        self.lock_waiters().entry(key).or_default().push(waiter);
    }

    /// Those who wait for a refresh that begins now. Who asks later waits for the next one.
    pub(crate) fn take_waiters(&self, key: &Key) -> Vec<Waiter> {
        self.lock_waiters().remove(key).unwrap_or_default()
    }

    fn lock_waiters(&self) -> MutexGuard<'_, HashMap<Key, Vec<Waiter>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the refreshes that are under way have ended.
    pub(crate) async fn drain(&self) {
        self.tasks.close();
        if tokio::time::timeout(DRAIN_PATIENCE, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::debug!("some refreshes were still under way when the service stopped");
        }
    }
}
