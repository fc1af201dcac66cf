//! One share: a task that owns what is known of it, looks when the kernel or somebody says so, and tells the library.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use contracts::Status;
use contracts::call::Context;
use contracts::library::{Found, Identity};
use kit::world::World;
use tokio::time::{Instant, sleep, sleep_until};

use super::index::Index;
use super::limits;
use super::looks::Looks;
use super::scan::scan;
use super::teller::{State, Teller};
use super::watch::Watch;
use crate::core::library::{Items, compare};
use crate::data::ChangedFiles;
use crate::hypervisor::qemu::disk_look::DiskLook;

pub(super) struct Keeper {
    pub(super) share_id: String,
    pub(super) name: String,
    pub(super) root: PathBuf,
    pub(super) with_attributes: bool,
    pub(super) disks: Arc<DiskLook>,
    pub(super) index: Index,
    pub(super) teller: Teller,
    pub(super) looks: Looks,
    pub(super) context: Context,
    /// How the share was at the last look.
    pub(super) state: State,
    pub(super) world: World,
    pub(super) changed_files: Arc<ChangedFiles>,
    /// Paths of files that were changed while others read them, until the next look.
    pub(super) changed: BTreeSet<String>,
    /// Ids that are another server's.
    pub(super) anew: BTreeSet<String>,
}

impl Keeper {
    /// Goes on until the share is the server's no more.
    pub(super) async fn run(mut self) {
        let mut watch = self.watch();
        let mut last = Instant::now();
        if self.look_and_tell(watch.as_mut()).await {
            return;
        }
        let (looks, changed_files) = (self.looks.clone(), Arc::clone(&self.changed_files));
        let share_id = self.share_id.clone();
        loop {
            let changed = async {
                match watch.as_mut() {
                    Some(watch) => watch.changed().await,
                    None => std::future::pending().await,
                }
            };
            // A folder that was not there cannot have been watched.
            let away = !self.state.problem.is_empty();
            tokio::select! {
                () = changed => settle(last).await,
                () = sleep(limits::AWAY_PAUSE), if away => settle(last).await,
                () = looks.wanted() => {}
                changed = changed_files.of(&share_id) => self.changed.extend(changed),
            }
            if let Some(watch) = watch.as_mut() {
                watch.pass_over();
            }
            if self.look_and_tell(watch.as_mut()).await {
                return;
            }
            last = Instant::now();
        }
    }

    fn watch(&self) -> Option<Watch> {
        let watch = Watch::new();
        if let Err(error) = &watch {
            tracing::warn!(share = self.name, %error, "the share is not watched: changes are seen at the next refresh only");
        }
        watch.ok()
    }

    /// Looks, and tells however long the library is away. True: the share is the server's no more.
    async fn look_and_tell(&mut self, watch: Option<&mut Watch>) -> bool {
        if let Some(digest) = self.looks.begin() {
            self.teller.compare(&digest);
        }
        let found = self.look(watch).await;
        loop {
            match self.tell().await {
                Ok(is_unknown) => {
                    self.looks.end(found, self.context.seen());
                    return is_unknown;
                }
                Err(status) => {
                    tracing::debug!(share = self.name, %status, "the library was not told; trying again");
                    sleep(limits::RETRY).await;
                }
            }
        }
    }

    /// Looks at the share and keeps what is found. A share that cannot be reached keeps its items, as missing.
    async fn look(&mut self, watch: Option<&mut Watch>) -> Found {
        let scanned = scan(
            &self.disks,
            &self.root,
            &self.index,
            &self.anew,
            self.with_attributes,
            &self.looks,
            watch,
        )
        .await;
        let mut scanned = match scanned {
            Ok(scanned) => scanned,
            Err(problem) => {
                if self.state.problem != problem {
                    tracing::info!(share = self.name, problem, "the share cannot be reached");
                    self.state.problem.clone_from(&problem);
                }
                return Found {
                    problem,
                    ..Found::default()
                };
            }
        };
        self.note_changed(&mut scanned.items);
        let mut found = compare(&self.index.items, &scanned.items);
        found.skipped = scanned.skipped.count;
        self.state = State {
            problem: String::new(),
            identity: scanned.identity,
            skipped: scanned.skipped,
        };
        if let Err(error) = self.index.replace(scanned.items, scanned.device) {
            tracing::warn!(share = self.name, %error, "what is known of the share is not kept over a restart");
        }
        found
    }

    /// Says of items that they were changed while others read them.
    fn note_changed(&mut self, items: &mut Items) {
        let changed = std::mem::take(&mut self.changed);
        if changed.is_empty() {
            return;
        }
        for known in items.values_mut() {
            if changed.contains(&known.facts.path) {
                known.facts.changed_in_use_ms = self.world.now_ms();
            }
        }
    }

    /// True: the share is the server's no more.
    async fn tell(&mut self) -> Result<bool, Status> {
        loop {
            let (items, state) = (&self.index.items, &self.state);
            let telling = self.teller.tell(&self.context, items, state, &self.looks);
            let heard = telling.await?;
            if heard.is_unknown || heard.foreign.is_empty() {
                return Ok(heard.is_unknown);
            }
            // Copied from another server with its attributes: these files get ids of their own.
            self.anew.extend(heard.foreign);
            self.look(None).await;
        }
    }
}

/// What comes together is looked at together, and not without end.
async fn settle(last: Instant) {
    sleep_until(last + limits::LOOK_PAUSE).await;
    sleep(limits::SETTLE).await;
}

/// A share that nothing is known of yet.
pub(super) fn unknown() -> State {
    State {
        identity: Identity::Unspecified,
        ..State::default()
    }
}
