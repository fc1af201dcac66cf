//! A service's handle on its records: what it owns, and what it mirrors of others.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use contracts::Status;
use contracts::call::Revisions;
use contracts::records::Record;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::apply::Applier;
use super::follow::{self, Follower, Role};
use super::view::View;
use super::{Change, Stored, ViewError, has_events, progress, relay};
use crate::bus::Bus;
use crate::rpc::Gate;
use crate::world::World;

/// Changes that a slow listener in this process may fall behind before it is told that it missed some. Room for all of them
/// is there from the beginning, for each kind that is followed: hence they are sent as pointers.
const CHANGES_KEPT: usize = 4_096;

/// How often what was applied is written to the disk, while there is something.
const FLUSH_INTERVAL: Duration = Duration::from_secs(2);

/// The store of one instance of a service.
pub struct Store {
    pub(super) view: View,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) stop: CancellationToken,
    /// This process, among all that write.
    pub(super) writer: String,
    dirty: Notify,
    applied: Mutex<BTreeMap<&'static str, watch::Receiver<u64>>>,
}

impl Store {
    /// Opens the store in a folder, which no other process may have open.
    pub fn open(
        folder: &Path,
        bus: Arc<dyn Bus>,
        world: &World,
        stop: CancellationToken,
    ) -> Result<Arc<Self>, ViewError> {
        let store = Arc::new(Self {
            view: View::open(folder)?,
            writer: world.new_id(),
            bus,
            stop,
            dirty: Notify::new(),
            applied: Mutex::default(),
        });
        tokio::spawn(flush_now_and_then(Arc::clone(&store)));
        Ok(store)
    }

    /// Follows a kind that this service owns; ready when the view has caught up with the log.
    pub async fn own<R: Record>(self: &Arc<Self>) -> Result<Records<R>, ViewError> {
        let (mirror, applier) = self.follow::<R>(Role::Owner).await?;
        // Of a kind without events everything is published.
        let (published, events) = progress::channel(if has_events::<R>() { 0 } else { u64::MAX });
        if has_events::<R>() {
            let applied = mirror.reader.applied.clone();
            tokio::spawn(relay::run::<R>(Arc::clone(self), applied, published));
        }
        Ok(Records {
            mirror,
            writes: Arc::default(),
            applier,
            events,
        })
    }

    /// Follows a kind of another service; ready when the view has caught up with the log.
    pub async fn mirror<R: Record>(self: &Arc<Self>) -> Result<Mirror<R>, ViewError> {
        Ok(self.follow::<R>(Role::Mirror).await?.0)
    }

    async fn follow<R: Record>(
        self: &Arc<Self>,
        role: Role,
    ) -> Result<(Mirror<R>, Arc<Applier<R>>), ViewError> {
        let (applied, seen) = watch::channel(0);
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        self.applied
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(R::BUCKET, seen.clone());
        let whole = Arc::new(AtomicBool::new(false));
        let applier = Arc::new(Applier::new(
            Arc::clone(self),
            role,
            applied.clone(),
            changes.clone(),
        ));
        let follower = Follower::<R>::new(
            Arc::clone(self),
            role,
            applied,
            Arc::clone(&whole),
            Arc::clone(&applier),
        );
        let ready = Arc::new(Notify::new());
        tokio::spawn(follow::run(follower, Arc::clone(&ready)));
        tokio::select! {
            () = ready.notified() => {}
            () = self.stop.cancelled() => {}
        }
        let mirror = Mirror {
            reader: Reader {
                store: Arc::clone(self),
                applied: seen,
                whole,
                record: PhantomData,
            },
            changes,
        };
        Ok((mirror, applier))
    }

    /// Writes everything that was applied to the disk. It happens by itself now and then, and nothing is lost without
    /// it; a program that is about to end is quicker to start again.
    pub async fn flush(self: &Arc<Self>) -> Result<(), ViewError> {
        // A runtime of one thread is a test's or the simulator's, where each flush has its place in the order of things.
        if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
            return self.view.flush();
        }
        let store = Arc::clone(self);
        let flushing = tokio::task::spawn_blocking(move || store.view.flush());
        // A flush that panicked has said so already.
        flushing.await.unwrap_or(Ok(()))
    }

    pub(super) fn note_change(&self) {
        self.dirty.notify_one();
    }
}

#[async_trait]
impl Gate for Store {
    async fn wait_for(&self, revisions: &Revisions, timeout: Duration) -> bool {
        let waits: Vec<_> = {
            let applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
            revisions
                .iter()
                .filter_map(|(bucket, revision)| {
                    Some((applied.get(bucket.as_str())?.clone(), *revision))
                })
                .collect()
        };
        let all = async {
            for (mut applied, revision) in waits {
                if applied.wait_for(|now| *now >= revision).await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(timeout, all).await.unwrap_or(false)
    }
}

async fn flush_now_and_then(store: Arc<Store>) {
    loop {
        tokio::select! {
            () = store.dirty.notified() => {}
            () = store.stop.cancelled() => break,
        }
        tokio::select! {
            () = tokio::time::sleep(FLUSH_INTERVAL) => {}
            () = store.stop.cancelled() => {}
        }
        if let Err(error) = store.flush().await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the store was not written"
            );
        }
    }
    if let Err(error) = store.view.flush() {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the store was not written at the end"
        );
    }
}

