//! What inventory answers. Each method is in the file of what it is about.

mod digests;
mod found;
mod groups;
mod hosts;
mod intake;
mod joining;
mod locks;
mod machines;
mod refresh;
mod reports;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::Status;
use contracts::call::{Call, Context};
use contracts::common::Empty;
use contracts::inventory::{
    ApplyVmReportRequest, CreateJoinTokenRequest, CreateVmRecord, GroupChange, Host, HostChange,
    HostGroup, HostSettingsChange, Inventory, JoinTokenSecret, ObjectId, RegisterRequest,
    RegisterResponse, ReportRequest, ReportResponse, TakeRequest, TakeResponse, UpdateVmRecord, Vm,
};
use contracts::jobs::JobsClient;
use kit::service::Parts;

use crate::Config;
use crate::store::Fleet;

/// Records that one request writes at the same time: the report of a large host must not take all of the log.
const WRITES_AT_ONCE: usize = 32;

pub(crate) struct Api {
    fleet: Fleet,
    digests: digests::Digests,
    jobs: JobsClient,
    caller: Arc<dyn Call>,
    intake: intake::Intake,
    /// Of hosts that are not in the fleet.
    ask_times: intake::AskTimes,
}

impl Api {
    pub(crate) fn new(fleet: Fleet, parts: &Parts<Config>) -> Self {
        let caller: Arc<dyn Call> = Arc::clone(&parts.caller);
        Self {
            digests: digests::Digests::new(fleet.vms.changes()),
            fleet,
            jobs: JobsClient::new(Arc::clone(&caller)),
            caller,
            intake: intake::Intake::new(),
            ask_times: joining::ask_times(),
        }
    }
}

#[async_trait]
impl Inventory for Api {
    async fn register(
        &self,
        context: &Context,
        request: RegisterRequest,
    ) -> Result<RegisterResponse, Status> {
        self.register_host(context, request).await
    }

    async fn report(
        &self,
        context: &Context,
        request: ReportRequest,
    ) -> Result<ReportResponse, Status> {
        self.apply_report(context, request).await
    }

    async fn create_join_token(
        &self,
        context: &Context,
        request: CreateJoinTokenRequest,
    ) -> Result<JoinTokenSecret, Status> {
        self.make_join_token(context, request).await
    }

    async fn take(&self, context: &Context, request: TakeRequest) -> Result<TakeResponse, Status> {
        self.take_object(context, request).await
    }

    async fn release(&self, context: &Context, request: TakeRequest) -> Result<Empty, Status> {
        self.release_object(context, request).await
    }

    async fn create_group(
        &self,
        context: &Context,
        request: GroupChange,
    ) -> Result<HostGroup, Status> {
        self.make_group(context, request).await
    }

    async fn update_group(
        &self,
        context: &Context,
        request: GroupChange,
    ) -> Result<HostGroup, Status> {
        self.change_group(context, request).await
    }

    async fn delete_group(&self, context: &Context, request: ObjectId) -> Result<Empty, Status> {
        self.forget_group(context, request).await
    }

    async fn approve_host(&self, context: &Context, request: HostChange) -> Result<Host, Status> {
        self.admit_host(context, request).await
    }

    async fn move_host(&self, context: &Context, request: HostChange) -> Result<Host, Status> {
        self.regroup_host(context, request).await
    }

    async fn set_host(
        &self,
        context: &Context,
        request: HostSettingsChange,
    ) -> Result<Host, Status> {
        self.settle_host(context, request).await
    }

    async fn remove_host(&self, context: &Context, request: ObjectId) -> Result<Empty, Status> {
        self.forget_host(context, request).await
    }

    async fn create_vm(&self, context: &Context, request: CreateVmRecord) -> Result<Vm, Status> {
        self.make_machine(context, request).await
    }

    async fn update_vm(&self, context: &Context, request: UpdateVmRecord) -> Result<Vm, Status> {
        self.change_machine(context, request).await
    }

    async fn apply_vm_report(
        &self,
        context: &Context,
        request: ApplyVmReportRequest,
    ) -> Result<Vm, Status> {
        self.apply_answer(context, request).await
    }

    async fn delete_vm(&self, context: &Context, request: ObjectId) -> Result<Empty, Status> {
        self.forget_machine(context, request).await
    }
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
