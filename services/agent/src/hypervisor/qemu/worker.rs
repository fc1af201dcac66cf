//! The owner of one machine's state.
//!
//! One task holds it; everything else sends messages: callers, QEMU's events, the end of the process, the work that the
//! task has started. Handling a message never waits, so a machine answers while it is being saved, and one machine that
//! hangs harms no other.

mod process;
mod view;

use std::sync::Arc;
use std::time::Duration;

use contracts::Status;
use contracts::host::{GuestFacts, VmReport, VmState};
use kit::telemetry;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::{Instrument, Span};

use super::adopt::Found;
use super::machine::{Live, Machine};
use super::process::{BeforeSave, Exit};
use super::qmp::{Event, Session};
use super::watch::{self as helpers, Mailbox};
use super::work::{self, Outcome, Task};
use crate::hypervisor::admission::{Admission, admit};
use crate::hypervisor::{Action, Change};
use crate::limits;

pub(super) type Reply<T> = oneshot::Sender<Result<T, Status>>;

/// What is sent to a worker. `run` counts the machine's processes: word of an earlier one is passed over.
pub(super) enum Message {
    Act {
        action: Action,
        limit: Duration,
        reply: Reply<VmReport>,
        /// Of whoever asks.
        span: Span,
    },
    /// A report with guest facts read fresh.
    Look {
        reply: Reply<VmReport>,
    },
    /// The hands on the running machine, for what does not change its state.
    Lend {
        reply: Reply<Live>,
    },
    /// The machine is to be deleted: ends the worker when it is off.
    Retire {
        reply: Reply<()>,
    },
    Done {
        action: Action,
        outcome: Result<Outcome, Status>,
        reply: Reply<VmReport>,
    },
    Event {
        run: u64,
        event: Event,
    },
    SessionLost {
        run: u64,
    },
    SessionBack {
        run: u64,
        session: Session,
        state: VmState,
        agent_open: bool,
    },
    Ended {
        run: u64,
        exit: Exit,
    },
    Guest {
        run: u64,
        facts: Option<GuestFacts>,
        reply: Option<Reply<VmReport>>,
    },
}

/// How others reach a worker. The worker ends when the last handle is dropped, and leaves the machine running.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) machine: Arc<Machine>,
    pub(super) mailbox: mpsc::Sender<Message>,
    /// The last report.
    pub(super) report: watch::Receiver<VmReport>,
}

struct Worker {
    machine: Arc<Machine>,
    own_mailbox: Mailbox,
    /// What the machine does, apart from work that is under way.
    state: VmState,
    reason: String,
    /// What is being done to it.
    busy: Option<Action>,
    live: Option<Live>,
    run: u64,
    /// What QEMU gave as reason for its coming end.
    shutdown_reason: String,
    agent_open: bool,
    guest: GuestFacts,
    /// Tells the helpers whether the guest's agent can be asked.
    reachable: watch::Sender<bool>,
    /// Helpers of this run; they end with it.
    helpers: JoinSet<()>,
    report: watch::Sender<VmReport>,
    /// Number of the last change that was told.
    sequence: u64,
    changes: broadcast::Sender<Change>,
}

/// Starts the worker of a machine that was made or found.
pub(super) fn start(
    machine: Arc<Machine>,
    found: Found,
    changes: broadcast::Sender<Change>,
) -> Handle {
    let (sender, mailbox) = mpsc::channel(limits::MAILBOX_MAX);
    let (report, reports) = watch::channel(VmReport::default());
    let mut worker = Worker {
        machine: machine.clone(),
        own_mailbox: sender.downgrade(),
        state: VmState::Stopped,
        reason: String::new(),
        busy: None,
        live: None,
        run: 0,
        shutdown_reason: String::new(),
        agent_open: false,
        guest: GuestFacts::default(),
        reachable: watch::Sender::new(false),
        helpers: JoinSet::new(),
        report,
        sequence: 0,
        changes,
    };
    worker.begin(found);
    worker.publish();
    tokio::spawn(worker.run(mailbox));
    Handle {
        machine,
        mailbox: sender,
        report: reports,
    }
}

enum Flow {
    Continue,
    End,
}

impl Worker {
    async fn run(mut self, mut mailbox: mpsc::Receiver<Message>) {
        while let Some(message) = mailbox.recv().await {
            if matches!(self.handle(message), Flow::End) {
                return;
            }
            self.publish();
        }
    }

    fn begin(&mut self, found: Found) {
        match found {
            Found::Off { state, reason } => self.set_state(state, reason),
            Found::On {
                running,
                state,
                reason,
            } => {
                self.take_over(running);
                self.set_state(state, reason);
            }
            Found::Hung {
                process,
                record,
                reason,
            } => {
                self.take_hung(process, record);
                self.set_state(VmState::Running, reason);
            }
        }
    }

