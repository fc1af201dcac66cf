//! When what was refreshed last. Kept in memory and told to the other instances: the log is for changes, and a pass that
//! found none is none.

use std::collections::BTreeMap;

use contracts::refresher::{Outcome, Refreshed, RefreshedBatch};

use super::plan::line::Key;

/// Entries in one message, of about 120 bytes each: far below what the bus takes.
pub const BATCH_MAX: usize = 2_000;

/// What waits to be told. It is told each second, so this is only reached while the bus is away; what is lost then is
/// told with the next refresh.
const NEWS_MAX: usize = 20_000;

#[derive(Default)]
pub struct Ledger {
    last: BTreeMap<Key, Refreshed>,
    news: BTreeMap<Key, Refreshed>,
}

/// How the last refreshes of one kind went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub failing: u32,
    pub bytes: u64,
}

fn key(refreshed: &Refreshed) -> Key {
    Key {
        kind: refreshed.kind.clone(),
        target_id: refreshed.target_id.clone(),
        object_id: refreshed.object_id.clone(),
    }
}

impl Ledger {
    /// Takes down what this instance has refreshed. Answers with what is known of it now.
    pub fn note(&mut self, mut refreshed: Refreshed) -> Refreshed {
        let key = key(&refreshed);
        if refreshed.outcome() == Outcome::Failed {
            let before = self.last.get(&key);
            refreshed.succeeded_ms = before.map_or(0, |before| before.succeeded_ms);
        } else {
            refreshed.succeeded_ms = refreshed.time_ms;
        }
        if self.news.len() < NEWS_MAX {
            self.news.insert(key, refreshed.clone());
        }
        self.take_down(refreshed.clone());
        refreshed
    }

    /// Takes down what another instance tells.
    pub fn heard(&mut self, refreshed: Refreshed) {
        let known = self.last.get(&key(&refreshed));
        if known.is_none_or(|known| known.time_ms < refreshed.time_ms) {
            self.take_down(refreshed);
        }
    }

    fn take_down(&mut self, refreshed: Refreshed) {
        let key = key(&refreshed);
        if key.object_id.is_empty() && refreshed.outcome() != Outcome::Failed {
            self.forget_objects(&key);
        }
        self.last.insert(key, refreshed);
    }

    /// The whole target was looked at: that one object of it was before is of no more interest.
    fn forget_objects(&mut self, target: &Key) {
        let objects = self.last.range(target.clone()..);
        let of_target = objects
            .map(|(key, _)| key)
            .take_while(|key| key.kind == target.kind && key.target_id == target.target_id);
        let objects: Vec<Key> = of_target
            .filter(|key| !key.object_id.is_empty())
            .cloned()
            .collect();
        for key in objects {
            self.last.remove(&key);
        }
    }

    /// What was noted since it was last asked for.
    pub fn take_news(&mut self) -> Vec<Refreshed> {
        std::mem::take(&mut self.news).into_values().collect()
    }

    /// Forgets what is no longer there.
    pub fn keep_only(&mut self, is_there: impl Fn(&Key) -> bool) {
        self.last.retain(|key, _| is_there(key));
    }

    /// A piece of all, from where the last one ended.
    pub fn page(&self, from: &str) -> RefreshedBatch {
        let start = read_place(from);
        let mut rest = self.last.range(start..);
        let refreshed = rest.by_ref().take(BATCH_MAX).map(|(_, r)| r.clone());
        RefreshedBatch {
            refreshed: refreshed.collect(),
            next: rest
                .next()
                .map(|(key, _)| write_place(key))
                .unwrap_or_default(),
            ..RefreshedBatch::default()
        }
    }

    /// All of it.
    pub fn all(&self) -> Vec<Refreshed> {
        self.last.values().cloned().collect()
    }

    pub fn sums(&self) -> BTreeMap<String, Sum> {
        let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
        for refreshed in self.last.values().filter(|r| r.object_id.is_empty()) {
            let sum = sums.entry(refreshed.kind.clone()).or_default();
            sum.bytes += refreshed.bytes;
            sum.failing += u32::from(refreshed.outcome() == Outcome::Failed);
        }
        sums
    }
}

// No id and no kind's name has a line break.
fn write_place(key: &Key) -> String {
    format!("{}\n{}\n{}", key.kind, key.target_id, key.object_id)
}

fn read_place(text: &str) -> Key {
    let mut parts = text.split('\n').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    Key {
        kind: part(),
        target_id: part(),
        object_id: part(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    fn refreshed(target: &str, object: &str, time_ms: i64, outcome: Outcome) -> Refreshed {
        Refreshed {
            kind: "vm_heavy".to_owned(),
            target_id: target.to_owned(),
            object_id: object.to_owned(),
            time_ms,
            outcome: outcome.into(),
            bytes: 18,
            ..Refreshed::default()
        }
    }

    #[test]
    fn a_failure_keeps_when_it_last_went_well() {
        let mut ledger = Ledger::default();
        ledger.note(refreshed("h1", "", 5, Outcome::Unchanged));
        let failed = ledger.note(refreshed("h1", "", 9, Outcome::Failed));
        assert_eq!((failed.time_ms, failed.succeeded_ms), (9, 5));
        let sum = ledger.sums()["vm_heavy"];
        assert_eq!((sum.failing, sum.bytes), (1, 18));
        assert_eq!(ledger.take_news(), [failed]);
        assert!(ledger.take_news().is_empty());
    }

    #[test]
    fn what_comes_late_from_another_instance_hides_nothing_newer() {
        let mut ledger = Ledger::default();
        ledger.note(refreshed("h1", "", 9, Outcome::Unchanged));
        ledger.heard(refreshed("h1", "", 7, Outcome::Failed));
        assert_eq!(ledger.all()[0].time_ms, 9);
        ledger.heard(refreshed("h1", "", 11, Outcome::Changed));
        assert_eq!(ledger.all()[0].time_ms, 11);
        // Its own news is told once, what it heard never.
        assert_eq!(ledger.take_news().len(), 1);
    }

    #[test]
    fn an_object_is_forgotten_when_all_of_its_target_was_looked_at() {
        let mut ledger = Ledger::default();
        ledger.note(refreshed("h1", "vm-1", 1, Outcome::Changed));
        ledger.note(refreshed("h2", "vm-2", 1, Outcome::Changed));
        ledger.note(refreshed("h1", "", 2, Outcome::Failed));
        assert_eq!(ledger.all().len(), 3);
        ledger.note(refreshed("h1", "", 3, Outcome::Unchanged));
        assert_eq!(ledger.all().len(), 2);
    }

    #[test]
    fn all_is_told_in_pieces() {
        let mut ledger = Ledger::default();
        for n in 0..(2 * BATCH_MAX + 1) {
            ledger.heard(refreshed(&format!("h{n:05}"), "", 1, Outcome::Unchanged));
        }
        let (mut from, mut count) = (String::new(), 0);
        loop {
            let page = ledger.page(&from);
            count += page.refreshed.len();
            if page.next.is_empty() {
                break;
            }
            from = page.next;
        }
        assert_eq!(count, 2 * BATCH_MAX + 1);
    }
}
