//! Publishing what happened, once for each revision, in order of revision for each object.
//!
//! Every instance of the owning service has the same events to publish, in its outbox. The one that wrote a record
//! publishes at once; the others hold back for a moment and step in if it died. The stream itself says what is published:
//! the last event on a subject carries its revision, and the next is appended only if that is still the last
//! (compare-and-set). So no crash, outage or race of two instances loses or doubles an event, however long it lasts.
//!
//! The expectation is of the event's own subject, which is one object's: the server finds that at once, whatever else
//! the stream holds, and events of different objects do not wait for each other (decision 0018).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::records::Record;
use contracts::subjects;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::watch;
use tokio::time::Instant;

use super::event::{self, Telling};
use super::progress::Progress;
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

/// Events on their way at a time, each of another object. Enough for the server to be busy while acknowledgements travel.
const UNDERWAY_MAX: usize = 32;

/// Events are kept this long for subscribers that were away.
const EVENTS_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// And at most this much of them.
const EVENTS_BYTES_MAX: u64 = 4 << 30;

/// How the subject of an object's first event ends.
const CREATED: &str = ".created";

/// The last event on some subject, as the stream has it.
#[derive(Default)]
struct Told {
    /// Creation time of the bucket that its revision counts in; revisions of a lost one say nothing of the present one.
    created: String,
    revision: u64,
    /// Its sequence in the stream; 0: there is none.
    sequence: u64,
}

impl Told {
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

/// The log that the records are in now.
#[derive(Clone)]
struct Origin {
    created: String,
    server_ms: i64,
    heard: Instant,
}

impl Origin {
    fn is_of(&self, outgoing: &Outgoing) -> bool {
        self.created == outgoing.created
    }

