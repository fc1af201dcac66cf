//! Writing a record: read the view, decide, put with the expected revision, wait for the own view.

use std::sync::atomic::Ordering;
use std::time::Duration;

use contracts::call::Context;
use contracts::records::Record;
use contracts::{Code, Status, subjects};

use super::store::Records;
use super::{Decision, Stored, TOMBSTONE_LIFETIME};
use crate::bus::{Append, AppendError, Expect, Message, append_or_ask, headers};
use crate::telemetry;

/// How often a write that met another is decided again. Each time another writer got through, so this is only reached
/// where one record is written by very many at once.
const CONFLICTS_MAX: u32 = 64;

/// How long a writer waits for its own view. The write is durable by then; a view that is this late is the operator's
/// business, not the caller's.
const VIEW_PATIENCE: Duration = Duration::from_secs(10);

impl<R: Record> Records<R> {
    /// Changes one record. `decide` sees what is there and says what should be; it runs again when another write
    /// came first, so it must not act on anything else.
    pub async fn update<T>(
        &self,
        context: &Context,
        id: &str,
        decide: impl FnMut(Option<&Stored<R>>) -> Result<Decision<R, T>, Status> + Send,
    ) -> Result<T, Status> {
        let nothing_else = || std::future::ready(Ok(()));
        self.update_while(context, id, nothing_else, decide).await
    }

    /// As `update`, for a change that may be made only while something else holds. `check` is asked after the record was
    /// looked at and before it is written, each time that it is decided anew: whoever ends what `check` looks at, and then
    /// writes the record (or bars it), can be sure that no such change comes after.
    pub async fn update_while<T, C: Future<Output = Result<(), Status>> + Send>(
        &self,
        context: &Context,
        id: &str,
        check: impl Fn() -> C + Send,
        mut decide: impl FnMut(Option<&Stored<R>>) -> Result<Decision<R, T>, Status> + Send,
    ) -> Result<T, Status> {
        // The log may have forgotten a deletion that the view still knows.
        let mut nothing_there = false;
        let mut is_absence_sure = false;
        for _ in 0..CONFLICTS_MAX {
            let current = self.get(id)?;
            let expected = match &current {
                Some(current) => current.revision,
                None if nothing_there => 0,
                None => self.tombstone(id)?,
            };
            check().await?;
            let decision = decide(current.as_ref());
            // That there is nothing is said only if the log says so too: the view may be behind a caller that does not know
            // which revision it has to see. A put needs no look, since the log takes it only in the right place.
            if current.is_none() && !is_absence_sure && !matches!(decision, Ok(Decision::Put(..))) {
                nothing_there = self.catch_up(id).await?;
                is_absence_sure = true;
                continue;
            }
            let (value, result) = match decision? {
                Decision::Keep(result) => {
                    context.saw(R::BUCKET, current.map_or(0, |c| c.revision));
                    return Ok(result);
                }
                Decision::Delete(result) if current.is_none() => return Ok(result),
                Decision::Delete(result) | Decision::Bar(result) => (None, result),
                Decision::Put(value, result) => (Some(value), result),
            };
            self.wait_for_event(id, expected).await?;
            let encoded = value.map(|value| self.encode(id, current.as_ref(), &value));
            let entry = self.entry(context, id, encoded.transpose()?, expected);
            let sent = self.applier.before();
            match self.append(&entry).await {
                Ok(revision) => {
                    self.applier.taken(sent, revision, entry);
                    context.saw(R::BUCKET, revision);
                    if !self.wait_for(revision, VIEW_PATIENCE).await {
                        tracing::warn!(
                            bucket = R::BUCKET,
                            id,
                            revision,
                            "the view is behind the log"
                        );
                    }
                    return Ok(result);
                }
                Err(AppendError::Conflict) => {
                    telemetry::count_conflict(R::BUCKET);
                    nothing_there = self.catch_up(id).await?;
                }
                Err(AppendError::Unknown(error)) => return Err(unknown::<R>(id, &error)),
                Err(AppendError::Refused(error)) => return Err(refused::<R>(id, &error)),
            }
        }
        Err(Status::new(
            Code::Aborted,
            format!("{} {id} is written by too many at once.", R::BUCKET),
        )
        .action("Try again."))
    }

