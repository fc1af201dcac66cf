//! Presses a machine's reset button.

use super::machine::{Machine, command, look, target};
use super::table::{Object, Step, Table, Undo, always, no_more};
use crate::core::power::Action;
use crate::hands::Command;

pub(crate) static KIND: Table<Machine> = Table {
    name: "vm_reset",
    object: Object::Existing,
    target,
    look: |fleet, moment, machine| look(fleet, moment, machine, Action::Reset),
    plan: no_more,
    steps: &[Step {
        name: "reset",
        description: "Reset the machine",
        needed: always,
        action: |hands, machine| Box::pin(command(hands, machine, Command::Reset)),
        undo: Undo::Impossible("What the guest had in memory is gone."),
    }],
};
