//! Sees transfers through: lets them begin, asks the hosts how they stand, tries again, removes what is not wanted.
//!
//! Every transfer has one driver, an instance that writes its record every few seconds. Where the record stays the same
//! for longer, its driver is gone and another instance takes it over. The hosts go on meanwhile: what a driver does can
//! be done twice, and nothing is lost while nobody does it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::Status;
use contracts::call::{Call, Context};
use contracts::transfer::TransferRecord;
use contracts::transfer::transfer_record::State;
use kit::bus::Bus;
use kit::records::{Decision, Stored};
use kit::service::Parts;
use kit::world::World;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::store::Store;
use crate::{Config, meter};

mod drive;

/// How often open transfers are looked through, beside whenever one is started or cancelled here.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A record that its driver has not written for so long is taken over. It is written three times as often.
const DRIVER_SILENCE: Duration = Duration::from_secs(9);

/// How often a driver writes the record of a transfer that only goes on.
const WRITE_INTERVAL: Duration = Duration::from_secs(3);

/// How often old transfers are removed.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);

pub(crate) struct Driver {
    store: Store,
    config: Config,
    world: World,
    bus: Arc<dyn Bus>,
    caller: Arc<dyn Call>,
    /// `<instance>/<id of this process>`.
    name: String,
    seen: Mutex<HashMap<String, Seen>>,
    wake: Notify,
    tasks: TaskTracker,
}

/// An open transfer, as this instance last saw it move.
struct Seen {
    driven: u64,
    since: Instant,
    is_driven_here: bool,
}

impl Driver {
    pub(crate) fn new(parts: &Parts<Config>, store: Store) -> Arc<Self> {
        Arc::new(Self {
            store,
            config: parts.config.clone(),
            world: parts.world.clone(),
            bus: Arc::clone(&parts.bus),
            caller: Arc::clone(&parts.caller),
            name: format!("{}/{}", parts.common.instance, parts.world.new_id()),
            seen: Mutex::default(),
            wake: Notify::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// This process, among all that drive.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// There is something to be looked at now.
    pub(crate) fn look(&self) {
        self.wake.notify_one();
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until the service stops. Transfers go on at their hosts, and are seen through by whoever comes next.
    pub(crate) async fn run(self: &Arc<Self>, stop: &CancellationToken) {
        let mut pruned: Option<Instant> = None;
        while !stop.is_cancelled() {
            if let Err(error) = self.look_through(stop) {
                tracing::warn!(%error, "open transfers were not looked through; it is tried again");
            }
            if pruned.is_none_or(|at| at.elapsed() > PRUNE_INTERVAL) {
                self.prune().await;
                pruned = Some(Instant::now());
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = self.wake.notified() => {}
                () = stop.cancelled() => {}
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn look_through(self: &Arc<Self>, stop: &CancellationToken) -> Result<(), Status> {
        let open = self.store.open_transfers()?;
        let mut seen = self.seen();
        seen.retain(|id, seen| seen.is_driven_here || open.iter().any(|record| record.id == *id));
        for record in open {
            let known = seen.entry(record.id.clone()).or_insert_with(|| Seen {
                driven: record.driven,
                since: Instant::now(),
                is_driven_here: false,
            });
            if known.driven != record.driven {
                (known.driven, known.since) = (record.driven, Instant::now());
            }
            let is_silent = known.since.elapsed() > DRIVER_SILENCE;
            if !known.is_driven_here && (self.is_ours(&record) || is_silent) {
                known.is_driven_here = true;
                let (driver, stop) = (Arc::clone(self), stop.clone());
                self.tasks.spawn(async move {
                    stop.run_until_cancelled(driver.drive(&record.id)).await;
                    driver.seen().remove(&record.id);
                });
            }
        }
        Ok(())
    }

    /// Whether this process drives a transfer, or an earlier one of this instance did: no two have the same store.
    fn is_ours(&self, record: &TransferRecord) -> bool {
        let instance = |name: &str| name.split('/').next().map(str::to_owned);
        record.driver.is_empty() || instance(&record.driver) == instance(&self.name)
    }

    /// Changes the record, if this process still drives it and it is still in that state.
    async fn write(
        &self,
        record: &TransferRecord,
        mut change: impl FnMut(&mut TransferRecord) + Send,
    ) -> Result<Option<TransferRecord>, Status> {
        let mut context = Context::new("system");
        context.job_id.clone_from(&record.job_id);
        let decide = |current: Option<&Stored<TransferRecord>>| {
            let same = |c: &&Stored<TransferRecord>| {
                c.value.state == record.state && c.value.driver == self.name
            };
            let Some(current) = current.filter(same) else {
                return Ok(Decision::Keep(None));
            };
            let mut next = current.value.clone();
            change(&mut next);
            next.driven += 1;
            Ok(Decision::Put(next.clone(), Some(next)))
        };
        let written = self
            .store
            .transfers
            .update(&context, &record.id, decide)
            .await?;
        if let Some(ended) = written.as_ref().filter(|r| r.state().is_final()) {
            meter::note_end(ended.state());
        }
        Ok(written)
    }

    /// Makes this process the driver of a transfer.
    async fn take(&self, id: &str) -> Result<Option<TransferRecord>, Status> {
        let decide = |current: Option<&Stored<TransferRecord>>| {
            let open = |c: &&Stored<TransferRecord>| !c.value.state().is_final();
            let Some(current) = current.filter(open) else {
                return Ok(Decision::Keep(None));
            };
            let mut next = current.value.clone();
            if next.driver == self.name {
                return Ok(Decision::Keep(Some(next)));
            }
            next.driver.clone_from(&self.name);
            next.driven += 1;
            Ok(Decision::Put(next.clone(), Some(next)))
        };
        let context = Context::new("system");
        self.store.transfers.update(&context, id, decide).await
    }

    async fn prune(&self) {
        let history_ms = i64::try_from(self.config.history().as_millis()).unwrap_or(i64::MAX);
        let before_ms = self.world.now_ms().saturating_sub(history_ms);
        let is_old =
            |record: &TransferRecord| record.state().is_final() && record.ended_ms < before_ms;
        let all = self.store.transfers.list().unwrap_or_default();
        for stored in all.iter().filter(|stored| is_old(&stored.value)) {
            let decide = |current: Option<&Stored<TransferRecord>>| {
                Ok(match current {
                    Some(current) if is_old(&current.value) => Decision::Delete(()),
                    _ => Decision::Keep(()),
                })
            };
            let context = Context::new("system");
            let removed = self
                .store
                .transfers
                .update(&context, &stored.id, decide)
                .await;
            if let Err(error) = removed {
                tracing::warn!(%error, "an old transfer was not removed; it is tried again");
            }
        }
    }
}

/// Whether a driver has something to do with a state.
fn is_open(record: &TransferRecord) -> bool {
    record.state() != State::Unspecified && !record.state().is_final()
}
