//! Layers: what the disks of a machine hold now, laid among the images of its datastore, so that others can lie on it too.
//!
//! The machine gets new overlays on them. Each step can be the last before a crash:
//!
//! | done | the machine's definition | then |
//! |---|---|---|
//! | new overlays are made beside the disks | names the disks | they are passed over, and made anew by the next |
//! | a disk is renamed to `images/layer-<machine>-<file>` | names a disk that is not there | it is renamed back ([`recover`]) |
//! | the definition is written | names the overlays, which lie on the layers | it is done |
//!
//! Nobody lies on a layer before the definition is written, and no file of a machine has the name of an earlier one.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use contracts::Status;

use super::definition::{Definition, Disk, Format, Layer};
use super::machine::Machine;
use super::making::{self, EMPTY_DISK_BYTES};
use super::tool;
use super::{folder, qcow2, users};
use crate::limits;

const IMAGES: &str = "images/";

/// A layer is written by nobody, and read by QEMU's user alone, to whom it belongs.
const LAYER_MODE: u32 = 0o400;
const DISK_MODE: u32 = 0o600;

/// The layer that a disk of a machine becomes, below the datastore.
fn layer_file(vm_id: &str, disk_file: &str) -> String {
    format!("{IMAGES}layer-{vm_id}-{disk_file}")
}

/// The file that follows a disk's: `disk0.qcow2`, `disk0-1.qcow2`, `disk0-2.qcow2`.
fn next_file(disk: &Disk) -> String {
    let stem = disk.file.strip_suffix(".qcow2").unwrap_or(&disk.file);
    let number = stem.rsplit_once('-').and_then(|(_, n)| n.parse().ok());
    format!("{}-{}.qcow2", disk.id, number.unwrap_or(0_u32) + 1)
}

/// Whether nothing was written to a disk since it was laid on what it lies on.
fn is_untouched(machine: &Machine, disk: &Disk) -> io::Result<bool> {
    if disk.backing.is_empty() {
        return Ok(false);
    }
    qcow2::is_untouched(&folder::open_regular(&machine.folder.file(&disk.file))?)
}

/// The definition of the machine once its disks are layers. A disk that nothing was written to stays as it is: others can
/// lie on what it lies on.
fn after(machine: &Machine) -> Result<Definition, Status> {
    let mut definition = machine.definition.clone();
    for disk in &mut definition.disks {
        let untouched = is_untouched(machine, disk);
        if untouched.map_err(|error| machine.failed("cloned", error))? {
            continue;
        }
        if disk.backing.len() >= limits::CHAIN_LAYERS_MAX {
            let why = format!(
                "has {} on {} layers, and more cannot be",
                disk.id,
                disk.backing.len()
            );
            return Err(machine.forbidden(&why, "Clone it whole, and link clones to that one."));
        }
        let layer = Layer {
            file: layer_file(&definition.vm_id, &disk.file),
            format: Format::Qcow2,
        };
        disk.file = next_file(disk);
        disk.backing.insert(0, layer);
    }
    Ok(definition)
}

/// Makes layers of the disks of a machine that is off and held. Answers with its new definition.
pub(super) async fn freeze(machine: &Machine) -> Result<Definition, Status> {
    let definition = after(machine)?;
    let moving: Vec<(&Disk, &Disk)> = machine
        .definition
        .disks
        .iter()
        .zip(&definition.disks)
        .filter(|(before, after)| before.file != after.file)
        .collect();
    let room = 2 * EMPTY_DISK_BYTES * machine.definition.disks.len() as u64;
    let what = format!("a linked clone of {}", machine.name());
    machine.datastore.check_room(room, &what)?;
    let laid = async {
        for (before, after) in &moving {
            prepare(machine, before, after).await?;
        }
        if moving.is_empty() {
            return Ok(());
        }
        let laid = lay_down(machine, &moving).and_then(|()| definition.store(&machine.folder));
        laid.map_err(|error| error.to_string())
    };
    if let Err(why) = laid.await {
        take_back(machine, &moving);
        return Err(machine.not_written("cloned", why));
    }
    Ok(definition)
}

