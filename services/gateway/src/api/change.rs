//! Changes: a request becomes a job, or the plan of one.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use contracts::jobs::job_params::Kind;
use contracts::jobs::{JobParams, JobsClient, SubmitRequest};
use contracts::rest::{ChangeOptions, DeleteOptions, Job, Plan, headers};
use contracts::{Status, jobs};

use super::extract::{Asked, Reflecting};
use crate::core::requests::rename_field;
use crate::error::Outcome;

/// Headers of a request that changes something, for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
pub(super) struct ChangeHeaders {
    /// Names the change, so that sending it twice makes it once: 1 to 128 letters, digits and `-_.:`.
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
    /// What the client has seen, as the last answer said it.
    #[param(rename = "Muster-Revision")]
    revision: Option<String>,
}

/// Headers of a request that reads, for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
pub(super) struct ReadHeaders {
    /// What the client has seen, as the last answer said it: the answer reflects at least that.
    #[param(rename = "Muster-Revision")]
    revision: Option<String>,
}

/// What a change answers, for the document.
#[derive(utoipa::IntoResponses)]
#[allow(dead_code, clippy::large_enum_variant)]
pub(super) enum Changed {
    /// The job that was made; `Location` names it
    #[response(status = 202)]
    Accepted(Job),
    /// With `dry_run=true`: what the job would do
    #[response(status = 200)]
    Planned(Plan),
}

pub(super) fn plain(options: DeleteOptions) -> ChangeOptions {
    let DeleteOptions {
        dry_run,
        if_busy,
        force: _,
    } = options;
    ChangeOptions { dry_run, if_busy }
}

pub(super) async fn submit(asked: &Asked, kind: Kind, options: ChangeOptions) -> Outcome<Response> {
    let ChangeOptions { dry_run, if_busy } = options;
    let request = SubmitRequest {
        params: Some(JobParams { kind: Some(kind) }),
        dry_run,
        if_busy: jobs::submit_request::IfBusy::from(if_busy).into(),
    };
    let mut context = asked.context.clone();
    let is_named = !context.idempotency_key.is_empty();
    if !is_named {
        // Under a name of ours, so that it can be sent again when the instance that has it was killed.
        context.idempotency_key = asked.app.world.new_id();
    }
    let answer = JobsClient::new(asked.app.caller.clone())
        .submit(&context, &request)
        .await
        .map_err(rename_field)?;
    match (answer.job, answer.plan) {
        (Some(job), _) => Ok(accepted(asked, job, is_named && answer.existed)),
        (None, Some(plan)) => Ok(reflecting(asked, Json(Plan::from(plan)))),
        (None, None) => Err(Status::internal("Jobs answered with neither job nor plan.").into()),
    }
}

/// 202 with the job.
pub(super) fn accepted(asked: &Asked, job: jobs::Job, replayed: bool) -> Response {
    let location = format!("/api/v1/jobs/{}", job.id);
    let mut response = reflecting(asked, (StatusCode::ACCEPTED, Json(Job::from(job))));
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if replayed {
        let yes = HeaderValue::from_static("true");
        response
            .headers_mut()
            .insert(headers::IDEMPOTENCY_REPLAYED, yes);
    }
    response
}

/// An answer of another service, with the revisions that came with it.
pub(super) fn reflecting(asked: &Asked, answer: impl IntoResponse) -> Response {
    Reflecting(asked.context.seen(), answer).into_response()
}
