//! Taking the object that a job changes, and giving it back.

use contracts::Status;
use contracts::inventory::TakeRequest;
use contracts::jobs::Job;
use contracts::records::Record;

use super::runner::Run;
use super::work::{Effect, Fail};
use crate::core::turn;
use crate::fleet;
use crate::hands::Hands;
use crate::kinds::table::Moment;

impl Run<'_> {
    /// Takes the object in its turn, and looks again whether the job may be done: what was seen when it was asked for may
    /// have changed since.
    pub(super) async fn take_object(&self, job: &Job, hands: &Hands) -> Result<Effect, Fail> {
        let object = job.target.clone().unwrap_or_default();
        let others = self.engine.jobs_of(&object)?;
        if let Some(ahead) = turn::ahead(job, &others) {
            return Err(Fail::Busy(ahead.id.clone()));
        }
        // Inventory looks at the job, so it must have seen it.
        if let Some(stored) = self.engine.records.get(&job.id)? {
            hands.context.saw(Job::BUCKET, stored.revision);
        }
        let answer = hands
            .inventory()
            .take(&hands.context, &request(job))
            .await?;
        if !answer.taken {
            return Err(Fail::Busy(answer.holder_job_id));
        }
        hands.fleet.catch_up(&hands.context).await?;
        let state = self
            .kind
            .look(&hands.fleet, Moment::Holding, &job.state_blob)?;
        Ok(Effect {
            state: Some(state),
            target_before: Some(hands.fleet.snapshot(&object)?),
            ..Effect::default()
        })
    }

    /// Gives the object back and tells what became of it.
    pub(super) async fn release_object(&self, job: &Job, hands: &Hands) -> Result<Effect, Status> {
        let object = job.target.clone().unwrap_or_default();
        hands
            .inventory()
            .release(&hands.context, &request(job))
            .await?;
        hands.fleet.catch_up(&hands.context).await?;
        let after = hands.fleet.snapshot(&object)?;
        Ok(Effect {
            changes: Some(fleet::changes(&object.kind, &job.target_before, &after)),
            ..Effect::default()
        })
    }
}

fn request(job: &Job) -> TakeRequest {
    let object = job.target.clone().unwrap_or_default();
    TakeRequest {
        kind: object.kind,
        id: object.id,
        job_id: job.id.clone(),
    }
}
