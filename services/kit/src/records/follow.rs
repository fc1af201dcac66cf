//! Feeding a view from its bucket: bind to the log's identity, catch up, apply, rebuild when the log is another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contracts::records::Record;
use contracts::subjects;
use futures::{FutureExt, StreamExt};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::apply::{Applier, ApplyError};
use super::identity::{Reason, is_same, why_another};
use super::store::Store;
use super::view::{Binding, ViewError};
use super::{relay, repair};
use crate::bus::{BusError, Entries, LogEntry, LogInfo, LogKind, LogSpec};
use crate::telemetry;

/// Entries applied in one transaction.
const BATCH_MAX: usize = 512;

/// Once a mirror has applied so many batches within [`PACE_WINDOW`] it lets what comes in [`GATHERING`] come together: one
/// transaction then holds several changes. What comes seldom waits for nothing.
const PACE_MAX: u32 = 10;
const PACE_WINDOW: Duration = Duration::from_millis(100);
const GATHERING: Duration = Duration::from_millis(5);

/// How often the log's identity is looked at while nothing else gives reason to.
const IDENTITY_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// Between tries while the bus or the bucket is not there.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// How often that a view is up to date is noted, while nothing is written. Much less than deletion markers live.
const SYNC_NOTE_INTERVAL_MS: i64 = 3_600_000;

/// How many revisions a log may give out for each millisecond since it was made, before one that is made after it could
/// give out the same. A thousand times what a server that syncs can take; more would leave the numbers that JSON holds.
const REVISIONS_PER_MS: u64 = 1_000;

/// A log that is made again starts at least this far after what the view had seen, even if the server's clock was put
/// back, and another instance had seen a little more.
const SEQUENCE_GAP: u64 = 1_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Owner,
    Mirror,
}

