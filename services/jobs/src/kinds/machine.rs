//! What the jobs on one machine share.

use contracts::host::VmState;
use contracts::inventory::Vm;
use contracts::jobs::VmTarget;
use contracts::names::check_id;
use contracts::{Code, ObjectRef, Status};
use futures::future::BoxFuture;

use super::table::{Moment, Target};
use crate::core::power::{self, Action};
use crate::fleet::{Fleet, check_responding};
use crate::hands::{Command, Done, Hands};

/// A machine as the job found it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Machine {
    #[prost(string, tag = "1")]
    pub(crate) vm_id: String,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(string, tag = "3")]
    pub(crate) host_id: String,
    #[prost(string, tag = "4")]
    pub(crate) group_id: String,
    /// Its state when the job took it.
    #[prost(enumeration = "VmState", tag = "5")]
    pub(crate) found: i32,
    #[prost(bool, tag = "6")]
    pub(crate) force: bool,
    /// No host has to be asked, or none can be.
    #[prost(bool, tag = "7")]
    pub(crate) only_record: bool,
}

pub(crate) fn read(target: &VmTarget) -> Result<Machine, Status> {
    check_id("vm_id", &target.vm_id)?;
    Ok(Machine {
        vm_id: target.vm_id.clone(),
        force: target.force,
        ..Machine::default()
    })
}

pub(crate) fn target(machine: &Machine) -> Target {
    Target {
        object: ObjectRef::new("vm", &machine.vm_id, &machine.name),
        group_id: machine.group_id.clone(),
    }
}

/// Notes the machine as it is now.
pub(crate) fn note(machine: &mut Machine, vm: &Vm) {
    machine.name.clone_from(&vm.name);
    machine.host_id.clone_from(&vm.host_id);
    machine.group_id.clone_from(&vm.group_id);
    machine.found = vm.state;
}

/// Whether an action may be done to the machine. While another job has it only the machine itself and its host are looked
/// at: its state is for the job's own turn.
pub(crate) fn look(
    fleet: &Fleet,
    moment: Moment,
    machine: &mut Machine,
    action: Action,
) -> Result<(), Status> {
    let vm = fleet.vm(&machine.vm_id)?;
    note(machine, &vm);
    if moment != Moment::InLine {
        power::check(action, &vm)?;
    }
    if vm.host_id.is_empty() && moment != Moment::InLine {
        let object = ObjectRef::new("vm", &vm.id, &vm.name);
        return Err(
            Status::precondition(format!("Virtual machine {} is on no host.", vm.name))
                .about(object)
                .action("Delete it and create it again."),
        );
    }
    if vm.host_id.is_empty() {
        return Ok(());
    }
    check_responding(&fleet.host(&vm.host_id)?)
}

/// Gives a command to the machine and takes its new state over.
pub(crate) async fn command(
    hands: &Hands,
    machine: &Machine,
    command: Command,
) -> Result<Done, Status> {
    let report = hands
        .command(command, &machine.host_id, &machine.vm_id)
        .await?;
    let reason = report.state_reason.clone();
    hands.apply(&machine.host_id, report).await?;
    Done::saying(reason)
}

/// Brings a machine that is now in one of `from` back with a command; in another state there is nothing to bring back.
pub(crate) async fn bring_back(
    hands: &Hands,
    machine: &Machine,
    from: fn(VmState) -> bool,
    command: Command,
) -> Result<Done, Status> {
    if !hands.fleet.knows_host(&machine.host_id)? {
        return Done::saying("The host is no longer one of the fleet's.");
    }
    let Some(report) = hands.look_at(&machine.host_id, &machine.vm_id).await? else {
        return Done::saying("The host does not have the machine.");
    };
    let report = if from(report.state()) {
        hands
            .command(command, &machine.host_id, &machine.vm_id)
            .await?
    } else {
        report
    };
    apply_if_known(hands, &machine.host_id, report).await
}

/// As [`Hands::apply`], for an undo: the record may be gone already.
pub(crate) async fn apply_if_known(
    hands: &Hands,
    host_id: &str,
    report: contracts::host::VmReport,
) -> Result<Done, Status> {
    match hands.apply(host_id, report).await {
        Err(error) if error.code() != Code::NotFound => Err(error),
        _ => Done::quiet(),
    }
}

/// Undoes a start: a machine that was saved is saved again, any other is turned off.
pub(crate) fn unstart<'a>(
    hands: &'a Hands,
    machine: &'a Machine,
) -> BoxFuture<'a, Result<Done, Status>> {
    let command = if machine.found() == VmState::Saved {
        Command::Save
    } else {
        Command::TurnOff
    };
    Box::pin(bring_back(hands, machine, VmState::is_active, command))
}
