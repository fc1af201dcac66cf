//! What a service found, or did by itself on somebody's standing word: jobs that have ended when they begin, for the audit.

use contracts::call::Context;
use contracts::common::Empty;
use contracts::jobs::{FoundChange, Job, JobState, RecordRequest};
use contracts::names::check_id;
use contracts::{Status, names};
use futures::{StreamExt, TryStreamExt};
use kit::records::Decision;

use super::Api;
use crate::kinds::{self, FOUND};

/// Changes in one call; a service that found more makes more calls.
const FOUND_MAX: usize = 10_000;

/// Jobs that are written at the same time.
const WRITES_AT_ONCE: usize = 32;

/// Who did it when nobody asked for it, for people.
const OWNER: &str = "system";

impl Api {
    pub(super) async fn record_found(
        &self,
        context: &Context,
        request: RecordRequest,
    ) -> Result<Empty, Status> {
        let count = request.found.len();
        if count > FOUND_MAX {
            let message = format!("{count} changes are too many for one call.");
            return Err(Status::invalid("found", message)
                .action(format!("Tell at most {FOUND_MAX} at a time.")));
        }
        for found in &request.found {
            check_id("found.job_id", &found.job_id)?;
            if !found.kind.is_empty() {
                kinds::named(&found.kind)?;
            }
        }
        let now_ms = self.engine.world.now_ms();
        let jobs = request.found.into_iter();
        let jobs: Vec<Job> = jobs.map(|found| finished(found, context, now_ms)).collect();
        futures::stream::iter(jobs)
            .map(|job| self.put_found(context, job))
            .buffer_unordered(WRITES_AT_ONCE)
            .try_collect::<()>()
            .await?;
        Ok(Empty {})
    }

    /// One that is there already was told before.
    async fn put_found(&self, context: &Context, job: Job) -> Result<(), Status> {
        let id = job.id.clone();
        let records = &self.engine.records;
        let put = |there: Option<&kit::records::Stored<Job>>| {
            Ok(match there {
                Some(_) => Decision::Keep(()),
                None => Decision::Put(job.clone(), ()),
            })
        };
        records.update(context, &id, put).await
    }
}

fn finished(found: FoundChange, context: &Context, now_ms: i64) -> Job {
    let or = |said: String, other: &str| match said.as_str() {
        "" => other.to_owned(),
        _ => said,
    };
    Job {
        id: found.job_id,
        kind: or(found.kind, FOUND),
        state: JobState::Succeeded.into(),
        owner: or(found.owner, OWNER),
        target: found.target,
        group_id: found.group_id,
        changes: found.changes,
        parent_id: context.job_id.clone(),
        message: names::shorten(&found.message),
        progress_percent: 100,
        created_ms: found.found_ms,
        started_ms: found.found_ms,
        ended_ms: now_ms.max(found.found_ms),
        ..Job::default()
    }
}
