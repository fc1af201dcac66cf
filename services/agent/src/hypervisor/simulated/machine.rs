//! What a state means for the rest of a simulated machine's report.

use contracts::host::{GuestFacts, VmReport, VmState};

use crate::hypervisor::Action;

/// What runs in machines: system and kernel.
const GUESTS: [(&str, &str); 4] = [
    ("Debian GNU/Linux 12 (bookworm)", "6.1.0-38-amd64"),
    ("Ubuntu 24.04.2 LTS", "6.8.0-60-generic"),
    ("Rocky Linux 9.6 (Blue Onyx)", "5.14.0-570.el9.x86_64"),
    ("Windows Server 2022 Datacenter", "10.0.20348"),
];

/// Where an action leads.
pub(super) fn goal(action: Action) -> VmState {
    match action {
        Action::Start | Action::Resume | Action::Reset => VmState::Running,
        Action::Shutdown | Action::TurnOff => VmState::Stopped,
        Action::Pause => VmState::Paused,
        Action::Save => VmState::Saved,
    }
}

/// Brings a machine into a state. Whether it was started anew shows in its time of start.
pub(super) fn enter(report: &mut VmReport, state: VmState, is_started: bool, now_ms: i64) {
    report.set_state(state);
    report.state_reason.clear();
    let on = matches!(state, VmState::Running | VmState::Paused | VmState::Crashed);
    if is_started || report.started_ms == 0 {
        report.started_ms = now_ms;
    }
    report.started_ms = if on { report.started_ms } else { 0 };
    report.accelerator = if on {
        "simulated".to_owned()
    } else {
        String::new()
    };
    report.guest = (state == VmState::Running).then(|| guest_of(report));
}

/// What moves by itself while a machine runs.
pub(super) fn refresh(report: &mut VmReport, now_ms: i64) {
    let running_ms = now_ms.saturating_sub(report.started_ms);
    if let Some(guest) = report.guest.as_mut().filter(|guest| guest.agent_responding) {
        guest.uptime_secs = u64::try_from(running_ms / 1000).unwrap_or(0);
    }
}

fn guest_of(report: &VmReport) -> GuestFacts {
    let hash = blake3::hash(report.vm_id.as_bytes());
    let [a, b, c, d, ..] = hash.as_bytes();
    let (os, kernel) = GUESTS
        .get(usize::from(*d) % GUESTS.len())
        .unwrap_or(&("", ""));
    GuestFacts {
        agent_responding: true,
        hostname: report.name.clone(),
        os: (*os).to_owned(),
        kernel: (*kernel).to_owned(),
        addresses: vec![format!("10.{a}.{b}.{c}")],
        uptime_secs: 0,
    }
}
