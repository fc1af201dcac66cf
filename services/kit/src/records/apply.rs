//! Bringing a view forward: with what the log brings, and with what this process has written itself as soon as the log has
//! taken it, in the writer's own task. So a writer waits for no other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use contracts::records::Record;
use contracts::subjects;
use tokio::sync::{Notify, broadcast, watch};

use super::follow::Role;
use super::own::{OwnEntries, OwnWrites, Sent};
use super::store::Store;
use super::view::{Applied, Binding, Replaced, ViewError};
use super::{Change, event, has_events, own};
use crate::bus::{Append, LogEntry, headers};
use crate::telemetry;

#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error(transparent)]
    View(#[from] ViewError),
    #[error("the store was opened anew; following on from what it has")]
    Moved,
}

/// What is shared by those who bring the view of one kind forward.
pub(super) struct Applier<R> {
    store: Arc<Store>,
    role: Role,
    applied: watch::Sender<u64>,
    changes: broadcast::Sender<Arc<Change<R>>>,
    own: OwnWrites,
    at: Mutex<At>,
    /// The follower has something to look at: own entries that came while another applied, or a failure.
    look: Notify,
}

struct At {
    /// `None`: the view does not follow its log now.
    binding: Option<Binding>,
    own: OwnEntries,
    failure: Option<ApplyError>,
}

impl<R: Record> Applier<R> {
    pub(super) fn new(
        store: Arc<Store>,
        role: Role,
        applied: watch::Sender<u64>,
        changes: broadcast::Sender<Arc<Change<R>>>,
    ) -> Self {
        let (own, entries) = own::channel();
        Self {
            store,
            role,
            applied,
            changes,
            own,
            at: Mutex::new(At {
                binding: None,
                own: entries,
                failure: None,
            }),
            look: Notify::new(),
        }
    }

    fn at(&self) -> MutexGuard<'_, At> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- a writer's side -------------------------------------------------------------------------------------------

    /// To be called before an entry is sent.
    pub(super) fn before(&self) -> Sent {
        self.own.before()
    }

    /// The log has taken an entry. It is applied now, or by whoever is just applying.
    pub(super) fn taken(&self, sent: Sent, revision: u64, entry: Append) {
        self.own.taken(sent, revision, entry);
        let mut at = match self.at.try_lock() {
            Ok(at) => at,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return self.look.notify_one(),
        };
        if let Err(failure) = self.apply_new(&mut at, Vec::new()) {
            at.binding = None;
            at.failure = Some(failure);
            self.look.notify_one();
        }
    }

    // ---- the follower's side ---------------------------------------------------------------------------------------

    /// The view has just been bound to a log, which may be another one.
    pub(super) fn start_anew(&self, server_ms: i64) {
        self.at().own.start_anew(server_ms);
    }

    /// The view has caught up with its log.
    pub(super) fn follow(&self, binding: Binding) {
        let mut at = self.at();
        at.failure = None;
        at.binding = Some(binding);
    }

    /// From now on only the follower applies, if anyone.
    pub(super) fn leave(&self) {
        self.at().binding = None;
    }

    pub(super) fn binding(&self) -> Option<Binding> {
        self.at().binding.clone()
    }

    /// Comes back when there are own entries that nobody has applied yet, or a writer could not apply its own.
    pub(super) async fn something_to_look_at(&self) {
        self.look.notified().await;
    }

    /// Applies entries of the log, and own ones.
    pub(super) fn go_on(&self, batch: Vec<LogEntry>) -> Result<(), ApplyError> {
        let mut at = self.at();
        match at.failure.take() {
            Some(failure) => Err(failure),
            None => self.apply_new(&mut at, batch),
        }
    }

    /// Everything that the log had at a time of its server's clock is in the view.
    pub(super) fn note_sync(&self, server_ms: i64) -> Result<(), ApplyError> {
        match &mut self.at().binding {
            Some(binding) => {
                binding.synced_ms = server_ms;
                self.apply(binding, Vec::new())
            }
            None => Ok(()),
        }
    }

    // ---- applying --------------------------------------------------------------------------------------------------

    /// Applies what the view does not have yet, and then what this process itself has written after that.
    fn apply_new(&self, at: &mut At, mut batch: Vec<LogEntry>) -> Result<(), ApplyError> {
        let Some(binding) = &mut at.binding else {
            return Ok(());
        };
        if let Some(last) = batch.last() {
            at.own.hear(last.time_ms);
        }
        batch.retain(|entry| entry.sequence > binding.applied);
        let reached = batch.last().map_or(binding.applied, |last| last.sequence);
        batch.extend(at.own.after(reached));
        let Some(taken_ms) = batch.last().map(|entry| entry.time_ms) else {
            return Ok(());
        };
        self.apply(binding, batch)?;
        self.note_lag(taken_ms);
        Ok(())
    }

    fn note_lag(&self, taken_ms: i64) {
        let role = match self.role {
            Role::Owner => "owner",
            Role::Mirror => "mirror",
        };
        telemetry::note_lag(R::BUCKET, role, taken_ms);
    }

    /// Applies entries of the log that the view does not have yet.
    pub(super) fn apply(
        &self,
        binding: &mut Binding,
        batch: Vec<LogEntry>,
    ) -> Result<(), ApplyError> {
        let from = binding.applied;
        let mut times = Vec::new();
        let mut changes = Vec::new();
        for entry in batch {
            if entry.sequence <= binding.applied {
                continue;
            }
            binding.applied = entry.sequence;
            binding.synced_ms = entry.time_ms;
            if entry.message.get(headers::REPAIRED).is_some() {
                binding.put_back = entry.sequence;
            }
            if let Some(change) = to_change::<R>(&entry) {
                changes.push(change);
                times.push(entry);
            }
        }
        let by_revision = |revision: u64| {
            let place = times.binary_search_by_key(&revision, |entry| entry.sequence);
            times.get(place.ok()?)
        };
        let events = self.role == Role::Owner && has_events::<R>();
        let event = |change: &Applied<R>, replaced: &Replaced<R>| {
            let entry = by_revision(change.revision).filter(|_| events)?;
            event::outgoing(binding, change, replaced, entry)
        };
        let applied = self.store.view.apply(from, binding, &changes, event)?;
        let befores = applied.ok_or(ApplyError::Moved)?;
        for (change, before) in changes.into_iter().zip(befores) {
            if change.is_unreadable {
                continue;
            }
            // Nobody listening is no error.
            let _ = self.changes.send(Arc::new(Change {
                id: change.id,
                revision: change.revision,
                before,
                after: change.value,
            }));
        }
        self.applied.send_replace(binding.applied);
        self.store.note_change();
        Ok(())
    }
}

fn to_change<R: Record>(entry: &LogEntry) -> Option<Applied<R>> {
    let mut change = Applied {
        id: subjects::record_id(R::BUCKET, &entry.subject)?.to_owned(),
        revision: entry.sequence,
        value: None,
        bytes: Vec::new(),
        is_unreadable: false,
    };
    if entry.message.get(headers::OPERATION).is_some() {
        return Some(change);
    }
    change.bytes = entry.message.payload.to_vec();
    match R::decode(change.bytes.as_slice()) {
        Ok(value) => change.value = Some(value),
        Err(error) => {
            change.is_unreadable = true;
            tracing::error!(bucket = R::BUCKET, id = change.id, revision = change.revision, %error,
                "a record cannot be read and is passed over; the object shows its state before until it is written again");
        }
    }
    Some(change)
}
