//! The kernel says when something in a share comes, goes or is written. What it does not say (a share over a network that
//! another machine changes) is found by the next refresh.

use std::io;
use std::path::PathBuf;

use futures::{FutureExt as _, StreamExt as _};
use inotify::{EventStream, Inotify, WatchMask, Watches};

/// Room for some hundred events; when more come at once, everything is looked at anyway.
const BUFFER_BYTES: usize = 64 << 10;

pub(super) struct Watch {
    watches: Watches,
    events: EventStream<Vec<u8>>,
    is_complete: bool,
}

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        Ok(Self {
            watches: inotify.watches(),
            events: inotify.into_event_stream(vec![0; BUFFER_BYTES])?,
            is_complete: true,
        })
    }

    /// Watches these folders too; what is watched already stays so, and what is gone is watched no more by itself.
    pub(super) fn add(&mut self, folders: &[PathBuf]) {
        let mask = WatchMask::CREATE
            | WatchMask::CLOSE_WRITE
            | WatchMask::MOVE
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        for folder in folders {
            if let Err(error) = self.watches.add(folder, mask) {
                // A folder that has just gone, or no more watches: said once.
                if std::mem::take(&mut self.is_complete) {
                    tracing::warn!(folder = %folder.display(), %error,
                        "not all of a share is watched: some changes are seen at the next refresh only");
                }
            }
        }
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