    /// What is about to be replaced is told of first, since nobody could tell of it later.
    async fn wait_for_event(&self, id: &str, revision: u64) -> Result<(), Status> {
        if self.events.published(revision, VIEW_PATIENCE).await {
            return Ok(());
        }
        Err(Status::unavailable(format!(
            "The last change of {} {id} is not yet among the events, so it cannot be changed again.",
            R::BUCKET
        ))
        .action("Try again. Check that nats-server runs and has room."))
    }

    async fn append(&self, entry: &Append) -> Result<u64, AppendError> {
        let store = &self.mirror.reader.store;
        // Ids of records are never ids of writers, which are made for each process.
        let question = subjects::record(R::BUCKET, &store.writer);
        append_or_ask(&*store.bus, entry, Some(&question)).await
    }

    fn tombstone(&self, id: &str) -> Result<u64, Status> {
        let view = &self.mirror.reader.store.view;
        view.tombstone(R::BUCKET, id)
            .map_err(|error| Status::internal(format!("The store could not be read: {error}.")))
    }

    fn entry(&self, context: &Context, id: &str, value: Option<Vec<u8>>, expected: u64) -> Append {
        let store = &self.mirror.reader.store;
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let subject = subjects::record(R::BUCKET, id);
        let is_deletion = value.is_none();
        let mut message = Message::new(value.unwrap_or_default())
            .header(
                headers::MESSAGE_ID,
                format!("{}:{}:{number}", R::BUCKET, store.writer),
            )
            .header(headers::WRITER, &store.writer)
            .header(headers::PREVIOUS, expected.to_string())
            .header(headers::PRINCIPAL, &context.principal)
            .header(headers::JOB, &context.job_id);
        if is_deletion {
            message = message.header(headers::OPERATION, headers::OPERATION_DELETE);
        }
        Append {
            log: subjects::bucket_stream(R::BUCKET),
            expect: Some(Expect {
                filter: subject.clone(),
                sequence: expected,
            }),
            subject,
            message,
            lifetime: is_deletion.then_some(TOMBSTONE_LIFETIME),
        }
    }

    /// Waits until the view has what the log has of a record. True: the log has nothing under the id.
    async fn catch_up(&self, id: &str) -> Result<bool, Status> {
        let bus = &self.mirror.reader.store.bus;
        let last = bus
            .last(
                &subjects::bucket_stream(R::BUCKET),
                &subjects::record(R::BUCKET, id),
            )
            .await
            .map_err(|error| unreadable::<R>(id, &error))?;
        let Some(last) = last else {
            return Ok(true);
        };
        if self.wait_for(last.sequence, VIEW_PATIENCE).await {
            return Ok(false);
        }
        Err(Status::unavailable(format!(
            "This instance's view of {} is behind the log.",
            R::BUCKET
        ))
        .action("Try again; if it stays so, look into the service's log."))
    }
}

fn unknown<R: Record>(id: &str, error: &crate::bus::BusError) -> Status {
    Status::unavailable(format!(
        "Whether the change of {} {id} was written is not known: {error}.",
        R::BUCKET
    ))
    .action("Look at the object, then try again. Check that nats-server runs.")
}

fn unreadable<R: Record>(id: &str, error: &crate::bus::BusError) -> Status {
    Status::unavailable(format!(
        "What the log has of {} {id} could not be read: {error}.",
        R::BUCKET
    ))
    .action("Try again; nothing was changed. Check that nats-server runs.")
}

fn refused<R: Record>(id: &str, error: &crate::bus::BusError) -> Status {
    Status::new(
        Code::ResourceExhausted,
        format!("The log refused the change of {} {id}: {error}.", R::BUCKET),
    )
    .action("Look at the disk and limits of nats-server; nothing was changed.")
}
