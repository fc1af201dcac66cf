//! What was learned of machines that went, in a file beside the store: a restart goes on where it was. The file may be lost or
//! old: then less is known, and placed by.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kit::kept;

use crate::core::lifetimes::{Learned, Lifetimes};
use crate::store::Store;

/// What goes in that time is forgotten when the process is killed.
const KEEP_INTERVAL: Duration = Duration::from_secs(600);

fn file(folder: &Path) -> PathBuf {
    folder.join("learned.bin")
}

pub(crate) fn load(folder: &Path) -> Lifetimes {
    let file = file(folder);
    let Some(learned) = kept::load::<Learned>(&file) else {
        return Lifetimes::default();
    };
    Lifetimes::of(&learned).unwrap_or_else(|| {
        tracing::warn!(file = %file.display(), "what was learned cannot be; it begins anew");
        Lifetimes::default()
    })
}

/// Writes the file now and then.
pub(crate) async fn keep(store: &Store, folder: &Path) {
    loop {
        tokio::time::sleep(KEEP_INTERVAL).await;
        save(store, folder);
    }
}

pub(crate) fn save(store: &Store, folder: &Path) {
    let learned = store.live.look(|look| {
        let lifetimes = look.fleet.lifetimes();
        lifetimes.map(Lifetimes::learned)
    });
    match learned {
        Ok(Some(learned)) => kept::save(&file(folder), &learned),
        Ok(None) => {}
        Err(status) => tracing::warn!(%status, "what was learned is not kept now"),
    }
}
