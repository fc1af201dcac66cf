//! Saves a machine's state to disk. Starting it restores it.

use contracts::Status;
use contracts::host::VmState;

use super::machine::{Machine, apply_if_known, command, look, target};
use super::table::{Object, Step, Table, Undo, always, no_more};
use crate::core::power::Action;
use crate::hands::{Command, Done, Hands};

pub(crate) static KIND: Table<Machine> = Table {
    name: "vm_save",
    object: Object::Existing,
    target,
    look: |fleet, moment, machine| look(fleet, moment, machine, Action::Save),
    plan: no_more,
    steps: &[Step {
        name: "save",
        description: "Write memory and devices to disk and end the machine",
        needed: always,
        action: |hands, machine| Box::pin(command(hands, machine, Command::Save)),
        undo: Undo::By(|hands, machine| Box::pin(restore(hands, machine))),
    }],
};

/// Restores the machine, and pauses it if it was paused.
async fn restore(hands: &Hands, machine: &Machine) -> Result<Done, Status> {
    let (host_id, vm_id) = (&machine.host_id, &machine.vm_id);
    if !hands.fleet.knows_host(host_id)? {
        return Done::saying("The host is no longer one of the fleet's.");
    }
    let Some(mut report) = hands.look_at(host_id, vm_id).await? else {
        return Done::saying("The host does not have the machine.");
    };
    if report.state() == VmState::Saved {
        report = hands.command(Command::Start, host_id, vm_id).await?;
    }
    if machine.found() == VmState::Paused && report.state() == VmState::Running {
        let operation = format!("{}/pause", hands.operation);
        report = hands
            .command_as(Command::Pause, host_id, vm_id, operation)
            .await?;
    }
    apply_if_known(hands, host_id, report).await
}
