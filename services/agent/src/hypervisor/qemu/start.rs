//! Starts a machine, or brings a saved one back.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::sync::Arc;
use std::time::Duration;

use contracts::Status;
use contracts::rest::Firmware;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::firmware::Uefi;
use super::guest_agent::GuestAgent;
use super::machine::{Live, Machine, Running, agent_open, now_ms, since_1970};
use super::process::{self, Process, Record};
use super::qmp::{Qmp, QmpError, Session};
use super::{folder, launch, migration, seed, stop, tool};
use crate::limits;

/// Starts the machine's process and lets the guest run.
pub(super) async fn start(machine: &Machine, limit: Duration) -> Result<Running, Status> {
    let failed = |error: io::Error| machine.failed("started", error);
    let Some(lock) = process::try_lock(&machine.folder.lock()).map_err(failed)? else {
        return Err(machine.forbidden(
            "already has a process that holds its lock",
            "Look which process that is (fuser on the machine's lock file); restart the agent to adopt it.",
        ));
    };
    let uefi = match machine.definition.firmware {
        Firmware::Bios => None,
        Firmware::Uefi => Some(machine.uefi()?),
    };
    let restore = prepare(machine).map_err(failed)?;
    let process = spawn(machine, lock, uefi, restore).map_err(failed)?;
    match bring_up(machine, process.clone(), restore, limit).await {
        Ok(running) => Ok(running),
        Err(error) => {
            stop::end_process(&process).await;
            let _ = folder::remove_file(&machine.folder.process());
            Err(error)
        }
    }
}

/// Makes what QEMU needs and clears what an earlier run left. Answers whether the machine is a saved one.
fn prepare(machine: &Machine) -> io::Result<bool> {
    let (folder, confinement) = (&machine.folder, &machine.environment.confinement);
    folder::remove_file(&folder.state_tmp())?;
    folder::remove_file(&folder.state_used())?;
    let sockets = machine.sockets.dir();
    folder::remove_folder(sockets)?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(sockets)?;
    confinement.hand_over(sockets)?;
    let log = folder.console_log();
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(&log)?;
    confinement.hand_over(&log)?;
    folder.state().try_exists()
}

fn spawn(machine: &Machine, lock: File, uefi: Option<&Uefi>, restore: bool) -> io::Result<Process> {
    let environment = &machine.environment;
    let is_seeded = machine.definition.seeded;
    let removable_seed = is_seeded && seed::has_answers(&machine.folder.file(seed::FILE))?;
    let arguments = launch::arguments(&launch::Launch {
        definition: &machine.definition,
        folder: &machine.folder,
        sockets: &machine.sockets,
        datastore: &machine.datastore.path,
        accelerator: environment.probe.accelerator,
        user_network: environment.user_network,
        uefi,
        removable_seed,
        restore,
    });
    let mut command = environment.confinement.detached_command(&environment.qemu);
    command.args(arguments);
    let log = File::create(machine.folder.qemu_log())?;
    let process = Process::spawn(command, lock, log)?;
    // Written while the guest does not run yet. An agent that dies before this finds the process by its socket.
    let record = Record {
        identity: process.identity.clone(),
        started_ms: now_ms(),
        accelerator: environment.probe.accelerator.name().to_owned(),
        saving_from: None,
    };
    if let Err(error) = record.store(&machine.folder) {
        process.kill();
        return Err(error);
    }
    Ok(process)
}

async fn bring_up(
    machine: &Machine,
    process: Process,
    restore: bool,
    limit: Duration,
) -> Result<Running, Status> {
    let session = connect(machine, &process).await?;
    if restore {
        load_memory(machine, &session.qmp, limit).await?;
    }
    let running = running(machine, process, session).await;
    go(machine, &running.live, restore).await?;
    Ok(running)
}

/// Waits until QEMU answers, or ends because something is wrong.
async fn connect(machine: &Machine, process: &Process) -> Result<Session, Status> {
    let deadline = Instant::now() + limits::LAUNCH_TIMEOUT;
    let socket = machine.sockets.qmp();
    loop {
        tokio::select! {
            exit = process.exited() => {
                let log = fs::read_to_string(machine.folder.qemu_log()).unwrap_or_default();
                let why = format!("QEMU {}: {}", exit.describe(), tool::last_line(&log));
                return Err(machine.failed("started", why));
            }
            connected = Qmp::connect(&socket) => match connected {
                Ok(session) => return Ok(session),
                Err(error) if Instant::now() > deadline => {
                    return Err(machine.qmp_failed("started", error));
                }
                Err(_) => sleep(limits::POLL_INTERVAL).await,
            }
        }
    }
}

async fn load_memory(machine: &Machine, qmp: &Qmp, limit: Duration) -> Result<(), Status> {
    let limit = limit.min(limits::STATE_TIMEOUT);
    migration::restore(qmp, &machine.folder.state(), limit).await.map_err(|error| {
        let log = fs::read_to_string(machine.folder.qemu_log()).unwrap_or_default();
        let why = format!("its saved memory was not taken ({error}; {})", tool::last_line(&log));
        machine.failed("restored", why).action(
            "Try again. To give its memory up and start it anew, turn it off first: its disks are kept.",
        )
    })
}

/// Puts together what is known of a process that answers.
pub(super) async fn running(machine: &Machine, process: Process, session: Session) -> Running {
    let record = Record::load(&machine.folder);
    let live = Live {
        process,
        started_ms: record.as_ref().map_or_else(now_ms, |r| r.started_ms),
        accelerator: record.map(|r| r.accelerator).unwrap_or_default(),
        guest: Arc::new(GuestAgent::new(&machine.sockets.guest_agent())),
        qmp: session.qmp,
    };
    let agent_open = agent_open(&live.qmp).await;
    Running {
        live,
        events: session.events,
        agent_open,
    }
}

/// Lets the guest run. Saved memory is used up from here on, and must not be found again after a crash: the disks
/// would be newer than it. So it loses its name before the guest runs and its bytes after.
pub(super) async fn go(machine: &Machine, live: &Live, restored: bool) -> Result<(), Status> {
    let (state, used) = (machine.folder.state(), machine.folder.state_used());
    if restored {
        folder::rename_durably(&state, &used).map_err(|e| machine.failed("restored", e))?;
    }
    let went: Result<_, QmpError> = live.qmp.execute("cont", json!({})).await;
    if let Err(error) = went {
        if restored {
            let _ = folder::rename_durably(&used, &state);
        }
        return Err(machine.qmp_failed("started", error));
    }
    if restored {
        let _ = folder::remove_file(&used);
        set_clock(live);
    }
    Ok(())
}

/// The guest's clock stood still while it was saved. A guest without an agent keeps the old time.
fn set_clock(live: &Live) {
    let guest = live.guest.clone();
    tokio::spawn(async move {
        if let Err(error) = guest.set_time(since_1970()).await {
            tracing::debug!(%error, "the guest's clock was not set");
        }
    });
}
