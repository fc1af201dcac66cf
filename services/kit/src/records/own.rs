//! What this process has written itself, applied as soon as the log has acknowledged it: the log's own copy comes a
//! little later and brings nothing new.
//!
//! The view stays a replay of the log. An own entry is taken only where it is the very next one; if others wrote in
//! between, it waits until the log has brought theirs, or itself. And only while the view follows the log that it
//! followed when the entry was sent: of another log its number means another place.
//!
//! An acknowledgement does not say when the log took the entry, so that is reckoned from the last time that the log
//! told. It is right to the milliseconds that an entry takes to get here, whatever this machine's clock says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::bus::{Append, LogEntry};

/// Own entries that may wait to be applied. One that finds no room comes from the log.
const WAITING_MAX: usize = 1_024;

/// Tells whoever brings the view forward what was written.
pub(super) struct OwnWrites {
    entries: mpsc::Sender<OwnEntry>,
    epoch: Arc<AtomicU64>,
}

/// The end of whoever brings the view forward.
pub(super) struct OwnEntries {
    entries: mpsc::Receiver<OwnEntry>,
    /// Counts the times that the view began to follow a log.
    epoch: Arc<AtomicU64>,
    /// By revision.
    waiting: BTreeMap<u64, LogEntry>,
    /// What the server's clock said, milliseconds since 1970 UTC, and when that was heard.
    server_ms: i64,
    heard: Instant,
}

struct OwnEntry {
    epoch: u64,
    entry: LogEntry,
}

/// When an entry was sent, in terms of what the view followed.
#[derive(Clone, Copy)]
pub(super) struct Sent(u64);

pub(super) fn channel() -> (OwnWrites, OwnEntries) {
    let (sender, entries) = mpsc::channel(WAITING_MAX);
    let epoch = Arc::<AtomicU64>::default();
    let writes = OwnWrites {
        entries: sender,
        epoch: Arc::clone(&epoch),
    };
    let entries = OwnEntries {
        entries,
        epoch,
        waiting: BTreeMap::new(),
        server_ms: 0,
        heard: Instant::now(),
    };
    (writes, entries)
}

impl OwnWrites {
    /// To be called before an entry is sent.
    pub(super) fn before(&self) -> Sent {
        Sent(self.epoch.load(Ordering::SeqCst))
    }

    /// The log has taken an entry.
    pub(super) fn taken(&self, sent: Sent, revision: u64, entry: Append) {
        let own = OwnEntry {
            epoch: sent.0,
            entry: LogEntry {
                subject: entry.subject,
                message: entry.message,
                sequence: revision,
                // Not known here; set when it is applied.
                time_ms: 0,
            },
        };
        // No room: the log brings it.
        let _ = self.entries.try_send(own);
    }
}

impl OwnEntries {
    /// The view has just been bound to a log, which may be another one: forgets what was sent before now.
    pub(super) fn start_anew(&mut self, server_ms: i64) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.waiting.clear();
        self.hear(server_ms);
    }

    /// The server's clock, as the log has just told it.
    pub(super) fn hear(&mut self, server_ms: i64) {
        self.server_ms = server_ms;
        self.heard = Instant::now();
    }

    fn server_now_ms(&self) -> i64 {
        let since = i64::try_from(self.heard.elapsed().as_millis()).unwrap_or(0);
        self.server_ms.saturating_add(since)
    }

    fn take(&mut self, own: OwnEntry) {
        let is_of_this_log = own.epoch == self.epoch.load(Ordering::SeqCst);
        if is_of_this_log && self.waiting.len() < WAITING_MAX {
            self.waiting.insert(own.entry.sequence, own.entry);
        }
    }

    /// The own entries that follow on a revision without a gap.
    pub(super) fn after(&mut self, revision: u64) -> Vec<LogEntry> {
        while let Ok(own) = self.entries.try_recv() {
            self.take(own);
        }
        self.waiting = self.waiting.split_off(&revision.saturating_add(1));
        let mut next = revision;
        let mut entries = Vec::new();
        while let Some(mut entry) = self.waiting.remove(&next.saturating_add(1)) {
            next = entry.sequence;
            entry.time_ms = self.server_now_ms();
            entries.push(entry);
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Message;

    fn write(writes: &OwnWrites, sent: Sent, revision: u64) {
        let entry = Append {
            log: String::new(),
            subject: revision.to_string(),
            message: Message::default(),
            expect: None,
            lifetime: None,
        };
        writes.taken(sent, revision, entry);
    }

    fn after(entries: &mut OwnEntries, revision: u64) -> Vec<u64> {
        let entries = entries.after(revision);
        entries.iter().map(|entry| entry.sequence).collect()
    }

    #[test]
    fn own_entries_are_taken_in_order_and_only_without_a_gap() {
        let (writes, mut entries) = channel();
        let sent = writes.before();
        for revision in [8, 5, 6, 3] {
            write(&writes, sent, revision);
        }
        assert_eq!(after(&mut entries, 3), Vec::<u64>::new());
        assert_eq!(after(&mut entries, 4), [5, 6]);
        assert_eq!(after(&mut entries, 6), Vec::<u64>::new());
        assert_eq!(after(&mut entries, 7), [8]);
        assert_eq!(after(&mut entries, 7), Vec::<u64>::new(), "each once");
    }

    #[test]
    fn what_was_sent_to_a_log_that_was_followed_before_is_not_taken() {
        let (writes, mut entries) = channel();
        let before = writes.before();
        write(&writes, before, 5);
        entries.start_anew(0);
        write(&writes, before, 5);
        assert_eq!(after(&mut entries, 4), Vec::<u64>::new());
        write(&writes, writes.before(), 5);
        assert_eq!(after(&mut entries, 4), [5]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_goes_on_from_what_the_log_has_told() {
        let (writes, mut entries) = channel();
        entries.start_anew(1_000);
        entries.hear(2_000);
        tokio::time::advance(std::time::Duration::from_millis(7)).await;
        write(&writes, writes.before(), 5);
        assert_eq!(
            entries.after(4).first().map(|entry| entry.time_ms),
            Some(2_007)
        );
    }

    #[test]
    fn who_does_not_follow_holds_up_no_writer() {
        let (writes, mut entries) = channel();
        let sent = writes.before();
        for revision in 1..=WAITING_MAX as u64 + 5 {
            write(&writes, sent, revision);
        }
        assert_eq!(after(&mut entries, 0).len(), WAITING_MAX);
    }
}
