//! Commands that come too late.
//!
//! A message may be held up on its way (a client keeps what it sends while it has no connection) while its job goes on
//! without it, is undone, and ends. Each step is begun by a write to the log of jobs, and a command carries that
//! revision: of two commands about one machine the later one carries the higher. Who has heard the later one does not do
//! the earlier any more.

use std::collections::BTreeMap;

/// The newest revision of the log of jobs with which each machine was spoken of.
#[derive(Debug, Default)]
pub struct Fences(BTreeMap<String, u64>);

impl Fences {
    /// Notes that a machine is spoken of as of a revision. False: it was spoken of as of a later one before.
    pub fn pass(&mut self, vm_id: &str, revision: u64, most: usize) -> bool {
        let newest = self.0.entry(vm_id.to_owned()).or_default();
        if revision < *newest {
            return false;
        }
        *newest = revision;
        if self.0.len() > most {
            self.forget_oldest();
        }
        true
    }

    /// Of what was spoken of longest ago nothing is on its way any more.
    fn forget_oldest(&mut self) {
        let oldest = self.0.iter().min_by_key(|(_, revision)| **revision);
        if let Some(id) = oldest.map(|(id, _)| id.clone()) {
            self.0.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_what_was_heard_does_not_pass() {
        let mut fences = Fences::default();
        assert!(fences.pass("a", 5, 9));
        assert!(fences.pass("a", 5, 9), "the same command again");
        assert!(!fences.pass("a", 4, 9));
        assert!(fences.pass("b", 4, 9), "another machine");
        assert!(fences.pass("a", 6, 9));
    }

    #[test]
    fn the_machine_that_was_spoken_of_longest_ago_is_forgotten_first() {
        let mut fences = Fences::default();
        for (id, revision) in [("a", 2), ("b", 1), ("c", 3)] {
            assert!(fences.pass(id, revision, 2));
        }
        assert!(!fences.pass("a", 1, 2));
        assert!(fences.pass("b", 0, 2));
    }
}
