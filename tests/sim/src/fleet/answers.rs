//! What a stand-in for a host answers: the host contract.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::host::{
    CheckImageRequest, CloneVmRequest, CreateVmRequest, GetPictureRequest, GuestFacts,
    Host as Contract, HostPicture, ImageInfo, PackVmRequest, Parcel, ParcelRef, ReadLogRequest,
    ReadLogResponse, RefreshRequest, RefreshResponse, RemoveImageRequest, ScreenshotResponse,
    SendSamplesRequest, SendSamplesResponse, VmOperation, VmRef, VmReport, VmState,
};
use contracts::{Code, ObjectRef, Status};

use super::hosts::{Host, IMAGE, IMAGE_BYTES, missing};

/// How long work takes that takes its time.
const SLOW_MAX: Duration = Duration::from_secs(15);

/// One life of a host's agent.
pub(super) struct Answers {
    host: Arc<Host>,
    generation: u64,
}

impl Answers {
    pub(super) fn new(host: Arc<Host>, generation: u64) -> Self {
        Self { host, generation }
    }

    async fn operate(
        &self,
        context: &Context,
        operation: &str,
        vm_id: &str,
        work: impl FnOnce(Option<&VmReport>) -> Result<Option<VmReport>, Status> + Send,
    ) -> Result<VmReport, Status> {
        if let Some(outcome) = self.host.outcome(operation) {
            return outcome;
        }
        self.host.pass(context, vm_id)?;
        let whim = self.whim().await;
        self.host.pass(context, vm_id)?;
        self.host
            .do_once(self.generation, operation, vm_id, |machine| {
                whim.map_or(Ok(()), Err)?;
                work(machine)
            })
    }

    /// Takes its time, and may not be able to do it.
    async fn whim(&self) -> Option<Status> {
        let (world, whims) = (&self.host.world, self.host.whims());
        if world.draw(|chance| chance.happens(whims.is_slow)) {
            world.pass_between(Duration::ZERO, SLOW_MAX).await;
        }
        let refuses = world.draw(|chance| chance.happens(whims.refuses));
        let is_busy = world.draw(|chance| chance.happens(whims.is_busy));
        let code = world.draw(|chance| {
            *chance.one_of(&[Code::Aborted, Code::Unavailable, Code::DeadlineExceeded])
        });
        if refuses {
            return Some(
                Status::precondition("The host cannot do that.").action("Look at the host."),
            );
        }
        is_busy.then(|| Status::new(code, "The host cannot do that now.").action("Try again."))
    }

    /// Brings a machine from one of some states to another; nothing is done when it is there already.
    async fn act(
        &self,
        context: &Context,
        request: &VmOperation,
        from: &[VmState],
        to: VmState,
    ) -> Result<VmReport, Status> {
        let at_ms = self.host.world.now_ms();
        self.operate(context, &request.operation_id, &request.vm_id, |machine| {
            let machine = machine.ok_or_else(|| missing(&request.vm_id))?;
            let is_reset = from == [to];
            if machine.state() == to && !is_reset {
                return Ok(Some(machine.clone()));
            }
            if !from.contains(&machine.state()) {
                let said = format!("{} is {:?}.", machine.name, machine.state());
                let object = ObjectRef::new("vm", &machine.vm_id, &machine.name);
                return Err(Status::precondition(said)
                    .about(object)
                    .action("Look at the machine."));
            }
            Ok(Some(VmReport {
                state: to.into(),
                started_ms: if to == VmState::Running { at_ms } else { 0 },
                state_reason: String::new(),
                ..machine.clone()
            }))
        })
        .await
    }
}

fn create(request: &CreateVmRequest, there: Option<&VmReport>) -> Result<Option<VmReport>, Status> {
    if there.is_some() {
        let object = ObjectRef::new("vm", &request.vm_id, &request.name);
        return Err(Status::already_exists(
            object,
            "The machine is there already.",
        ));
    }
    Ok(Some(VmReport {
        vm_id: request.vm_id.clone(),
        name: request.name.clone(),
        state: VmState::Stopped.into(),
        hardware: request.hardware.clone(),
        datastore: "disk".to_owned(),
        ..VmReport::default()
    }))
}

fn delete(there: Option<&VmReport>) -> Result<Option<VmReport>, Status> {
    match there {
        Some(vm) if vm.state().is_active() => {
            Err(Status::precondition("The machine is on.").action("Turn it off first."))
        }
        _ => Ok(None),
    }
}

#[async_trait]
impl Contract for Answers {
    async fn get_picture(&self, _: &Context, _: GetPictureRequest) -> Result<HostPicture, Status> {
        Ok(HostPicture {
            facts: Some(self.host.facts()),
            vms: self.host.machines(),
        })
    }

