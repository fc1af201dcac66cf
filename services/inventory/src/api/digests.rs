//! Digests of the machines of each host as the records have them, kept until one of its machines changes. Most refreshes
//! find nothing new, and reading the records of all machines each time would cost more than all the rest of such a pass.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contracts::inventory::Vm;
use kit::records::Change;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

/// Of all machines of a host together, at the light level.
pub(super) struct Digests(Mutex<Kept>);

struct Kept {
    changes: Receiver<Arc<Change<Vm>>>,
    by_host: HashMap<String, Known>,
    /// How many changes were heard of, so that nothing is kept that was made before the last one.
    heard: u64,
}

struct Known {
    digest: Vec<u8>,
    /// Of how many machines. Those that are not in a log which was put back to an earlier state go without a change.
    machines: u64,
}

impl Digests {
    pub(super) fn new(changes: Receiver<Arc<Change<Vm>>>) -> Self {
        Self(Mutex::new(Kept {
            changes,
            by_host: HashMap::new(),
            heard: 0,
        }))
    }

    /// What is kept of a host that has so many machines, if none of them has changed since it was made.
    pub(super) fn of(&self, host_id: &str, machines: u64) -> Option<Vec<u8>> {
        let kept = self.up_to_date();
        let known = kept.by_host.get(host_id);
        let known = known.filter(|known| known.machines == machines)?;
        Some(known.digest.clone())
    }

    /// To be given to [`keep`](Self::keep), from before the records were read.
    pub(super) fn heard(&self) -> u64 {
        self.up_to_date().heard
    }

    pub(super) fn keep(&self, host_id: &str, machines: u64, digest: Vec<u8>, heard: u64) {
        let mut kept = self.up_to_date();
        if kept.heard == heard {
            let known = Known { digest, machines };
            kept.by_host.insert(host_id.to_owned(), known);
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

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast;

    use super::*;

    fn change(before: &str, after: &str) -> Arc<Change<Vm>> {
        let on = |host_id: &str| {
            (!host_id.is_empty()).then(|| Vm {
                host_id: host_id.to_owned(),
                ..Vm::default()
            })
        };
        Arc::new(Change {
            id: "v1".to_owned(),
            revision: 1,
            before: on(before),
            after: on(after),
        })
    }

    #[test]
    fn a_digest_is_kept_until_a_machine_of_its_host_comes_changes_or_goes() {
        let (changes, heard) = broadcast::channel(2);
        let digests = Digests::new(heard);
        let keep = |host_id: &str| digests.keep(host_id, 2, vec![1], digests.heard());
        for (before, after) in [
            ("", "h1"),
            ("h1", "h1"),
            ("h1", ""),
            ("h1", "h2"),
            ("h2", "h1"),
        ] {
            keep("h1");
            keep("h3");
            assert_eq!(digests.of("h1", 2), Some(vec![1]));
            changes.send(change(before, after)).unwrap();
            assert_eq!(digests.of("h1", 2), None, "{before} {after}");
            assert_eq!(digests.of("h3", 2), Some(vec![1]));
        }
        // More than are kept for it: it may have been any.
        for _ in 0..3 {
            changes.send(change("h1", "h1")).unwrap();
        }
        assert_eq!(digests.of("h3", 2), None);
    }

    #[test]
    fn what_was_made_before_a_change_or_of_other_machines_is_not_used() {
        let (changes, heard) = broadcast::channel(2);
        let digests = Digests::new(heard);
        let before = digests.heard();
        changes.send(change("h1", "h1")).unwrap();
        digests.keep("h1", 2, vec![1], before);
        assert_eq!(digests.of("h1", 2), None);
        digests.keep("h1", 2, vec![1], digests.heard());
        assert_eq!(digests.of("h1", 1), None);
        assert_eq!(digests.of("h1", 2), Some(vec![1]));
    }
}
