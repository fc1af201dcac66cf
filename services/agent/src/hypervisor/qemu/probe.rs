//! What QEMU is here, and whether KVM really runs a machine.
//!
//! A device file proves nothing: a nested or software KVM opens, makes machines, and fails in a usual guest. So a machine
//! of one boot sector (see `probe_sector`) runs under it, and has to end with the code that only its own instructions can
//! give.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use contracts::stored::Q35;
use contracts::{ObjectRef, Status};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::confinement::Confinement;
use super::definition::Definition;
use super::{probe_sector, tool};
use crate::limits;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accelerator {
    Kvm,
    Tcg,
}

impl Accelerator {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// The processor that the guest sees: all that the accelerator can give.
    pub(super) fn cpu(self) -> &'static str {
        match self {
            Self::Kvm => "host",
            Self::Tcg => "max",
        }
    }

    /// Memory of the process beside the guest's own. TCG: 213 MB were measured for a guest of 96 MiB with the large
    /// translation cache, 40 MB less with ours; rounded up. KVM needs no translation cache.
    pub(super) fn overhead_bytes(self) -> u64 {
        match self {
            Self::Kvm => 64 << 20,
            Self::Tcg => 128 << 20,
        }
    }
}

/// What the probe found.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) accelerator: Accelerator,
    /// Why, in words.
    pub(super) reason: String,
    /// "QEMU 10.0.2".
    pub(super) version: String,
    /// Today's meaning of "q35": "pc-q35-10.0".
    pub(super) machine_type: String,
    /// Every machine type that QEMU knows.
    machine_types: Vec<String>,
}

impl Probe {
    /// Of the types that machines are made of, as hosts tell them.
    pub(super) fn q35_versions(&self) -> Vec<String> {
        let own = std::iter::once(&self.machine_type);
        let others = self.machine_types.iter();
        let others = others.filter(|name| **name != self.machine_type);
        own.chain(others)
            .filter_map(|name| Some(name.strip_prefix(Q35)?.to_owned()))
            .collect()
    }

    /// Refuses a machine of a type that QEMU would not start.
    pub(super) fn check_type(&self, definition: &Definition) -> Result<(), Status> {
        let wanted = &definition.machine_type;
        if self.machine_types.contains(wanted) {
            return Ok(());
        }
        let (name, version) = (&definition.name, &self.version);
        let message = format!(
            "{name} is of machine type {wanted}, which {version} on this host does not know."
        );
        Err(Status::precondition(message)
            .about(ObjectRef::new("vm", &definition.vm_id, name))
            .action(
                "Use a host whose QEMU knows it, or change machine_type in the stored definition.",
            ))
    }
}

const QUESTION_TIMEOUT: Duration = Duration::from_secs(20);

/// Asks QEMU what it is and tries KVM. The error says what is wrong with the installation.
pub(super) async fn probe(
    qemu: &Path,
    confinement: &Confinement,
    scratch: &Path,
) -> Result<Probe, String> {
    let version = ask(qemu, confinement, &["--version"]).await?;
    let machines = ask(qemu, confinement, &["-machine", "help"]).await?;
    let (accelerator, reason) = match try_kvm(qemu, confinement, scratch).await {
        Ok(()) => (
            Accelerator::Kvm,
            "A probe machine ran under KVM.".to_owned(),
        ),
        Err(why) => (Accelerator::Tcg, format!("KVM cannot be used: {why}.")),
    };
    Ok(Probe {
        accelerator,
        reason,
        version: parse_version(&version).ok_or("its version was not understood")?,
        machine_type: parse_machine_type(&machines).ok_or("it has no q35 machine")?,
        machine_types: parse_machine_types(&machines),
    })
}

async fn ask(qemu: &Path, confinement: &Confinement, question: &[&str]) -> Result<String, String> {
    let mut command = confinement.command(qemu);
    command.args(question);
    let output = tool::run_well(command, QUESTION_TIMEOUT)
        .await
        .map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)" is "QEMU 10.0.2".
fn parse_version(output: &str) -> Option<String> {
    let number = output.split_once("version ")?.1.split_whitespace().next()?;
    Some(format!("QEMU {number}"))
}

/// The line "q35   Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-10.0)".
fn parse_machine_type(output: &str) -> Option<String> {
    let line = output.lines().find(|line| line.starts_with("q35 "))?;
    let name = line.split_once("(alias of ")?.1.split(')').next()?;
    Some(name.to_owned())
}

