//! What a view has told since the last look, so that what is in memory is never behind it.

use std::collections::HashMap;
use std::sync::Arc;

use contracts::Status;
use contracts::records::Record;
use kit::records::{Change, Mirror};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

pub(crate) struct Feed<R> {
    mirror: Mirror<R>,
    changes: Receiver<Arc<Change<R>>>,
    /// What has been taken reflects this revision.
    revision: u64,
    /// Records that have been told, with their revisions.
    known: HashMap<String, u64>,
    is_new: bool,
}

/// A record as it is now; `None`: it is gone.
pub(crate) struct News<R> {
    pub(crate) id: String,
    pub(crate) revision: u64,
    pub(crate) value: Option<R>,
}

impl<R: Record> Feed<R> {
    pub(crate) fn new(mirror: Mirror<R>) -> Self {
        Self {
            changes: mirror.changes(),
            mirror,
            revision: 0,
            known: HashMap::new(),
            is_new: true,
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// What came since the last look, in order.
    pub(crate) fn take(&mut self) -> Result<Vec<News<R>>, Status> {
        // The view tells its changes before it moves its revision: what has been told by then is all of it.
        let revision = self.mirror.revision();
        if self.is_new || revision < self.revision {
            return self.take_all();
        }
        let mut news = Vec::new();
        loop {
            match self.changes.try_recv() {
                Ok(change) => news.extend(self.note(Arc::unwrap_or_clone(change))),
                // Some were lost.
                Err(TryRecvError::Lagged(_)) => return self.take_all(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        self.revision = revision;
        Ok(news)
    }

    /// `None`: it has been told already.
    fn note(&mut self, change: Change<R>) -> Option<News<R>> {
        let known = self.known.get(&change.id).copied().unwrap_or(0);
        if change.revision <= known {
            return None;
        }
        if change.after.is_some() {
            self.known.insert(change.id.clone(), change.revision);
        } else {
            self.known.remove(&change.id);
        }
        Some(News {
            id: change.id,
            revision: change.revision,
            value: change.after,
        })
    }

    /// Everything that the view has, and that what it has no longer is gone.
    fn take_all(&mut self) -> Result<Vec<News<R>>, Status> {
        // Until it has worked there is nothing to go on from.
        self.is_new = true;
        self.changes = self.mirror.changes();
        let revision = self.mirror.revision();
        let all = self.mirror.list()?;
        let there = all
            .iter()
            .map(|stored| (stored.id.clone(), stored.revision));
        let before = std::mem::replace(&mut self.known, there.collect());
        let gone = before.into_keys().filter(|id| !self.known.contains_key(id));
        let gone = gone.map(|id| News {
            id,
            revision,
            value: None,
        });
        let there = all.into_iter().map(|stored| News {
            id: stored.id,
            revision: stored.revision,
            value: Some(stored.value),
        });
        let news = gone.chain(there).collect();
        (self.revision, self.is_new) = (revision, false);
        Ok(news)
    }
}
