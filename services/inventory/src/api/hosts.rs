//! Hosts: approved, moved, removed.

use contracts::call::Context;
use contracts::common::Empty;
use contracts::inventory::host::Approval;
use contracts::inventory::{
    Host, HostChange, HostSettings, HostSettingsChange, ObjectId, Reserves, Vm,
};
use contracts::names::{self, ROOT_GROUP_ID};
use contracts::records::indexes;
use contracts::{ObjectRef, Status};
use futures::{StreamExt, TryStreamExt};
use kit::records::Decision;

use super::{Api, WRITES_AT_ONCE};
use crate::core::lock::{Held, check_holder};
use crate::core::registration::is_approved;

impl Api {
    pub(super) async fn admit_host(
        &self,
        context: &Context,
        change: HostChange,
    ) -> Result<Host, Status> {
        let admit = |host: &mut Host| {
            host.approval = Approval::Approved.into();
            Ok(())
        };
        self.place_host(context, &change, admit).await
    }

    pub(super) async fn regroup_host(
        &self,
        context: &Context,
        change: HostChange,
    ) -> Result<Host, Status> {
        let check = |host: &mut Host| {
            if is_approved(host) {
                return Ok(());
            }
            let message = format!("Host {} is not approved yet.", host.name);
            Err(Status::precondition(message)
                .about(host.object())
                .action("Approve the host; it can be put into a group at the same time."))
        };
        self.place_host(context, &change, check).await
    }

    /// Puts a host into a group, with what else `change` does to it.
    async fn place_host(
        &self,
        context: &Context,
        request: &HostChange,
        change: impl Fn(&mut Host) -> Result<(), Status> + Send + Sync,
    ) -> Result<Host, Status> {
        names::check_id("id", &request.id)?;
        let group_id = self.known_group(&request.group_id)?;
        let host = self
            .fleet
            .hosts
            .update(context, &request.id, |current| {
                let current = &current.ok_or_else(|| no_host(&request.id))?.value;
                check_holder(current, &request.job_id)?;
                let mut host = current.clone();
                group_id.clone_into(&mut host.group_id);
                change(&mut host)?;
                Ok(if host == *current {
                    Decision::Keep(host)
                } else {
                    Decision::Put(host.clone(), host)
                })
            })
            .await?;
        self.settle(context, &host).await?;
        self.regroup_machines(context, &host).await?;
        Ok(host)
    }

    /// The group, or the root if none is named.
    pub(super) fn known_group<'a>(&self, group_id: &'a str) -> Result<&'a str, Status> {
        if group_id.is_empty() {
            return Ok(ROOT_GROUP_ID);
        }
        names::check_id("group_id", group_id)?;
        match self.fleet.groups.get(group_id)? {
            Some(_) => Ok(group_id),
            None => Err(no_group(group_id)),
        }
    }

    /// Touches the group that a host was just put into, so that a deletion of it that had not seen the host is decided
    /// again. If the group is gone already, the host goes back to the root.
    pub(super) async fn settle(&self, context: &Context, host: &Host) -> Result<(), Status> {
        if host.group_id == ROOT_GROUP_ID {
            return Ok(());
        }
        let touch = self.fleet.groups.update(context, &host.group_id, |group| {
            Ok(match group {
                Some(group) => Decision::Put(group.value.clone(), true),
                None => Decision::Keep(false),
            })
        });
        if touch.await? {
            return Ok(());
        }
        let back = self.fleet.hosts.update(context, &host.id, |current| {
            Ok(match current {
                Some(current) if current.value.group_id == host.group_id => {
                    let mut host = current.value.clone();
                    ROOT_GROUP_ID.clone_into(&mut host.group_id);
                    Decision::Put(host, ())
                }
                _ => Decision::Keep(()),
            })
        });
        back.await?;
        Err(no_group(&host.group_id))
    }

    /// Machines carry their host's group, so that events can be scoped by it.
    pub(super) async fn regroup_machines(
        &self,
        context: &Context,
        host: &Host,
    ) -> Result<(), Status> {
        self.fleet.catch_up(&self.fleet.vms).await?;
        let vms = self.fleet.vms.find(indexes::HOST, &host.id)?;
        let strays = vms
            .into_iter()
            .filter(|vm| vm.value.group_id != host.group_id);
        futures::stream::iter(strays)
            .map(|vm| async move {
                let regroup = |current: Option<&kit::records::Stored<Vm>>| {
                    Ok(match current {
                        Some(vm) if vm.value.host_id == host.id => {
                            let mut vm = vm.value.clone();
                            vm.group_id.clone_from(&host.group_id);
                            Decision::Put(vm, ())
                        }
                        _ => Decision::Keep(()),
                    })
                };
                self.fleet.vms.update(context, &vm.id, regroup).await
            })
            .buffer_unordered(WRITES_AT_ONCE)
            .try_collect::<()>()
            .await
    }

    /// Changes what people say of a host.
    pub(super) async fn settle_host(
        &self,
        context: &Context,
        request: HostSettingsChange,
    ) -> Result<Host, Status> {
        names::check_id("id", &request.id)?;
        let decide = |current: Option<&kit::records::Stored<Host>>| {
            let current = &current.ok_or_else(|| no_host(&request.id))?.value;
            check_holder(current, &request.job_id)?;
            let mut host = current.clone();
            if let Some(reserves) = request.reserves {
                host.reserves = (reserves != Reserves::default()).then_some(reserves);
            }
            if let Some(settings) = &request.settings {
                let is_said = *settings != HostSettings::default();
                host.settings = is_said.then(|| settings.clone());
            }
            Ok(if host == *current {
                Decision::Keep(host)
            } else {
                Decision::Put(host.clone(), host)
            })
        };
        self.fleet.hosts.update(context, &request.id, decide).await
    }

    /// The host first, so that nothing is put on it any more, then its machines. Asked again after a crash in between, it
    /// finds no host and still removes the machines.
    pub(super) async fn forget_host(
        &self,
        context: &Context,
        request: ObjectId,
    ) -> Result<Empty, Status> {
        names::check_id("id", &request.id)?;
        self.fleet
            .hosts
            .update(context, &request.id, |current| {
                let Some(current) = current else {
                    return Ok(Decision::Keep(()));
                };
                check_holder(&current.value, &request.job_id)?;
                Ok(Decision::Delete(()))
            })
            .await?;
        self.fleet.catch_up(&self.fleet.vms).await?;
        let vms = self.fleet.vms.find(indexes::HOST, &request.id)?;
        futures::stream::iter(vms)
            .map(|vm| async move { self.erase_machine(context, &vm.value).await })
            .buffer_unordered(WRITES_AT_ONCE)
            .try_collect::<()>()
            .await?;
        Ok(Empty {})
    }
}

pub(super) fn no_host(id: &str) -> Status {
    Status::not_found(ObjectRef::new("host", id, ""))
}

fn no_group(id: &str) -> Status {
    Status::not_found(ObjectRef::new("host_group", id, ""))
}
