//! Looks at virtual disks of every format that the library keeps. As with images of machines our own eyes come first: what
//! refers to files elsewhere is never shown to `qemu-img`, which runs unprivileged and with little memory and time.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use contracts::limits::DISK_BYTES_MAX;
use serde_json::{Value, json};

use super::confinement::Confinement;
use super::qcow2;
use super::tool;
use crate::limits;

/// What a virtual disk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    pub(crate) format: &'static str,
    pub(crate) virtual_bytes: u64,
    /// The file that it lies on, as its header names it.
    pub(crate) backing: Option<String>,
}

/// Where a disk lies.
#[derive(Clone, Debug)]
pub(crate) struct At {
    /// Where `qemu-img` finds the file.
    pub(crate) path: PathBuf,
    /// The part of the file that the disk is; `None`: all of it.
    pub(crate) part: Option<Part>,
    /// By its ending a disk without a mark of its format is raw.
    pub(crate) name: String,
}

/// A member of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) offset_bytes: u64,
    pub(crate) bytes: u64,
}

impl At {
    /// All of a file.
    pub(crate) fn whole(path: PathBuf) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self {
            name: name.into_owned(),
            path,
            part: None,
        }
    }
}

/// Looks at disks as the user that QEMU runs as.
pub(crate) struct DiskLook {
    qemu_img: PathBuf,
    confinement: Confinement,
}

/// The footer of a VHD of fixed size.
const VHD_FOOTER_BYTES: u64 = 512;

const SECTOR_BYTES: u64 = 512;

impl DiskLook {
    pub(crate) async fn new(qemu_img: &Path, user: &str) -> Self {
        Self::of(qemu_img, Confinement::find(user, &[]).await)
    }

    pub(super) fn of(qemu_img: &Path, confinement: Confinement) -> Self {
        Self {
            qemu_img: qemu_img.to_owned(),
            confinement,
        }
    }

    /// Looks at a disk. The error goes on from "The file …".
    pub(crate) async fn look(&self, file: &File, at: &At) -> Result<Disk, String> {
        let seen = look_ourselves(file, at)?;
        let Some(driver) = driver(seen.format) else {
            return Ok(seen);
        };
        let info = self.info(at, driver).await?;
        let said = info.get("virtual-size").and_then(Value::as_u64);
        let virtual_bytes = check_size(said.unwrap_or_default())?;
        if seen.virtual_bytes != 0 && seen.virtual_bytes != virtual_bytes {
            return Err("has another size to qemu-img than its header says".to_owned());
        }
        // Only for qcow2 we have read ourselves what it lies on.
        if seen.backing.is_none() && info.get("backing-filename").is_some() {
            return Err("is a difference to another file".to_owned());
        }
        Ok(Disk {
            virtual_bytes,
            ..seen
        })
    }

    /// Makes a file of another format of a disk that was looked at and lies on nothing. `to` is there, empty, and is handed
    /// over to the user that the tool runs as. The error goes on from "The file …".
    pub(crate) async fn convert(
        &self,
        disk: &Disk,
        from: &At,
        to: &Path,
        format: &str,
    ) -> Result<(), String> {
        self.confinement.hand_over(to).map_err(|error| {
            let user = self.confinement.user_name();
            format!("cannot be handed over to {user}, as whom qemu-img runs: {error}")
        })?;
        let mut command = self.confinement.limited_command_for(
            &self.qemu_img,
            limits::IMAGE_TOOL_MEMORY_BYTES,
            limits::IMAGE_COPY_TIMEOUT.as_secs(),
        );
        command
            .args(["convert", "-U", "-q", "-O", driver(format).unwrap_or(RAW)])
            .args(options(format))
            .arg(format!(
                "json:{}",
                node(from, driver(disk.format).unwrap_or(RAW))
            ))
            .arg(to);
        let converted = tool::run_well(command, limits::IMAGE_COPY_TIMEOUT).await;
        let converted = converted.map(drop);
        converted.map_err(|error| format!("could not be converted: {error}"))
    }

    /// Room that what a disk holds takes, about, whatever the format.
    pub(crate) async fn measure(&self, disk: &Disk, at: &At) -> Result<u64, String> {
        let node = node(at, driver(disk.format).unwrap_or(RAW));
        self.measure_node(&node).await
    }

    /// The same of a block node with what lies below it.
    pub(super) async fn measure_node(&self, node: &Value) -> Result<u64, String> {
        let mut command = self.confinement.limited_command(&self.qemu_img);
        command
            .args(["measure", "-U", "--output=json", "-O", "qcow2"])
            .arg(format!("json:{node}"));
        let output = tool::run_well(command, limits::IMAGE_CHECK_TIMEOUT).await;
        let output = output.map_err(|error| format!("could not be measured: {error}"))?;
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let required = said.get("required").and_then(Value::as_u64);
        required.ok_or_else(|| "was not measured by qemu-img".to_owned())
    }

    async fn info(&self, at: &At, driver: &str) -> Result<Value, String> {
        let node = node(at, driver);
        let mut command = self.confinement.limited_command(&self.qemu_img);
        command
            .args(["info", "-U", "--output=json"])
            .arg(format!("json:{node}"));
        let output = tool::run_well(command, limits::IMAGE_INFO_TIMEOUT).await;
        let output = output.map_err(|error| match error {
            tool::ToolError::Failed { stderr, .. } if stderr.contains("Permission denied") => {
                format!(
                    "cannot be read by {}, as whom qemu-img runs",
                    self.confinement.user_name()
                )
            }
            tool::ToolError::Failed { stderr, .. } => {
                format!("is refused by qemu-img: {}", tool::last_line(&stderr))
            }
            error => format!("could not be looked at: {error}"),
        })?;
        serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("was not understood by qemu-img ({error})"))
    }
}

