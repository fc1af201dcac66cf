//! Pulls a machine's plug.

use super::machine::{Machine, command, look, target};
use super::table::{Object, Step, Table, Undo, always, no_more};
use crate::core::power::Action;
use crate::hands::Command;

pub(crate) static KIND: Table<Machine> = Table {
    name: "vm_turn_off",
    object: Object::Existing,
    target,
    look: |fleet, moment, machine| look(fleet, moment, machine, Action::TurnOff),
    plan: no_more,
    steps: &[Step {
        name: "turn_off",
        description: "Turn the machine off",
        needed: always,
        action: |hands, machine| Box::pin(command(hands, machine, Command::TurnOff)),
        undo: Undo::Impossible("What the guest had in memory is gone."),
    }],
};
