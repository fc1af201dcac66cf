//! What the agent answers: the host contract.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::host::{
    CheckImageRequest, CloneVmRequest, CreateVmRequest, GetPictureRequest, Host, HostPicture,
    ImageInfo, Level, PackVmRequest, Parcel, ParcelRef, ReadLogRequest, ReadLogResponse,
    RefreshRequest, RefreshResponse, RemoveImageRequest, ScreenshotResponse, SendSamplesRequest,
    SendSamplesResponse, VmOperation, VmRef, VmReport,
};
use contracts::subjects::buckets;
use contracts::{Code, ObjectRef, Status, digest, names};
use prost::Message;

use crate::core::fences::Fences;
use crate::hypervisor::{Action, Hypervisor};
use crate::limits;
use crate::operations::Operations;
use crate::samples::Sampler;

pub(crate) struct Api {
    hypervisor: Arc<dyn Hypervisor>,
    operations: Arc<Operations>,
    sampler: Arc<Sampler>,
    generation: u64,
    /// Changes that inventory has not acknowledged.
    untold: Arc<AtomicUsize>,
    fences: Arc<Mutex<Fences>>,
}

impl Api {
    pub(crate) fn new(
        hypervisor: Arc<dyn Hypervisor>,
        operations: Arc<Operations>,
        sampler: Arc<Sampler>,
        generation: u64,
        untold: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            hypervisor,
            operations,
            sampler,
            generation,
            untold,
            fences: Arc::default(),
        }
    }

    /// Does what a job wants of a machine once, and not when a later word about the machine was heard.
    async fn once<A, W>(
        &self,
        context: &Context,
        method: &str,
        (operation_id, vm_id): (&str, &str),
        work: W,
    ) -> Result<A, Status>
    where
        A: Message + Default,
        W: Future<Output = Result<A, Status>> + Send + 'static,
    {
        let fence = Fence::of(context, vm_id, &self.fences);
        fence.pass()?;
        // Again when it is its turn. Not stored: the same operation may have been asked for with a later word.
        let work = async move {
            fence.pass()?;
            work.await
        };
        self.operations.once(method, operation_id, work).await
    }

    async fn act(
        &self,
        context: &Context,
        method: &str,
        request: VmOperation,
        action: Action,
    ) -> Result<VmReport, Status> {
        names::check_id("vm_id", &request.vm_id)?;
        let (hypervisor, limit) = (self.hypervisor.clone(), time_for_work(context));
        let vm_id = request.vm_id.clone();
        let work = async move { hypervisor.act(&vm_id, action, limit).await };
        let what = (request.operation_id.as_str(), request.vm_id.as_str());
        self.once(context, method, what, work).await
    }

    async fn ask<T>(
        &self,
        vm_id: &str,
        question: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        names::check_id("vm_id", vm_id)?;
        question.await
    }
}

/// Who has heard a later word about a machine does not do what an earlier one wanted.
struct Fence {
    vm_id: String,
    /// Of the log of jobs; 0: no job asks, or one of a release that does not say.
    revision: u64,
    fences: Arc<Mutex<Fences>>,
}

impl Fence {
    fn of(context: &Context, vm_id: &str, fences: &Arc<Mutex<Fences>>) -> Self {
        let revision = match context.job_id.as_str() {
            "" => 0,
            _ => context.seen_of(buckets::JOB),
        };
        Self {
            vm_id: vm_id.to_owned(),
            revision,
            fences: Arc::clone(fences),
        }
    }

    fn pass(&self) -> Result<(), Status> {
        let mut fences = self.fences.lock().unwrap_or_else(PoisonError::into_inner);
        let passes =
            self.revision == 0 || fences.pass(&self.vm_id, self.revision, limits::FENCES_MAX);
        if passes {
            return Ok(());
        }
        let message =
            "The command comes late: its job has gone on without it, and it is not done any more.";
        Err(Status::new(Code::Aborted, message)
            .about(ObjectRef::new("vm", &self.vm_id, ""))
            .action("Look at the job."))
    }
}

