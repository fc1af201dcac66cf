//! Lets a paused machine go on.

use contracts::host::VmState;

use super::machine::{Machine, bring_back, command, look, target};
use super::table::{Object, Step, Table, Undo, always, no_more};
use crate::core::power::Action;
use crate::hands::Command;

pub(crate) static KIND: Table<Machine> = Table {
    name: "vm_resume",
    object: Object::Existing,
    target,
    look: |fleet, moment, machine| look(fleet, moment, machine, Action::Resume),
    plan: no_more,
    steps: &[Step {
        name: "resume",
        description: "Let the machine go on",
        needed: always,
        action: |hands, machine| Box::pin(command(hands, machine, Command::Resume)),
        undo: Undo::By(|hands, machine| {
            let is_running = |state| state == VmState::Running;
            Box::pin(bring_back(hands, machine, is_running, Command::Pause))
        }),
    }],
};