    /// So long ago that the stream may have forgotten the event.
    fn is_forgotten(&self, outgoing: &Outgoing) -> bool {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let now_ms = self.server_ms.saturating_add(millis(self.heard.elapsed()));
        now_ms - outgoing.time_ms >= millis(EVENTS_AGE_MAX)
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
    /// `None`: not known, or not any more.
    origin: Option<Origin>,
    progress: Progress,
    /// A writer that did not publish what it wrote. It is not waited for again.
    late_writer: Mutex<String>,
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
            origin: None,
            progress,
            late_writer: Mutex::default(),
            kind: std::marker::PhantomData,
        };
        loop {
            // Looked at before the outbox: what was applied by then has its events there.
            let reached = *applied.borrow_and_update();
            if let Err(error) = relay.empty_outbox().await {
                tracing::warn!(kind = R::BUCKET, %error, "events wait in the outbox; trying again");
                relay.origin = None;
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
        let mut origin = self.origin().await?;
        loop {
            self.note_outbox();
            let rows = self.store.view.outbox(R::BUCKET, BATCH_MAX)?;
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            let last = *last;
            if rows.iter().any(|(_, outgoing)| !origin.is_of(outgoing)) {
                self.origin = None;
                origin = self.origin().await?;
            }
            let mut rows = rows.into_iter().peekable();
            while rows.peek().is_some() {
                // Of one object only one at a time, so that they stay in order.
                let mut objects = HashSet::new();
                let next = || rows.next_if(|(_, outgoing)| objects.insert(event::id(outgoing)));
                let part: Vec<_> = std::iter::from_fn(next).collect();
                self.publish_all(part, &origin).await?;
            }
            self.store.view.published(R::BUCKET, last)?;
        }
    }

    async fn publish_all(
        &self,
        rows: Vec<(u64, Outgoing)>,
        origin: &Origin,
    ) -> Result<(), RelayError> {
        let mut told = futures::stream::iter(rows)
            .map(async |(revision, outgoing)| {
                let told = self.publish(revision, &outgoing, origin).await;
                told.map(|()| revision)
            })
            .buffered(UNDERWAY_MAX);
        while let Some(revision) = told.try_next().await? {
            self.progress.published.send_replace(revision);
        }
        Ok(())
    }

    fn note_outbox(&self) {
        if telemetry::is_on() {
            let waiting = self.store.view.outbox_length(R::BUCKET);
            telemetry::note_outbox(R::BUCKET, waiting.unwrap_or(0));
        }
    }

    /// Comes back when the event is in the stream, from here or from another instance.
    async fn publish(
        &self,
        revision: u64,
        outgoing: &Outgoing,
        origin: &Origin,
    ) -> Result<(), RelayError> {
        if outgoing.writer != self.store.writer && self.writer_publishes(revision, outgoing).await?
        {
            return Ok(());
        }
        let Some(mut telling) = self.telling(revision, outgoing).await? else {
            return Ok(());
        };
        // Nothing is on the subject of what has just come: the append itself finds out.
        let is_first = telling.subject.ends_with(CREATED);
        let is_looked_for = !is_first || !origin.is_of(outgoing) || origin.is_forgotten(outgoing);
        let mut after = match is_looked_for {
            true => {
                self.place(revision, outgoing, &telling.subject, origin)
                    .await?
            }
            false => Some(0),
        };
        while let Some(sequence) = after {
            let entry = entry::<R>(revision, &outgoing.created, &telling, sequence);
            match append_surely(&*self.store.bus, &entry).await {
                Ok(_) => return Ok(()),
                Err(AppendError::Conflict) => {
                    after = self
                        .place(revision, outgoing, &telling.subject, origin)
                        .await?;
                }
                Err(AppendError::Refused(error @ BusError::TooLarge { .. })) => {
                    tracing::warn!(kind = R::BUCKET, revision, %error, "the event is told without all of the record");
                    telling.event = event::smaller(&telling.event).ok_or(error)?;
                }
                Err(AppendError::Unknown(error) | AppendError::Refused(error)) => {
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// After which entry of its subject an event belongs; `None`: it is told, or is not to be told any more.
    async fn place(
        &self,
        revision: u64,
        outgoing: &Outgoing,
        subject: &str,
        origin: &Origin,
    ) -> Result<Option<u64>, RelayError> {
        let told = self.told(subject).await?;
        let is_told = told.covers(revision, outgoing);
        Ok((!is_told && !self.is_over(&told, outgoing, origin).await?).then_some(told.sequence))
    }

    /// Whether an event is not to be told any more, where its subject does not say that it is told.
    async fn is_over(
        &self,
        told: &Told,
        outgoing: &Outgoing,
        origin: &Origin,
    ) -> Result<bool, RelayError> {
        if told.created == outgoing.created {
            return Ok(false);
        }
        if origin.is_of(outgoing) {
            return Ok(origin.is_forgotten(outgoing));
        }
        // Of a log that is no more: over once something of a later one is told. The server looks at every subject of the
        // kind for this.
        let of_kind = self.told(&subjects::events_of_kind(R::BUCKET)).await?;
        Ok(of_kind.created != outgoing.created)
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
            Some(last) if Told::of(&last).covers(revision, outgoing) => None,
            Some(last) => event::tell_after::<R>(&last.message.payload, outgoing),
            None => prepared(),
        })
    }

    /// Waits for the writer's own publishing. False: it did not come in time, or somebody here cannot wait.
    async fn writer_publishes(
        &self,
        revision: u64,
        outgoing: &Outgoing,
    ) -> Result<bool, RelayError> {
        if *self.late_writer() == outgoing.writer {
            return Ok(false);
        }
        let subject = match outgoing.is_doubtful {
            true => event::subject_of_object::<R>(outgoing),
            false => outgoing.subject.clone(),
        };
        let mut wanted = self.progress.wanted.clone();
        let deadline = Instant::now() + WRITER_GRACE;
        let mut interval = LOOK_INTERVAL_MIN;
        loop {
            if self.told(&subject).await?.covers(revision, outgoing) {
                return Ok(true);
            }
            let wanted = wanted.wait_for(|wanted| *wanted >= revision);
            if tokio::time::timeout(interval, wanted).await.is_ok() {
                return Ok(false);
            }
            if Instant::now() >= deadline {
                self.late_writer().clone_from(&outgoing.writer);
                return Ok(false);
            }
            interval *= 2;
        }
    }

    fn late_writer(&self) -> std::sync::MutexGuard<'_, String> {
        self.late_writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn told(&self, subject: &str) -> Result<Told, RelayError> {
        let last = self.store.bus.last(subjects::EVENTS, subject).await?;
        Ok(last.as_ref().map(Told::of).unwrap_or_default())
    }

    async fn origin(&mut self) -> Result<Origin, RelayError> {
        if let Some(origin) = &self.origin {
            return Ok(origin.clone());
        }
        let bus = &self.store.bus;
        bus.ensure(&events_spec()).await?;
        let log = bus.info(&subjects::bucket_stream(R::BUCKET)).await?;
        let origin = Origin {
            created: log.created,
            server_ms: log.now_ms,
            heard: Instant::now(),
        };
        self.origin = Some(origin.clone());
        Ok(origin)
    }
}

/// The append of an event, taken only if the last event on its subject is still the one with sequence `after`.
fn entry<R: Record>(revision: u64, created: &str, telling: &Telling, after: u64) -> Append {
    Append {
        log: subjects::EVENTS.to_owned(),
        subject: telling.subject.clone(),
        message: Message::new(telling.event.clone())
            .header(
                headers::MESSAGE_ID,
                format!("{}:{created}:{revision}", R::BUCKET),
            )
            .header(headers::REVISION, revision.to_string())
            .header(headers::INCARNATION, created),
        expect: Some(Expect {
            filter: telling.subject.clone(),
            sequence: after,
        }),
        lifetime: None,
    }
}
