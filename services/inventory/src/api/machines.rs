//! Records of machines, as jobs change them.

use contracts::call::Context;
use contracts::common::Empty;
use contracts::inventory::{
    ApplyVmReportRequest, CreateVmRecord, Host, ObjectId, UpdateVmRecord, Vm, VmName,
};
use contracts::records::indexes;
use contracts::{ObjectRef, Status, names};
use kit::records::{Decision, Stored};

use super::Api;
use super::hosts::no_host;
use crate::core::lock::{self, Held, check_holder};
use crate::core::{machine, registration, report};

impl Api {
    /// The name first: of two machines that want it at the same moment only one gets a record.
    pub(super) async fn make_machine(
        &self,
        context: &Context,
        request: CreateVmRecord,
    ) -> Result<Vm, Status> {
        machine::check_new(&request)?;
        self.refuse_late(&request.job_id).await?;
        // A machine that was found holds no claim on its name: only the view knows it.
        self.fleet.catch_up(&self.fleet.vms).await?;
        self.refuse_other_name(&request)?;
        self.take_name(context, &request.name, &request.vm_id)
            .await?;
        let vm = machine::new(request, self.fleet.now_ms());
        let job_id = vm.job_id.clone();
        let in_time = || self.refuse_late(&job_id);
        self.fleet
            .vms
            .update_while(context, &vm.id, in_time, |current| {
                Ok(match current {
                    Some(current) => Decision::Keep(current.value.clone()),
                    None => Decision::Put(vm.clone(), vm.clone()),
                })
            })
            .await
    }

    /// A job that makes a machine does so in its first step. One that is past it would not take away what is made.
    async fn refuse_late(&self, job_id: &str) -> Result<(), Status> {
        let job = self.fleet.latest_job(job_id).await?;
        job.as_ref().map_or(Ok(()), lock::check_may_take)
    }

    /// An id that is another machine's, and a name that a machine has.
    fn refuse_other_name(&self, request: &CreateVmRecord) -> Result<(), Status> {
        if let Some(there) = self.fleet.vms.get(&request.vm_id)?
            && there.value.name != request.name
        {
            let object = there.value.object();
            let message = format!("The id {} is that of {}.", request.vm_id, object.describe());
            return Err(Status::already_exists(object, message).action("Use another id."));
        }
        let namesakes = self
            .fleet
            .vms
            .find(indexes::NAME, &request.name.to_lowercase())?;
        match namesakes.iter().find(|vm| vm.id != request.vm_id) {
            Some(other) => Err(machine::name_taken(&request.name, &other.id)),
            None => Ok(()),
        }
    }

    async fn take_name(&self, context: &Context, name: &str, vm_id: &str) -> Result<(), Status> {
        let now_ms = self.fleet.now_ms();
        let claim = VmName {
            vm_id: vm_id.to_owned(),
            taken_ms: now_ms,
        };
        let key = machine::name_key(name);
        let decide = |current: Option<&Stored<VmName>>| {
            let Some(current) = current else {
                return Ok(Decision::Put(claim.clone(), ()));
            };
            let exists = self.fleet.vms.get(&current.value.vm_id)?.is_some();
            let is_own = current.value.vm_id == vm_id;
            if is_own && exists {
                return Ok(Decision::Keep(()));
            }
            // Taken anew, so that it is not given away while the record is being made.
            if is_own || machine::is_orphan(&current.value, exists, now_ms) {
                return Ok(Decision::Put(claim.clone(), ()));
            }
            Err(machine::name_taken(name, &current.value.vm_id))
        };
        self.fleet.names.update(context, &key, decide).await
    }