/// What a call leaves for the work: less than the caller waits, so that an answer reaches him in any case.
fn time_for_work(context: &Context) -> Duration {
    let whole = context.timeout.unwrap_or(contracts::limits::CALL_TIMEOUT);
    whole.saturating_sub(limits::ANSWER_RESERVE.min(whole / 4))
}

fn no_level() -> Status {
    Status::invalid("level", "The request does not say how closely to look.")
        .action("Update the caller or the agent so that both are of one release.")
}

#[async_trait]
impl Host for Api {
    async fn get_picture(&self, _: &Context, _: GetPictureRequest) -> Result<HostPicture, Status> {
        Ok(HostPicture {
            facts: Some(self.hypervisor.facts().await),
            vms: self.hypervisor.machines().await,
        })
    }

    async fn refresh(
        &self,
        _: &Context,
        request: RefreshRequest,
    ) -> Result<RefreshResponse, Status> {
        if !request.vm_id.is_empty() {
            names::check_id("vm_id", &request.vm_id)?;
        }
        let level = request.level();
        // The second question is about what the first one has just looked at.
        if !request.with_known_vms {
            self.hypervisor.look(level, &request.vm_id).await;
        }
        let answer = match level {
            Level::Host => digest::answer_facts(&request, self.hypervisor.facts().await),
            Level::Light | Level::Heavy => {
                digest::answer_machines(&request, &self.hypervisor.machines().await)
            }
            Level::Unspecified => return Err(no_level()),
        };
        // What is on its way as a report would be overtaken, and the report then tell what is older.
        if self.untold.load(Ordering::Relaxed) > 0 && answer.digest != request.digest {
            return Ok(RefreshResponse {
                reports_waiting: true,
                generation: self.generation,
                ..RefreshResponse::default()
            });
        }
        Ok(RefreshResponse {
            generation: self.generation,
            ..answer
        })
    }

    async fn send_samples(
        &self,
        _: &Context,
        _: SendSamplesRequest,
    ) -> Result<SendSamplesResponse, Status> {
        let sent = self.sampler.send().await;
        let bytes = sent.map_err(|error| {
            Status::unavailable(format!("Samples were not sent: {error}."))
                .action("Try again when the bus is back.")
        })?;
        Ok(SendSamplesResponse { bytes })
    }

    async fn check_image(
        &self,
        _: &Context,
        request: CheckImageRequest,
    ) -> Result<ImageInfo, Status> {
        self.hypervisor.check_image(&request.image).await
    }

    async fn create_vm(
        &self,
        context: &Context,
        request: CreateVmRequest,
    ) -> Result<VmReport, Status> {
        let hypervisor = self.hypervisor.clone();
        let (operation_id, vm_id) = (request.operation_id.clone(), request.vm_id.clone());
        let work = async move { hypervisor.create(request).await };
        self.once(context, "CreateVm", (&operation_id, &vm_id), work)
            .await
    }

    async fn clone_vm(
        &self,
        context: &Context,
        request: CloneVmRequest,
    ) -> Result<VmReport, Status> {
        let hypervisor = self.hypervisor.clone();
        let (operation_id, vm_id) = (request.operation_id.clone(), request.vm_id.clone());
        let work = async move { hypervisor.clone_machine(request).await };
        self.once(context, "CloneVm", (&operation_id, &vm_id), work)
            .await
    }

    async fn pack_vm(&self, context: &Context, request: PackVmRequest) -> Result<Parcel, Status> {
        let hypervisor = self.hypervisor.clone();
        let (operation_id, vm_id) = (request.operation_id.clone(), request.vm_id.clone());
        let check_only = request.check_only;
        let work = async move { hypervisor.pack(request).await };
        match check_only {
            true => work.await,
            false => {
                self.once(context, "PackVm", (&operation_id, &vm_id), work)
                    .await
            }
        }
    }

