//! A host in memory. It keeps the results of operations as the contract wants it, and counts what it really does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use contracts::call::{Context, Revisions};
use contracts::common::Empty;
use contracts::host::{
    CheckImageRequest, CloneVmRequest, CreateVmRequest, GetPictureRequest, GuestFacts, GuestSetup,
    Host, HostPicture, ImageInfo, PackVmRequest, Parcel, ParcelRef, ReadLogRequest,
    ReadLogResponse, RefreshRequest, RefreshResponse, RemoveImageRequest, ScreenshotResponse,
    SendSamplesRequest, SendSamplesResponse, VmOperation, VmRef, VmReport, VmState,
};
use contracts::{Code, ObjectRef, Status};

use super::FakeTransfer;

pub(crate) const IMAGE_BYTES: u64 = 1 << 30;

#[derive(Default)]
pub(crate) struct FakeHost {
    pub(crate) id: String,
    /// Commands that come now are never done.
    pub(crate) hold: AtomicBool,
    /// Commands that come now are done, and their answers lost.
    pub(crate) mute: AtomicBool,
    /// Where its images of the library come from.
    transfer: Arc<FakeTransfer>,
    /// Parcels that it has packed, with the names of their machines.
    pub(crate) parcels: Mutex<BTreeMap<String, String>>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    vms: BTreeMap<String, VmReport>,
    results: HashMap<String, Result<VmReport, Status>>,
    /// Command and machine, as often as it was really done.
    done: BTreeMap<(String, String), u32>,
    /// Answers for a while, by command.
    failures: HashMap<String, Vec<Status>>,
    /// Commands that are done, and answered as if that took longer than a call may.
    late: BTreeSet<String>,
    /// What the caller of the last creation had seen, by machine.
    seen: HashMap<String, Revisions>,
    /// Image files that were put there.
    images: BTreeSet<String>,
    /// What the guest of a machine was told.
    guests: HashMap<String, GuestSetup>,
}

