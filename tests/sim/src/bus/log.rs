//! One log as nats-server keeps it: what is taken, what is refused, what goes by itself. Time is handed in.

use std::collections::BTreeMap;

use kit::bus::{Append, Expect, LogEntry, LogInfo, LogKind, LogSpec, headers};

use super::queue::Holds;
use super::subject::matches;

/// How long a message id is recognised.
pub(super) const DUPLICATE_WINDOW_MS: i64 = 120_000;

/// In which order the two checks of an append are made, which depends on the number of replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// One replica: an append that is sent again is a conflict with itself.
    ConflictFirst,
    /// Three: it is a duplicate.
    DuplicateFirst,
}

/// Why an append was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    Conflict,
    /// A queue has an entry of that subject.
    SubjectFull,
    /// Only buckets take entries that remove themselves.
    NoLifetimes,
}

#[derive(Clone)]
struct Kept {
    entry: LogEntry,
    expires_ms: i64,
}

/// The copy of a log is a backup of it.
#[derive(Clone)]
pub(super) struct Log {
    spec: LogSpec,
    created: String,
    last_sequence: u64,
    entries: BTreeMap<u64, Kept>,
    /// Message id -> sequence, and when it came.
    ids: BTreeMap<String, (u64, i64)>,
    pub(super) holds: Holds,
}

impl Log {
    pub(super) fn new(spec: &LogSpec, created: String) -> Self {
        Self {
            spec: spec.clone(),
            created,
            last_sequence: spec.first_sequence.max(1) - 1,
            entries: BTreeMap::new(),
            ids: BTreeMap::new(),
            holds: Holds::default(),
        }
    }

    pub(super) fn info(&self, now_ms: i64) -> LogInfo {
        LogInfo {
            created: self.created.clone(),
            last_sequence: self.last_sequence,
            now_ms,
        }
    }

    pub(super) fn takes(&self, subject: &str) -> bool {
        matches(&self.spec.subject, subject)
    }

    pub(super) fn first_sequence(&self) -> u64 {
        self.spec.first_sequence.max(1)
    }

    pub(super) fn append(
        &mut self,
        append: &Append,
        order: Order,
        now_ms: i64,
    ) -> Result<u64, NotTaken> {
        if append.lifetime.is_some() && !matches!(self.spec.kind, LogKind::Bucket) {
            return Err(NotTaken::NoLifetimes);
        }
        let duplicate = self.duplicate(append);
        if let (Order::DuplicateFirst, Some(sequence)) = (order, duplicate) {
            return Ok(sequence);
        }
        if !append.expect.as_ref().is_none_or(|e| self.is_last(e)) {
            return Err(NotTaken::Conflict);
        }
        if let Some(sequence) = duplicate {
            return Ok(sequence);
        }
        let before = self.last(&append.subject).map(|entry| entry.sequence);
        match (&self.spec.kind, before) {
            (LogKind::Queue, Some(_)) => return Err(NotTaken::SubjectFull),
            (LogKind::Bucket, Some(before)) => {
                self.entries.remove(&before);
            }
            _ => {}
        }
        Ok(self.store(append, now_ms))
    }

    fn duplicate(&self, append: &Append) -> Option<u64> {
        let id = append.message.get(headers::MESSAGE_ID)?;
        self.ids.get(id).map(|(sequence, _)| *sequence)
    }

    fn is_last(&self, expect: &Expect) -> bool {
        self.last(&expect.filter).map_or(0, |entry| entry.sequence) == expect.sequence
    }

    fn store(&mut self, append: &Append, now_ms: i64) -> u64 {
        self.last_sequence += 1;
        let sequence = self.last_sequence;
        let age_max = match &self.spec.kind {
            LogKind::Stream { age_max, .. } => Some(*age_max),
            LogKind::Bucket | LogKind::Queue => append.lifetime,
        };
        let age_max_ms = age_max.and_then(|age| i64::try_from(age.as_millis()).ok());
        let entry = LogEntry {
            subject: append.subject.clone(),
            message: append.message.clone(),
            sequence,
            time_ms: now_ms,
        };
        if let Some(id) = append.message.get(headers::MESSAGE_ID) {
            self.ids.insert(id.to_owned(), (sequence, now_ms));
        }
        let expires_ms = age_max_ms.map_or(i64::MAX, |age| now_ms.saturating_add(age));
        self.entries.insert(sequence, Kept { entry, expires_ms });
        sequence
    }

    /// The newest entry of a filter.
    pub(super) fn last(&self, filter: &str) -> Option<&LogEntry> {
        let newest_first = self.entries.values().rev();
        newest_first
            .map(|kept| &kept.entry)
            .find(|entry| matches(filter, &entry.subject))
    }

    /// Entries of a filter from a sequence on.
    pub(super) fn from<'a>(
        &'a self,
        filter: &'a str,
        from: u64,
    ) -> impl Iterator<Item = &'a LogEntry> {
        let later = self.entries.range(from..).map(|(_, kept)| &kept.entry);
        later.filter(move |entry| matches(filter, &entry.subject))
    }

    pub(super) fn entry(&self, sequence: u64) -> Option<&LogEntry> {
        self.entries.get(&sequence).map(|kept| &kept.entry)
    }

    pub(super) fn sequences(&self) -> impl Iterator<Item = u64> {
        self.entries.keys().copied()
    }

    pub(super) fn remove(&mut self, sequence: u64) {
        self.entries.remove(&sequence);
        self.holds.forget(sequence);
    }

    /// Removes what has had its time.
    pub(super) fn expire(&mut self, now_ms: i64) {
        self.entries.retain(|_, kept| kept.expires_ms > now_ms);
        self.ids
            .retain(|_, (_, came_ms)| now_ms - *came_ms < DUPLICATE_WINDOW_MS);
    }

    /// What a restart leaves of the message ids: those of entries that are there.
    pub(super) fn forget_ids(&mut self) {
        let entries = &self.entries;
        self.ids
            .retain(|_, (sequence, _)| entries.contains_key(sequence));
    }
}
