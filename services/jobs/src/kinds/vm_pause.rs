//! Pauses a running machine; its memory stays.

use contracts::host::VmState;

use super::machine::{Machine, bring_back, command, look, target};
use super::table::{Object, Step, Table, Undo, always, no_more};
use crate::core::power::Action;
use crate::hands::Command;

pub(crate) static KIND: Table<Machine> = Table {
    name: "vm_pause",
    object: Object::Existing,
    target,
    look: |fleet, moment, machine| look(fleet, moment, machine, Action::Pause),
    plan: no_more,
    steps: &[Step {
        name: "pause",
        description: "Pause the machine",
        needed: always,
        action: |hands, machine| Box::pin(command(hands, machine, Command::Pause)),
        undo: Undo::By(|hands, machine| {
            let is_paused = |state| state == VmState::Paused;
            Box::pin(bring_back(hands, machine, is_paused, Command::Resume))
        }),
    }],
};
