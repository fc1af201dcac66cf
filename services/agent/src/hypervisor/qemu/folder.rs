//! What lies where. A machine is one folder, and its files say by themselves what state it is in, so that a start of
//! the agent after any crash needs nothing else.
//!
//! | in `<datastore>/vms/<vm_id>/` | means |
//! |---|---|
//! | `vm.json` | the definition; the machine exists |
//! | `disk0.qcow2` … | its disks; `disk0-1.qcow2` after what it held before became a layer for linked clones |
//! | `firmware.vars` | what the machine's UEFI firmware has noted: what to start, and in which order |
//! | `seed.img` | what the guest is told when it first boots |
//! | `console.log`, `console.log.old` | what the guest wrote to its serial port |
//! | `qemu.log` | what QEMU wrote of its last run |
//! | `lock` | held (flock) by the QEMU process itself, as its standard input: while it lives, no second can start |
//! | `process.json` | a process was started, which one, and what was being done with it. There without a process: it died, or the host did |
//! | `memory.state.tmp` | memory is being written; worth nothing until it is renamed |
//! | `memory.state` | the machine is saved: start goes on from here |
//! | `memory.state.used` | the guest runs on from that memory, or may have. Never used again: its disks have moved on |
//!
//! | in `<datastore>/vms/` | means |
//! |---|---|
//! | `<vm_id>.creating/` | a machine whose making did not end; the next start removes it |
//! | `<vm_id>.deleting/` | a machine whose deletion did not end; the next start removes the rest |
//!
//! | in `<datastore>/images/` | means |
//! |---|---|
//! | `layer-<vm_id>-disk0.qcow2` | what a disk of the machine held when it was cloned (see `layer`) |
//! | any other | an image |
//!
//! What lies in `<datastore>/parcels/` is told in `parcel`.
//!
//! Folders belong to the agent and QEMU is given single files in them, so that a QEMU that was taken over by its guest
//! cannot put a link where the agent reads. Its sockets are in a folder of its own below the runtime directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::limits;

pub(super) const CREATING: &str = ".creating";
pub(super) const DELETING: &str = ".deleting";

/// The folder of one machine.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn definition(&self) -> PathBuf {
        self.0.join("vm.json")
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn console_log(&self) -> PathBuf {
        self.0.join("console.log")
    }

    pub(super) fn console_log_old(&self) -> PathBuf {
        self.0.join("console.log.old")
    }

    pub(super) fn qemu_log(&self) -> PathBuf {
        self.0.join("qemu.log")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    pub(super) fn process(&self) -> PathBuf {
        self.0.join("process.json")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.0.join("memory.state")
    }

    pub(super) fn state_tmp(&self) -> PathBuf {
        self.0.join("memory.state.tmp")
    }

    pub(super) fn state_used(&self) -> PathBuf {
        self.0.join("memory.state.used")
    }
}

/// The sockets of one machine's QEMU.
#[derive(Clone, Debug)]
pub(super) struct Sockets(PathBuf);

impl Sockets {
    /// Below the runtime directory under a short name: the path of a socket has 107 bytes.
    pub(super) fn new(runtime_dir: &Path, vm_id: &str) -> Self {
        let hash = blake3::hash(vm_id.as_bytes()).to_hex();
        Self(runtime_dir.join(hash.get(..SHORT_ID_CHARS).unwrap_or_default()))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.0
    }

    /// The agent's own QMP connection.
    pub(super) fn qmp(&self) -> PathBuf {
        self.0.join("qmp")
    }

    /// For a person or a tool: a QMP socket serves one client only.
    pub(super) fn qmp_spare(&self) -> PathBuf {
        self.0.join("qmp2")
    }

    pub(super) fn guest_agent(&self) -> PathBuf {
        self.0.join("ga")
    }

    pub(super) fn serial(&self) -> PathBuf {
        self.0.join("ser")
    }

    pub(super) fn vnc(&self) -> PathBuf {
        self.0.join("vnc")
    }
}

const SHORT_ID_CHARS: usize = 12;
const LONGEST_SOCKET_NAME: usize = "qmp2".len();

/// Whether sockets below this directory have paths that the kernel takes.
pub(super) fn check_runtime_dir(dir: &Path) -> Result<(), String> {
    let bytes = dir.as_os_str().len() + 1 + SHORT_ID_CHARS + 1 + LONGEST_SOCKET_NAME;
    if bytes <= limits::SOCKET_PATH_BYTES_MAX {
        return Ok(());
    }
    Err(format!(
        "The runtime directory {} is too long: paths of sockets in it would have {bytes} bytes, and {} is the \
         kernel's limit. Set runtime_dir to a shorter one.",
        dir.display(),
        limits::SOCKET_PATH_BYTES_MAX
    ))
}

/// Writes a file that is whole or not there, whatever happens meanwhile.
pub(super) fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let tmp = path.with_extension("new");
    let write = || {
        let mut file = File::create(&tmp)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&tmp, path)
    };
    let written = write();
    if written.is_err() {
        // Half a file helps nobody, least of all on a disk that is full.
        let _ = fs::remove_file(&tmp);
    }
    written?;
    sync_parent(path)
}

/// Renames and makes the new name durable.
pub(super) fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_parent(to)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Removes a file; one that is not there is fine.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    not_found_is_fine(fs::remove_file(path))
}

/// Removes a folder with all that is in it; one that is not there is fine.
pub(super) fn remove_folder(path: &Path) -> io::Result<()> {
    not_found_is_fine(fs::remove_dir_all(path))
}

fn not_found_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Opens a regular file for reading. Follows no link and waits for no pipe: others may have put it there.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    let flags = i32::try_from(flags).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "not a regular file",
    ))
}

/// Reads a whole file of limited size.
pub(super) fn read_limited(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open_regular(path)?
        .take(bytes_max + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "larger than it can be",
        ));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_directory_is_refused_when_sockets_would_not_fit() {
        assert!(check_runtime_dir(Path::new("/run/muster")).is_ok());
        let long = PathBuf::from(format!("/{}", "x".repeat(90)));
        assert!(
            check_runtime_dir(&long)
                .unwrap_err()
                .contains("runtime_dir")
        );
    }

    #[test]
    fn a_link_is_never_followed() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("console.log");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(read_limited(&link, 1 << 20).is_err());
    }

    #[test]
    fn half_a_file_is_not_left_when_the_whole_cannot_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vm.json");
        // In its way, so that it gets no name.
        fs::create_dir(&path).unwrap();
        write_durably(&path, b"12345").unwrap_err();
        let entries = fs::read_dir(dir.path()).unwrap();
        let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["vm.json"]);
    }

    #[test]
    fn a_file_above_its_limit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vm.json");
        write_durably(&path, b"12345").unwrap();
        assert_eq!(read_limited(&path, 5).unwrap(), b"12345");
        assert!(read_limited(&path, 4).is_err());
    }
}