pub(super) struct Follower<R> {
    store: Arc<Store>,
    role: Role,
    applied: watch::Sender<u64>,
    /// Whether the view has everything that the log had, once: not while it is rebuilt.
    whole: Arc<AtomicBool>,
    applier: Arc<Applier<R>>,
}

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    View(#[from] ViewError),
    #[error(transparent)]
    Repair(#[from] repair::RepairError),
    /// Not an error: the log has to be looked at again.
    #[error("the log is another one than before")]
    Another,
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Runs until the store stops. Tells `ready` when the view has caught up for the first time.
pub(super) async fn run<R: Record>(follower: Follower<R>, ready: Arc<Notify>) {
    let stop = follower.store.stop.clone();
    let work = async {
        let mut said = false;
        loop {
            let ended = follower.follow_once(&ready).await;
            follower.applier.leave();
            match ended {
                Ok(()) | Err(FollowError::Another) => said = false,
                Err(error) => {
                    if !said {
                        // With what is behind it: a full disk is said as such.
                        let error: &dyn std::error::Error = &error;
                        tracing::warn!(
                            bucket = R::BUCKET,
                            error,
                            "the view does not follow its log now; trying again"
                        );
                        said = true;
                    }
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

impl<R: Record> Follower<R> {
    pub(super) fn new(
        store: Arc<Store>,
        role: Role,
        applied: watch::Sender<u64>,
        whole: Arc<AtomicBool>,
        applier: Arc<Applier<R>>,
    ) -> Self {
        Self {
            store,
            role,
            applied,
            whole,
            applier,
        }
    }

    async fn follow_once(&self, ready: &Notify) -> Result<(), FollowError> {
        let (mut binding, info) = self.bind().await?;
        self.applier.start_anew(info.now_ms);
        let mut entries = self
            .store
            .bus
            .read(
                &subjects::bucket_stream(R::BUCKET),
                &subjects::all_records(R::BUCKET),
                binding.applied + 1,
            )
            .await?;
        self.catch_up(&mut entries, &mut binding, &info).await?;
        self.applier.follow(binding);
        self.whole.store(true, Ordering::SeqCst);
        ready.notify_one();
        let mut pace = Pace::new();
        loop {
            let next = async {
                tokio::time::sleep_until(pace.next).await;
                next_batch(&mut entries).await
            };
            tokio::select! {
                batch = next => {
                    self.applier.go_on(batch?)?;
                    // Writers wait for the owner's view.
                    if self.role == Role::Mirror {
                        pace.applied(Instant::now());
                    }
                }
                () = self.applier.something_to_look_at() => self.applier.go_on(Vec::new())?,
                () = tokio::time::sleep(IDENTITY_CHECK_INTERVAL) => self.check_identity().await?,
            }
        }
    }

    /// Makes sure of the log and that the view is one of it.
    async fn bind(&self) -> Result<(Binding, LogInfo), FollowError> {
        let known = self.store.view.binding(R::BUCKET)?;
        let info = self.log(known.as_ref()).await?;
        let binding = match known {
            Some(known) => match why_another(&known, &info) {
                None => known,
                Some(reason) => self.start_anew(&known, &info, reason).await?,
            },
            None => self.start_at_nothing(&info)?,
        };
        if binding.applied < *self.applied.borrow() {
            self.whole.store(false, Ordering::SeqCst);
        }
        self.applied.send_replace(binding.applied);
        Ok((binding, info))
    }

    /// An owner makes its bucket; a mirror waits for it.
    async fn log(&self, known: Option<&Binding>) -> Result<LogInfo, BusError> {
        let stream = subjects::bucket_stream(R::BUCKET);
        match self.store.bus.info(&stream).await {
            Err(BusError::NoLog(_)) if self.role == Role::Owner => {}
            there => return there,
        }
        let spec = LogSpec {
            name: stream,
            subject: subjects::all_records(R::BUCKET),
            kind: LogKind::Bucket,
            first_sequence: self.first_sequence(known).await?,
        };
        self.store.bus.ensure(&spec).await
    }

    /// Who makes the log may know nothing of one that was lost, but it was made earlier: so that no revision is ever given
    /// out twice, a log counts from the time of its making. The time is the server's, the same for every instance.
    async fn first_sequence(&self, known: Option<&Binding>) -> Result<u64, BusError> {
        let events = self.store.bus.ensure(&relay::events_spec()).await?;
        let now_ms = u64::try_from(events.now_ms).unwrap_or(0);
        let after_known = known.map_or(0, |known| known.applied + SEQUENCE_GAP);
        Ok(after_known.max(now_ms * REVISIONS_PER_MS))
    }

    async fn start_anew(
        &self,
        known: &Binding,
        info: &LogInfo,
        reason: Reason,
    ) -> Result<Binding, FollowError> {
        tracing::error!(
            bucket = R::BUCKET,
            %reason,
            view_revision = known.applied,
            log_revision = info.last_sequence,
            "the view is thrown away and rebuilt from the log"
        );
        telemetry::count_rebuild(R::BUCKET);
        if reason == Reason::MadeAnew && self.role == Role::Owner {
            repair::refill(&self.store, R::BUCKET).await?;
        }
        // Until it is rebuilt it is not asked: that it has nothing does not mean that there is nothing.
        self.whole.store(false, Ordering::SeqCst);
        self.store.view.clear(R::BUCKET)?;
        Ok(self.start_at_nothing(info)?)
    }

    fn start_at_nothing(&self, info: &LogInfo) -> Result<Binding, ViewError> {
        let binding = Binding {
            created: info.created.clone(),
            applied: 0,
            synced_ms: info.now_ms,
            put_back: 0,
        };
        self.store.view.bind(R::BUCKET, &binding)?;
        Ok(binding)
    }

    async fn check_identity(&self) -> Result<(), FollowError> {
        // Before the log is asked: what is written meanwhile is not in its answer.
        let binding = self.applier.binding().ok_or(FollowError::Another)?;
        let info = self
            .store
            .bus
            .info(&subjects::bucket_stream(R::BUCKET))
            .await;
        match info {
            Ok(info) if is_same(&binding, &info) => self.note_sync(&binding, &info),
            Ok(_) | Err(BusError::NoLog(_)) => Err(FollowError::Another),
            // Not an answer: the bus is away again, which the reader of entries will see.
            Err(_) => Ok(()),
        }
    }

    /// A view that follows its log does not grow old, although nothing is written for days.
    fn note_sync(&self, binding: &Binding, info: &LogInfo) -> Result<(), FollowError> {
        let is_due = info.now_ms - binding.synced_ms > SYNC_NOTE_INTERVAL_MS;
        if binding.applied < info.last_sequence || !is_due {
            return Ok(());
        }
        Ok(self.applier.note_sync(info.now_ms)?)
    }

    /// Applies what the log had when it was looked at.
    async fn catch_up(
        &self,
        entries: &mut Entries,
        binding: &mut Binding,
        info: &LogInfo,
    ) -> Result<(), FollowError> {
        let behind = self.newest(info).await?;
        while binding.applied < behind {
            let batch = next_batch(entries).await?;
            self.applier.apply(binding, batch)?;
        }
        binding.synced_ms = info.now_ms;
        Ok(self.applier.apply(binding, Vec::new())?)
    }

    /// The newest entry that there is to read: the log's last number may be of one that has expired.
    async fn newest(&self, info: &LogInfo) -> Result<u64, BusError> {
        if info.last_sequence == 0 {
            return Ok(0);
        }
        let last = self
            .store
            .bus
            .last(
                &subjects::bucket_stream(R::BUCKET),
                &subjects::all_records(R::BUCKET),
            )
            .await?;
        Ok(last.map_or(0, |entry| entry.sequence))
    }
}

/// When a mirror applies what there is.
struct Pace {
    window: Instant,
    /// Batches that were applied within the window.
    count: u32,
    next: Instant,
}

impl Pace {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            window: now,
            count: 0,
            next: now,
        }
    }

    fn applied(&mut self, now: Instant) {
        if now - self.window > PACE_WINDOW {
            self.window = now;
            self.count = 0;
        }
        self.count += 1;
        if self.count > PACE_MAX {
            self.next = now + GATHERING;
        }
    }
}

/// Waits for one entry and takes what else is there already.
async fn next_batch(entries: &mut Entries) -> Result<Vec<LogEntry>, FollowError> {
    let first = entries.next().await.ok_or(FollowError::Another)??;
    let mut batch = vec![first];
    while batch.len() < BATCH_MAX {
        match entries.next().now_or_never() {
            Some(Some(entry)) => batch.push(entry?),
            Some(None) | None => break,
        }
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_often_is_let_come_together() {
        let start = Instant::now();
        let mut pace = Pace::new();
        let seldom = |n: u32| start + PACE_WINDOW * n;
        for n in 0..50 {
            pace.applied(seldom(n));
        }
        assert!(pace.next < seldom(1), "what comes seldom waited");
        let now = seldom(60);
        for _ in 0..=PACE_MAX {
            pace.applied(now);
        }
        assert_eq!(pace.next, now + GATHERING);
        pace.applied(now + PACE_WINDOW * 2);
        assert_eq!(pace.next, now + GATHERING, "a pause ends it");
    }
}
