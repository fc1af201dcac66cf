//! QEMU as a process of the host: which one it is, that there is only one, and when it ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;

use rustix::fs::FlockOperation;
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;
use tokio::process::Command;
use tokio::sync::watch;

use super::folder::{self, Folder};
use crate::limits;

/// Which process it is. A process id alone means nothing: after a restart another program may have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) pid: i32,
    /// Clock ticks from the boot of the host to the start of the process.
    pub(super) start_ticks: u64,
    /// Changes with each boot of the host.
    pub(super) boot_id: String,
}

/// `process.json`: what was started, and what was being done with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) identity: Identity,
    pub(super) started_ms: i64,
    pub(super) accelerator: String,
    /// The machine is being saved, and this is what it goes back to when that fails.
    #[serde(default)]
    pub(super) saving_from: Option<BeforeSave>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BeforeSave {
    Running,
    Paused,
}

impl Record {
    pub(super) fn load(folder: &Folder) -> Option<Self> {
        let content = folder::read_limited(&folder.process(), limits::DEFINITION_BYTES_MAX).ok()?;
        serde_json::from_slice(&content).ok()
    }

    pub(super) fn store(&self, folder: &Folder) -> io::Result<()> {
        folder::write_durably(&folder.process(), &serde_json::to_vec_pretty(self)?)
    }
}

impl Identity {
    /// Of a process that lives; `None` when there is none, or only its exit code is left.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let start_ticks = start_ticks(&stat)?;
        Some(Self {
            pid,
            start_ticks,
            boot_id: boot_id(),
        })
    }

    pub(super) fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    pub(super) fn is_of_this_boot(&self) -> bool {
        self.boot_id == boot_id()
    }
}

fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Field 22 of `/proc/<pid>/stat`. The name in parentheses may hold anything, so we count from its end.
fn start_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit {
    /// Unknown for a process that an agent before us had started: only its parent learns the code.
    status: Option<ExitStatus>,
}

impl Exit {
    /// "was killed by signal 9", to go on from "QEMU …".
    pub(super) fn describe(self) -> String {
        use std::os::unix::process::ExitStatusExt as _;
        match (
            self.status.and_then(|s| s.signal()),
            self.status.and_then(|s| s.code()),
        ) {
            (Some(signal), _) => format!("was killed by signal {signal}"),
            (None, Some(code)) => format!("ended with code {code}"),
            (None, None) => "ended unexpectedly".to_owned(),
        }
    }
}

/// A QEMU that was started or found. Dropping it leaves the process alone.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) identity: Identity,
    pidfd: Arc<OwnedFd>,
    exit: watch::Receiver<Option<Exit>>,
}

impl Process {
    /// Starts a program that holds the lock as long as it lives, whatever becomes of us.
    pub(super) fn spawn(mut command: Command, lock: File, log: File) -> io::Result<Self> {
        command
            .stdin(lock)
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(false);
        let mut child = command.spawn()?;
        // The command holds our copy of the lock.
        drop(command);
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .ok_or_else(gone)?;
        let identity = Identity::of(pid).ok_or_else(gone)?;
        let pidfd = Arc::new(open(pid)?);
        let (sender, exit) = watch::channel(None);
        tokio::spawn(async move {
            let status = child.wait().await.ok();
            sender.send_replace(Some(Exit { status }));
        });
        Ok(Self {
            identity,
            pidfd,
            exit,
        })
    }

    /// Takes over a process that is not our child.
    pub(super) fn adopt(pid: i32) -> io::Result<Self> {
        // Opened before the identity is read: what we then hold is the process that was read, or a dead one.
        let pidfd = Arc::new(open(pid)?);
        let identity = Identity::of(pid).ok_or_else(gone)?;
        let (sender, exit) = watch::channel(None);
        // Deprecated for types whose descriptor may change under it; an owned one's cannot.
        #[allow(deprecated)]
        let waiting = AsyncFd::new(pidfd.try_clone()?)?;
        tokio::spawn(async move {
            let _ = waiting.readable().await;
            sender.send_replace(Some(Exit { status: None }));
        });
        Ok(Self {
            identity,
            pidfd,
            exit,
        })
    }

    pub(super) async fn exited(&self) -> Exit {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await;
        ended
            .ok()
            .and_then(|exit| *exit)
            .unwrap_or(Exit { status: None })
    }

    /// SIGKILL to exactly this process, never to one that got its number later.
    pub(super) fn kill(&self) {
        if let Err(error) = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL) {
            tracing::debug!(pid = self.identity.pid, %error, "nothing left to kill");
        }
    }
}

fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or_else(gone)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?)
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the process is gone")
}

/// Takes the lock of a machine; `None` while a process holds it.
pub(super) fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .read(true)
        .open(path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_process_is_read_past_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 9 9";
        assert_eq!(start_ticks(stat), Some(123_456));
        assert_eq!(start_ticks(&stat.replace(") S", ") Z")), None);
        assert_eq!(start_ticks("nonsense"), None);
    }

    #[test]
    fn a_process_of_another_boot_is_not_ours() {
        let us = Identity::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(us.is_alive() && us.is_of_this_boot());
        let other = Identity {
            boot_id: "other".to_owned(),
            ..us
        };
        assert!(!other.is_alive() && !other.is_of_this_boot());
    }

    #[tokio::test]
    async fn the_lock_lives_and_dies_with_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = try_lock(&path).unwrap().unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new("sleep");
        command.arg("60");
        let process = Process::spawn(command, lock, log).unwrap();
        assert!(try_lock(&path).unwrap().is_none());
        let adopted = Process::adopt(process.identity.pid).unwrap();
        assert_eq!(adopted.identity, process.identity);
        adopted.kill();
        assert_eq!(process.exited().await.describe(), "was killed by signal 9");
        assert_eq!(adopted.exited().await.describe(), "ended unexpectedly");
        assert!(try_lock(&path).unwrap().is_some());
        assert!(!process.identity.is_alive());
    }
}
