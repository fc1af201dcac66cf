//! Following the view: cancels reach what runs here, and a job that ends wakes the one that waits for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::jobs::{Job, JobState};
use contracts::records::indexes;
use contracts::{ObjectRef, Status};
use kit::records::Change;
use tokio::sync::broadcast::error::RecvError;

use super::Engine;

/// Runs until the engine stops.
pub(super) async fn follow_changes(engine: Arc<Engine>) {
    let mut changes = engine.records.changes();
    loop {
        let change = tokio::select! {
            biased;
            () = engine.stop.cancelled() => return,
            change = changes.recv() => change,
        };
        match change {
            Ok(change) => note(&engine, &change),
            // What was missed is found by the sweep.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

fn note(engine: &Arc<Engine>, change: &Change<Job>) {
    let Some(job) = &change.after else {
        return;
    };
    if job.cancel_requested {
        engine.interrupt(&job.id);
    }
    let target = job.target.clone().filter(|_| !job.state().keeps_object());
    if let Some(object) = target {
        let waking = Arc::clone(engine);
        engine
            .tasks
            .spawn(async move { waking.wake(&object).await });
    }
}

impl Engine {
    /// Calls a runner for the job whose turn it is to have an object.
    pub(crate) async fn wake(&self, object: &ObjectRef) {
        let jobs = self.jobs_of(object).unwrap_or_default();
        let waiting = jobs.iter().filter(|job| job.state() == JobState::Waiting);
        for job in waiting {
            if self.is_due(job).unwrap_or(false) {
                self.call_runner(&job.id).await;
            }
        }
    }

    /// Calls runners for open jobs that nobody seems to run: those whose record is as it was at the last sweep. Returns the
    /// revisions for the next.
    async fn sweep(&self, last: &HashMap<String, u64>) -> Result<HashMap<String, u64>, Status> {
        let open = self.records.find(indexes::PHASE, "open")?;
        for stored in &open {
            let job = &stored.value;
            if self.seats.is_taken(&stored.id) {
                if job.cancel_requested {
                    self.interrupt(&stored.id);
                }
                continue;
            }
            let is_new = last
                .get(&stored.id)
                .is_some_and(|revision| *revision != stored.revision);
            if !is_new && self.is_due(job)? {
                self.call_runner(&stored.id).await;
            }
        }
        Ok(open.into_iter().map(|s| (s.id, s.revision)).collect())
    }
}

/// The safety net. At the start everything that is open is called for: a process that was killed may have written a job
/// and not asked for its runner.
pub(super) async fn sweep_now_and_then(engine: Arc<Engine>) {
    let interval = Duration::from_secs(engine.config.sweep_interval_secs);
    let mut last = HashMap::new();
    while !engine.stop.is_cancelled() {
        match engine.sweep(&last).await {
            Ok(seen) => last = seen,
            Err(error) => tracing::error!(%error, "open jobs were not looked through"),
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep(interval) => {}
            () = engine.stop.cancelled() => {}
        }
    }
}
