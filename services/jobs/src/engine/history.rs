//! Forgetting jobs that ended long ago.

use std::sync::Arc;
use std::time::Duration;

use contracts::Status;
use contracts::call::Context;
use contracts::jobs::Job;
use contracts::records::indexes;
use kit::records::Decision;

use super::Engine;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// Runs until the engine stops. Every instance does it; a job that another one forgot is no longer there.
pub(super) async fn prune_now_and_then(engine: Arc<Engine>) {
    let interval = Duration::from_secs(u64::from(engine.config.prune_interval_hours) * 3600);
    while !engine.stop.is_cancelled() {
        match engine.prune().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "old jobs were forgotten"),
            Err(error) => tracing::warn!(%error, "old jobs are forgotten the next time"),
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep(interval) => {}
            () = engine.stop.cancelled() => {}
        }
    }
}

impl Engine {
    async fn prune(&self) -> Result<usize, Status> {
        let before_ms = self.world.now_ms() - i64::from(self.config.history_days) * DAY_MS;
        let ended = self.records.find(indexes::PHASE, "ended")?;
        let old: Vec<String> = ended
            .into_iter()
            .filter(|s| is_old(&s.value, before_ms))
            .map(|s| s.id)
            .collect();
        for id in &old {
            let forget = |stored: Option<&kit::records::Stored<Job>>| {
                Ok(match stored {
                    Some(stored) if is_old(&stored.value, before_ms) => Decision::Delete(()),
                    _ => Decision::Keep(()),
                })
            };
            self.records
                .update(&Context::new("system"), id, forget)
                .await?;
            if self.stop.is_cancelled() {
                break;
            }
        }
        Ok(old.len())
    }
}

/// A job that is stuck holds its object and stays until a person has seen to it.
fn is_old(job: &Job, before_ms: i64) -> bool {
    !job.state().keeps_object() && job.ended_ms < before_ms
}
