//! What others see of a machine.

use contracts::host::{VmReport, VmState};

use super::Worker;
use crate::hypervisor::{Action, Change};

impl Worker {
    pub(super) fn set_state(&mut self, state: VmState, reason: impl Into<String>) {
        self.state = state;
        self.reason = reason.into();
        if state != VmState::Running {
            self.guest.agent_responding = false;
        }
    }

    pub(super) fn visible_state(&self) -> VmState {
        match self.busy {
            Some(Action::Start) => VmState::Starting,
            Some(Action::Save) => VmState::Saving,
            Some(Action::Shutdown | Action::TurnOff) => VmState::Stopping,
            Some(Action::Reset | Action::Pause | Action::Resume) | None => self.state,
        }
    }

    pub(super) fn describe(&self) -> VmReport {
        self.describe_as(self.visible_state())
    }

    /// With the state that an action has led to: another may be under way already.
    pub(super) fn describe_as(&self, state: VmState) -> VmReport {
        let definition = &self.machine.definition;
        let live = self.live.as_ref();
        VmReport {
            vm_id: definition.vm_id.clone(),
            name: definition.name.clone(),
            state: state.into(),
            hardware: Some(definition.hardware(&self.machine.folder)),
            accelerator: live.map(|l| l.accelerator.clone()).unwrap_or_default(),
            pid: live.map_or(0, |l| l.process.identity.pid.unsigned_abs()),
            started_ms: live.map_or(0, |l| l.started_ms),
            guest: Some(self.guest.clone()),
            state_reason: self.reason.clone(),
            datastore: self.machine.datastore.name.clone(),
            sequence: self.sequence,
        }
    }

    /// Tells everyone what changed. What only measures (uptime, bytes on disk) is no change.
    pub(super) fn publish(&mut self) {
        let reachable = self.live.is_some() && self.agent_open && self.state == VmState::Running;
        self.reachable
            .send_if_modified(|now| std::mem::replace(now, reachable) != reachable);
        let mut report = self.describe();
        let changed = without_measures(&report) != without_measures(&self.report.borrow());
        if changed {
            self.sequence = self.machine.environment.order.next();
            report.sequence = self.sequence;
        }
        self.report.send_replace(report.clone());
        if changed {
            // Nobody may be listening yet.
            let _ = self.changes.send(Change::Vm(Box::new(report)));
        }
    }
}

fn without_measures(report: &VmReport) -> VmReport {
    let mut report = report.clone();
    if let Some(guest) = &mut report.guest {
        guest.uptime_secs = 0;
    }
    for disk in report
        .hardware
        .iter_mut()
        .flat_map(|hardware| &mut hardware.disks)
    {
        disk.allocated_bytes = 0;
    }
    report
}
