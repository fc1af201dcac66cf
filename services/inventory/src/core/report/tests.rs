#![allow(clippy::unwrap_used)]
use super::*;
use contracts::Code;
use contracts::host::Hardware;

fn host() -> Host {
    Host {
        id: "h1".to_owned(),
        group_id: "g1".to_owned(),
        generation: 3,
        report_number: 7,
        ..Host::default()
    }
}

fn request(generation: u64, number: u64) -> ReportRequest {
    ReportRequest {
        host_id: "h1".to_owned(),
        generation,
        number,
        ..ReportRequest::default()
    }
}

fn report(state: VmState) -> VmReport {
    VmReport {
        vm_id: "v1".to_owned(),
        name: "web-01".to_owned(),
        state: state.into(),
        ..VmReport::default()
    }
}

fn vm(state: VmState, host_id: &str, job_id: &str) -> Vm {
    Vm {
        id: "v1".to_owned(),
        name: "web-01".to_owned(),
        host_id: host_id.to_owned(),
        group_id: "g1".to_owned(),
        owner: "alice".to_owned(),
        state: state.into(),
        job_id: job_id.to_owned(),
        ..Vm::default()
    }
}

fn written(decision: Decision<Vm, Outcome>) -> Option<Vm> {
    match decision {
        Decision::Put(vm, _) => Some(vm),
        Decision::Keep(_) | Decision::Delete(_) | Decision::Bar(_) => None,
    }
}

fn seen(current: &Vm, state: VmState, dead_job: Option<&str>) -> Option<VmState> {
    let host = host();
    let sender = Sender {
        host: &host,
        dead_job,
        now_ms: 9,
    };
    written(sender.seen(Some(current), &report(state))).map(|vm| vm.state())
}

fn gone(current: &Vm, dead_job: Option<&str>) -> Option<VmState> {
    let host = host();
    let sender = Sender {
        host: &host,
        dead_job,
        now_ms: 9,
    };
    written(sender.gone(Some(current))).map(|vm| vm.state())
}

#[test]
fn reports_are_applied_in_their_order_and_once() {
    let judge = |generation, number| judge(&host(), &request(generation, number));
    assert_eq!(judge(3, 8), Ok(Verdict::Apply));
    assert_eq!(judge(3, 7), Ok(Verdict::Known));
    assert_eq!(judge(3, 9), Ok(Verdict::Gap));
    assert_eq!(judge(4, 1), Ok(Verdict::Unregistered));
    assert_eq!(judge(2, 8).unwrap_err().code(), Code::FailedPrecondition);
}

#[test]
fn a_whole_picture_bridges_a_gap() {
    let whole = ReportRequest {
        whole: true,
        ..request(3, 12)
    };
    assert_eq!(judge(&host(), &whole), Ok(Verdict::Apply));
    let old = ReportRequest {
        whole: true,
        ..request(3, 7)
    };
    assert_eq!(judge(&host(), &old), Ok(Verdict::Known));
}

#[test]
fn a_machine_that_nobody_knew_is_imported() {
    let host = host();
    let sender = Sender {
        host: &host,
        dead_job: None,
        now_ms: 9,
    };
    let vm = written(sender.seen(None, &report(VmState::Running))).unwrap();
    assert_eq!(
        (vm.origin(), vm.owner.as_str()),
        (Origin::Imported, "system")
    );
    assert_eq!((vm.host_id.as_str(), vm.group_id.as_str()), ("h1", "g1"));
    assert_eq!((vm.state(), vm.created_ms), (VmState::Running, 9));
}

#[test]
fn the_hosts_word_wins_except_over_a_job_that_makes_or_deletes() {
    use VmState::{Creating, Deleting, Running, Stopped};
    assert_eq!(seen(&vm(Stopped, "h1", ""), Running, None), Some(Running));
    assert_eq!(seen(&vm(Stopped, "h1", "j1"), Running, None), Some(Running));
    for state in [Creating, Deleting] {
        assert_eq!(seen(&vm(state, "h1", "j1"), Stopped, None), None);
        assert_eq!(
            seen(&vm(state, "h1", "j1"), Stopped, Some("j1")),
            Some(Stopped)
        );
        assert_eq!(seen(&vm(state, "h1", "j2"), Stopped, Some("j1")), None);
        assert_eq!(seen(&vm(state, "h1", ""), Stopped, None), Some(Stopped));
    }
}

#[test]
fn a_machine_that_is_gone_is_missing_unless_a_job_makes_or_deletes_it() {
    use VmState::{Creating, Deleting, Missing, Running};
    assert_eq!(gone(&vm(Running, "h1", "j1"), None), Some(Missing));
    assert_eq!(gone(&vm(Creating, "h1", "j1"), None), None);
    assert_eq!(gone(&vm(Deleting, "h1", "j1"), None), None);
    assert_eq!(gone(&vm(Creating, "h1", "j1"), Some("j1")), Some(Missing));
    assert_eq!(gone(&vm(Missing, "h1", ""), None), None);
}

#[test]
fn a_missing_machine_comes_back_as_who_it_was() {
    let host = host();
    let sender = Sender {
        host: &host,
        dead_job: None,
        now_ms: 9,
    };
    let back = sender.seen(
        Some(&vm(VmState::Missing, "h1", "")),
        &report(VmState::Stopped),
    );
    let back = written(back).unwrap();
    assert_eq!(
        (back.state(), back.owner.as_str()),
        (VmState::Stopped, "alice")
    );
    assert_eq!(back.state_reason, "");
}

#[test]
fn a_host_has_no_say_over_anothers_machine() {
    let elsewhere = vm(VmState::Running, "h2", "");
    assert_eq!(seen(&elsewhere, VmState::Stopped, None), None);
    assert_eq!(gone(&elsewhere, None), None);
    // Nor over one whose job has not said yet where it goes.
    assert_eq!(
        seen(&vm(VmState::Creating, "", "j1"), VmState::Stopped, None),
        None
    );
}

#[test]
fn what_did_not_change_is_not_written() {
    assert_eq!(
        seen(&vm(VmState::Running, "h1", ""), VmState::Running, None),
        None
    );
}

#[test]
fn absurd_machines_are_told_apart() {
    assert!(check_machine(&report(VmState::Running)).is_ok());
    let wrong = |change: fn(&mut VmReport)| {
        let mut report = report(VmState::Running);
        change(&mut report);
        check_machine(&report).unwrap_err().field
    };
    assert_eq!(wrong(|r| r.vm_id = "../x".to_owned()), "vms.vm_id");
    assert_eq!(wrong(|r| r.state = 99), "vms.state");
    assert_eq!(wrong(|r| r.state = VmState::Missing.into()), "vms.state");
    assert_eq!(wrong(|r| r.started_ms = -1), "vms.started_ms");
    assert_eq!(wrong(|r| r.name = "x".repeat(300)), "vms.name");
    let huge = |r: &mut VmReport| {
        r.hardware = Some(Hardware {
            memory_bytes: u64::MAX,
            ..Hardware::default()
        });
    };
    assert_eq!(wrong(huge), "vms.hardware.memory_bytes");
}