    /// Whatever it has is on its way as a report.
    async fn refresh(&self, _: &Context, _: RefreshRequest) -> Result<RefreshResponse, Status> {
        Ok(RefreshResponse {
            reports_waiting: true,
            generation: self.generation,
            ..RefreshResponse::default()
        })
    }

    async fn send_samples(
        &self,
        _: &Context,
        _: SendSamplesRequest,
    ) -> Result<SendSamplesResponse, Status> {
        Err(Status::internal("Nobody here hears samples."))
    }

    async fn check_image(
        &self,
        _: &Context,
        request: CheckImageRequest,
    ) -> Result<ImageInfo, Status> {
        if request.image != IMAGE {
            let image = &request.image;
            return Err(Status::not_found(ObjectRef::new("image", image, image)));
        }
        Ok(ImageInfo {
            image: request.image,
            virtual_bytes: IMAGE_BYTES,
            file_bytes: IMAGE_BYTES / 8,
            ..ImageInfo::default()
        })
    }

    async fn create_vm(
        &self,
        context: &Context,
        request: CreateVmRequest,
    ) -> Result<VmReport, Status> {
        self.operate(context, &request.operation_id, &request.vm_id, |there| {
            create(&request, there)
        })
        .await
    }

    /// Nobody clones or stores machines here, or removes images.
    async fn clone_vm(&self, _: &Context, _: CloneVmRequest) -> Result<VmReport, Status> {
        Err(Status::internal("not asked for in the simulation"))
    }

    async fn pack_vm(&self, _: &Context, _: PackVmRequest) -> Result<Parcel, Status> {
        Err(Status::internal("not asked for in the simulation"))
    }

    async fn drop_parcel(&self, _: &Context, _: ParcelRef) -> Result<Empty, Status> {
        Err(Status::internal("not asked for in the simulation"))
    }

    async fn remove_image(&self, _: &Context, _: RemoveImageRequest) -> Result<Empty, Status> {
        Err(Status::internal("not asked for in the simulation"))
    }

    async fn delete_vm(&self, context: &Context, request: VmOperation) -> Result<Empty, Status> {
        self.operate(context, &request.operation_id, &request.vm_id, delete)
            .await?;
        Ok(Empty {})
    }

    async fn start_vm(&self, context: &Context, request: VmOperation) -> Result<VmReport, Status> {
        let off = [VmState::Stopped, VmState::Saved];
        self.act(context, &request, &off, VmState::Running).await
    }

    async fn shutdown_vm(
        &self,
        context: &Context,
        request: VmOperation,
    ) -> Result<VmReport, Status> {
        self.act(context, &request, &[VmState::Running], VmState::Stopped)
            .await
    }

    async fn turn_off_vm(
        &self,
        context: &Context,
        request: VmOperation,
    ) -> Result<VmReport, Status> {
        let on = [VmState::Running, VmState::Paused, VmState::Saved];
        self.act(context, &request, &on, VmState::Stopped).await
    }

    async fn reset_vm(&self, context: &Context, request: VmOperation) -> Result<VmReport, Status> {
        self.act(context, &request, &[VmState::Running], VmState::Running)
            .await
    }

    async fn pause_vm(&self, context: &Context, request: VmOperation) -> Result<VmReport, Status> {
        self.act(context, &request, &[VmState::Running], VmState::Paused)
            .await
    }

    async fn resume_vm(&self, context: &Context, request: VmOperation) -> Result<VmReport, Status> {
        self.act(context, &request, &[VmState::Paused], VmState::Running)
            .await
    }

    async fn save_vm(&self, context: &Context, request: VmOperation) -> Result<VmReport, Status> {
        let on = [VmState::Running, VmState::Paused];
        self.act(context, &request, &on, VmState::Saved).await
    }

    async fn get_vm(&self, context: &Context, request: VmRef) -> Result<VmReport, Status> {
        self.host.pass(context, &request.vm_id)?;
        let mut machine = self.host.machine(&request.vm_id)?;
        let answers = self.host.world.draw(|chance| chance.happens(0.5));
        if answers && machine.state() == VmState::Running {
            machine.guest = Some(GuestFacts {
                agent_responding: true,
                hostname: machine.name.clone(),
                ..GuestFacts::default()
            });
        }
        Ok(machine)
    }

    async fn screenshot(&self, _: &Context, _: VmRef) -> Result<ScreenshotResponse, Status> {
        Ok(ScreenshotResponse::default())
    }

    async fn read_log(&self, _: &Context, _: ReadLogRequest) -> Result<ReadLogResponse, Status> {
        Ok(ReadLogResponse::default())
    }
}