impl FakeHost {
    pub(crate) fn new(id: &str, transfer: &Arc<FakeTransfer>) -> Arc<Self> {
        Arc::new(Self {
            id: id.to_owned(),
            transfer: Arc::clone(transfer),
            ..Self::default()
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn put(&self, vm: VmReport) {
        self.inner().vms.insert(vm.vm_id.clone(), vm);
    }

    pub(crate) fn put_image(&self, file: &str) {
        self.inner().images.insert(file.to_owned());
    }

    pub(crate) fn images(&self) -> BTreeSet<String> {
        self.inner().images.clone()
    }

    pub(crate) fn machines(&self) -> Vec<VmReport> {
        self.inner().vms.values().cloned().collect()
    }

    pub(crate) fn state_of(&self, vm_id: &str) -> Option<VmState> {
        self.inner().vms.get(vm_id).map(VmReport::state)
    }

    /// How often a command was really done to a machine.
    pub(crate) fn times(&self, command: &str, vm_id: &str) -> u32 {
        let key = (command.to_owned(), vm_id.to_owned());
        self.inner().done.get(&key).copied().unwrap_or(0)
    }

    pub(crate) fn told(&self, vm_id: &str) -> Option<GuestSetup> {
        self.inner().guests.get(vm_id).cloned()
    }

    pub(crate) fn seen_by_creator(&self, vm_id: &str) -> Revisions {
        let inner = self.inner();
        inner.seen.get(vm_id).cloned().unwrap_or_default()
    }

    /// The next command of a name is answered so, and not done.
    pub(crate) fn fail_next(&self, command: &str, status: Status) {
        self.inner()
            .failures
            .entry(command.to_owned())
            .or_default()
            .push(status);
    }

    /// The next command of a name is done, and not in time to be answered.
    pub(crate) fn late_next(&self, command: &str) {
        self.inner().late.insert(command.to_owned());
    }

    /// What a host does with a command: answers from the stored results, or does it and stores.
    fn operate(
        &self,
        command: &str,
        operation_id: &str,
        vm_id: &str,
        work: impl FnOnce(&mut BTreeMap<String, VmReport>) -> Result<VmReport, Status>,
    ) -> Result<VmReport, Status> {
        let mut inner = self.inner();
        if let Some(result) = inner.results.get(operation_id) {
            return result.clone();
        }
        let planned = inner
            .failures
            .get_mut(command)
            .and_then(|planned| (!planned.is_empty()).then(|| planned.remove(0)));
        let result = match planned {
            Some(status) => Err(status),
            None => work(&mut inner.vms),
        };
        if result.is_ok() {
            *inner
                .done
                .entry((command.to_owned(), vm_id.to_owned()))
                .or_default() += 1;
        }
        let is_final = result
            .as_ref()
            .err()
            .is_none_or(|status| !status.retryable());
        if is_final {
            inner
                .results
                .insert(operation_id.to_owned(), result.clone());
        }
        if inner.late.remove(command) {
            return Err(Status::new(Code::DeadlineExceeded, "It takes long."));
        }
        result
    }

    async fn act(
        &self,
        command: &str,
        request: VmOperation,
        from: &[VmState],
        to: VmState,
    ) -> Result<VmReport, Status> {
        self.wait_if_held().await;
        let result = self.operate(command, &request.operation_id, &request.vm_id, |vms| {
            let vm = vms
                .get_mut(&request.vm_id)
                .ok_or_else(|| missing(&request.vm_id))?;
            if !from.contains(&vm.state()) {
                return Err(Status::precondition(format!(
                    "{} is {:?}: no {command}.",
                    vm.name,
                    vm.state()
                )));
            }
            vm.set_state(to);
            Ok(vm.clone())
        });
        self.answer(result).await
    }

    async fn wait_if_held(&self) {
        if self.hold.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    async fn answer<T>(&self, result: Result<T, Status>) -> Result<T, Status> {
        if self.mute.swap(false, Ordering::SeqCst) {
            // The process ends here: nobody ever answers.
            std::future::pending::<()>().await;
        }
        result
    }
}

fn missing(vm_id: &str) -> Status {
    Status::not_found(ObjectRef::new("vm", vm_id, ""))
}

#[async_trait]
impl Host for FakeHost {
    async fn refresh(&self, _: &Context, _: RefreshRequest) -> Result<RefreshResponse, Status> {
        Err(Status::internal("not asked for by jobs"))
    }

    async fn send_samples(
        &self,
        _: &Context,
        _: SendSamplesRequest,
    ) -> Result<SendSamplesResponse, Status> {
        Err(Status::internal("not asked for by jobs"))
    }

    async fn get_picture(&self, _: &Context, _: GetPictureRequest) -> Result<HostPicture, Status> {
        Ok(HostPicture::default())
    }

    async fn check_image(
        &self,
        _: &Context,
        request: CheckImageRequest,
    ) -> Result<ImageInfo, Status> {
        if request.image.starts_with("bad") {
            let message = format!("{} is not an image.", request.image);
            return Err(Status::precondition(message).action("Name an image."));
        }
        let file = request.image.rsplit('/').next().unwrap_or_default();
        if file.starts_with("library-") && !self.transfer.has(&self.id, file) {
            return Err(Status::not_found(ObjectRef::new("image", file, file)));
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
        self.wait_if_held().await;
        let (vm_id, seen) = (request.vm_id.clone(), context.seen());
        self.inner().seen.insert(vm_id.clone(), seen);
        if let Some(guest) = request.guest {
            self.inner().guests.insert(vm_id, guest);
        }
        let result = self.operate("create", &request.operation_id, &request.vm_id, |vms| {
            if vms.contains_key(&request.vm_id) {
                return Err(Status::new(
                    Code::AlreadyExists,
                    "The machine is there already.",
                ));
            }
            let report = VmReport {
                vm_id: request.vm_id.clone(),
                name: request.name.clone(),
                state: VmState::Stopped.into(),
                hardware: request.hardware.clone(),
                ..VmReport::default()
            };
            vms.insert(request.vm_id.clone(), report.clone());
            Ok(report)
        });
        self.answer(result).await
    }

    async fn clone_vm(&self, _: &Context, request: CloneVmRequest) -> Result<VmReport, Status> {
        self.wait_if_held().await;
        let result = self.operate("clone", &request.operation_id, &request.vm_id, |vms| {
            let source = vms.get(&request.source_vm_id);
            let source = source.ok_or_else(|| missing(&request.source_vm_id))?;
            let report = VmReport {
                vm_id: request.vm_id.clone(),
                name: request.name.clone(),
                ..source.clone()
            };
            vms.insert(request.vm_id.clone(), report.clone());
            Ok(report)
        });
        self.answer(result).await
    }

    async fn pack_vm(&self, _: &Context, request: PackVmRequest) -> Result<Parcel, Status> {
        let there = self.machines();
        let vm = there.into_iter().find(|vm| vm.vm_id == request.vm_id);
        super::parcels::pack(self, vm.ok_or_else(|| missing(&request.vm_id))?, &request)
    }

    async fn drop_parcel(&self, _: &Context, request: ParcelRef) -> Result<Empty, Status> {
        self.parcels.lock().unwrap().remove(&request.parcel_id);
        Ok(Empty {})
    }

    async fn remove_image(
        &self,
        _: &Context,
        request: RemoveImageRequest,
    ) -> Result<Empty, Status> {
        let (_, file) = request.image.rsplit_once('/').unwrap_or_default();
        let mut inner = self.inner();
        if file.starts_with("needed") {
            let message = format!("Image {file} is needed by 1 machines: web-01.");
            return Err(Status::precondition(message).action("Delete those first."));
        }
        if !request.check_only {
            inner.images.remove(file);
        }
        Ok(Empty {})
    }

    async fn delete_vm(&self, _: &Context, request: VmOperation) -> Result<Empty, Status> {
        self.operate("delete", &request.operation_id, &request.vm_id, |vms| {
            if vms
                .get(&request.vm_id)
                .is_some_and(|vm| vm.state().is_active())
            {
                return Err(Status::precondition("The machine is on."));
            }
            Ok(vms.remove(&request.vm_id).unwrap_or_default())
        })?;
        Ok(Empty {})
    }

    async fn start_vm(&self, _: &Context, request: VmOperation) -> Result<VmReport, Status> {
        self.act(
            "start",
            request,
            &[VmState::Stopped, VmState::Saved],
            VmState::Running,
        )
        .await
    }

    async fn shutdown_vm(&self, _: &Context, request: VmOperation) -> Result<VmReport, Status> {
        self.act("shutdown", request, &[VmState::Running], VmState::Stopped)
            .await
    }

    async fn turn_off_vm(&self, _: &Context, request: VmOperation) -> Result<VmReport, Status> {
        self.act(
            "turn_off",
            request,
            &[VmState::Running, VmState::Paused, VmState::Crashed],
            VmState::Stopped,
        )
        .await
    }

    async fn reset_vm(&self, _: &Context, request: VmOperation) -> Result<VmReport, Status> {
        self.act("reset", request, &[VmState::Running], VmState::Running)
            .await
    }

    async fn pause_vm(&self, _: &Context, request: VmOperation) -> Result<VmReport, Status> {
        self.act("pause", request, &[VmState::Running], VmState::Paused)
            .await
    }

    async fn resume_vm(&self, _: &Context, request: VmOperation) -> Result<VmReport, Status> {
        self.act("resume", request, &[VmState::Paused], VmState::Running)
            .await
    }

    async fn save_vm(&self, _: &Context, request: VmOperation) -> Result<VmReport, Status> {
        self.act(
            "save",
            request,
            &[VmState::Running, VmState::Paused],
            VmState::Saved,
        )
        .await
    }

    async fn get_vm(&self, _: &Context, request: VmRef) -> Result<VmReport, Status> {
        let vm = self.inner().vms.get(&request.vm_id).cloned();
        let mut vm = vm.ok_or_else(|| missing(&request.vm_id))?;
        if vm.state() == VmState::Running {
            vm.guest = Some(GuestFacts {
                agent_responding: true,
                hostname: vm.name.clone(),
                ..GuestFacts::default()
            });
        }
        Ok(vm)
    }

    async fn screenshot(&self, _: &Context, _: VmRef) -> Result<ScreenshotResponse, Status> {
        Ok(ScreenshotResponse::default())
    }

    async fn read_log(&self, _: &Context, _: ReadLogRequest) -> Result<ReadLogResponse, Status> {
        Ok(ReadLogResponse::default())
    }
}