    fn handle(&mut self, message: Message) -> Flow {
        match message {
            Message::Act {
                action,
                limit,
                reply,
                span,
            } => self.act(action, limit, reply, span),
            Message::Look { reply } => self.look(reply),
            Message::Lend { reply } => drop(reply.send(self.lend())),
            Message::Retire { reply } => return self.retire(reply),
            Message::Done {
                action,
                outcome,
                reply,
            } => self.done(action, outcome, reply),
            Message::Event { run, event } if run == self.run => self.on_event(&event),
            Message::SessionLost { run } if run == self.run => self.session_lost(),
            Message::SessionBack {
                run,
                session,
                state,
                agent_open,
            } if run == self.run => {
                self.agent_open = agent_open;
                self.session_back(session, state);
            }
            Message::Ended { run, exit } if run == self.run => self.ended(exit),
            Message::Guest { run, facts, reply } => self.guest_spoke(run, facts, reply),
            Message::Event { .. }
            | Message::SessionLost { .. }
            | Message::SessionBack { .. }
            | Message::Ended { .. } => {}
        }
        Flow::Continue
    }

    fn act(&mut self, action: Action, limit: Duration, reply: Reply<VmReport>, span: Span) {
        let answer = match admit(self.visible_state(), action) {
            Admission::Do => return self.begin_work(action, limit, reply, span),
            Admission::AlreadyDone => Ok(self.describe()),
            Admission::Busy(doing) => Err(self.machine.busy(doing)),
            Admission::Refused(why, instead) => Err(self.machine.forbidden(why, instead)),
        };
        let _ = reply.send(answer);
    }

    fn begin_work(&mut self, action: Action, limit: Duration, reply: Reply<VmReport>, span: Span) {
        let before = match self.state {
            VmState::Paused => BeforeSave::Paused,
            _ => BeforeSave::Running,
        };
        let task = Task {
            machine: self.machine.clone(),
            live: self.live.clone(),
            action,
            before,
            limit,
        };
        self.busy = Some(action);
        let mailbox = self.own_mailbox.clone();
        // Not one of the helpers: work goes on when the process that they serve ends.
        tokio::spawn(async move {
            let outcome = work::perform(task).instrument(span.clone()).await;
            if let Err(problem) = &outcome {
                telemetry::set_failed(&span, problem);
            }
            drop(span);
            helpers::send(
                &mailbox,
                Message::Done {
                    action,
                    outcome,
                    reply,
                },
            )
            .await;
        });
    }

    fn done(&mut self, action: Action, outcome: Result<Outcome, Status>, reply: Reply<VmReport>) {
        if self.busy == Some(action) {
            self.busy = None;
        }
        let answer = match outcome {
            Ok(Outcome::Up(running)) => {
                self.take_over(*running);
                self.set_state(VmState::Running, "");
                Ok(())
            }
            Ok(Outcome::Now(state)) => {
                self.set_state(state, "");
                Ok(())
            }
            Ok(Outcome::Off(state, reason)) => {
                self.let_go();
                self.set_state(state, reason);
                Ok(())
            }
            Err(error) => {
                // The process ended under the work. A start that failed has cleared up after itself.
                if self.live.is_none() && action != Action::Start {
                    super::stop::forget(&self.machine);
                }
                Err(error)
            }
        };
        // What others see comes first: who has the answer must not find an older report.
        self.publish();
        let _ = reply.send(answer.map(|()| self.describe_as(self.state)));
    }

    fn look(&mut self, reply: Reply<VmReport>) {
        let Some(live) = self.live.as_ref().filter(|_| *self.reachable.borrow()) else {
            let _ = reply.send(Ok(self.describe()));
            return;
        };
        let (guest, mailbox, run) = (live.guest.clone(), self.own_mailbox.clone(), self.run);
        tokio::spawn(async move {
            let facts = guest.facts().await.ok();
            helpers::send(
                &mailbox,
                Message::Guest {
                    run,
                    facts,
                    reply: Some(reply),
                },
            )
            .await;
        });
    }

    fn lend(&self) -> Result<Live, Status> {
        let off = || self.machine.forbidden("is not running", "Start it first.");
        self.live.clone().ok_or_else(off)
    }

    fn retire(&mut self, reply: Reply<()>) -> Flow {
        let off = matches!(self.visible_state(), VmState::Stopped | VmState::Saved);
        if off {
            let _ = reply.send(Ok(()));
            return Flow::End;
        }
        let status = self
            .machine
            .forbidden("is not off", "Shut it down or turn it off first.");
        let _ = reply.send(Err(status));
        Flow::Continue
    }

    fn guest_spoke(&mut self, run: u64, facts: Option<GuestFacts>, reply: Option<Reply<VmReport>>) {
        if run == self.run && *self.reachable.borrow() {
            match facts {
                Some(facts) => self.guest = facts,
                None => self.guest.agent_responding = false,
            }
        }
        if let Some(reply) = reply {
            let _ = reply.send(Ok(self.describe()));
        }
    }
}
