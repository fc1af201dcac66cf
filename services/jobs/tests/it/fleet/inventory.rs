//! The part of inventory that jobs call, on records of the real log.

use async_trait::async_trait;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::host::VmState;
use contracts::inventory::{
    ApplyVmReportRequest, CreateJoinTokenRequest, CreateVmRecord, GroupChange, Host, HostChange,
    HostGroup, HostSettings, HostSettingsChange, Inventory, JoinTokenSecret, ObjectId,
    RegisterRequest, RegisterResponse, ReportRequest, ReportResponse, Reserves, TakeRequest,
    TakeResponse, UpdateVmRecord, Vm, host,
};
use contracts::names::ROOT_GROUP_ID;
use contracts::records::{Record, indexes};
use contracts::{Code, ObjectRef, Status};
use kit::records::{Decision, Records};

pub(crate) struct FakeInventory {
    pub(crate) vms: Records<Vm>,
    pub(crate) hosts: Records<Host>,
    pub(crate) groups: Records<HostGroup>,
}

/// Changes a record that is there.
async fn change<R: Record>(
    records: &Records<R>,
    context: &Context,
    id: &str,
    change: impl Fn(&mut R) -> Result<(), Status> + Send + Sync,
) -> Result<R, Status> {
    records
        .update(context, id, |stored| {
            let stored =
                stored.ok_or_else(|| Status::not_found(ObjectRef::new(R::BUCKET, id, "")))?;
            let mut value = stored.value.clone();
            change(&mut value)?;
            Ok(Decision::Put(value.clone(), value))
        })
        .await
}

fn take(holder: &mut String, job_id: &str) -> Result<(), Status> {
    if holder.is_empty() || holder == job_id {
        job_id.clone_into(holder);
        return Ok(());
    }
    Err(Status::new(Code::Aborted, holder.clone()))
}

fn release(holder: &mut String, job_id: &str) -> Result<(), Status> {
    if holder == job_id {
        holder.clear();
    }
    Ok(())
}

impl FakeInventory {
    async fn hold(
        &self,
        context: &Context,
        request: &TakeRequest,
        hold: fn(&mut String, &str) -> Result<(), Status>,
    ) -> Result<(), Status> {
        let (id, job) = (&request.id, &request.job_id);
        match request.kind.as_str() {
            "vm" => change(&self.vms, context, id, |r| hold(&mut r.job_id, job))
                .await
                .map(drop),
            "host" => change(&self.hosts, context, id, |r| hold(&mut r.job_id, job))
                .await
                .map(drop),
            _ => change(&self.groups, context, id, |r| hold(&mut r.job_id, job))
                .await
                .map(drop),
        }
    }
}

async fn delete<R: Record>(
    records: &Records<R>,
    context: &Context,
    id: &str,
) -> Result<Empty, Status> {
    records
        .update(context, id, |_| Ok(Decision::Delete(())))
        .await?;
    Ok(Empty {})
}

fn not_here<T>() -> Result<T, Status> {
    Err(Status::internal("Not a part of these tests."))
}

#[async_trait]
impl Inventory for FakeInventory {
    async fn register(&self, _: &Context, _: RegisterRequest) -> Result<RegisterResponse, Status> {
        not_here()
    }

    async fn report(&self, _: &Context, _: ReportRequest) -> Result<ReportResponse, Status> {
        not_here()
    }

    async fn create_join_token(
        &self,
        _: &Context,
        _: CreateJoinTokenRequest,
    ) -> Result<JoinTokenSecret, Status> {
        not_here()
    }

    async fn take(&self, context: &Context, request: TakeRequest) -> Result<TakeResponse, Status> {
        match self.hold(context, &request, take).await {
            Ok(()) => Ok(TakeResponse {
                taken: true,
                ..TakeResponse::default()
            }),
            Err(error) if error.code() == Code::Aborted => Ok(TakeResponse {
                taken: false,
                holder_job_id: error.message,
            }),
            Err(error) => Err(error),
        }
    }

    async fn release(&self, context: &Context, request: TakeRequest) -> Result<Empty, Status> {
        match self.hold(context, &request, release).await {
            Err(error) if error.code() != Code::NotFound => Err(error),
            _ => Ok(Empty {}),
        }
    }

    async fn create_group(
        &self,
        context: &Context,
        request: GroupChange,
    ) -> Result<HostGroup, Status> {
        self.groups
            .update(context, &request.id, |_| {
                let group = HostGroup {
                    id: request.id.clone(),
                    name: request.name.clone().unwrap_or_default(),
                    parent_id: request.parent_id.clone().unwrap_or_default(),
                    job_id: request.job_id.clone(),
                    ..HostGroup::default()
                };
                Ok(Decision::Put(group.clone(), group))
            })
            .await
    }

