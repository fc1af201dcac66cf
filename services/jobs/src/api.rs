//! What the service answers: submit, cancel, restart, and taking down what was found.

mod record;
mod refusals;

use std::sync::Arc;

use async_trait::async_trait;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::jobs::job_params::Kind as Params;
use contracts::jobs::submit_request::IfBusy;
use contracts::jobs::{
    Job, JobParams, JobRef, JobState, Jobs, Plan, RecordRequest, SubmitRequest, SubmitResponse,
};
use contracts::names::check_id;
use contracts::records::Record;
use contracts::{ObjectRef, Status, subjects};
use kit::records::{Decision, Stored};
use kit::telemetry;
use prost::Message;

use refusals::{check_same, over};

use crate::core::power::capitalised;
use crate::core::{machine, naming, turn};
use crate::engine::{Engine, meter};
use crate::hands::Calls;
use crate::kinds::table::{Kind, Moment, Target, planned};
use crate::kinds::{self};

pub(crate) struct Api {
    engine: Arc<Engine>,
}

/// A request that may be done.
struct Prepared {
    kind: &'static dyn Kind,
    state: Vec<u8>,
    target: Target,
    plan: Plan,
    /// The job that has the object, or wants it before this one.
    ahead: Option<Job>,
}

#[async_trait]
impl Jobs for Api {
    async fn submit(
        &self,
        context: &Context,
        request: SubmitRequest,
    ) -> Result<SubmitResponse, Status> {
        let hash = request_hash(&request);
        let id = match context.idempotency_key.as_str() {
            "" => self.engine.world.new_id(),
            key => naming::job_of_key(&context.principal, key),
        };
        let is_keyed = !context.idempotency_key.is_empty() && !request.dry_run;
        if is_keyed && let Some(job) = self.existing(context, &id, &hash).await? {
            return Ok(existed(job));
        }
        let prepared = match self.prepare(context, &request).await {
            Ok(prepared) => prepared,
            Err(refusal) => {
                // The twin of this request may have become a job meanwhile, and be what this one is refused for.
                let twin = if is_keyed {
                    self.existing(context, &id, &hash).await?
                } else {
                    None
                };
                return twin.map(existed).ok_or(refusal);
            }
        };
        if request.dry_run {
            return Ok(SubmitResponse {
                plan: Some(prepared.plan),
                ..SubmitResponse::default()
            });
        }
        let job = self.new_job(context, id, hash, &request, &prepared)?;
        self.create(context, job, prepared.plan).await
    }

    async fn cancel(&self, context: &Context, request: JobRef) -> Result<Job, Status> {
        let now_ms = self.engine.world.now_ms();
        let job = self
            .change(context, &request.job_id, |job| {
                if job.state().is_final() {
                    return Err(over(job, "cancelled"));
                }
                if !job.cancel_requested {
                    machine::cancel(job, &context.principal, now_ms);
                }
                Ok(())
            })
            .await?;
        meter::note_end(&job);
        self.engine.interrupt(&job.id);
        if !job.state().is_final() {
            self.engine.call_runner(&job.id).await;
        }
        Ok(job)
    }

    async fn restart(&self, context: &Context, request: JobRef) -> Result<Job, Status> {
        let job = self
            .change(context, &request.job_id, |job| match job.state() {
                JobState::Failed | JobState::Cancelled | JobState::Stuck => {
                    machine::restart(job);
                    Ok(())
                }
                _ => Err(over(job, "restarted")),
            })
            .await?;
        self.engine.call_runner(&job.id).await;
        Ok(job)
    }

    async fn record(&self, context: &Context, request: RecordRequest) -> Result<Empty, Status> {
        self.record_found(context, request).await
    }
}

impl Api {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// The job that an idempotency key made before, whichever instance did.
    async fn existing(
        &self,
        context: &Context,
        id: &str,
        hash: &[u8],
    ) -> Result<Option<Job>, Status> {
        let records = &self.engine.records;
        let stored = match records.get(id)? {
            Some(stored) => Some(stored),
            None => self.engine.catch_up_with_log(context, id).await?,
        };
        let Some(stored) = stored else {
            return Ok(None);
        };
        check_same(&stored.value, context, hash)?;
        context.saw(Job::BUCKET, stored.revision);
        Ok(Some(stored.value))
    }

    /// Everything that a person can get wrong is refused here, before anything is changed.
    async fn prepare(
        &self,
        context: &Context,
        request: &SubmitRequest,
    ) -> Result<Prepared, Status> {
        let engine = &self.engine;
        let params = params_of(request)?;
        let draft = kinds::read(params, &context.principal, &engine.fleet, &engine.world)?;
        // First as if others had it, to know what it is; then as it is.
        let seen = draft
            .kind
            .look(&engine.fleet, Moment::InLine, &draft.state)?;
        let object = draft.kind.target(&seen)?.object;
        let jobs = engine.jobs_of(&object)?;
        let takes = draft.kind.takes_object();
        let ahead = turn::last_open(&jobs).filter(|_| takes).cloned();
        let holder = if takes {
            engine.fleet.holder(&object)?
        } else {
            String::new()
        };
        if request.if_busy() == IfBusy::Refuse {
            self.refuse_busy(&object, ahead.as_ref(), &holder)?;
        }
        let is_free = ahead.is_none() && holder.is_empty();
        let moment = if is_free {
            Moment::Asked
        } else {
            Moment::InLine
        };
        let state = draft.kind.look(&engine.fleet, moment, &seen)?;
        let (state, plan) = draft.kind.plan(&self.calls(context), &state).await?;
        let target = draft.kind.target(&state)?;
        let plan = Plan {
            steps: planned(draft.kind, &draft.kind.steps(&state)?),
            target: Some(target.object.clone()),
            ..plan
        };
        Ok(Prepared {
            kind: draft.kind,
            state,
            target,
            plan,
            ahead,
        })
    }

