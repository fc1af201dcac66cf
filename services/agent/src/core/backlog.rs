//! What inventory has not yet been told.
//!
//! Reports are numbered and sent one at a time. One that was not acknowledged is sent again as it was, for inventory may
//! have it; what happens meanwhile waits for the next one, of each machine only the last. Nothing of this is kept over a
//! restart of the agent: a new generation begins with the whole picture, which is newer than any backlog.

use std::collections::BTreeMap;

use contracts::host::{HostFacts, HostPicture, VmReport};
use contracts::inventory::{ReportRequest, ReportResponse};

#[derive(Debug)]
pub struct Backlog {
    host_id: String,
    generation: u64,
    /// Number of the last report that was put together.
    last_number: u64,
    /// The whole picture is to be sent before anything else counts.
    whole_wanted: bool,
    facts: Option<HostFacts>,
    /// `None`: the machine was removed.
    machines: BTreeMap<String, Option<VmReport>>,
    /// Sent, and not acknowledged.
    in_flight: Option<ReportRequest>,
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub enum Next {
    Nothing,
    /// Hand in the whole picture with [`Backlog::whole`], and ask again.
    TakePicture,
    Send(Box<ReportRequest>),
}

/// What an answer of inventory means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Fine,
    /// Inventory does not know the host, or not this start of it.
    RegisterAgain,
}

impl Backlog {
    pub fn new(host_id: &str, generation: u64) -> Self {
        Self {
            host_id: host_id.to_owned(),
            generation,
            last_number: 0,
            whole_wanted: true,
            facts: None,
            machines: BTreeMap::new(),
            in_flight: None,
        }
    }

    pub fn want_whole(&mut self) {
        self.whole_wanted = true;
        // It would only be followed by something newer.
        self.in_flight = None;
    }

    pub fn changed(&mut self, report: VmReport) {
        self.machines.insert(report.vm_id.clone(), Some(report));
    }

    pub fn removed(&mut self, vm_id: String) {
        self.machines.insert(vm_id, None);
    }

    pub fn facts(&mut self, facts: HostFacts) {
        self.facts = Some(facts);
    }

    /// Changes that are not acknowledged.
    pub fn waiting(&self) -> usize {
        let sent = self.in_flight.as_ref().map_or(0, |report| {
            report.vms.len() + report.removed_vm_ids.len() + usize::from(report.facts.is_some())
        });
        sent + self.machines.len() + usize::from(self.facts.is_some())
    }

    pub fn next_step(&mut self) -> Next {
        if let Some(again) = &self.in_flight {
            return Next::Send(Box::new(again.clone()));
        }
        if self.whole_wanted {
            return Next::TakePicture;
        }
        if self.facts.is_none() && self.machines.is_empty() {
            return Next::Nothing;
        }
        let (facts, machines) = (self.facts.take(), std::mem::take(&mut self.machines));
        let mut report = self.numbered();
        report.facts = facts;
        for (vm_id, machine) in machines {
            match machine {
                Some(machine) => report.vms.push(machine),
                None => report.removed_vm_ids.push(vm_id),
            }
        }
        self.send(report)
    }

    /// The picture as it is now. What was waiting is older, and in it.
    pub fn whole(&mut self, picture: HostPicture) -> Next {
        self.machines.clear();
        self.facts = None;
        self.whole_wanted = false;
        let report = ReportRequest {
            whole: true,
            facts: picture.facts,
            vms: picture.vms,
            ..self.numbered()
        };
        self.send(report)
    }

    fn numbered(&mut self) -> ReportRequest {
        self.last_number += 1;
        ReportRequest {
            host_id: self.host_id.clone(),
            generation: self.generation,
            number: self.last_number,
            ..ReportRequest::default()
        }
    }

    fn send(&mut self, report: ReportRequest) -> Next {
        self.in_flight = Some(report.clone());
        Next::Send(Box::new(report))
    }

    pub fn answered(&mut self, answer: ReportResponse) -> Heard {
        let number = self.in_flight.as_ref().map_or(0, |report| report.number);
        if answer.applied_number >= number {
            self.in_flight = None;
        }
        if answer.want_whole || answer.unknown_host {
            self.want_whole();
        }
        if answer.unknown_host {
            Heard::RegisterAgain
        } else {
            Heard::Fine
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::host::VmState;

    use super::*;

    fn machine(vm_id: &str, state: VmState) -> VmReport {
        VmReport {
            vm_id: vm_id.to_owned(),
            state: state.into(),
            ..VmReport::default()
        }
    }

    fn sent(next: Next) -> ReportRequest {
        match next {
            Next::Send(report) => *report,
            other => panic!("{other:?}"),
        }
    }

    fn applied(number: u64) -> ReportResponse {
        ReportResponse {
            applied_number: number,
            ..ReportResponse::default()
        }
    }

    /// One whose first picture was taken.
    fn settled() -> Backlog {
        let mut backlog = Backlog::new("h1", 3);
        assert_eq!(backlog.next_step(), Next::TakePicture);
        let first = sent(backlog.whole(HostPicture::default()));
        assert!((first.whole, first.number, first.generation) == (true, 1, 3));
        backlog.answered(applied(1));
        assert_eq!(backlog.next_step(), Next::Nothing);
        backlog
    }

    #[test]
    fn of_each_machine_only_the_last_state_is_told() {
        let mut backlog = settled();
        backlog.changed(machine("a", VmState::Starting));
        backlog.changed(machine("b", VmState::Running));
        backlog.changed(machine("a", VmState::Running));
        backlog.removed("b".to_owned());
        let report = sent(backlog.next_step());
        assert_eq!(report.number, 2);
        assert_eq!(report.vms, [machine("a", VmState::Running)]);
        assert_eq!(report.removed_vm_ids, ["b"]);
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_as_it_was() {
        let mut backlog = settled();
        backlog.changed(machine("a", VmState::Starting));
        let first = sent(backlog.next_step());
        // No answer. Inventory may have it, so that what is new must not hide behind its number.
        backlog.changed(machine("a", VmState::Running));
        assert_eq!(sent(backlog.next_step()), first);
        backlog.answered(applied(2));
        let second = sent(backlog.next_step());
        assert_eq!(
            (second.number, second.vms),
            (3, vec![machine("a", VmState::Running)])
        );
    }

    #[test]
    fn a_gap_is_filled_with_the_whole_picture() {
        let mut backlog = settled();
        backlog.changed(machine("a", VmState::Running));
        backlog.next_step();
        let gap = ReportResponse {
            applied_number: 0,
            want_whole: true,
            ..ReportResponse::default()
        };
        assert_eq!(backlog.answered(gap), Heard::Fine);
        assert_eq!(backlog.next_step(), Next::TakePicture);
        assert_eq!(sent(backlog.whole(HostPicture::default())).number, 3);
    }

    #[test]
    fn a_host_that_is_unknown_registers_again_and_then_tells_everything() {
        let mut backlog = settled();
        backlog.facts(HostFacts::default());
        backlog.next_step();
        let unknown = ReportResponse {
            unknown_host: true,
            ..ReportResponse::default()
        };
        assert_eq!(backlog.answered(unknown), Heard::RegisterAgain);
        assert_eq!(backlog.next_step(), Next::TakePicture);
    }
}
