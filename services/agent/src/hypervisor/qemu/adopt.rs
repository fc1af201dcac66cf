//! Finds out what a machine is doing after a start of the agent, and ends what a crash left half-done.
//!
//! The lock tells whether a process lives, the files tell what was being done with it (see `folder`):
//!
//! | process | files | then |
//! |---|---|---|
//! | none | a disk is not there, and a layer of it is | the disk is brought back (see `layer`), then as below |
//! | none | `memory.state` | saved |
//! | none | else | stopped; with a reason when `process.json` says that it ran |
//! | lives | being saved, `memory.state` there | the save had succeeded: the process is ended, saved |
//! | lives | being saved, migration under way or done | the save is finished, saved |
//! | lives | being saved, else | the save is undone, running or paused as before |
//! | lives | `memory.state` | a start from it did not get far: the process is ended, saved |
//! | lives | else | adopted; one that waits for its first instruction is let go |

use std::time::Duration;

use contracts::Status;
use contracts::host::VmState;
use tokio::time::{sleep, timeout};

use super::machine::{Live, Machine, Running, now_ms, run_state};
use super::process::{self, BeforeSave, Identity, Process, Record};
use super::qmp::{Qmp, QmpError, Session};
use super::{folder, layer, migration, save, start, stop};
use crate::limits;

/// What a machine was found to be.
pub(super) enum Found {
    Off {
        state: VmState,
        reason: String,
    },
    On {
        running: Running,
        state: VmState,
        reason: String,
    },
    /// Its process lives and does not answer.
    Hung {
        process: Process,
        record: Record,
        reason: String,
    },
}

impl Found {
    fn off(state: VmState, reason: impl Into<String>) -> Self {
        Self::Off {
            state,
            reason: reason.into(),
        }
    }
}

pub(super) async fn adopt(machine: &Machine) -> Found {
    match process::try_lock(&machine.folder.lock()) {
        // Given back at once: it was only asked for.
        Ok(Some(_)) => off(machine),
        Ok(None) => on(machine).await,
        Err(error) => Found::off(
            VmState::Stopped,
            format!("its lock cannot be read: {error}"),
        ),
    }
}

fn off(machine: &Machine) -> Found {
    layer::recover(machine);
    let folder = &machine.folder;
    let record = Record::load(folder);
    let restored = folder.state_used().exists();
    for left in [folder.state_tmp(), folder.state_used()] {
        if let Err(error) = folder::remove_file(&left) {
            tracing::warn!(machine = machine.name(), %error, "a file of no more use stays");
        }
    }
    stop::forget(machine);
    if folder.state().exists() {
        return Found::off(VmState::Saved, "");
    }
    Found::off(
        VmState::Stopped,
        record.map_or("", |record| reason_of_end(&record, restored)),
    )
}

fn reason_of_end(record: &Record, restored: bool) -> &'static str {
    if !record.identity.is_of_this_boot() {
        "the host was restarted while it ran"
    } else if record.saving_from.is_some() {
        "its process ended while it was being saved"
    } else if restored {
        "its process ended while it was being restored"
    } else {
        "its process ended while the agent was away"
    }
}

async fn on(machine: &Machine) -> Found {
    let record = Record::load(&machine.folder);
    match connect(machine).await {
        Ok((process, session)) => {
            note_process(machine, &process, record);
            let running = start::running(machine, process, session).await;
            settle(machine, running).await
        }
        Err(why) => hung(machine, record, &why),
    }
}

/// Connects to a machine's process, whoever had started it.
async fn connect(machine: &Machine) -> Result<(Process, Session), String> {
    let mut why = "it was not reached".to_owned();
    let attempts = async {
        loop {
            match Qmp::connect(&machine.sockets.qmp()).await {
                Ok(session) => return session,
                Err(error) => why = error.to_string(),
            }
            sleep(limits::POLL_INTERVAL).await;
        }
    };
    let session = timeout(limits::ADOPT_TIMEOUT, attempts)
        .await
        .map_err(|_| why)?;
    let pid = session
        .pid
        .ok_or("the kernel does not say which process it is")?;
    let process = Process::adopt(pid).map_err(|error| error.to_string())?;
    Ok((process, session))
}

/// The kernel's word on which process listens counts. An agent that died between starting it and writing that down has
/// left no record.
fn note_process(machine: &Machine, process: &Process, record: Option<Record>) {
    if record
        .as_ref()
        .is_some_and(|record| record.identity == process.identity)
    {
        return;
    }
    tracing::warn!(
        machine = machine.name(),
        pid = process.identity.pid,
        "its process was not written down"
    );
    let record = Record {
        identity: process.identity.clone(),
        started_ms: started_ms(&process.identity),
        accelerator: machine.environment.probe.accelerator.name().to_owned(),
        saving_from: record.and_then(|record| record.saving_from),
    };
    if let Err(error) = record.store(&machine.folder) {
        tracing::warn!(machine = machine.name(), %error, "its process could not be written down");
    }
}

