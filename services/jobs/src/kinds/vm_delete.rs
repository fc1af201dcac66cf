//! Deletes a machine with its disks.
//!
//! With force a machine that is on is turned off first. A machine that is missing on a host that does not respond, or whose
//! host is no longer one of the fleet's, is only forgotten, and only with force; of any other the host must be there, since
//! its disks would stay behind and the machine come back.

use contracts::host::VmState;
use contracts::inventory::ObjectId;
use contracts::{Code, ObjectRef, Status};

use super::machine::{Machine, note, target};
use super::table::{Moment, Object, Step, Table, Undo, always, no_more};
use crate::core::power::{self, Action};
use crate::fleet::{Fleet, check_responding};
use crate::hands::{Command, Done, Hands};

pub(crate) static KIND: Table<Machine> = Table {
    name: "vm_delete",
    object: Object::Existing,
    target,
    look,
    plan: no_more,
    steps: &[
        Step {
            name: "turn_off",
            description: "Turn the machine off if it is on",
            needed: |machine| machine.force,
            action: |hands, machine| Box::pin(turn_off(hands, machine)),
            undo: Undo::Nothing("What the guest had in memory is gone; the machine stays, off."),
        },
        Step {
            name: "disks",
            description: "Delete the machine and its disks at the host",
            needed: always,
            action: |hands, machine| Box::pin(delete(hands, machine)),
            undo: Undo::Impossible("The disks are gone."),
        },
        Step {
            name: "forget",
            description: "Forget the machine and give its name free",
            needed: always,
            action: |hands, machine| Box::pin(forget(hands, machine)),
            undo: Undo::Impossible("The machine itself is gone."),
        },
    ],
};

fn look(fleet: &Fleet, moment: Moment, machine: &mut Machine) -> Result<(), Status> {
    let vm = fleet.vm(&machine.vm_id)?;
    note(machine, &vm);
    if moment != Moment::InLine {
        power::check(
            Action::Delete {
                force: machine.force,
            },
            &vm,
        )?;
    }
    machine.only_record = vm.host_id.is_empty();
    if vm.host_id.is_empty() {
        return Ok(());
    }
    let refusal = match fleet.hosts.get(&vm.host_id)? {
        Some(host) => check_responding(&host.value).err(),
        None => Some(Status::not_found(ObjectRef::new("host", &vm.host_id, ""))),
    };
    let Some(refusal) = refusal else {
        return Ok(());
    };
    let is_gone = refusal.code() == Code::NotFound || vm.state() == VmState::Missing;
    machine.only_record = is_gone && machine.force;
    if machine.only_record {
        return Ok(());
    }
    Err(if is_gone {
        refusal.action(
            "Bring the host back, or delete the machine with force: then it is only forgotten.",
        )
    } else {
        refusal
    })
}

async fn turn_off(hands: &Hands, machine: &Machine) -> Result<Done, Status> {
    if machine.only_record {
        return Done::saying("No host has it.");
    }
    let (host_id, vm_id) = (&machine.host_id, &machine.vm_id);
    let report = hands.look_at(host_id, vm_id).await?;
    if !report.is_some_and(|r| r.state().is_active()) {
        return Done::saying("It was off.");
    }
    let report = hands.command(Command::TurnOff, host_id, vm_id).await?;
    hands.apply(host_id, report).await?;
    Done::quiet()
}

async fn delete(hands: &Hands, machine: &Machine) -> Result<Done, Status> {
    if machine.only_record {
        return Done::saying("No host has it.");
    }
    hands.delete_vm(&machine.host_id, &machine.vm_id).await?;
    Done::quiet()
}

pub(super) async fn forget(hands: &Hands, machine: &Machine) -> Result<Done, Status> {
    let request = ObjectId {
        id: machine.vm_id.clone(),
        job_id: hands.job_id.clone(),
    };
    gone(hands.inventory().delete_vm(&hands.context, &request).await)
}

/// What is not there any more is deleted.
pub(super) fn gone<T>(result: Result<T, Status>) -> Result<Done, Status> {
    match result {
        Err(error) if error.code() != Code::NotFound => Err(error),
        _ => Done::quiet(),
    }
}
