//! How far telling has got, between a relay and the writers of its process.

use std::time::Duration;

use tokio::sync::watch;

/// How far publishing has got, told by a relay to the writers of its process.
pub(super) struct Progress {
    pub(super) published: watch::Sender<u64>,
    /// What a writer waits for.
    pub(super) wanted: watch::Receiver<u64>,
}

/// Waits for events to be published.
#[derive(Clone)]
pub(super) struct Awaited {
    published: watch::Receiver<u64>,
    wanted: watch::Sender<u64>,
}

/// Everything up to revision `from` is published.
pub(super) fn channel(from: u64) -> (Progress, Awaited) {
    let (published, seen) = watch::channel(from);
    let (wanted, asked) = watch::channel(0);
    let progress = Progress {
        published,
        wanted: asked,
    };
    let awaited = Awaited {
        published: seen,
        wanted,
    };
    (progress, awaited)
}

impl Awaited {
    /// Waits until the event of a revision is in the stream, if it has one. False: not in time.
    pub(super) async fn published(&self, revision: u64, patience: Duration) -> bool {
        let mut published = self.published.clone();
        if *published.borrow() >= revision {
            return true;
        }
        self.wanted.send_if_modified(|wanted| {
            let is_more = *wanted < revision;
            *wanted = revision.max(*wanted);
            is_more
        });
        let reached = published.wait_for(|now| *now >= revision);
        matches!(tokio::time::timeout(patience, reached).await, Ok(Ok(_)))
    }
}