    async fn drop_parcel(&self, context: &Context, request: ParcelRef) -> Result<Empty, Status> {
        Fence::of(context, &request.vm_id, &self.fences).pass()?;
        self.hypervisor.drop_parcel(&request.parcel_id).await?;
        Ok(Empty {})
    }

    async fn remove_image(
        &self,
        _: &Context,
        request: RemoveImageRequest,
    ) -> Result<Empty, Status> {
        let (hypervisor, image) = (self.hypervisor.clone(), request.image);
        let check_only = request.check_only;
        let work = async move {
            let removed = hypervisor.remove_image(&image, check_only).await;
            removed.map(|()| Empty {})
        };
        match check_only {
            true => work.await,
            false => {
                let operations = &self.operations;
                operations
                    .once("RemoveImage", &request.operation_id, work)
                    .await
            }
        }
    }

    async fn delete_vm(&self, context: &Context, request: VmOperation) -> Result<Empty, Status> {
        let (hypervisor, vm_id) = (self.hypervisor.clone(), request.vm_id.clone());
        let work = async move { hypervisor.delete(&vm_id).await.map(|()| Empty {}) };
        let what = (request.operation_id.as_str(), request.vm_id.as_str());
        self.once(context, "DeleteVm", what, work).await
    }

    async fn start_vm(&self, context: &Context, request: VmOperation) -> Result<VmReport, Status> {
        self.act(context, "StartVm", request, Action::Start).await
    }

    async fn shutdown_vm(
        &self,
        context: &Context,
        request: VmOperation,
    ) -> Result<VmReport, Status> {
        self.act(context, "ShutdownVm", request, Action::Shutdown)
            .await
    }

    async fn turn_off_vm(
        &self,
        context: &Context,
        request: VmOperation,
    ) -> Result<VmReport, Status> {
        self.act(context, "TurnOffVm", request, Action::TurnOff)
            .await
    }

    async fn reset_vm(&self, context: &Context, request: VmOperation) -> Result<VmReport, Status> {
        self.act(context, "ResetVm", request, Action::Reset).await
    }

    async fn pause_vm(&self, context: &Context, request: VmOperation) -> Result<VmReport, Status> {
        self.act(context, "PauseVm", request, Action::Pause).await
    }

    async fn resume_vm(&self, context: &Context, request: VmOperation) -> Result<VmReport, Status> {
        self.act(context, "ResumeVm", request, Action::Resume).await
    }

    async fn save_vm(&self, context: &Context, request: VmOperation) -> Result<VmReport, Status> {
        self.act(context, "SaveVm", request, Action::Save).await
    }

    /// A job that looks before it undoes something goes by what it sees: nothing earlier may change it afterwards.
    async fn get_vm(&self, context: &Context, request: VmRef) -> Result<VmReport, Status> {
        Fence::of(context, &request.vm_id, &self.fences).pass()?;
        self.ask(&request.vm_id, self.hypervisor.machine(&request.vm_id))
            .await
    }

    async fn screenshot(&self, _: &Context, request: VmRef) -> Result<ScreenshotResponse, Status> {
        let png = self
            .ask(&request.vm_id, self.hypervisor.screenshot(&request.vm_id))
            .await?;
        Ok(ScreenshotResponse { png })
    }

    async fn read_log(
        &self,
        _: &Context,
        request: ReadLogRequest,
    ) -> Result<ReadLogResponse, Status> {
        let vm_id = request.vm_id.clone();
        self.ask(&vm_id, self.hypervisor.read_log(request)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_ends_before_its_caller_gives_up() {
        let with = |timeout: Option<Duration>| {
            let context = Context::default();
            time_for_work(&timeout.map_or(context.clone(), |t| context.with_timeout(t)))
        };
        assert_eq!(with(None), Duration::from_secs(328));
        assert_eq!(with(Some(Duration::from_secs(30))), Duration::from_secs(28));
        assert_eq!(
            with(Some(Duration::from_secs(1))),
            Duration::from_millis(750)
        );
        assert_eq!(with(Some(Duration::ZERO)), Duration::ZERO);
    }
}
