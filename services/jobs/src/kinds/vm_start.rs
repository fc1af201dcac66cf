//! Starts a stopped machine or restores a saved one.

use super::machine::{Machine, command, look, target, unstart};
use super::table::{Object, Step, Table, Undo, always, no_more};
use crate::core::power::Action;
use crate::hands::Command;

pub(crate) static KIND: Table<Machine> = Table {
    name: "vm_start",
    object: Object::Existing,
    target,
    look: |fleet, moment, machine| look(fleet, moment, machine, Action::Start),
    plan: no_more,
    steps: &[Step {
        name: "start",
        description: "Start the machine, or restore it if it is saved",
        needed: always,
        action: |hands, machine| Box::pin(command(hands, machine, Command::Start)),
        undo: Undo::By(|hands, machine| unstart(hands, machine)),
    }],
};
