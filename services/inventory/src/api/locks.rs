//! Taking objects for jobs and giving them back.

use contracts::call::Context;
use contracts::common::Empty;
use contracts::inventory::{TakeRequest, TakeResponse};
use contracts::jobs::job_params::Kind;
use contracts::subjects::buckets;
use contracts::{Code, Status, names};
use kit::records::Records;

use super::Api;
use crate::core::lock::{self, Claim, Held};

/// How often a take is looked at again because the holder changed meanwhile.
const ATTEMPTS_MAX: u32 = 16;

impl Api {
    pub(super) async fn take_object(
        &self,
        context: &Context,
        request: TakeRequest,
    ) -> Result<TakeResponse, Status> {
        check(&request)?;
        match request.kind.as_str() {
            buckets::VM => self.take(&self.fleet.vms, context, &request).await,
            buckets::HOST => self.take(&self.fleet.hosts, context, &request).await,
            buckets::HOST_GROUP => self.take(&self.fleet.groups, context, &request).await,
            other => Err(unknown_kind(other)),
        }
    }

    async fn take<R: Held>(
        &self,
        records: &Records<R>,
        context: &Context,
        request: &TakeRequest,
    ) -> Result<TakeResponse, Status> {
        let is_removal = self.is_removal(&request.job_id)?;
        for _ in 0..ATTEMPTS_MAX {
            let current = records.get(&request.id)?;
            let current = lock::found(current.as_ref(), request)?;
            let (holder, seen) = (current.value.holder(), current.revision);
            let is_held = !holder.is_empty() && holder != request.job_id;
            if is_held && self.fleet.is_open(holder).await? {
                return Ok(held_by(holder));
            }
            if let Some(job) = self.fleet.latest_job(&request.job_id).await? {
                lock::check_may_take(&job)?;
            }
            let claim = records
                .update(context, &request.id, |current| {
                    lock::take(current, request, seen, is_removal)
                })
                .await?;
            if claim == Claim::Taken {
                return Ok(TakeResponse {
                    taken: true,
                    holder_job_id: String::new(),
                });
            }
        }
        let message = format!("{} {} changes hands too fast.", request.kind, request.id);
        Err(Status::new(Code::Aborted, message).action("Try again."))
    }

    fn is_removal(&self, job_id: &str) -> Result<bool, Status> {
        let kind = self.fleet.job(job_id)?.and_then(|job| job.params?.kind);
        Ok(matches!(kind, Some(Kind::HostRemove(_))))
    }

    pub(super) async fn release_object(
        &self,
        context: &Context,
        request: TakeRequest,
    ) -> Result<Empty, Status> {
        check(&request)?;
        match request.kind.as_str() {
            buckets::VM => release(&self.fleet.vms, context, &request).await,
            buckets::HOST => release(&self.fleet.hosts, context, &request).await,
            buckets::HOST_GROUP => release(&self.fleet.groups, context, &request).await,
            other => Err(unknown_kind(other)),
        }
    }
}

async fn release<R: Held>(
    records: &Records<R>,
    context: &Context,
    request: &TakeRequest,
) -> Result<Empty, Status> {
    let job_id = &request.job_id;
    records
        .update(context, &request.id, |current| {
            Ok(lock::release(current, job_id))
        })
        .await?;
    Ok(Empty {})
}

fn check(request: &TakeRequest) -> Result<(), Status> {
    names::check_id("id", &request.id)?;
    names::check_id("job_id", &request.job_id)
}

fn held_by(job_id: &str) -> TakeResponse {
    TakeResponse {
        taken: false,
        holder_job_id: job_id.to_owned(),
    }
}

fn unknown_kind(kind: &str) -> Status {
    let message = format!(
        "{:?} is not something that a job can take.",
        names::shorten(kind)
    );
    Status::invalid("kind", message).action("Use vm, host or host_group.")
}
