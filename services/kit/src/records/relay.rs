//! Publishing what happened, once for each revision, in order of revision.
//!
//! Every instance of the owning service has the same events to publish, in its outbox. The one that wrote a record
//! publishes at once; the others hold back for a moment and step in if it died. The stream itself says how far
//! publishing has got: its last event of the kind carries its revision, and the next is appended only if that is still
//! the last (compare-and-set). So no crash, outage or race of two instances loses or doubles an event, however long
//! it lasts.

use std::sync::Arc;
use std::time::Duration;

use contracts::records::Record;
use contracts::subjects;
use tokio::sync::watch;

use super::event::{self, Telling};
use super::store::Store;
use super::view::{Outgoing, ViewError};
use crate::bus::{
    Append, AppendError, BusError, Expect, LogEntry, LogKind, LogSpec, Message, append_surely,
    headers,
};
use crate::telemetry;

/// How long the writer of a record is given to publish before another instance does.
const WRITER_GRACE: Duration = Duration::from_secs(1);

/// First and longest wait between looks whether the writer has published.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(10);

const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Rows read from the outbox at a time.
const BATCH_MAX: usize = 256;

/// Events are kept this long for subscribers that were away.
const EVENTS_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// And at most this much of them.
const EVENTS_BYTES_MAX: u64 = 4 << 30;

/// How far publishing has got, told by a relay to the writers of its process.
pub(super) struct Progress {
    published: watch::Sender<u64>,
    /// What a writer waits for.
    wanted: watch::Receiver<u64>,
}

/// Waits for events to be published.
#[derive(Clone)]
pub(super) struct Awaited {
    published: watch::Receiver<u64>,
    wanted: watch::Sender<u64>,
}

/// Everything up to revision `from` is published.
pub(super) fn progress(from: u64) -> (Progress, Awaited) {
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

/// How far publishing has got, as the stream says: the last event of the kind.
#[derive(Clone, Default)]
struct Published {
    /// Creation time of the bucket that its revision counts in; revisions of a lost one say nothing of the present one.
    created: String,
    revision: u64,
    /// Its sequence in the stream.
    sequence: u64,
}

impl Published {
    fn of(entry: &LogEntry) -> Self {
        let header = |name| entry.message.get(name).unwrap_or_default();
        Self {
            created: header(headers::INCARNATION).to_owned(),
            revision: header(headers::REVISION).parse().unwrap_or(0),
            sequence: entry.sequence,
        }
    }

    fn covers(&self, revision: u64, outgoing: &Outgoing) -> bool {
        self.created == outgoing.created && self.revision >= revision
    }
}

#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    View(#[from] ViewError),
}

struct Relay<R> {
    store: Arc<Store>,
    published: Option<Published>,
    progress: Progress,
    kind: std::marker::PhantomData<fn() -> R>,
}

/// The stream of events, made by whoever comes first.
pub(super) fn events_spec() -> LogSpec {
    LogSpec {
        name: subjects::EVENTS.to_owned(),
        subject: subjects::all_events(),
        kind: LogKind::Stream {
            age_max: EVENTS_AGE_MAX,
            bytes_max: EVENTS_BYTES_MAX,
        },
        first_sequence: 1,
    }
}

