//! Jobs.

use axum::response::Response;
use contracts::jobs::{Job, JobRef, JobsClient};
use contracts::rest::{self, Page};

use super::change::{ChangeHeaders, ReadHeaders, accepted};
use super::extract::{Asked, Path, Query};
use super::{Failed, lists};
use crate::core::list::ListQuery;
use crate::error::Outcome;

/// A job that ended this recently may have done something that the views have not yet seen.
const RECENT_MS: i64 = 30_000;

/// Jobs, the newest first.
///
/// Fields to filter and sort by: id, kind, state, owner, target (id or name), target_kind, group, parent,
/// progress_percent, created, started, ended.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", operation_id = "list_jobs",
    params(ListQuery, ReadHeaders), responses((status = 200, description = "One page", body = Page<rest::Job>), Failed))]
pub(super) async fn list(asked: Asked, Query(query): Query<ListQuery>) -> Outcome<Response> {
    lists::list(&asked, &asked.views.jobs, &query).await
}

/// One job. Who has seen its end here finds what it did.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs", operation_id = "get_job",
    params(("id" = String, Path), ReadHeaders),
    responses((status = 200, description = "The job", body = rest::Job), Failed))]
pub(super) async fn get(asked: Asked, Path(id): Path<String>) -> Outcome<Response> {
    let job = asked.views.jobs.by_id(&id)?;
    let recent = asked.app.world.now_ms() - job.value.ended_ms < RECENT_MS;
    if !is_final(&job.value) || !recent {
        return lists::one(&asked, &job.value, job.revision, |_| Ok(()));
    }
    asked.views.settle().await;
    asked.context.saw_all(&asked.views.revisions());
    let job = rest::Job::from(job.value);
    Ok(super::change::reflecting(&asked, axum::Json(job)))
}

pub(super) fn is_final(job: &Job) -> bool {
    job.state().is_final()
}

/// Asks a job to stop; finished steps are undone.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/actions/cancel", tag = "jobs", operation_id = "cancel_job",
    params(("id" = String, Path), ChangeHeaders),
    responses((status = 202, description = "The job; `Location` names it", body = rest::Job), Failed))]
pub(super) async fn cancel(asked: Asked, Path(id): Path<String>) -> Outcome<Response> {
    let job_id = asked.views.jobs.by_id(&id)?.id;
    let jobs = JobsClient::new(asked.app.caller.clone());
    let job = jobs.cancel(&asked.context, &JobRef { job_id }).await?;
    Ok(accepted(&asked, job, false))
}

/// Runs a failed, cancelled or stuck job again from the step that failed.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/actions/restart", tag = "jobs", operation_id = "restart_job",
    params(("id" = String, Path), ChangeHeaders),
    responses((status = 202, description = "The job; `Location` names it", body = rest::Job), Failed))]
pub(super) async fn restart(asked: Asked, Path(id): Path<String>) -> Outcome<Response> {
    let job_id = asked.views.jobs.by_id(&id)?.id;
    let jobs = JobsClient::new(asked.app.caller.clone());
    // Sent once: a second time it would be refused, since the job runs again.
    let mut context = asked.context.clone();
    context.idempotency_key.clear();
    let job = jobs.restart(&context, &JobRef { job_id }).await?;
    Ok(accepted(&asked, job, false))
}