/// Has the machine as it was, and removes what was made beside its disks.
fn take_back(machine: &Machine, moving: &[(&Disk, &Disk)]) {
    recover(machine);
    // Where a disk is not back, the new definition may have reached the disk, which names what was made.
    let is_back = |disk: &Disk| machine.folder.file(&disk.file).exists();
    for (_, after) in moving.iter().filter(|(before, _)| is_back(before)) {
        if let Err(error) = folder::remove_file(&machine.folder.file(&after.file)) {
            tracing::warn!(machine = machine.name(), file = after.file, %error, "left of a clone that was not made");
        }
    }
}

/// Makes the overlay that takes the place of a disk, and has the disk's header name what it lies on as it will see it.
async fn prepare(machine: &Machine, before: &Disk, after: &Disk) -> Result<(), String> {
    let environment = &machine.environment;
    let path = machine.folder.file(&after.file);
    // One that was left by an attempt before is made anew.
    folder::remove_file(&path).map_err(|error| error.to_string())?;
    making::make_empty(environment, &machine.datastore, &path, after).await?;
    let Some(base) = before.backing.first() else {
        return Ok(());
    };
    let mut command = environment.confinement.command(&environment.qemu_img);
    command
        .args([
            "rebase",
            "-u",
            "-f",
            "qcow2",
            "-F",
            base.format.name(),
            "-b",
        ])
        .arg(base.file.strip_prefix(IMAGES).unwrap_or(&base.file))
        .arg(machine.folder.file(&before.file));
    let rebased = tool::run_well(command, limits::IMAGE_INFO_TIMEOUT).await;
    rebased.map(drop).map_err(|error| error.to_string())
}

/// Renames the disks to layers, everything on disk before.
fn lay_down(machine: &Machine, moving: &[(&Disk, &Disk)]) -> io::Result<()> {
    for (before, after) in moving {
        File::open(machine.folder.file(&after.file))?.sync_all()?;
        let disk = machine.folder.file(&before.file);
        fs::set_permissions(&disk, Permissions::from_mode(LAYER_MODE))?;
        File::open(&disk)?.sync_all()?;
    }
    File::open(machine.folder.path())?.sync_all()?;
    for (before, _) in moving {
        let (disk, layer) = places(machine, before);
        folder::rename_durably(&disk, &layer)?;
    }
    Ok(())
}

/// Where a disk is, and where its layer is or will be.
fn places(machine: &Machine, disk: &Disk) -> (PathBuf, PathBuf) {
    let layer = layer_file(&machine.definition.vm_id, &disk.file);
    (
        machine.folder.file(&disk.file),
        machine.datastore.path.join(layer),
    )
}

/// Brings disks back that were renamed to layers by a making of layers that did not end.
pub(super) fn recover(machine: &Machine) {
    for disk in &machine.definition.disks {
        if let Err(error) = recover_disk(machine, disk) {
            tracing::error!(machine = machine.name(), disk = disk.id, %error, "its disk is among the images and could not be brought back");
        }
    }
}

fn recover_disk(machine: &Machine, disk: &Disk) -> io::Result<()> {
    let (path, layer) = places(machine, disk);
    if path.try_exists()? || !layer.try_exists()? {
        return Ok(());
    }
    let file = layer_file(&machine.definition.vm_id, &disk.file);
    // A definition that is older than the layer is none to go by: others may lie on it.
    if !users::machines_on(&machine.datastore, &file)?.is_empty() {
        return Ok(());
    }
    fs::set_permissions(&layer, Permissions::from_mode(DISK_MODE))?;
    folder::rename_durably(&layer, &path)?;
    tracing::warn!(
        machine = machine.name(),
        disk = disk.id,
        "its disk was brought back from among the images: a clone was not finished"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::qemu::definition::sample;

    #[test]
    fn no_file_of_a_machine_has_the_name_of_an_earlier_one() {
        let mut definition = sample();
        let Some(disk) = definition.disks.first_mut() else {
            return;
        };
        let mut seen = vec![disk.file.clone()];
        for expected in ["disk0-1.qcow2", "disk0-2.qcow2", "disk0-3.qcow2"] {
            disk.file = next_file(disk);
            assert_eq!(disk.file, expected);
            assert!(!seen.contains(&disk.file));
            seen.push(disk.file.clone());
        }
        assert_eq!(
            layer_file("v1", "disk0-2.qcow2"),
            "images/layer-v1-disk0-2.qcow2"
        );
    }
}
