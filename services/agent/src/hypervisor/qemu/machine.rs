//! One machine as its worker and the work on it see it: what does not change while it exists, and the hands on its
//! running process.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use contracts::{Code, ObjectRef, Status};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Environment;
use super::datastore::Datastore;
use super::definition::Definition;
use super::firmware::Uefi;
use super::folder::{Folder, Sockets};
use super::guest_agent::GuestAgent;
use super::launch;
use super::process::{Process, Record};
use super::qmp::{Event, Qmp, QmpError};
use super::tool;

/// What does not change while the machine exists.
pub(super) struct Machine {
    pub(super) definition: Definition,
    pub(super) datastore: Datastore,
    pub(super) folder: Folder,
    pub(super) sockets: Sockets,
    pub(super) environment: Arc<Environment>,
}

/// The hands on a running machine.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) process: Process,
    pub(super) started_ms: i64,
    pub(super) accelerator: String,
    pub(super) qmp: Qmp,
    pub(super) guest: Arc<GuestAgent>,
}

impl Live {
    /// Of a process that lives and does not answer: it can still be ended.
    pub(super) fn unanswering(machine: &Machine, process: Process, record: Record) -> Self {
        Self {
            process,
            started_ms: record.started_ms,
            accelerator: record.accelerator,
            qmp: Qmp::closed("QEMU does not answer"),
            guest: Arc::new(GuestAgent::new(&machine.sockets.guest_agent())),
        }
    }
}

/// A machine that has just been started or found running.
pub(super) struct Running {
    pub(super) live: Live,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) agent_open: bool,
}

impl Machine {
    pub(super) fn new(
        environment: Arc<Environment>,
        datastore: Datastore,
        definition: Definition,
    ) -> Self {
        let vm_id = &definition.vm_id;
        Self {
            folder: datastore.folder(vm_id),
            sockets: Sockets::new(&environment.runtime_dir, vm_id),
            datastore,
            environment,
            definition,
        }
    }

    pub(super) fn object(&self) -> ObjectRef {
        ObjectRef::new("vm", &self.definition.vm_id, &self.definition.name)
    }

    pub(super) fn name(&self) -> &str {
        &self.definition.name
    }

    /// An error about this machine: what could not be done, and why.
    pub(super) fn failed(&self, what: &str, why: impl Display) -> Status {
        let why = why.to_string();
        Status::new(
            Code::Internal,
            format!(
                "{} could not be {what}: {}.",
                self.name(),
                why.trim_end_matches('.')
            ),
        )
        .about(self.object())
        .action(format!(
            "Look into {} at the host.",
            self.folder.qemu_log().display()
        ))
    }

    /// The same of what is written to its datastore, which may be full.
    pub(super) fn not_written(&self, what: &str, why: impl Display) -> Status {
        let why = why.to_string();
        let status = self.failed(what, &why);
        if !tool::is_want_of_room(&why) {
            return status;
        }
        let datastore = &self.datastore.name;
        Status {
            code: Code::ResourceExhausted.into(),
            ..status
        }
        .action(format!(
            "Free room on datastore {datastore}, and try again."
        ))
    }

    /// Of a machine that has it.
    pub(super) fn uefi(&self) -> Result<&Uefi, Status> {
        self.environment
            .uefi()
            .map_err(|missing| missing.about(self.object()))
    }

    /// The machine's state forbids it.
    pub(super) fn forbidden(&self, why: &str, action: &str) -> Status {
        Status::precondition(format!("{} {why}.", self.name()))
            .about(self.object())
            .action(action)
    }

    /// It is on its way to another state.
    pub(super) fn busy(&self, doing: &str) -> Status {
        Status::new(Code::Aborted, format!("{} is just {doing}.", self.name()))
            .about(self.object())
            .action("Wait until that has ended, and try again.")
    }

    /// An error of QEMU's control channel.
    pub(super) fn qmp_failed(&self, what: &str, error: QmpError) -> Status {
        match error {
            QmpError::Refused { refusal, .. } => self.failed(what, refusal.description),
            error @ (QmpError::Lost { .. } | QmpError::TimedOut { .. }) => Status {
                code: Code::Unavailable.into(),
                ..self.failed(what, error)
            },
        }
    }
}

/// QEMU's own word for what the machine does.
pub(super) async fn run_state(qmp: &Qmp) -> Result<String, QmpError> {
    let status = qmp.execute("query-status", json!({})).await?;
    Ok(status
        .get("status")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned())
}

/// Whether the guest has opened its agent's port. Events tell of changes; this is for the beginning.
pub(super) async fn agent_open(qmp: &Qmp) -> bool {
    let channels = qmp
        .execute("query-chardev", json!({}))
        .await
        .unwrap_or_default();
    let mut channels = channels
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter();
    channels.any(|channel| {
        let is = |key: &str| channel.get(key);
        is("label").and_then(Value::as_str) == Some(launch::GUEST_AGENT_CHANNEL)
            && is("frontend-open").and_then(Value::as_bool) == Some(true)
    })
}

pub(super) fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

pub(super) fn now_ms() -> i64 {
    i64::try_from(since_1970().as_millis()).unwrap_or(i64::MAX)
}