    fn calls(&self, context: &Context) -> Calls {
        let mut context = context.clone();
        // Each question has its own time; the request's ends them all.
        context.timeout = None;
        // Questions may be asked twice; the request's own key names the job.
        context.idempotency_key = self.engine.world.new_id();
        Calls {
            context,
            caller: Arc::clone(&self.engine.caller),
            fleet: self.engine.fleet.clone(),
            world: self.engine.world.clone(),
        }
    }

    fn refuse_busy(
        &self,
        object: &ObjectRef,
        ahead: Option<&Job>,
        holder: &str,
    ) -> Result<(), Status> {
        let holder = match ahead {
            Some(job) => Some(job.clone()),
            None => self.engine.job(holder)?,
        };
        let Some(job) = holder else {
            return Ok(());
        };
        let message = format!(
            "{} is being changed by job {} ({}).",
            capitalised(&object.describe()),
            job.id,
            job.kind
        );
        Err(Status::precondition(message)
            .about(ObjectRef::new("job", &job.id, &job.kind))
            .action("Wait until that job has ended, or let this one wait for it."))
    }

    fn new_job(
        &self,
        context: &Context,
        id: String,
        hash: Vec<u8>,
        request: &SubmitRequest,
        prepared: &Prepared,
    ) -> Result<Job, Status> {
        let mut job = Job {
            id,
            kind: prepared.kind.name().to_owned(),
            state: JobState::Queued.into(),
            owner: context.principal.clone(),
            target: Some(prepared.target.object.clone()),
            group_id: prepared.target.group_id.clone(),
            params: request.params.clone(),
            steps: prepared.kind.steps(&prepared.state)?,
            created_ms: self.engine.world.now_ms(),
            state_blob: prepared.state.clone(),
            trace_parent: telemetry::trace_parent().unwrap_or_else(|| context.trace_parent.clone()),
            request_hash: hash,
            refuse_if_busy: request.if_busy() == IfBusy::Refuse,
            message: "Waits for a runner.".to_owned(),
            ..Job::default()
        };
        if let Some(ahead) = &prepared.ahead {
            let message = turn::waiting_message(&job, &ahead.id, Some(ahead));
            machine::wait(&mut job, &ahead.id, message);
        }
        Ok(job)
    }

    async fn create(
        &self,
        context: &Context,
        job: Job,
        plan: Plan,
    ) -> Result<SubmitResponse, Status> {
        let engine = &self.engine;
        let outcome = engine
            .records
            .update(
                context,
                &job.id,
                |stored: Option<&Stored<Job>>| match stored {
                    Some(stored) => {
                        check_same(&stored.value, context, &job.request_hash)?;
                        Ok(Decision::Keep((stored.value.clone(), true)))
                    }
                    None => Ok(Decision::Put(job.clone(), (job.clone(), false))),
                },
            )
            .await;
        let (job, existed) = outcome?;
        // The job that it waits for may have ended while this one was written.
        if engine.is_due(&job)? {
            engine.call_runner(&job.id).await;
        }
        Ok(SubmitResponse {
            job: Some(job),
            plan: Some(plan),
            existed,
        })
    }

    async fn change(
        &self,
        context: &Context,
        job_id: &str,
        mut change: impl FnMut(&mut Job) -> Result<(), Status> + Send,
    ) -> Result<Job, Status> {
        check_id("job_id", job_id)?;
        let decide = |stored: Option<&Stored<Job>>| {
            let stored =
                stored.ok_or_else(|| Status::not_found(ObjectRef::new("job", job_id, "")))?;
            let mut job = stored.value.clone();
            change(&mut job)?;
            Ok(if job == stored.value {
                Decision::Keep(job)
            } else {
                Decision::Put(job.clone(), job)
            })
        };
        self.engine.records.update(context, job_id, decide).await
    }
}

impl Engine {
    /// A job that the log has and this instance's view has not yet.
    async fn catch_up_with_log(
        &self,
        context: &Context,
        id: &str,
    ) -> Result<Option<Stored<Job>>, Status> {
        let (log, subject) = (
            subjects::bucket_stream(Job::BUCKET),
            subjects::record(Job::BUCKET, id),
        );
        let last = self.bus().last(&log, &subject).await.map_err(|error| {
            Status::unavailable(format!(
                "Whether the request was made before is not known: {error}."
            ))
            .action("Try again with the same key.")
        })?;
        let Some(last) = last else {
            return Ok(None);
        };
        context.saw(Job::BUCKET, last.sequence);
        self.fleet.catch_up(context).await?;
        self.records.get(id)
    }
}

fn params_of(request: &SubmitRequest) -> Result<&Params, Status> {
    match &request.params {
        Some(JobParams { kind: Some(kind) }) => Ok(kind),
        _ => Err(
            Status::invalid("params", "The request does not say what is to be done.")
                .action("Set the parameters of one kind of job."),
        ),
    }
}

/// What makes two requests the same: what is asked for, not whether it waits.
fn request_hash(request: &SubmitRequest) -> Vec<u8> {
    let params = request.params.clone().unwrap_or_default();
    blake3::hash(&params.encode_to_vec()).as_bytes().to_vec()
}

fn existed(job: Job) -> SubmitResponse {
    SubmitResponse {
        job: Some(job),
        existed: true,
        ..SubmitResponse::default()
    }
}
