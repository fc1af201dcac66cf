//! The worker's side of the process: what is taken over with it, what QEMU's events mean, how it ends.

use contracts::host::{GuestFacts, VmState};
use contracts::names;
use serde_json::Value;
use tokio::task::JoinSet;

use super::Worker;
use crate::hypervisor::qemu::launch::GUEST_AGENT_PORT;
use crate::hypervisor::qemu::machine::{Live, Running};
use crate::hypervisor::qemu::process::{Exit, Process, Record};
use crate::hypervisor::qemu::qmp::{Event, Session};
use crate::hypervisor::qemu::{stop, watch as helpers};

impl Worker {
    pub(super) fn take_over(&mut self, running: Running) {
        self.let_go();
        self.agent_open = running.agent_open;
        helpers::watch_process(
            &mut self.helpers,
            &self.own_mailbox,
            self.run,
            &running.live.process,
        );
        helpers::forward_events(
            &mut self.helpers,
            &self.own_mailbox,
            self.run,
            running.events,
        );
        let reachable = self.reachable.subscribe();
        helpers::watch_guest(
            &mut self.helpers,
            &self.own_mailbox,
            self.run,
            &running.live.guest,
            reachable,
        );
        helpers::keep_log_short(&mut self.helpers, &self.machine.folder);
        self.live = Some(running.live);
    }

    pub(super) fn take_hung(&mut self, process: Process, record: super::process::Record) {
        self.let_go();
        helpers::watch_process(&mut self.helpers, &self.own_mailbox, self.run, &process);
        self.live = Some(Live::unanswering(&self.machine, process, record));
        self.session_lost();
    }

    /// Forgets the process and all that belongs to it.
    pub(super) fn let_go(&mut self) {
        self.run += 1;
        self.live = None;
        self.helpers = JoinSet::new();
        self.agent_open = false;
        self.guest = GuestFacts::default();
        self.shutdown_reason.clear();
    }

    /// The process may live on without an answer; its end is heard apart from this.
    pub(super) fn session_lost(&mut self) {
        if let Some(live) = &self.live {
            helpers::reconnect(
                &mut self.helpers,
                &self.own_mailbox,
                self.run,
                &self.machine,
                live,
            );
        }
    }

    pub(super) fn session_back(&mut self, session: Session, state: VmState) {
        if let Some(live) = &mut self.live {
            live.qmp = session.qmp;
            helpers::forward_events(
                &mut self.helpers,
                &self.own_mailbox,
                self.run,
                session.events,
            );
            self.set_state(state, "");
        }
    }

    pub(super) fn ended(&mut self, exit: Exit) {
        let reason = match self.shutdown_reason.as_str() {
            "" => self.unexplained(exit),
            "guest-shutdown" => "the guest shut down".to_owned(),
            "host-signal" => "QEMU was ended by a signal".to_owned(),
            "host-qmp-quit" => "turned off".to_owned(),
            other => format!("QEMU ended ({other})"),
        };
        tracing::info!(
            machine = self.machine.name(),
            reason,
            "the machine's process ended"
        );
        self.let_go();
        // Work that is under way (a save, a shutdown) says what its end means and clears up itself.
        if self.busy.is_none() {
            stop::forget(&self.machine);
        }
        self.set_state(VmState::Stopped, reason);
    }

    /// What QEMU itself said last, if it said anything.
    fn unexplained(&self, exit: Exit) -> String {
        let said = std::fs::read_to_string(self.machine.folder.qemu_log()).unwrap_or_default();
        let end = exit.describe();
        match said.trim_end().lines().last() {
            Some(line) => format!("QEMU {end}: {}", names::shorten(line)),
            None => format!("QEMU {end}"),
        }
    }

    pub(super) fn on_event(&mut self, event: &Event) {
        let text = |key: &str| {
            event
                .data
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let is = |key: &str| event.data.get(key).and_then(Value::as_bool) == Some(true);
        match event.name.as_str() {
            "STOP" if self.state == VmState::Running => self.set_state(VmState::Paused, ""),
            "RESUME" => self.set_state(VmState::Running, ""),
            "GUEST_PANICKED" => self.set_state(VmState::Crashed, "the guest's kernel panicked"),
            "SHUTDOWN" => text("reason").clone_into(&mut self.shutdown_reason),
            // The port opens again when the guest has come up again.
            "RESET" => self.guest.agent_responding = false,
            "BLOCK_IO_ERROR" if text("action") == "stop" => {
                let reason = if is("nospace") {
                    "its datastore is full"
                } else {
                    "a disk failed"
                };
                self.set_state(VmState::Paused, reason);
            }
            "VSERPORT_CHANGE" if text("id") == GUEST_AGENT_PORT => {
                self.agent_open = is("open");
                self.guest.agent_responding &= self.agent_open;
            }
            _ => {}
        }
        tracing::debug!(
            machine = self.machine.name(),
            event = event.name,
            "from QEMU"
        );
    }
}
