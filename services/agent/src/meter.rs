//! What the agent tells of itself over OTLP: spans and metrics.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use contracts::host::VmState;
use contracts::telemetry::{
    AGENT_ADOPTIONS, AGENT_BACKLOG, AGENT_COMMANDS, AGENT_DATA_BYTES, AGENT_MACHINES,
};
use contracts::{Code, Status, rest};
use kit::config::Section;
use kit::telemetry::{self, Counter, Gauge, Histogram};
use tokio::sync::broadcast::error::RecvError;
use tracing::{Instrument, Span};

use crate::config::Config;
use crate::hypervisor::{Action, Hypervisor};

static COMMANDS: Histogram = Histogram::new(&AGENT_COMMANDS);
static ADOPTIONS: Counter = Counter::new(&AGENT_ADOPTIONS);
static MACHINES: Gauge = Gauge::new(&AGENT_MACHINES);
static BACKLOG: Gauge = Gauge::new(&AGENT_BACKLOG);
static DATA_BYTES: Counter = Counter::new(&AGENT_DATA_BYTES);

/// A command's work, below the call that asks for it, from when it begins.
pub(crate) fn measured<T, F>(
    method: &str,
    work: F,
) -> impl Future<Output = Result<T, Status>> + use<T, F>
where
    F: Future<Output = Result<T, Status>>,
{
    let (method, caller) = (method.to_owned(), Span::current());
    async move {
        let span = tracing::info_span!(
            parent: &caller,
            "work",
            otel.name = format!("work {method}"),
            muster.service = Config::NAME,
        );
        drop(caller);
        let begun = Instant::now();
        let outcome = work.instrument(span.clone()).await;
        let code = match &outcome {
            Ok(_) => Code::Ok,
            Err(problem) => {
                telemetry::set_failed(&span, problem);
                problem.code()
            }
        };
        COMMANDS.record(
            begun.elapsed(),
            &[("method", &method), ("code", code.name())],
        );
        outcome
    }
}

/// What is done to a machine's QEMU.
pub(crate) fn qemu_span(action: Action, vm_id: &str) -> Span {
    tracing::info_span!(
        "qemu",
        otel.name = format!("qemu {}", action.word()),
        muster.service = Config::NAME,
        vm_id,
    )
}

pub(crate) fn tool_span(program: &str) -> Span {
    tracing::info_span!(
        "tool",
        otel.name = format!("run {program}"),
        muster.service = Config::NAME,
    )
}

/// A machine was found in a datastore.
pub(crate) fn note_adoption(state: VmState) {
    ADOPTIONS.add(1, &[("state", rest::VmState::from(state).word())]);
}

pub(crate) fn note_backlog(changes: usize) {
    BACKLOG.set(changes.try_into().unwrap_or(u64::MAX), &[]);
}

/// Content of a file went to another host, or came from one.
pub(crate) fn note_data(direction: &str, bytes: usize) {
    DATA_BYTES.add(bytes as u64, &[("direction", direction)]);
}

/// Keeps count of the host's machines; goes on for ever.
pub(crate) async fn count_machines(hypervisor: Arc<dyn Hypervisor>) {
    if !telemetry::is_on() {
        return;
    }
    let mut changes = hypervisor.changes();
    loop {
        // What came together is counted together.
        while changes.try_recv().is_ok() {}
        let machines = hypervisor.machines().await;
        for state in rest::VmState::ALL {
            let is_in = |found: VmState| rest::VmState::from(found) == *state;
            let count = machines.iter().filter(|m| is_in(m.state())).count();
            MACHINES.set(
                count.try_into().unwrap_or(u64::MAX),
                &[("state", state.word())],
            );
        }
        if changes.recv().await == Err(RecvError::Closed) {
            return;
        }
    }
}