    async fn update_group(
        &self,
        context: &Context,
        request: GroupChange,
    ) -> Result<HostGroup, Status> {
        change(&self.groups, context, &request.id, |group| {
            group.name = request.name.clone().unwrap_or(group.name.clone());
            group.parent_id = request.parent_id.clone().unwrap_or(group.parent_id.clone());
            group.description = request
                .description
                .clone()
                .unwrap_or(group.description.clone());
            if let Some(said) = request.reserves {
                group.reserves = Some(said).filter(|said| *said != Reserves::default());
            }
            Ok(())
        })
        .await
    }

    async fn delete_group(&self, context: &Context, request: ObjectId) -> Result<Empty, Status> {
        delete(&self.groups, context, &request.id).await
    }

    async fn approve_host(&self, context: &Context, request: HostChange) -> Result<Host, Status> {
        change(&self.hosts, context, &request.id, |host| {
            host.set_approval(host::Approval::Approved);
            host.group_id.clone_from(&request.group_id);
            Ok(())
        })
        .await
    }

    async fn move_host(&self, context: &Context, request: HostChange) -> Result<Host, Status> {
        change(&self.hosts, context, &request.id, |host| {
            host.group_id.clone_from(&request.group_id);
            Ok(())
        })
        .await
    }

    async fn set_host(
        &self,
        context: &Context,
        request: HostSettingsChange,
    ) -> Result<Host, Status> {
        change(&self.hosts, context, &request.id, |host| {
            host.reserves = request.reserves.filter(|said| *said != Reserves::default());
            let settings = request.settings.clone();
            host.settings = settings.filter(|said| *said != HostSettings::default());
            Ok(())
        })
        .await
    }

    /// The host's agent is alive, and makes itself known again at once.
    async fn remove_host(&self, context: &Context, request: ObjectId) -> Result<Empty, Status> {
        for vm in self.vms.find(indexes::HOST, &request.id)? {
            delete(&self.vms, context, &vm.id).await?;
        }
        change(&self.hosts, context, &request.id, |host| {
            host.set_approval(host::Approval::Pending);
            ROOT_GROUP_ID.clone_into(&mut host.group_id);
            host.job_id.clear();
            Ok(())
        })
        .await?;
        Ok(Empty {})
    }

    async fn create_vm(&self, context: &Context, request: CreateVmRecord) -> Result<Vm, Status> {
        let namesakes = self.vms.find(indexes::NAME, &request.name)?;
        if namesakes.iter().any(|other| other.id != request.vm_id) {
            let object = ObjectRef::new("vm", "", &request.name);
            return Err(Status::already_exists(object, "The name is taken."));
        }
        self.vms
            .update(context, &request.vm_id, |stored| {
                if let Some(stored) = stored {
                    return Ok(Decision::Keep(stored.value.clone()));
                }
                let vm = Vm {
                    id: request.vm_id.clone(),
                    name: request.name.clone(),
                    group_id: ROOT_GROUP_ID.to_owned(),
                    state: VmState::Creating.into(),
                    owner: request.owner.clone(),
                    hardware: request.hardware.clone(),
                    job_id: request.job_id.clone(),
                    ..Vm::default()
                };
                Ok(Decision::Put(vm.clone(), vm))
            })
            .await
    }

    async fn update_vm(&self, context: &Context, request: UpdateVmRecord) -> Result<Vm, Status> {
        change(&self.vms, context, &request.vm_id, |vm| {
            vm.host_id = request.host_id.clone().unwrap_or(vm.host_id.clone());
            vm.owner = request.owner.clone().unwrap_or(vm.owner.clone());
            vm.description = request
                .description
                .clone()
                .unwrap_or(vm.description.clone());
            vm.tags.extend(request.set_tags.clone());
            vm.tags.retain(|tag, _| !request.remove_tags.contains(tag));
            Ok(())
        })
        .await
    }

    async fn apply_vm_report(
        &self,
        context: &Context,
        request: ApplyVmReportRequest,
    ) -> Result<Vm, Status> {
        let report = request.vm.unwrap_or_default();
        change(&self.vms, context, &report.vm_id, |vm| {
            vm.state = report.state;
            Ok(())
        })
        .await
    }

    async fn delete_vm(&self, context: &Context, request: ObjectId) -> Result<Empty, Status> {
        delete(&self.vms, context, &request.id).await
    }
}
