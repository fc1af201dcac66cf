//! Every record of one kind in memory, decoded: what lists are picked from.
//!
//! A list looks at every record, and decoding 45,000 of them for each page would cost a hundred times what looking
//! does. The table follows the view's changes; whoever reads brings it up to date first, so it is never behind the view.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use contracts::Status;
use contracts::records::Record;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio_util::sync::CancellationToken;

use super::{Change, Mirror};

type Rows<R> = BTreeMap<String, Row<R>>;

/// The records of one kind, in memory.
pub struct Table<R> {
    mirror: Mirror<R>,
    feed: Mutex<Feed<R>>,
    rows: RwLock<Rows<R>>,
}

struct Row<R> {
    revision: u64,
    record: Arc<R>,
}

struct Feed<R> {
    changes: Receiver<Arc<Change<R>>>,
    /// What the table reflects.
    revision: u64,
    /// How often the whole view was read.
    loads: u64,
}

/// The view was thrown away and is being rebuilt: records may be gone without a change that says so.
struct Restarted;

/// The records of a table at one moment. Nothing can be applied while one is held: hold it for a moment, and take no
/// second one of the same table meanwhile.
pub struct Snapshot<'a, R> {
    rows: RwLockReadGuard<'a, Rows<R>>,
    /// Which revision it reflects.
    pub revision: u64,
    /// As long as this is the same, the changes that the view has told lead from one snapshot to the next.
    pub loads: u64,
}

impl<R: Record> Snapshot<'_, R> {
    /// In the order of their ids.
    pub fn records(&self) -> impl Iterator<Item = &Arc<R>> {
        self.rows.values().map(|row| &row.record)
    }

    pub fn get(&self, id: &str) -> Option<&Arc<R>> {
        self.rows.get(id).map(|row| &row.record)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.rows.len() as u64
    }
}

impl<R: Record> Table<R> {
    /// Of a view; [`follow`] keeps it near the view.
    pub fn new(mirror: Mirror<R>) -> Result<Self, Box<Status>> {
        let table = Self {
            feed: Mutex::new(Feed {
                changes: mirror.changes(),
                revision: 0,
                loads: 0,
            }),
            rows: RwLock::default(),
            mirror,
        };
        table.load(&mut table.feed.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(table)
    }

    /// Everything that the view has now.
    pub fn snapshot(&self) -> Result<Snapshot<'_, R>, Box<Status>> {
        let mut feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        self.catch_up(&mut feed)?;
        let (revision, loads) = (feed.revision, feed.loads);
        drop(feed);
        Ok(Snapshot {
            rows: self.rows.read().unwrap_or_else(PoisonError::into_inner),
            revision,
            loads,
        })
    }

    fn catch_up(&self, feed: &mut Feed<R>) -> Result<(), Box<Status>> {
        // The view tells its changes before it moves its revision: what has been told by then is all of it.
        let revision = self.mirror.revision();
        if revision < feed.revision {
            return self.load(feed);
        }
        loop {
            match feed.changes.try_recv() {
                Ok(change) => {
                    if let Err(Restarted) = self.apply(&change) {
                        return self.load(feed);
                    }
                }
                Err(TryRecvError::Lagged(_)) => return self.load(feed),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        feed.revision = revision;
        Ok(())
    }

    fn apply(&self, change: &Change<R>) -> Result<(), Restarted> {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let known = rows.get(&change.id).map(|row| row.revision);
        if known.is_some_and(|revision| change.before.is_none() && revision != change.revision) {
            return Err(Restarted);
        }
        if known.is_some_and(|revision| revision >= change.revision) {
            return Ok(());
        }
        match &change.after {
            Some(record) => {
                let row = Row {
                    revision: change.revision,
                    record: Arc::new(record.clone()),
                };
                rows.insert(change.id.clone(), row);
            }
            None => {
                rows.remove(&change.id);
            }
        }
        Ok(())
    }

    /// Reads the whole view.
    fn load(&self, feed: &mut Feed<R>) -> Result<(), Box<Status>> {
        feed.changes = self.mirror.changes();
        feed.revision = self.mirror.revision();
        feed.loads += 1;
        let records = self.mirror.list()?;
        let rows = records.into_iter().map(|stored| {
            let row = Row {
                revision: stored.revision,
                record: Arc::new(stored.value),
            };
            (stored.id, row)
        });
        *self.rows.write().unwrap_or_else(PoisonError::into_inner) = rows.collect();
        Ok(())
    }
}

/// Keeps a table near its view while nobody reads, so that no reader finds more changes than are kept for it.
pub async fn follow<R: Record>(table: Arc<Table<R>>, stop: CancellationToken) {
    let mut changes = table.mirror.changes();
    let work = async {
        while !matches!(changes.recv().await, Err(RecvError::Closed)) {
            if let Err(status) = table.snapshot() {
                tracing::error!(bucket = R::BUCKET, %status, "the table does not follow its view");
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}