    pub(super) async fn change_machine(
        &self,
        context: &Context,
        request: UpdateVmRecord,
    ) -> Result<Vm, Status> {
        names::check_id("vm_id", &request.vm_id)?;
        let group_id = match &request.host_id {
            Some(host_id) => self.approved_host(host_id)?.group_id,
            None => String::new(),
        };
        let vm = self.write_update(context, &request, &group_id).await?;
        let Some(host_id) = &request.host_id else {
            return Ok(vm);
        };
        // The host may have been moved or removed while this was written; from now on that looks at the machine too.
        let host = self.fleet.latest::<Host>(host_id).await?.value;
        let host = host.ok_or_else(|| no_host(host_id))?;
        if host.group_id == group_id {
            return Ok(vm);
        }
        self.write_update(context, &request, &host.group_id).await
    }

    fn approved_host(&self, host_id: &str) -> Result<Host, Status> {
        names::check_id("host_id", host_id)?;
        let host = self
            .fleet
            .hosts
            .get(host_id)?
            .ok_or_else(|| no_host(host_id))?
            .value;
        if registration::is_approved(&host) {
            return Ok(host);
        }
        let message = format!("Host {} is not approved.", host.name);
        Err(Status::precondition(message)
            .about(host.object())
            .action("Approve the host first."))
    }

    async fn write_update(
        &self,
        context: &Context,
        request: &UpdateVmRecord,
        group_id: &str,
    ) -> Result<Vm, Status> {
        let now_ms = self.fleet.now_ms();
        self.rewrite(context, &request.vm_id, |vm| {
            machine::updated(vm, request, group_id, now_ms)
        })
        .await
    }

    pub(super) async fn apply_answer(
        &self,
        context: &Context,
        request: ApplyVmReportRequest,
    ) -> Result<Vm, Status> {
        let answer = request.vm.unwrap_or_default();
        report::check_machine(&answer)?;
        let now_ms = self.fleet.now_ms();
        let (host_id, job_id) = (&request.host_id, &request.job_id);
        self.rewrite(context, &answer.vm_id, |vm| {
            machine::answered(vm, host_id, job_id, &answer, now_ms)
        })
        .await
    }

    async fn rewrite(
        &self,
        context: &Context,
        id: &str,
        change: impl Fn(&Vm) -> Result<Vm, Status> + Send + Sync,
    ) -> Result<Vm, Status> {
        self.fleet
            .vms
            .update(context, id, |current| {
                let current =
                    current.ok_or_else(|| Status::not_found(ObjectRef::new("vm", id, "")))?;
                let vm = change(&current.value)?;
                Ok(if vm == current.value {
                    Decision::Keep(vm)
                } else {
                    Decision::Put(vm.clone(), vm)
                })
            })
            .await
    }

    pub(super) async fn forget_machine(
        &self,
        context: &Context,
        request: ObjectId,
    ) -> Result<Empty, Status> {
        names::check_id("id", &request.id)?;
        if let Some(vm) = self.found_or_barred(context, &request.id).await? {
            check_holder(&vm, &request.job_id)?;
            self.erase_machine(context, &vm).await?;
        }
        Ok(Empty {})
    }

    /// A machine's record; if there is none, none will come of those that are still on their way to the log.
    async fn found_or_barred(&self, context: &Context, id: &str) -> Result<Option<Vm>, Status> {
        let bar = |current: Option<&Stored<Vm>>| {
            Ok(match current {
                Some(vm) => Decision::Keep(Some(vm.value.clone())),
                None => Decision::Bar(None),
            })
        };
        self.fleet.vms.update(context, id, bar).await
    }

    /// The name first: after a crash in between the record still says what is left to do.
    pub(super) async fn erase_machine(&self, context: &Context, vm: &Vm) -> Result<(), Status> {
        if names::check_vm_name(&vm.name).is_ok() {
            let key = machine::name_key(&vm.name);
            let free = |current: Option<&Stored<VmName>>| {
                Ok(match current {
                    Some(name) if name.value.vm_id == vm.id => Decision::Delete(()),
                    _ => Decision::Keep(()),
                })
            };
            self.fleet.names.update(context, &key, free).await?;
        }
        self.fleet
            .vms
            .update(context, &vm.id, |_| Ok(Decision::Delete(())))
            .await
    }
}