/// The first word of each line but the heading.
fn parse_machine_types(output: &str) -> Vec<String> {
    let lines = output.lines().filter(|line| !line.ends_with(':'));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

async fn try_kvm(qemu: &Path, confinement: &Confinement, scratch: &Path) -> Result<(), String> {
    if !Path::new("/dev/kvm").exists() {
        return Err("this host has no /dev/kvm".to_owned());
    }
    run_machine(qemu, confinement, scratch, Accelerator::Kvm).await
}

/// Runs the probe machine to its end.
async fn run_machine(
    qemu: &Path,
    confinement: &Confinement,
    scratch: &Path,
    accelerator: Accelerator,
) -> Result<(), String> {
    let disk = scratch.join("probe.img");
    let made = std::fs::write(&disk, probe_sector::disk());
    made.and_then(|()| confinement.hand_over(&disk))
        .map_err(|e| format!("the probe's disk was not written: {e}"))?;
    let child = tool::spawn(command(qemu, confinement, &disk, accelerator)).await;
    let child = child.map_err(|e| format!("QEMU could not be run: {e}"));
    let outcome = match child {
        Ok(child) => timeout(limits::PROBE_TIMEOUT, end_of(child)).await,
        Err(why) => Ok(Err(why)),
    };
    let _ = std::fs::remove_file(&disk);
    outcome.unwrap_or_else(|_| {
        let secs = limits::PROBE_TIMEOUT.as_secs();
        Err(format!(
            "a probe machine did not come to its end within {secs} s"
        ))
    })
}

fn command(
    qemu: &Path,
    confinement: &Confinement,
    disk: &Path,
    accelerator: Accelerator,
) -> Command {
    let node = serde_json::json!({
        "driver": "raw", "node-name": "probe", "read-only": true,
        "file": {"driver": "file", "filename": disk.to_string_lossy()},
    });
    let options = [
        ("-machine", "q35".to_owned()),
        ("-accel", accelerator.name().to_owned()),
        ("-cpu", accelerator.cpu().to_owned()),
        ("-m", "32M".to_owned()),
        ("-display", "none".to_owned()),
        ("-device", "isa-debug-exit,iobase=0xf4,iosize=4".to_owned()),
        ("-blockdev", node.to_string()),
        (
            "-device",
            "virtio-blk-pci,drive=probe,bootindex=1".to_owned(),
        ),
    ];
    let mut command = confinement.command(qemu);
    command.args(["-nodefaults", "-no-user-config"]);
    for (name, value) in options {
        command.arg(name).arg(value);
    }
    command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn end_of(mut child: Child) -> Result<(), String> {
    let stderr = child.stderr.take().ok_or("QEMU's messages were lost")?;
    let mut lines = BufReader::new(stderr.take(limits::TOOL_OUTPUT_BYTES_MAX)).lines();
    let mut last = "it said nothing".to_owned();
    while let Ok(Some(line)) = lines.next_line().await {
        // A machine that KVM cannot run does not end: QEMU says so and waits. Its word is taken at once.
        if line.contains("KVM internal error") {
            return Err(format!("a probe machine fails with \"{line}\""));
        }
        last = line;
    }
    match child.wait().await.ok().and_then(|status| status.code()) {
        Some(probe_sector::EXIT_CODE) => Ok(()),
        _ => Err(last
            .rsplit("-accel kvm: ")
            .next()
            .unwrap_or_default()
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_and_machine_type_are_read_from_what_qemu_says() {
        let version =
            "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright (c) 2003-2025\n";
        assert_eq!(parse_version(version).as_deref(), Some("QEMU 10.0.2"));
        let machines = "Supported machines are:\npc   Standard PC (alias of pc-i440fx-10.0)\n\
                        pc-q35-9.2  Standard PC (Q35 + ICH9, 2009)\n\
                        q35  Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-10.0)\n";
        assert_eq!(parse_machine_type(machines).as_deref(), Some("pc-q35-10.0"));
        assert_eq!(parse_machine_type("microvm  x"), None);
        assert_eq!(parse_machine_types(machines), ["pc", "pc-q35-9.2", "q35"]);
    }

    /// Shows that the probe itself is right: where it fails, it is the accelerator's fault.
    #[tokio::test]
    async fn the_probe_machine_comes_to_its_end_in_emulation() {
        let qemu = std::env::var_os("MUSTER_QEMU").unwrap_or("qemu-system-x86_64".into());
        let dir = tempfile::tempdir().unwrap();
        let ended = run_machine(
            Path::new(&qemu),
            &Confinement::none(),
            dir.path(),
            Accelerator::Tcg,
        )
        .await;
        assert_eq!(ended, Ok(()));
    }
}
