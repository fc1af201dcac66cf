//! Saves a machine: its memory goes to a file beside its disks, and its process ends.
//!
//! A crash at any point leaves files that say how to go on; `adopt` reads them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use contracts::Status;
use serde_json::json;

use super::machine::{Live, Machine};
use super::migration;
use super::process::{BeforeSave, Record};
use super::{folder, stop};
use crate::limits;

pub(super) async fn save(
    machine: &Machine,
    live: &Live,
    before: BeforeSave,
    limit: Duration,
) -> Result<(), Status> {
    machine
        .datastore
        .check_room(machine.definition.memory_bytes, "the machine's memory")?;
    let written = async {
        write(machine, live, before, limit.min(limits::STATE_TIMEOUT)).await?;
        keep(machine).await
    };
    if let Err(error) = written.await {
        go_back(machine, live, before).await;
        return Err(error);
    }
    end(machine, live).await
}

async fn write(
    machine: &Machine,
    live: &Live,
    before: BeforeSave,
    limit: Duration,
) -> Result<(), Status> {
    let tmp = machine.folder.state_tmp();
    note(machine, Some(before)).map_err(|e| machine.not_written("saved", e))?;
    let made = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&tmp);
    made.and_then(|_| machine.environment.confinement.hand_over(&tmp))
        .map_err(|e| machine.not_written("saved", e))?;
    let stopped = live.qmp.execute("stop", json!({})).await;
    stopped.map_err(|error| machine.qmp_failed("saved", error))?;
    migration::save(&live.qmp, &tmp, limit)
        .await
        .map_err(|error| machine.not_written("saved", error))
}

/// Writes down that the machine is being saved, or no longer.
pub(super) fn note(machine: &Machine, saving_from: Option<BeforeSave>) -> io::Result<()> {
    match Record::load(&machine.folder) {
        Some(record) => Record {
            saving_from,
            ..record
        }
        .store(&machine.folder),
        None => Ok(()),
    }
}

/// The memory is in the file: makes it durable and gives it its name. From the rename on the machine is saved, whatever
/// happens.
pub(super) async fn keep(machine: &Machine) -> Result<(), Status> {
    let (tmp, state) = (machine.folder.state_tmp(), machine.folder.state());
    let kept = tokio::task::spawn_blocking(move || {
        File::open(&tmp)?.sync_all()?;
        folder::rename_durably(&tmp, &state)
    });
    let kept = kept.await.map_err(io::Error::other).and_then(|kept| kept);
    kept.map_err(|error| machine.not_written("saved", error))
}

/// Ends the process of a machine whose memory is safe. Its guest must never run again: the file goes on from here.
pub(super) async fn end(machine: &Machine, live: &Live) -> Result<(), Status> {
    stop::turn_off(machine, live).await
}

/// Undoes a save that failed: the guest goes on as before. What was written is removed first, since it is older than
/// the disks as soon as the guest runs.
pub(super) async fn go_back(machine: &Machine, live: &Live, before: BeforeSave) {
    if migration::is_under_way(&live.qmp).await.unwrap_or(false) {
        let _ = migration::cancel(&live.qmp).await;
    }
    let folder = &machine.folder;
    let removed = folder::remove_file(&folder.state_tmp())
        .and_then(|()| folder::remove_file(&folder.state()))
        .and_then(|()| note(machine, None));
    if let Err(error) = removed {
        tracing::error!(machine = machine.name(), %error, "paused: what a failed save wrote cannot be removed");
        return;
    }
    if before == BeforeSave::Running
        && let Err(error) = live.qmp.execute("cont", json!({})).await
    {
        tracing::error!(machine = machine.name(), %error, "paused: it cannot go on after a failed save");
    }
}
