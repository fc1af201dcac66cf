//! Filling a bucket that was lost and made anew from what the views still have.
//!
//! Every instance puts back what it knows, deletions too. Of two that know different revisions of one record the higher
//! wins, whoever comes first; a record that was written since is newer than both.

use contracts::subjects;

use super::TOMBSTONE_LIFETIME;
use super::store::Store;
use super::view::ViewError;
use crate::bus::{
    Append, AppendError, BusError, Expect, LogEntry, Message, append_surely, headers,
};

#[derive(Debug, thiserror::Error)]
pub(super) enum RepairError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    View(#[from] ViewError),
}

/// Puts every record and deletion of the view into the log.
pub(super) async fn refill(store: &Store, bucket: &'static str) -> Result<(), RepairError> {
    let records = store.view.list(bucket)?;
    let tombstones = store.view.tombstones(bucket)?;
    tracing::error!(
        bucket,
        records = records.len(),
        deletions = tombstones.len(),
        "the log was lost; it is filled again from this view"
    );
    for (id, row) in records {
        let message = Message::new(row.bytes);
        put_back(store, bucket, &id, row.revision, message).await?;
    }
    for (id, revision) in tombstones {
        let message = Message::default().header(headers::OPERATION, headers::OPERATION_DELETE);
        put_back(store, bucket, &id, revision, message).await?;
    }
    Ok(())
}

async fn put_back(
    store: &Store,
    bucket: &str,
    id: &str,
    revision: u64,
    message: Message,
) -> Result<(), BusError> {
    let (log, subject) = (
        subjects::bucket_stream(bucket),
        subjects::record(bucket, id),
    );
    let is_deletion = message.get(headers::OPERATION).is_some();
    let message = message
        .header(
            headers::MESSAGE_ID,
            format!("repair:{}:{id}:{revision}", store.writer),
        )
        .header(headers::WRITER, &store.writer)
        .header(headers::PRINCIPAL, "system")
        .header(headers::REPAIRED, revision.to_string());
    loop {
        let there = store.bus.last(&log, &subject).await?;
        if there
            .as_ref()
            .is_some_and(|entry| !is_older(entry, revision))
        {
            return Ok(());
        }
        let entry = Append {
            log: log.clone(),
            expect: Some(Expect {
                filter: subject.clone(),
                sequence: there.map_or(0, |entry| entry.sequence),
            }),
            subject: subject.clone(),
            message: message.clone(),
            lifetime: is_deletion.then_some(TOMBSTONE_LIFETIME),
        };
        match append_surely(&*store.bus, &entry).await {
            Ok(_) => return Ok(()),
            // Another instance was first: look again who knows more.
            Err(AppendError::Conflict) => {}
            Err(AppendError::Unknown(error) | AppendError::Refused(error)) => return Err(error),
        }
    }
}

/// Whether what is there was put back from an older revision than ours.
fn is_older(there: &LogEntry, revision: u64) -> bool {
    there
        .message
        .get(headers::REPAIRED)
        .and_then(|text| text.parse::<u64>().ok())
        .is_some_and(|repaired| repaired < revision)
}