/// Runs until the store stops.
pub(super) async fn run<R: Record>(
    store: Arc<Store>,
    mut applied: watch::Receiver<u64>,
    progress: Progress,
) {
    let stop = store.stop.clone();
    let work = async {
        let mut relay = Relay::<R> {
            store,
            published: None,
            progress,
            kind: std::marker::PhantomData,
        };
        loop {
            // Looked at before the outbox: what was applied by then has its events there.
            let reached = *applied.borrow_and_update();
            if let Err(error) = relay.empty_outbox().await {
                tracing::warn!(kind = R::BUCKET, %error, "events wait in the outbox; trying again");
                relay.published = None;
                relay.note_outbox();
                tokio::time::sleep(RETRY_INTERVAL).await;
                continue;
            }
            relay.progress.published.send_replace(reached);
            if applied.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

impl<R: Record> Relay<R> {
    async fn empty_outbox(&mut self) -> Result<(), RelayError> {
        // Also when there is nothing to publish: subscribers find the stream from the first moment.
        self.published().await?;
        loop {
            self.note_outbox();
            let rows = self.store.view.outbox(R::BUCKET, BATCH_MAX)?;
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            let last = *last;
            for (revision, outgoing) in rows {
                self.publish(revision, &outgoing).await?;
                self.progress.published.send_replace(revision);
            }
            self.store.view.published(R::BUCKET, last)?;
        }
    }

    fn note_outbox(&self) {
        if telemetry::is_on() {
            let waiting = self.store.view.outbox_length(R::BUCKET);
            telemetry::note_outbox(R::BUCKET, waiting.unwrap_or(0));
        }
    }

    /// Comes back when the event is in the stream, from here or from another instance.
    async fn publish(&mut self, revision: u64, outgoing: &Outgoing) -> Result<(), RelayError> {
        if outgoing.writer != self.store.writer && self.writer_publishes(revision, outgoing).await?
        {
            return Ok(());
        }
        let mut smaller = None;
        loop {
            let published = self.published().await?;
            if published.covers(revision, outgoing) || self.is_over(&published, outgoing).await? {
                return Ok(());
            }
            let Some(mut telling) = self.telling(revision, outgoing).await? else {
                return Ok(());
            };
            telling.event = smaller.clone().unwrap_or(telling.event);
            let entry = entry::<R>(revision, &outgoing.created, telling, published.sequence);
            match append_surely(&*self.store.bus, &entry).await {
                Ok(sequence) => {
                    let created = outgoing.created.clone();
                    self.published = Some(Published {
                        created,
                        revision,
                        sequence,
                    });
                    return Ok(());
                }
                Err(AppendError::Conflict) => self.published = None,
                Err(AppendError::Refused(error @ BusError::TooLarge { .. })) => {
                    tracing::warn!(kind = R::BUCKET, revision, %error, "the event is told without all of the record");
                    smaller = Some(event::smaller(&entry.message.payload).ok_or(error)?);
                }
                Err(AppendError::Unknown(error) | AppendError::Refused(error)) => {
                    return Err(error.into());
                }
            }
        }
    }

    /// Whether an event is not to be told any more, where the stream cannot say how far telling has got.
    async fn is_over(
        &self,
        published: &Published,
        outgoing: &Outgoing,
    ) -> Result<bool, RelayError> {
        if published.created == outgoing.created {
            return Ok(false);
        }
        let bus = &self.store.bus;
        let log = bus.info(&subjects::bucket_stream(R::BUCKET)).await?;
        let age_max_ms = i64::try_from(EVENTS_AGE_MAX.as_millis()).unwrap_or(i64::MAX);
        // Of a log that is no more; or so old that the stream has forgotten it, if it was told.
        Ok(log.created != outgoing.created || log.now_ms - outgoing.time_ms >= age_max_ms)
    }

    /// What to publish; `None`: nothing, or it is told already.
    async fn telling(
        &self,
        revision: u64,
        outgoing: &Outgoing,
    ) -> Result<Option<Telling>, RelayError> {
        let prepared = || {
            (!outgoing.subject.is_empty()).then(|| Telling {
                subject: outgoing.subject.clone(),
                event: outgoing.event.clone(),
            })
        };
        if !outgoing.is_doubtful {
            return Ok(prepared());
        }
        let of_object = event::subject_of_object::<R>(outgoing);
        let last = self.store.bus.last(subjects::EVENTS, &of_object).await?;
        Ok(match last {
            Some(last) if Published::of(&last).covers(revision, outgoing) => None,
            Some(last) => event::tell_after::<R>(&last.message.payload, outgoing),
            None => prepared(),
        })
    }

    /// Waits for the writer's own publishing. False: it did not come in time, or somebody here cannot wait.
    async fn writer_publishes(
        &mut self,
        revision: u64,
        outgoing: &Outgoing,
    ) -> Result<bool, RelayError> {
        let deadline = tokio::time::Instant::now() + WRITER_GRACE;
        let mut interval = LOOK_INTERVAL_MIN;
        loop {
            if self.published().await?.covers(revision, outgoing) {
                return Ok(true);
            }
            let wanted = self.progress.wanted.wait_for(|wanted| *wanted >= revision);
            let is_wanted = tokio::time::timeout(interval, wanted).await.is_ok();
            if is_wanted || tokio::time::Instant::now() >= deadline {
                return Ok(false);
            }
            interval *= 2;
            self.published = None;
        }
    }

    async fn published(&mut self) -> Result<Published, RelayError> {
        if let Some(published) = &self.published {
            return Ok(published.clone());
        }
        let bus = &self.store.bus;
        bus.ensure(&events_spec()).await?;
        let last = bus
            .last(subjects::EVENTS, &subjects::events_of_kind(R::BUCKET))
            .await?;
        let published = last.as_ref().map(Published::of).unwrap_or_default();
        self.published = Some(published.clone());
        Ok(published)
    }
}

/// The append of an event, taken only if the last event of the kind is still the one with sequence `after`.
fn entry<R: Record>(revision: u64, created: &str, telling: Telling, after: u64) -> Append {
    Append {
        log: subjects::EVENTS.to_owned(),
        subject: telling.subject,
        message: Message::new(telling.event)
            .header(
                headers::MESSAGE_ID,
                format!("{}:{created}:{revision}", R::BUCKET),
            )
            .header(headers::REVISION, revision.to_string())
            .header(headers::INCARNATION, created),
        expect: Some(Expect {
            filter: subjects::events_of_kind(R::BUCKET),
            sequence: after,
        }),
        lifetime: None,
    }
}