/// Reads of one kind.
pub(super) struct Reader<R> {
    pub(super) store: Arc<Store>,
    pub(super) applied: watch::Receiver<u64>,
    whole: Arc<AtomicBool>,
    record: PhantomData<fn() -> R>,
}

impl<R: Record> Reader<R> {
    /// The view, unless it is just being rebuilt.
    fn view(&self) -> Result<&View, Status> {
        if self.whole.load(Ordering::SeqCst) {
            return Ok(&self.store.view);
        }
        Err(Status::unavailable(format!(
            "This instance's view of {} is being rebuilt from the log.",
            R::BUCKET
        ))
        .action("Try again in a moment; if it stays so, look into the service's log."))
    }
}

impl<R> Clone for Reader<R> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            applied: self.applied.clone(),
            whole: Arc::clone(&self.whole),
            record: PhantomData,
        }
    }
}

/// A kind that another service owns: read only.
pub struct Mirror<R> {
    pub(super) reader: Reader<R>,
    changes: broadcast::Sender<Arc<Change<R>>>,
}

impl<R> Clone for Mirror<R> {
    fn clone(&self) -> Self {
        Self {
            reader: self.reader.clone(),
            changes: self.changes.clone(),
        }
    }
}

pub(super) fn unreadable(error: &ViewError) -> Status {
    Status::internal(format!("The store could not be read: {error}."))
}

fn decode<R: Record>(id: String, row: &super::view::Row) -> Result<Stored<R>, Status> {
    let value = R::decode(row.bytes.as_slice()).map_err(|error| {
        Status::internal(format!(
            "Record {id} of {} could not be read: {error}.",
            R::BUCKET
        ))
    })?;
    Ok(Stored {
        id,
        revision: row.revision,
        value,
    })
}

impl<R: Record> Mirror<R> {
    pub fn get(&self, id: &str) -> Result<Option<Stored<R>>, Status> {
        let view = self.reader.view()?;
        let row = view.get(R::BUCKET, id).map_err(|e| unreadable(&e))?;
        row.map(|row| decode(id.to_owned(), &row)).transpose()
    }

    /// Whether a record has been deleted in the last days and not been made again.
    pub fn was_deleted(&self, id: &str) -> Result<bool, Status> {
        let view = self.reader.view()?;
        let revision = view.tombstone(R::BUCKET, id).map_err(|e| unreadable(&e))?;
        Ok(revision > 0)
    }

    /// Every record, in order of id.
    pub fn list(&self) -> Result<Vec<Stored<R>>, Status> {
        let view = self.reader.view()?;
        let rows = view.list(R::BUCKET).map_err(|e| unreadable(&e))?;
        rows.into_iter().map(|(id, row)| decode(id, &row)).collect()
    }

    /// Records that an index has under a key, in order of id.
    pub fn find(&self, index: &str, key: &str) -> Result<Vec<Stored<R>>, Status> {
        self.found(index, key)?
            .iter()
            .filter_map(|id| self.get(id).transpose())
            .collect()
    }

    /// How many records an index has under a key.
    pub fn count(&self, index: &str, key: &str) -> Result<u64, Status> {
        Ok(self.found(index, key)?.len() as u64)
    }

    fn found(&self, index: &str, key: &str) -> Result<Vec<String>, Status> {
        let view = self.reader.view()?;
        let ids = view.find(R::BUCKET, index, key);
        ids.map_err(|e| unreadable(&e))
    }

    /// The revision that the view reflects.
    pub fn revision(&self) -> u64 {
        *self.reader.applied.borrow()
    }

    /// Waits until the view reflects a revision. False: not in time.
    pub async fn wait_for(&self, revision: u64, timeout: Duration) -> bool {
        let mut applied = self.reader.applied.clone();
        let reached = tokio::time::timeout(timeout, applied.wait_for(|now| *now >= revision)).await;
        matches!(reached, Ok(Ok(_)))
    }

    /// Changes from now on, as this instance's view applies them. A listener that lags is told so.
    pub fn changes(&self) -> broadcast::Receiver<Arc<Change<R>>> {
        self.changes.subscribe()
    }
}

/// A kind that this service owns: read and write.
pub struct Records<R> {
    pub(super) mirror: Mirror<R>,
    /// Counts writes, for ids of messages.
    pub(super) writes: Arc<std::sync::atomic::AtomicU64>,
    pub(super) applier: Arc<Applier<R>>,
    pub(super) events: progress::Awaited,
}

impl<R> Clone for Records<R> {
    fn clone(&self) -> Self {
        Self {
            mirror: self.mirror.clone(),
            writes: Arc::clone(&self.writes),
            applier: Arc::clone(&self.applier),
            events: self.events.clone(),
        }
    }
}

impl<R> std::ops::Deref for Records<R> {
    type Target = Mirror<R>;

    fn deref(&self) -> &Mirror<R> {
        &self.mirror
    }
}
