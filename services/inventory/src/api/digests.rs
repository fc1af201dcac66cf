//! Digests of the machines of each host as the records have them, kept until one of its machines changes. Most refreshes
//! find nothing new, and reading the records of all machines each time would cost more than all the rest of such a pass.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contracts::inventory::Vm;
use kit::records::{Change, Mirror};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

/// Of all machines of a host together, at the light level.
pub(super) struct Digests(Mutex<Kept>);

struct Kept {
    changes: Receiver<Arc<Change<Vm>>>,
    by_host: HashMap<String, Vec<u8>>,
    /// How many changes were heard of, so that nothing is kept that was made before the last one.
    heard: u64,
}

impl Digests {
    pub(super) fn new(vms: &Mirror<Vm>) -> Self {
        Self(Mutex::new(Kept {
            changes: vms.changes(),
            by_host: HashMap::new(),
            heard: 0,
        }))
    }

    /// What is kept of a host, if no machine of it has changed since it was made.
    pub(super) fn of(&self, host_id: &str) -> Option<Vec<u8>> {
        self.up_to_date().by_host.get(host_id).cloned()
    }

    /// To be given to [`keep`](Self::keep), from before the records were read.
    pub(super) fn heard(&self) -> u64 {
        self.up_to_date().heard
    }

    pub(super) fn keep(&self, host_id: &str, digest: Vec<u8>, heard: u64) {
        let mut kept = self.up_to_date();
        if kept.heard == heard {
            kept.by_host.insert(host_id.to_owned(), digest);
        }
    }

    fn up_to_date(&self) -> MutexGuard<'_, Kept> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.hear();
        kept
    }
}

impl Kept {
    fn hear(&mut self) {
        loop {
            match self.changes.try_recv() {
                Ok(change) => {
                    for vm in change.before.iter().chain(&change.after) {
                        self.by_host.remove(&vm.host_id);
                    }
                }
                Err(TryRecvError::Lagged(_)) => self.by_host.clear(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
            self.heard += 1;
        }
    }
}
