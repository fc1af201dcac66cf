//! What a host's report makes of the records.
//!
//! The host's word on a machine wins, except where a job that may still act is making or deleting it: then the state
//! stays until the job says otherwise.

use std::collections::BTreeSet;

use contracts::host::{VmReport, VmState};
use contracts::inventory::{Host, ReportRequest, Vm, vm::Origin};
use contracts::{Status, limits, names};
use kit::records::Decision;

use super::facts::{BYTES_MAX, WORD_CHARS_MAX, check_text, check_that};
use super::machine::{note_sequence, observe, set_state};
use super::registration::check_generation;

/// Machines of one report; a host with more does not exist.
pub const MACHINES_MAX: usize = 10_000;

/// Owner of machines that were found on a host.
const IMPORTED_OWNER: &str = "system";

/// Processors of a machine that was made by other hands.
const FOREIGN_VCPUS_MAX: u32 = 4_096;

/// The last millisecond of the year 9999, after which calendars end.
const LAST_MS: i64 = 253_402_300_799_999;

const MISSING_REASON: &str = "its host does not have it any more";

/// Refuses a report that is wrong as a whole.
pub fn check_request(request: &ReportRequest) -> Result<(), Status> {
    names::check_id("host_id", &request.host_id)?;
    check_count(request.vms.len().max(request.removed_vm_ids.len()))?;
    if request.number == 0 {
        return Err(Status::invalid("number", "Reports are numbered from 1.")
            .action("Update the agent; it sends what cannot be right."));
    }
    Ok(())
}

/// Refuses what no host has.
pub fn check_count(machines: usize) -> Result<(), Status> {
    if machines <= MACHINES_MAX {
        return Ok(());
    }
    Err(Status::invalid(
        "vms",
        format!("A report with {machines} machines is too large."),
    )
    .action(format!("Report at most {MACHINES_MAX} machines at a time.")))
}

/// What to do with a report, seen what was applied before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Apply,
    /// It was applied before: say so again.
    Known,
    /// One in between is missing.
    Gap,
    /// The agent has been started anew and must register first.
    Unregistered,
}

pub fn judge(host: &Host, request: &ReportRequest) -> Result<Verdict, Status> {
    check_generation(host, request.generation)?;
    if request.generation > host.generation {
        return Ok(Verdict::Unregistered);
    }
    Ok(if request.number <= host.report_number {
        Verdict::Known
    } else if request.whole || request.number == host.report_number + 1 {
        Verdict::Apply
    } else {
        Verdict::Gap
    })
}

/// States that no host reports.
fn is_only_ours(state: VmState) -> bool {
    matches!(
        state,
        VmState::Unspecified | VmState::Missing | VmState::HostNotResponding
    )
}

/// Ids that a report has more than once: nobody knows which of them is true.
pub fn told_twice(reports: &[VmReport]) -> BTreeSet<String> {
    let mut once = BTreeSet::new();
    let ids = reports.iter().map(|report| report.vm_id.as_str());
    let twice = ids.filter(|id| !once.insert(*id));
    twice.map(str::to_owned).collect()
}

pub fn check_told_once(report: &VmReport, told_twice: &BTreeSet<String>) -> Result<(), Status> {
    let is_told_once = !told_twice.contains(&report.vm_id);
    check_that(is_told_once, "vms.vm_id", "there twice")
}

/// Why a machine of a report is passed over; the rest of the report counts all the same.
pub fn check_machine(report: &VmReport) -> Result<(), Status> {
    names::check_id("vms.vm_id", &report.vm_id)?;
    for (field, text) in [
        ("vms.name", &report.name),
        ("vms.accelerator", &report.accelerator),
        ("vms.datastore", &report.datastore),
    ] {
        check_text(field, text, WORD_CHARS_MAX)?;
    }
    let reason = &report.state_reason;
    check_text("vms.state_reason", reason, limits::DESCRIPTION_CHARS_MAX)?;
    let known = VmState::try_from(report.state).is_ok_and(|state| !is_only_ours(state));
    check_that(known, "vms.state", report.state)?;
    let is_a_time = (0..=LAST_MS).contains(&report.started_ms);
    check_that(is_a_time, "vms.started_ms", report.started_ms)?;
    let hardware = report.hardware.clone().unwrap_or_default();
    check_that(
        hardware.vcpus <= FOREIGN_VCPUS_MAX,
        "vms.hardware.vcpus",
        hardware.vcpus,
    )?;
    let memory = hardware.memory_bytes;
    check_that(
        memory <= limits::VM_MEMORY_BYTES_MAX,
        "vms.hardware.memory_bytes",
        memory,
    )?;
    let parts = [
        hardware.disks.len(),
        hardware.network_cards.len(),
        hardware.boot_order.len(),
    ];
    let parts = parts.into_iter().max().unwrap_or(0);
    check_that(parts <= WORD_CHARS_MAX, "vms.hardware.disks", parts)?;
    let disks = hardware
        .disks
        .iter()
        .map(|d| d.size_bytes.max(d.allocated_bytes));
    let largest = disks.max().unwrap_or(0);
    check_that(
        largest <= BYTES_MAX,
        "vms.hardware.disks.size_bytes",
        largest,
    )?;
    check_guest(report)
}