/// When a process was started, by the kernel's count of ticks since boot.
fn started_ms(identity: &Identity) -> i64 {
    let ticks_per_sec = rustix::param::clock_ticks_per_second().max(1);
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let uptime_secs: f64 = uptime
        .split(' ')
        .next()
        .and_then(|s| s.parse().ok())
        .unwrap_or(0.0);
    let uptime_ms = Duration::try_from_secs_f64(uptime_secs)
        .unwrap_or_default()
        .as_millis();
    let start_ms = u128::from(identity.start_ticks) * 1000 / u128::from(ticks_per_sec);
    now_ms() - i64::try_from(uptime_ms.saturating_sub(start_ms)).unwrap_or(0)
}

fn hung(machine: &Machine, record: Option<Record>, why: &str) -> Found {
    let living = record.filter(|record| record.identity.is_alive());
    let adopted =
        living.and_then(|record| Some((Process::adopt(record.identity.pid).ok()?, record)));
    match adopted {
        Some((process, record)) => {
            let reason = format!("its process lives and does not answer: {why}");
            Found::Hung {
                process,
                record,
                reason,
            }
        }
        None => {
            let lock = machine.folder.lock();
            Found::off(
                VmState::Stopped,
                format!("an unknown process holds {}", lock.display()),
            )
        }
    }
}

/// Ends what was half-done, and says what the machine does now.
async fn settle(machine: &Machine, running: Running) -> Found {
    let outcome = match half_done(machine) {
        HalfDone::Nothing => go_on(machine, &running.live).await,
        HalfDone::Save(before) => settle_save(machine, &running.live, before).await,
        HalfDone::Restore => {
            stop::end_process(&running.live.process).await;
            stop::forget(machine);
            Ok(VmState::Saved)
        }
    };
    match outcome {
        Ok(VmState::Saved) => Found::off(VmState::Saved, ""),
        Ok(state) => Found::On {
            running,
            state,
            reason: String::new(),
        },
        Err(error) => Found::On {
            running,
            state: VmState::Paused,
            reason: error.message,
        },
    }
}

enum HalfDone {
    Nothing,
    Save(BeforeSave),
    Restore,
}

fn half_done(machine: &Machine) -> HalfDone {
    let saving_from = Record::load(&machine.folder).and_then(|record| record.saving_from);
    match saving_from {
        Some(before) => HalfDone::Save(before),
        None if machine.folder.state().exists() => HalfDone::Restore,
        None => HalfDone::Nothing,
    }
}

async fn settle_save(
    machine: &Machine,
    live: &Live,
    before: BeforeSave,
) -> Result<VmState, Status> {
    if machine.folder.state().exists() {
        save::end(machine, live).await?;
        return Ok(VmState::Saved);
    }
    let under_way = migration::is_under_way(&live.qmp).await;
    if under_way.map_err(|e| machine.qmp_failed("saved", e))?
        && migration::finish(&live.qmp, limits::STATE_TIMEOUT)
            .await
            .is_ok()
        && save::keep(machine).await.is_ok()
    {
        save::end(machine, live).await?;
        return Ok(VmState::Saved);
    }
    save::go_back(machine, live, before).await;
    now(machine, live).await
}

/// A machine that waits for its first instruction, or for the one after its memory was loaded, had been told to start.
async fn go_on(machine: &Machine, live: &Live) -> Result<VmState, Status> {
    let used = machine.folder.state_used();
    let state = now(machine, live).await?;
    let waits = state == VmState::Starting || (state == VmState::Paused && used.exists());
    if waits {
        start::go(machine, live, false).await?;
    }
    if let Err(error) = folder::remove_file(&used) {
        tracing::warn!(machine = machine.name(), %error, "used memory stays");
    }
    if waits {
        now(machine, live).await
    } else {
        Ok(state)
    }
}

async fn now(machine: &Machine, live: &Live) -> Result<VmState, Status> {
    let failed = |error: QmpError| machine.qmp_failed("adopted", error);
    Ok(state_of(&run_state(&live.qmp).await.map_err(failed)?))
}

/// Our word for QEMU's.
pub(super) fn state_of(run_state: &str) -> VmState {
    match run_state {
        "running" | "suspended" | "colo" => VmState::Running,
        "guest-panicked" => VmState::Crashed,
        "prelaunch" => VmState::Starting,
        "shutdown" => VmState::Stopping,
        _ => VmState::Paused,
    }
}
