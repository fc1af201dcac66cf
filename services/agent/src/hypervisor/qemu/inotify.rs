//! The kernel says when a definition comes, goes or is written anew. Only that: what machines write to their disks and logs
//! is never asked for.
//!
//! What it does not say (a datastore over a network that another host changes) is found by the next refresh.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use inotify::{EventMask, Inotify, WatchMask, Watches};

use super::datastore::Datastore;
use super::finder::Finder;

/// What comes together is looked at together: a definition and its disks are several events.
const SETTLE: Duration = Duration::from_millis(50);

/// Room for some hundred events; when more come at once, everything is looked at anyway.
const BUFFER_BYTES: usize = 64 << 10;

const DEFINITION: &str = "vm.json";

/// Watches all datastores until it is dropped, and has the finder look when something has changed.
pub(super) async fn watch(finder: Arc<Finder>, datastores: Vec<Datastore>) {
    if let Err(error) = run(&finder, &datastores).await {
        tracing::warn!(%error, "datastores are not watched: what others change in them is seen at the next refresh only");
    }
}

async fn run(finder: &Finder, datastores: &[Datastore]) -> io::Result<()> {
    let inotify = Inotify::init()?;
    let mut watches = inotify.watches();
    watch_all(&mut watches, datastores)?;
    let mut events = inotify.into_event_stream(vec![0; BUFFER_BYTES])?;
    // What came between the start of the agent and the watch.
    finder.look().await;
    while let Some(event) = events.next().await {
        let event = event?;
        let name = event.name.as_deref().and_then(|name| name.to_str());
        let is_folder = event.mask.contains(EventMask::ISDIR);
        let is_ours = is_folder || name == Some(DEFINITION);
        if !is_ours && !event.mask.contains(EventMask::Q_OVERFLOW) {
            continue;
        }
        tokio::time::sleep(SETTLE).await;
        // Folders that are new are watched before they are looked into, so that nothing falls in between.
        watch_all(&mut watches, datastores)?;
        finder.look().await;
    }
    Ok(())
}

/// Watching what is watched already changes nothing.
fn watch_all(watches: &mut Watches, datastores: &[Datastore]) -> io::Result<()> {
    for datastore in datastores {
        let machines = datastore.machines();
        add(watches, &machines, WatchMask::CREATE)?;
        for entry in std::fs::read_dir(&machines)?.flatten() {
            if let Err(error) = add(watches, &entry.path(), WatchMask::CLOSE_WRITE) {
                // A file, or a folder that has just gone.
                tracing::trace!(path = %entry.path().display(), %error, "not watched");
            }
        }
    }
    Ok(())
}

fn add(watches: &mut Watches, folder: &Path, mask: WatchMask) -> io::Result<()> {
    let coming_and_going = WatchMask::MOVED_TO | WatchMask::MOVED_FROM | WatchMask::DELETE;
    watches.add(folder, mask | coming_and_going | WatchMask::ONLYDIR)?;
    Ok(())
}
