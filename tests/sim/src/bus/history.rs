//! Everything that each log ever took: what an observer knows who misses nothing.

use std::collections::BTreeMap;

use kit::bus::LogEntry;

/// A log from when it was made, or restored from a backup, until that happened again.
#[derive(Clone, Debug)]
pub struct Epoch {
    pub created: String,
    /// What the backup had; nothing in a log that was made.
    pub beginning: Vec<LogEntry>,
    /// What was appended since, in order.
    pub taken: Vec<LogEntry>,
}

#[derive(Default)]
pub(super) struct History(BTreeMap<String, Vec<Epoch>>);

impl History {
    pub(super) fn begin(&mut self, log: &str, created: &str, beginning: Vec<LogEntry>) {
        self.0.entry(log.to_owned()).or_default().push(Epoch {
            created: created.to_owned(),
            beginning,
            taken: Vec::new(),
        });
    }

    pub(super) fn take(&mut self, log: &str, entry: LogEntry) {
        if let Some(epoch) = self.0.get_mut(log).and_then(|epochs| epochs.last_mut()) {
            epoch.taken.push(entry);
        }
    }

    pub(super) fn of(&self, log: &str) -> Vec<Epoch> {
        self.0.get(log).cloned().unwrap_or_default()
    }

    pub(super) fn epochs(&self, log: &str) -> usize {
        self.0.get(log).map_or(0, Vec::len)
    }
}
