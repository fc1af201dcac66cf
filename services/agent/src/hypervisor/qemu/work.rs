//! Carries out one action on one machine, apart from its worker.

use std::sync::Arc;
use std::time::Duration;

use contracts::Status;
use contracts::host::VmState;
use serde_json::json;

use super::machine::{Live, Machine, Running, run_state};
use super::process::BeforeSave;
use super::{adopt, folder, save, start, stop};
use crate::hypervisor::Action;

/// An action with all that it needs.
pub(super) struct Task {
    pub(super) machine: Arc<Machine>,
    pub(super) live: Option<Live>,
    pub(super) action: Action,
    pub(super) before: BeforeSave,
    pub(super) limit: Duration,
}

/// What the machine is after an action.
pub(super) enum Outcome {
    Up(Box<Running>),
    Now(VmState),
    Off(VmState, &'static str),
}

pub(super) async fn perform(task: Task) -> Result<Outcome, Status> {
    let machine = &task.machine;
    let Some(live) = &task.live else {
        return without_process(machine, task.action, task.limit).await;
    };
    match task.action {
        Action::Start | Action::Resume => go(machine, live, "resumed", "cont").await,
        Action::Pause => go(machine, live, "paused", "stop").await,
        Action::Reset => reset(machine, live).await,
        Action::Shutdown => {
            stop::shut_down(machine, live, task.limit).await?;
            Ok(Outcome::Off(VmState::Stopped, "shut down"))
        }
        Action::TurnOff => {
            stop::turn_off(machine, live).await?;
            Ok(Outcome::Off(VmState::Stopped, "turned off"))
        }
        Action::Save => {
            save::save(machine, live, task.before, task.limit).await?;
            Ok(Outcome::Off(VmState::Saved, ""))
        }
    }
}

async fn without_process(
    machine: &Machine,
    action: Action,
    limit: Duration,
) -> Result<Outcome, Status> {
    match action {
        Action::Start => Ok(Outcome::Up(Box::new(start::start(machine, limit).await?))),
        Action::TurnOff => {
            folder::remove_file(&machine.folder.state())
                .map_err(|e| machine.failed("turned off", e))?;
            Ok(Outcome::Off(
                VmState::Stopped,
                "its saved memory was given up",
            ))
        }
        _ => Err(machine.forbidden("is not running", "Start it first.")),
    }
}

async fn go(machine: &Machine, live: &Live, what: &str, command: &str) -> Result<Outcome, Status> {
    let done = live.qmp.execute(command, json!({})).await;
    done.map_err(|error| machine.qmp_failed(what, error))?;
    now(machine, live, what).await
}

async fn reset(machine: &Machine, live: &Live) -> Result<Outcome, Status> {
    let reset = live.qmp.execute("system_reset", json!({})).await;
    reset.map_err(|error| machine.qmp_failed("reset", error))?;
    // A guest that had panicked stands still, reset or not.
    go(machine, live, "reset", "cont").await
}

async fn now(machine: &Machine, live: &Live, what: &str) -> Result<Outcome, Status> {
    let state = run_state(&live.qmp)
        .await
        .map_err(|error| machine.qmp_failed(what, error))?;
    Ok(Outcome::Now(adopt::state_of(&state)))
}
