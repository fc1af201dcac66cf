//! What is kept: intervals that were set, as records; when what was refreshed, in a file beside the store. The file is
//! only for people, who would else see nothing after a restart; it may be lost or old.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use contracts::inventory::HostGroup;
use contracts::refresher::{Intervals, Refreshed, RefreshedBatch};
use kit::kept;
use kit::records::{Mirror, Records};
use kit::rpc::Gate;
use kit::service::Parts;

use crate::Config;
use crate::core::ledger::Ledger;
use crate::shared::Shared;

/// How often the file is written. 2,500 hosts make about 1 MB.
const KEEP_INTERVAL: Duration = Duration::from_secs(60);

const RETRY_INTERVAL: Duration = Duration::from_secs(1);

const FILE: &str = "refreshed.bin";

/// The records that decide how often.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) intervals: Records<Intervals>,
    pub(crate) groups: Mirror<HostGroup>,
}

pub(crate) async fn open(parts: &Parts<Config>) -> anyhow::Result<(Settings, Arc<dyn Gate>)> {
    let store = parts.open_store()?;
    let settings = Settings {
        intervals: store.own().await?,
        groups: store.mirror().await?,
    };
    Ok((settings, store))
}

impl Settings {
    /// Hands every change to the plan, until the service stops.
    pub(crate) async fn follow(&self, shared: &Shared) {
        let (mut intervals, mut groups) = (self.intervals.changes(), self.groups.changes());
        loop {
            if let Err(status) = self.hand_over(shared) {
                tracing::warn!(%status, "intervals are not known now; trying again");
                tokio::time::sleep(RETRY_INTERVAL).await;
                continue;
            }
            shared.wake.notify_one();
            // One that lags has missed some: all is read again in any case.
            tokio::select! {
                _ = intervals.recv() => {}
                _ = groups.recv() => {}
            }
        }
    }

    fn hand_over(&self, shared: &Shared) -> Result<(), contracts::Status> {
        let intervals = self.intervals.list()?.into_iter();
        let intervals = intervals.map(|stored| (stored.id, stored.value)).collect();
        let groups = self.groups.list()?.into_iter();
        let parents = groups.map(|stored| (stored.id, stored.value.parent_id));
        let parents = parents.filter(|(_, parent)| !parent.is_empty()).collect();
        let now_ms = shared.now_ms();
        let mut plan = shared.plan();
        plan.set_intervals(intervals, now_ms);
        plan.set_parents(parents, now_ms);
        Ok(())
    }
}

/// What was kept; nothing when it cannot be read.
pub(crate) fn load(folder: &Path) -> Ledger {
    let mut ledger = Ledger::default();
    let kept: RefreshedBatch = kept::load(&folder.join(FILE)).unwrap_or_default();
    kept.refreshed.into_iter().for_each(|r| ledger.heard(r));
    ledger
}

/// Writes the file now and then, until the service stops.
pub(crate) async fn keep(shared: &Shared, folder: &Path) {
    loop {
        tokio::time::sleep(KEEP_INTERVAL).await;
        save(shared.ledger().all(), folder);
    }
}

pub(crate) fn save(refreshed: Vec<Refreshed>, folder: &Path) {
    let all = RefreshedBatch {
        refreshed,
        ..RefreshedBatch::default()
    };
    kept::save(&folder.join(FILE), &all);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_shown_again_and_a_damaged_file_harms_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(load(folder.path()).all().is_empty());
        let refreshed = Refreshed {
            kind: "host".to_owned(),
            target_id: "h1".to_owned(),
            time_ms: 5,
            ..Refreshed::default()
        };
        save(vec![refreshed.clone()], folder.path());
        assert_eq!(load(folder.path()).all(), [refreshed]);
        std::fs::write(folder.path().join(FILE), [255; 99]).unwrap();
        assert!(load(folder.path()).all().is_empty());
    }
}
