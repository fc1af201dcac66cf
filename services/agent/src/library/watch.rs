//! The kernel says when something in a share comes, goes or is written. What it does not say (a share over a network that
//! another machine changes) is found by the next refresh.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;

use futures::{FutureExt as _, StreamExt as _};
use inotify::{EventStream, Inotify, WatchDescriptor, WatchMask, Watches};

/// Room for some hundred events; when more come at once, everything is looked at anyway.
const BUFFER_BYTES: usize = 64 << 10;

pub(super) struct Watch {
    watches: Watches,
    events: EventStream<Vec<u8>>,
    watched: HashSet<WatchDescriptor>,
    is_complete: bool,
}

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        Ok(Self {
            watches: inotify.watches(),
            events: inotify.into_event_stream(vec![0; BUFFER_BYTES])?,
            watched: HashSet::new(),
            is_complete: true,
        })
    }

    /// Watches these folders; what is gone is watched no more by itself. True: some were not watched before, and what came
    /// into them since they were looked at has not been told.
    pub(super) fn add(&mut self, folders: &[PathBuf]) -> bool {
        let mask = WatchMask::CREATE
            | WatchMask::CLOSE_WRITE
            | WatchMask::MOVE
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let mut watched = HashSet::with_capacity(folders.len());
        for folder in folders {
            match self.watches.add(folder, mask) {
                Ok(watch) => {
                    watched.insert(watch);
                }
                // A folder that has just gone, or no more watches: said once.
                Err(error) if std::mem::take(&mut self.is_complete) => {
                    tracing::warn!(folder = %folder.display(), %error,
                        "not all of a share is watched: some changes are seen at the next refresh only");
                }
                Err(_) => {}
            }
        }
        let has_new = !watched.is_subset(&self.watched);
        self.watched = watched;
        has_new
    }

    /// Passes over what has been told until now: the look that follows sees it.
    pub(super) fn pass_over(&mut self) {
        while let Some(Some(Ok(_))) = self.events.next().now_or_never() {}
    }

    /// Waits until something has changed.
    pub(super) async fn changed(&mut self) {
        match self.events.next().await {
            Some(Ok(_)) => {}
            // Nothing more is told.
            _ => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_that_comes_is_new_once_also_under_an_old_name() {
        let dir = tempfile::tempdir().unwrap();
        let (root, deep) = (dir.path().to_owned(), dir.path().join("deep"));
        std::fs::create_dir(&deep).unwrap();
        let folders = [root, deep.clone()];
        let mut watch = Watch::new().unwrap();
        assert!(watch.add(&folders[..1]));
        assert!(watch.add(&folders));
        assert!(!watch.add(&folders));
        std::fs::remove_dir(&deep).unwrap();
        std::fs::create_dir(&deep).unwrap();
        assert!(watch.add(&folders));
        assert!(!watch.add(&folders));
    }
}
