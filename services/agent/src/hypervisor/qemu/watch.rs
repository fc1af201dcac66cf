//! What goes on beside a worker while its machine runs: each a small task that tells the worker what it saw.

use std::fs::{self, OpenOptions};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::adopt::state_of;
use super::folder::Folder;
use super::guest_agent::GuestAgent;
use super::machine::{Live, Machine, agent_open, run_state};
use super::process::Process;
use super::qmp::{Event, Qmp};
use super::worker::Message;
use crate::limits;

/// Weak, so that a worker ends when nobody can ask it any more.
pub(super) type Mailbox = mpsc::WeakSender<Message>;

/// Between two looks at what changes slowly: the length of the log, a QEMU that does not answer.
const SLOW: Duration = Duration::from_secs(5);

/// Facts are read often for this many times, while the guest gets its address.
const EARLY_LOOKS: u32 = 30;

pub(super) async fn send(mailbox: &Mailbox, message: Message) {
    if let Some(mailbox) = mailbox.upgrade() {
        let _ = mailbox.send(message).await;
    }
}

/// Tells when the process ends, whatever ended it.
pub(super) fn watch_process(
    tasks: &mut JoinSet<()>,
    mailbox: &Mailbox,
    run: u64,
    process: &Process,
) {
    let (mailbox, process) = (mailbox.clone(), process.clone());
    tasks.spawn(async move {
        let exit = process.exited().await;
        send(&mailbox, Message::Ended { run, exit }).await;
    });
}

/// Hands QEMU's events on, and tells when the session ends.
pub(super) fn forward_events(
    tasks: &mut JoinSet<()>,
    mailbox: &Mailbox,
    run: u64,
    mut events: mpsc::Receiver<Event>,
) {
    let mailbox = mailbox.clone();
    tasks.spawn(async move {
        while let Some(event) = events.recv().await {
            send(&mailbox, Message::Event { run, event }).await;
        }
        send(&mailbox, Message::SessionLost { run }).await;
    });
}

/// Tries to get a session again with a process that lives; when it ends, this is ended too.
pub(super) fn reconnect(
    tasks: &mut JoinSet<()>,
    mailbox: &Mailbox,
    run: u64,
    machine: &Arc<Machine>,
    live: &Live,
) {
    let (mailbox, machine, pid) = (mailbox.clone(), machine.clone(), live.process.identity.pid);
    tasks.spawn(async move {
        loop {
            // The usual reason for a lost session is that the process is ending: that is heard first.
            sleep(SLOW).await;
            let Ok(session) = Qmp::connect(&machine.sockets.qmp()).await else {
                continue;
            };
            let Ok(status) = run_state(&session.qmp).await else {
                continue;
            };
            if session.pid == Some(pid) {
                let (state, agent_open) = (state_of(&status), agent_open(&session.qmp).await);
                let back = Message::SessionBack {
                    run,
                    session,
                    state,
                    agent_open,
                };
                return send(&mailbox, back).await;
            }
        }
    });
}

/// Reads the guest's facts while its agent can be asked: often until it has an address, seldom later.
pub(super) fn watch_guest(
    tasks: &mut JoinSet<()>,
    mailbox: &Mailbox,
    run: u64,
    guest: &Arc<GuestAgent>,
    mut reachable: watch::Receiver<bool>,
) {
    let (mailbox, guest) = (mailbox.clone(), guest.clone());
    tasks.spawn(async move {
        let mut early_looks = EARLY_LOOKS;
        while reachable.wait_for(|reachable| *reachable).await.is_ok() {
            let facts = guest.facts().await.ok();
            let settled = facts
                .as_ref()
                .is_some_and(|facts| !facts.addresses.is_empty());
            early_looks = early_looks.saturating_sub(1);
            send(
                &mailbox,
                Message::Guest {
                    run,
                    facts,
                    reply: None,
                },
            )
            .await;
            let pause = if settled || early_looks == 0 {
                limits::GUEST_REFRESH
            } else {
                limits::GUEST_REFRESH_EARLY
            };
            tokio::select! {
                () = sleep(pause) => {}
                // The agent went away, or came back after a restart of the guest.
                _ = reachable.changed() => early_looks = EARLY_LOOKS,
            }
        }
    });
}

/// Keeps the serial log from filling the datastore: the guest decides how much it writes.
pub(super) fn keep_log_short(tasks: &mut JoinSet<()>, folder: &Folder) {
    let folder = folder.clone();
    tasks.spawn(async move {
        loop {
            if let Err(error) = cut_log(&folder) {
                tracing::warn!(folder = %folder.path().display(), %error, "the serial log was not cut");
            }
            sleep(SLOW).await;
        }
    });
}

/// QEMU appends, so after the cut it goes on at the new end. What it writes between copy and cut is lost.
fn cut_log(folder: &Folder) -> std::io::Result<()> {
    let log = folder.console_log();
    if fs::symlink_metadata(&log)?.len() <= limits::LOG_BYTES_MAX {
        return Ok(());
    }
    fs::copy(&log, folder.console_log_old())?;
    OpenOptions::new().write(true).open(&log)?.set_len(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_cut_and_its_last_part_kept_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().to_owned());
        fs::write(folder.console_log(), "short").unwrap();
        cut_log(&folder).unwrap();
        assert!(!folder.console_log_old().exists());
        let long = vec![b'x'; usize::try_from(limits::LOG_BYTES_MAX).unwrap() + 1];
        fs::write(folder.console_log(), &long).unwrap();
        cut_log(&folder).unwrap();
        assert_eq!(fs::metadata(folder.console_log()).unwrap().len(), 0);
        assert_eq!(
            fs::metadata(folder.console_log_old()).unwrap().len(),
            long.len() as u64
        );
    }
}