/// As `qemu-img` calls what has no format.
const RAW: &str = "raw";

/// A disk alone. What it lies on is never opened.
fn node(at: &At, driver: &str) -> Value {
    let path = at.path.to_string_lossy();
    let file = json!({"driver": "file", "filename": path, "locking": "off"});
    let file = match at.part {
        None => file,
        // A member of an archive is filled up to whole sectors, and QEMU takes no others.
        Some(Part {
            offset_bytes,
            bytes,
        }) => {
            let size = bytes.next_multiple_of(SECTOR_BYTES);
            json!({"driver": RAW, "offset": offset_bytes, "size": size, "file": file})
        }
    };
    match driver {
        "qcow2" | "vmdk" => json!({"driver": driver, "file": file, "backing": null}),
        _ => json!({"driver": driver, "file": file}),
    }
}

/// Of the kinds of a format, the one that is a single file and grows.
fn options(format: &str) -> &'static [&'static str] {
    match format {
        // Else the size is rounded up to a geometry of cylinders.
        "vhd" => &["-o", "subformat=dynamic,force_size=on"],
        "vhdx" => &["-o", "subformat=dynamic"],
        "vmdk" => &["-o", "subformat=monolithicSparse"],
        _ => &[],
    }
}

/// As `qemu-img` calls a format; a raw file needs no look.
fn driver(format: &str) -> Option<&'static str> {
    match format {
        "qcow2" => Some("qcow2"),
        "vhd" => Some("vpc"),
        "vhdx" => Some("vhdx"),
        "vmdk" => Some("vmdk"),
        _ => None,
    }
}

fn look_ourselves(file: &File, at: &At) -> Result<Disk, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let (from, bytes) = match at.part {
        Some(part) => (part.offset_bytes, part.bytes),
        None => (0, file.metadata().map_err(unreadable)?.len()),
    };
    let start = bytes.min(qcow2::HEADER_BYTES as u64);
    let start = read(file, from, start).map_err(unreadable)?;
    let footer = from.saturating_add(bytes.saturating_sub(VHD_FOOTER_BYTES));
    let end = read(file, footer, bytes.min(VHD_FOOTER_BYTES)).map_err(unreadable)?;
    let (_, extension) = at.name.rsplit_once('.').unwrap_or_default();
    let extension = extension.to_ascii_lowercase();
    let disk = |format, virtual_bytes| Disk {
        format,
        virtual_bytes,
        backing: None,
    };
    if qcow2::has_magic(&start) {
        let header = qcow2::parse(&start)?;
        return Ok(Disk {
            backing: header.backing.map(|backing| backing.name),
            ..disk("qcow2", check_size(header.virtual_bytes)?)
        });
    }
    if start.starts_with(b"vhdxfile") {
        return Ok(disk("vhdx", 0));
    }
    if start.starts_with(b"KDMV") {
        return match holds_itself(&start) {
            true => Ok(disk("vmdk", 0)),
            false => Err(ONLY_NAMES_OTHERS.to_owned()),
        };
    }
    if start.starts_with(b"# Disk Descriptor") {
        return Err(ONLY_NAMES_OTHERS.to_owned());
    }
    if let Some(mark) = [&start, &end].into_iter().find(|mark| has_vhd_mark(mark)) {
        // What is named raw may end as its guest likes.
        if has_vhd_mark(&start) || extension != "raw" {
            return check_vhd(mark).map(|()| disk("vhd", 0));
        }
    }
    match extension.as_str() {
        "raw" | "img" if bytes.is_multiple_of(SECTOR_BYTES) => Ok(disk("raw", check_size(bytes)?)),
        "raw" | "img" => Err("is no whole number of sectors".to_owned()),
        _ if start.starts_with(&GZIP_MAGIC) => Err("is compressed by gzip; unpack it".to_owned()),
        other => Err(format!("is named {other} and is none")),
    }
}

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

const ONLY_NAMES_OTHERS: &str = "only names other files that hold the disk";

/// Whether a VMDK has a size of its own. Of one that has none QEMU opens the files that its descriptor names, whatever they are.
fn holds_itself(start: &[u8]) -> bool {
    /// Sectors of the disk, in the header of a sparse extent.
    const CAPACITY: std::ops::Range<usize> = 12..20;
    let capacity = start.get(CAPACITY);
    // One that is cut off before it is refused by QEMU.
    capacity.is_none_or(|capacity| capacity.iter().any(|byte| *byte != 0))
}

fn has_vhd_mark(sector: &[u8]) -> bool {
    sector.starts_with(b"conectix")
}

/// Refuses a VHD that is the difference to another, which QEMU reads as if it were whole.
fn check_vhd(footer: &[u8]) -> Result<(), String> {
    const KIND: std::ops::Range<usize> = 60..64;
    const DIFFERENCE: u32 = 4;
    match footer.get(KIND) == Some(&DIFFERENCE.to_be_bytes()) {
        true => Err("is a difference to another file".to_owned()),
        false => Ok(()),
    }
}

fn read(file: &File, offset: u64, bytes: u64) -> std::io::Result<Vec<u8>> {
    let mut buffer = vec![0; usize::try_from(bytes).unwrap_or_default()];
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}

fn check_size(virtual_bytes: u64) -> Result<u64, String> {
    match virtual_bytes {
        1..=DISK_BYTES_MAX => Ok(virtual_bytes),
        _ => Err(format!("says that its disk has {virtual_bytes} bytes")),
    }
}
