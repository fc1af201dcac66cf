//! Ways to end a machine's process: through the guest, or by pulling the plug.

use std::time::Duration;

use contracts::Status;
use serde_json::json;
use tokio::time::timeout;

use super::folder;
use super::machine::{Live, Machine};
use super::process::Process;
use super::qmp::Qmp;
use crate::limits;

/// Presses the power button, asks the guest's agent if that does not help, and waits until the machine is off.
pub(super) async fn shut_down(
    machine: &Machine,
    live: &Live,
    limit: Duration,
) -> Result<(), Status> {
    let press = live.qmp.execute("system_powerdown", json!({})).await;
    press.map_err(|error| machine.qmp_failed("shut down", error))?;
    let patience = limits::POWER_BUTTON_TIMEOUT.min(limit / 2);
    if timeout(patience, live.process.exited()).await.is_err() {
        if let Err(error) = live.guest.shut_down().await {
            tracing::debug!(machine = machine.name(), %error, "the guest's agent did not help");
        }
        let rest = timeout(limit.saturating_sub(patience), live.process.exited()).await;
        rest.map_err(|_| did_not_shut_down(machine, limit))?;
    }
    forget(machine);
    Ok(())
}

fn did_not_shut_down(machine: &Machine, limit: Duration) -> Status {
    let why = format!("did not shut down within {} s", limit.as_secs());
    machine.forbidden(
        &why,
        "Turn it off, or look at its console for what keeps it.",
    )
}

/// Ends the machine at once.
pub(super) async fn turn_off(machine: &Machine, live: &Live) -> Result<(), Status> {
    quit(&live.qmp, &live.process).await.map_err(|()| {
        machine
            .failed(
                "turned off",
                "its process does not end, which means that it hangs in the kernel",
            )
            .action("Look whether the host's storage answers; the process ends when it does.")
    })?;
    forget(machine);
    Ok(())
}

/// Asks QEMU to flush its disks and end; kills it when it does not.
pub(super) async fn quit(qmp: &Qmp, process: &Process) -> Result<(), ()> {
    let patience = match qmp.execute("quit", json!({})).await {
        Ok(_) => limits::QUIT_TIMEOUT,
        Err(_) => limits::UNASKED_TIMEOUT,
    };
    if timeout(patience, process.exited()).await.is_ok() {
        return Ok(());
    }
    process.kill();
    timeout(limits::KILL_TIMEOUT, process.exited())
        .await
        .map(drop)
        .map_err(drop)
}

/// Kills a process that has no guest to lose.
pub(super) async fn end_process(process: &Process) {
    process.kill();
    let _ = timeout(limits::KILL_TIMEOUT, process.exited()).await;
}

/// Removes the traces of a process that has ended as it should.
pub(super) fn forget(machine: &Machine) {
    let gone = folder::remove_file(&machine.folder.process())
        .and_then(|()| folder::remove_folder(machine.sockets.dir()));
    if let Err(error) = gone {
        tracing::warn!(machine = machine.name(), %error, "traces of an ended process stay");
    }
}