fn check_guest(report: &VmReport) -> Result<(), Status> {
    let guest = report.guest.clone().unwrap_or_default();
    for (field, text) in [
        ("vms.guest.hostname", &guest.hostname),
        ("vms.guest.os", &guest.os),
        ("vms.guest.kernel", &guest.kernel),
    ] {
        check_text(field, text, WORD_CHARS_MAX)?;
    }
    let count = guest.addresses.len();
    check_that(count <= WORD_CHARS_MAX, "vms.guest.addresses", count)?;
    let longest = guest.addresses.iter().map(String::len).max().unwrap_or(0);
    check_that(longest <= WORD_CHARS_MAX, "vms.guest.addresses", longest)
}

/// What became of one machine of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Unchanged,
    Changed,
    Imported,
    /// It belongs to another host, or a job is about to say where it belongs.
    NotTheirs,
    /// The record has changed since the host looked, by something newer.
    Overtaken,
}

/// A report's sender, and the job that was found to be dead when the report came in, if any.
pub struct Sender<'a> {
    pub host: &'a Host,
    pub dead_job: Option<&'a str>,
    pub now_ms: i64,
}

impl Sender<'_> {
    /// Whether a job that may still act holds the machine.
    fn is_held(&self, vm: &Vm) -> bool {
        !vm.job_id.is_empty() && self.dead_job != Some(vm.job_id.as_str())
    }

    fn keeps_state(&self, vm: &Vm) -> bool {
        self.is_held(vm) && matches!(vm.state(), VmState::Creating | VmState::Deleting)
    }

    /// One machine that is on the host.
    pub fn seen(&self, current: Option<&Vm>, report: &VmReport) -> Decision<Vm, Outcome> {
        let Some(current) = current else {
            return Decision::Put(self.imported(report), Outcome::Imported);
        };
        let here = current.host_id == self.host.id;
        let nowhere = current.host_id.is_empty() && !self.is_held(current);
        if !here && !nowhere {
            return Decision::Keep(Outcome::NotTheirs);
        }
        let mut vm = current.clone();
        if !here {
            vm.report_sequence = 0;
        }
        vm.host_id.clone_from(&self.host.id);
        vm.group_id.clone_from(&self.host.group_id);
        observe(&mut vm, report);
        note_sequence(&mut vm, report);
        if !self.keeps_state(current) {
            set_state(&mut vm, report.state(), &report.state_reason, self.now_ms);
        }
        if vm == *current {
            return Decision::Keep(Outcome::Unchanged);
        }
        Decision::Put(vm, Outcome::Changed)
    }

    fn imported(&self, report: &VmReport) -> Vm {
        let mut vm = Vm {
            id: report.vm_id.clone(),
            name: report.name.clone(),
            host_id: self.host.id.clone(),
            group_id: self.host.group_id.clone(),
            owner: IMPORTED_OWNER.to_owned(),
            created_ms: self.now_ms,
            origin: Origin::Imported.into(),
            ..Vm::default()
        };
        observe(&mut vm, report);
        note_sequence(&mut vm, report);
        set_state(&mut vm, report.state(), &report.state_reason, self.now_ms);
        vm
    }

    /// One machine that is not on the host any more.
    pub fn gone(&self, current: Option<&Vm>) -> Decision<Vm, Outcome> {
        let Some(current) = current else {
            return Decision::Keep(Outcome::Unchanged);
        };
        if current.host_id != self.host.id {
            return Decision::Keep(Outcome::NotTheirs);
        }
        if self.keeps_state(current) || current.state() == VmState::Missing {
            return Decision::Keep(Outcome::Unchanged);
        }
        let mut vm = current.clone();
        let nothing_runs = VmReport {
            datastore: vm.datastore.clone(),
            ..VmReport::default()
        };
        observe(&mut vm, &nothing_runs);
        set_state(&mut vm, VmState::Missing, MISSING_REASON, self.now_ms);
        Decision::Put(vm, Outcome::Changed)
    }
}

#[cfg(test)]
mod tests;
