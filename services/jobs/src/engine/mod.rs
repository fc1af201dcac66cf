//! Runs jobs: takes them from the queue, works on their steps, writes what came of it, wakes those that wait.
//!
//! Every decision is made in [`crate::core`] from the job's record. A runner only writes a record under the epoch with which
//! it took the job: one that lost it finds another epoch there and stops at once.

mod dispatch;
mod history;
pub(crate) mod meter;
mod object;
mod queue;
mod runner;
mod seats;
mod watch;
mod work;

use std::sync::Arc;
use std::time::Duration;

use contracts::call::{Call, Context};
use contracts::jobs::Job;
use contracts::records::{Record, indexes};
use contracts::{ObjectRef, Status};
use kit::bus::Bus;
use kit::records::{Decision, Records};
use kit::service::Parts;
use kit::world::World;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::core::machine::{self, Task};
use crate::fleet::Fleet;
use crate::kinds;
use crate::probe::Probe;
use seats::Seats;

/// Between tries to write while the log does not take it.
const WRITE_RETRY: Duration = Duration::from_millis(500);

pub(crate) struct Engine {
    pub(crate) records: Records<Job>,
    pub(crate) fleet: Fleet,
    pub(crate) caller: Arc<dyn Call>,
    pub(crate) world: World,
    config: Config,
    bus: Arc<dyn Bus>,
    probe: Arc<dyn Probe>,
    /// This process among all runners.
    name: String,
    seats: Arc<Seats>,
    /// No more is begun.
    stop: CancellationToken,
    /// What still runs is left to others.
    halt: CancellationToken,
    tasks: TaskTracker,
}

/// Why a runner leaves a job before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Another runner has it, or its record is gone.
    Lost,
    /// This instance stops.
    Stopping,
    /// A test took the runner away.
    Vanished,
}

impl Engine {
    pub(crate) fn start(
        parts: &Parts<Config>,
        records: Records<Job>,
        fleet: Fleet,
        probe: Arc<dyn Probe>,
    ) -> Arc<Self> {
        let engine = Arc::new(Self {
            records,
            fleet,
            caller: Arc::clone(&parts.caller),
            world: parts.world.clone(),
            config: parts.config.clone(),
            bus: Arc::clone(&parts.bus),
            probe,
            name: format!("{}-{}", parts.common.instance, parts.world.new_id()),
            seats: Arc::default(),
            stop: parts.stop.clone(),
            halt: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        engine.tasks.spawn(dispatch::run(Arc::clone(&engine)));
        engine
            .tasks
            .spawn(watch::follow_changes(Arc::clone(&engine)));
        engine
            .tasks
            .spawn(watch::sweep_now_and_then(Arc::clone(&engine)));
        engine
            .tasks
            .spawn(history::prune_now_and_then(Arc::clone(&engine)));
        engine.tasks.spawn(meter::count_open(Arc::clone(&engine)));
        engine
    }

    /// Lets running steps end for a while, then leaves their jobs to other instances.
    pub(crate) async fn drain(&self) {
        self.tasks.close();
        let patience = Duration::from_secs(self.config.drain_secs);
        if tokio::time::timeout(patience, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("steps still run; their jobs are left to another instance");
            self.halt.cancel();
            self.tasks.wait().await;
        }
    }

    /// Writes a job's record if the runner of this epoch still has the job and `expected` is still to be done; the change
    /// may have been written already when its acknowledgement was lost. Tries until the log answers; answers with the
    /// record and its revision.
    async fn write(
        &self,
        job: &Job,
        expected: Task,
        mut change: impl FnMut(&mut Job) + Send,
    ) -> Result<(Job, u64), Leave> {
        loop {
            let context = write_context(&job.owner, &job.id);
            let written = self
                .records
                .update(&context, &job.id, |stored| {
                    let Some(stored) = stored.filter(|s| s.value.epoch == job.epoch) else {
                        return Ok(Decision::Keep(None));
                    };
                    let mut next = stored.value.clone();
                    if machine::task(&next) == expected {
                        change(&mut next);
                    }
                    Ok(if next == stored.value {
                        Decision::Keep(Some(next))
                    } else {
                        Decision::Put(next.clone(), Some(next))
                    })
                })
                .await;
            match written {
                Ok(Some(job)) => return Ok((job, context.seen_of(Job::BUCKET))),
                Ok(None) => return Err(Leave::Lost),
                Err(error) => self.wait_for_log(&job.id, &error).await?,
            }
        }
    }

    async fn wait_for_log(&self, job_id: &str, error: &Status) -> Result<(), Leave> {
        tracing::warn!(job_id, %error, "the job's record was not written; trying again");
        tokio::select! {
            biased;
            () = tokio::time::sleep(WRITE_RETRY) => Ok(()),
            () = self.halt.cancelled() => Err(Leave::Stopping),
        }
    }

    pub(crate) fn bus(&self) -> &dyn Bus {
        &*self.bus
    }

    /// A job as this instance's view has it.
    pub(crate) fn job(&self, id: &str) -> Result<Option<Job>, Status> {
        Ok(self.records.get(id)?.map(|stored| stored.value))
    }

    /// Every job that ever wanted an object for itself, as far as history goes.
    pub(crate) fn jobs_of(&self, object: &ObjectRef) -> Result<Vec<Job>, Status> {
        let key = format!("{}/{}", object.kind, object.id);
        let found = self.records.find(indexes::TARGET, &key)?;
        let jobs = found.into_iter().map(|s| s.value);
        Ok(jobs.filter(|job| kinds::takes_object(&job.kind)).collect())
    }

    /// Cancels what a job is doing here, if it is.
    pub(crate) fn interrupt(&self, job_id: &str) {
        self.seats.interrupt(job_id);
    }
}

/// In whose name a job's record is written.
fn write_context(owner: &str, job_id: &str) -> Context {
    let mut context = Context::new(owner);
    job_id.clone_into(&mut context.job_id);
    context
}
