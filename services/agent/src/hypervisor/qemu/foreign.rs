//! What this host reads and did not write, as functions of bytes: the doors that `tests/fuzz` comes in by. Each is the
//! function that the agent itself uses.

use std::io;
use std::path::{Path, PathBuf};

use contracts::Status;
use contracts::host::{CreateVmRequest, GuestFacts, Hardware};
use serde_json::Value;

use super::definition::{Definition, Format};
use super::guest_agent::GuestAgent;
use super::image::{check_info, check_report};
use super::image_file::Found;
use super::qcow2;
use crate::hypervisor::request;

/// What the guest tells through the channel at `socket`.
pub async fn guest_facts(socket: &Path) -> Result<GuestFacts, String> {
    let agent = GuestAgent::new(socket);
    agent.facts().await.map_err(|error| error.to_string())
}

/// A machine's definition: as it would be written again.
pub fn definition(content: &[u8]) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&Definition::parse(content)?)?)
}

/// The first cluster of a qcow2 file: the bytes of its clusters.
pub fn image_header(start: &[u8]) -> Result<u64, String> {
    qcow2::parse(start).map(|header| header.cluster_bytes)
}

/// What `qemu-img info` and `qemu-img check` print of `file`, which is a qcow2 image of `virtual_bytes`.
pub fn image_reports(
    file: &Path,
    virtual_bytes: u64,
    info: &[u8],
    report: &[u8],
) -> Result<(), String> {
    let found = Found {
        path: PathBuf::from(file),
        format: Format::Qcow2,
        metadata: file.metadata().map_err(|error| error.to_string())?,
        cluster_bytes: 64 << 10,
        virtual_bytes,
        backing: None,
    };
    let info: Value = serde_json::from_slice(info).map_err(|error| error.to_string())?;
    check_info(&info, &found)?;
    let report = serde_json::from_slice(report).unwrap_or_default();
    check_report(Some(0), &report, found.metadata.len(), found.cluster_bytes)
}

/// A request to make a machine: its hardware with nothing left open.
pub fn machine(request: &CreateVmRequest) -> Result<Hardware, Status> {
    request::check(request)
}
