//! What the agent answers: the host contract.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::host::{
    CheckImageRequest, CreateVmRequest, GetPictureRequest, Host, HostPicture, ImageInfo,
    ReadLogRequest, ReadLogResponse, ScreenshotResponse, VmOperation, VmRef, VmReport,
};
use contracts::{Status, names};

use crate::hypervisor::{Action, Hypervisor};
use crate::limits;
use crate::operations::Operations;

pub(crate) struct Api {
    hypervisor: Arc<dyn Hypervisor>,
    operations: Arc<Operations>,
}

impl Api {
    pub(crate) fn new(hypervisor: Arc<dyn Hypervisor>, operations: Arc<Operations>) -> Self {
        Self {
            hypervisor,
            operations,
        }
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
        let work = async move { hypervisor.act(&request.vm_id, action, limit).await };
        self.operations
            .once(method, &request.operation_id, work)
            .await
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

/// What a call leaves for the work: less than the caller waits, so that an answer reaches him in any case.
fn time_for_work(context: &Context) -> Duration {
    let whole = context.timeout.unwrap_or(contracts::limits::CALL_TIMEOUT);
    whole.saturating_sub(limits::ANSWER_RESERVE.min(whole / 4))
}

#[async_trait]
impl Host for Api {
    async fn get_picture(&self, _: &Context, _: GetPictureRequest) -> Result<HostPicture, Status> {
        Ok(HostPicture {
            facts: Some(self.hypervisor.facts().await),
            vms: self.hypervisor.machines().await,
        })
    }

    async fn check_image(
        &self,
        _: &Context,
        request: CheckImageRequest,
    ) -> Result<ImageInfo, Status> {
        self.hypervisor.check_image(&request.image).await
    }

    async fn create_vm(&self, _: &Context, request: CreateVmRequest) -> Result<VmReport, Status> {
        let (hypervisor, operation_id) = (self.hypervisor.clone(), request.operation_id.clone());
        let work = async move { hypervisor.create(request).await };
        self.operations.once("CreateVm", &operation_id, work).await
    }

    async fn delete_vm(&self, _: &Context, request: VmOperation) -> Result<Empty, Status> {
        let hypervisor = self.hypervisor.clone();
        let work = async move { hypervisor.delete(&request.vm_id).await.map(|()| Empty {}) };
        self.operations
            .once("DeleteVm", &request.operation_id, work)
            .await
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

    async fn get_vm(&self, _: &Context, request: VmRef) -> Result<VmReport, Status> {
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
