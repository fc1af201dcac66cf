//! Doing one step, once.

use contracts::call::Context;
use contracts::jobs::Job;
use contracts::placement::{Decision, Rating};
use contracts::{PropertyChange, Status};
use std::sync::Arc;
use std::time::Duration;

use super::Leave;
use super::runner::Run;
use crate::core::naming;
use crate::hands::{Calls, Done, Hands};
use crate::kinds::table::{RELEASE, TAKE, Way};
use crate::probe::{At, Verdict};

/// How long a step waits for another service. They answer within milliseconds; an answer that is lost with a bus that was
/// killed is asked for again after this time.
const SERVICE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a step did not come to its end.
#[derive(Debug)]
pub(super) enum Fail {
    Problem(Status),
    /// Another job has the object.
    Busy(String),
    /// The job was cancelled.
    Stopped,
}

impl From<Status> for Fail {
    fn from(problem: Status) -> Self {
        Self::Problem(problem)
    }
}

/// What a step leaves in the job's record.
#[derive(Debug, Default)]
pub(super) struct Effect {
    pub(super) message: String,
    pub(super) ratings: Vec<Rating>,
    pub(super) decision: Option<Decision>,
    pub(super) state: Option<Vec<u8>>,
    pub(super) target_before: Option<Vec<u8>>,
    pub(super) changes: Option<Vec<PropertyChange>>,
}

impl Effect {
    fn of(done: Done, state: Vec<u8>) -> Self {
        Self {
            message: done.message,
            ratings: done.ratings,
            changes: (!done.changes.is_empty()).then_some(done.changes),
            decision: done.decision,
            state: Some(state),
            ..Self::default()
        }
    }

    pub(super) fn put_into(&self, job: &mut Job) {
        if !self.ratings.is_empty() {
            job.ratings.clone_from(&self.ratings);
        }
        if self.decision.is_some() {
            job.decision.clone_from(&self.decision);
        }
        if let Some(state) = &self.state {
            job.state_blob.clone_from(state);
        }
        if let Some(before) = &self.target_before {
            job.target_before.clone_from(before);
        }
        if let Some(changes) = &self.changes {
            job.changes.clone_from(changes);
            job.target_before.clear();
        }
    }
}

/// In which the steps of a job make their calls. Its clones share what was seen, so a step finds what one before it wrote,
/// whichever instance answers.
pub(super) fn calls_context(job: &Job) -> Context {
    let mut context = Context::new(job.owner.as_str());
    context.job_id.clone_from(&job.id);
    context.trace_parent.clone_from(&job.trace_parent);
    context.timeout = Some(SERVICE_TIMEOUT);
    context.saw_all(&job.seen);
    context
}

impl Run<'_> {
    /// Does the step, with a test looking on.
    pub(super) async fn probed(
        &self,
        job: &Job,
        index: usize,
        way: Way,
    ) -> Result<Result<Effect, Fail>, Leave> {
        let (before, after) = match way {
            Way::Forward => (At::BeforeStep, At::AfterStep),
            Way::Back => (At::BeforeUndo, At::AfterUndo),
        };
        match self.reach(job, index, before).await {
            Verdict::GoOn => {}
            // As a runner would that died between the effect and its record.
            Verdict::Twice => drop(self.work(job, index, way).await),
            Verdict::Skip => return Ok(Ok(Effect::default())),
            Verdict::Fail(problem) => return Ok(Err(problem.into())),
            Verdict::Vanish => return Err(Leave::Vanished),
        }
        let outcome = self.work(job, index, way).await;
        match self.reach(job, index, after).await {
            Verdict::GoOn | Verdict::Twice | Verdict::Skip => Ok(outcome),
            Verdict::Fail(problem) => Ok(Err(problem.into())),
            Verdict::Vanish => Err(Leave::Vanished),
        }
    }

    async fn work(&self, job: &Job, index: usize, way: Way) -> Result<Effect, Fail> {
        let hands = self.hands(job, index, way);
        match (hands.step, way) {
            (TAKE, Way::Forward) => self.take_object(job, &hands.hands).await,
            (TAKE, Way::Back) | (RELEASE, _) => Ok(self.release_object(job, &hands.hands).await?),
            (step, way) => {
                let (done, state) = self
                    .kind
                    .work(&hands.hands, step, way, &job.state_blob)
                    .await?;
                Ok(Effect::of(done, state))
            }
        }
    }

    fn hands(&self, job: &Job, index: usize, way: Way) -> StepHands {
        let step = self.rules.get(index).map_or("", |rule| rule.name);
        let number = job.steps.get(index).map_or(0, |s| s.operation);
        let operation = match way {
            Way::Forward => naming::operation(&job.id, step, number),
            Way::Back => naming::undo_operation(&job.id, step, number),
        };
        let mut context = self.context.clone();
        context.idempotency_key.clone_from(&operation);
        let engine = self.engine;
        StepHands {
            step,
            hands: Hands {
                calls: Calls {
                    context,
                    caller: Arc::clone(&engine.caller),
                    fleet: engine.fleet.clone(),
                    world: engine.world.clone(),
                },
                bus: Arc::clone(&engine.bus),
                job_id: job.id.clone(),
                operation,
                begun_at: self.begun_at(),
                percent: job.progress_percent,
                guest_patience: Duration::from_secs(engine.config.guest_patience_secs),
            },
        }
    }
}

struct StepHands {
    step: &'static str,
    hands: Hands,
}
