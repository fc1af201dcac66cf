//! Shuts a machine down through its guest.

use super::machine::{Machine, command, look, target};
use super::table::{Object, Step, Table, Undo, always, no_more};
use crate::core::power::Action;
use crate::hands::Command;

pub(crate) static KIND: Table<Machine> = Table {
    name: "vm_shutdown",
    object: Object::Existing,
    target,
    look: |fleet, moment, machine| look(fleet, moment, machine, Action::Shutdown),
    plan: no_more,
    steps: &[Step {
        name: "shutdown",
        description: "Ask the guest to shut down, and wait until the machine is off",
        needed: always,
        action: |hands, machine| Box::pin(command(hands, machine, Command::Shutdown)),
        undo: Undo::Nothing("A guest that was asked to shut down cannot be asked to forget it."),
    }],
};
