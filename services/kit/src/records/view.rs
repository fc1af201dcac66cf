//! The redb file of one instance: records of several buckets, their indexes, and what is still to be published.

use std::path::{Path, PathBuf};

use contracts::records::Record;
use prost::Message as _;
use redb::{Durability, ReadableTable, TableDefinition, WriteTransaction};

use super::file::File;
use super::txn::{IndexKey, Tables};

/// Bucket -> [`Binding`], encoded.
const BINDINGS: TableDefinition<&str, &[u8]> = TableDefinition::new("bindings");
/// (bucket, id) -> revision, big endian, then the encoded record.
pub(super) const RECORDS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("records");
/// (bucket, id) -> revision of the deletion: a new record of that id must expect it.
pub(super) const TOMBSTONES: TableDefinition<(&str, &str), u64> =
    TableDefinition::new("tombstones");
/// (bucket, index, key, id).
pub(super) const INDEX: TableDefinition<IndexKey, ()> = TableDefinition::new("index");
/// (bucket, revision) -> [`Outgoing`], encoded.
pub(super) const OUTBOX: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("outbox");

const REVISION_BYTES: usize = 8;

/// Why the view could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    #[error(
        "the store {path} is in use by another process; give each instance a name of its own (`instance`)"
    )]
    InUse { path: PathBuf },
    #[error("the store {path} failed")]
    Failed {
        path: PathBuf,
        #[source]
        source: Box<redb::Error>,
    },
}

/// Which log the view reflects, and how far.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Binding {
    /// Creation time of the bucket: with its name its identity.
    #[prost(string, tag = "1")]
    pub(crate) created: String,
    #[prost(uint64, tag = "2")]
    pub(crate) applied: u64,
    /// The server's clock when the view was last known to reflect everything.
    #[prost(int64, tag = "3")]
    pub(crate) synced_ms: i64,
    /// The last revision that was put back after the log was lost.
    #[prost(uint64, tag = "4")]
    pub(crate) put_back: u64,
}

/// An event that is to be published.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Outgoing {
    /// This process wrote the record, so it publishes first.
    #[prost(string, tag = "1")]
    pub(crate) writer: String,
    #[prost(string, tag = "2")]
    pub(crate) subject: String,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) event: bytes::Bytes,
    /// Creation time of the bucket that the revision counts in.
    #[prost(string, tag = "4")]
    pub(crate) created: String,
    /// What was told last of the object may be something else than this view had before: the subject and what has
    /// changed are found out before it is published.
    #[prost(bool, tag = "5")]
    pub(crate) is_doubtful: bool,
    #[prost(bool, tag = "6")]
    pub(crate) is_deletion: bool,
    /// When the log took the record, by the server's clock.
    #[prost(int64, tag = "7")]
    pub(crate) time_ms: i64,
}

/// One change from the log, ready to be applied.
pub(crate) struct Applied<R> {
    pub(crate) id: String,
    pub(crate) revision: u64,
    pub(crate) value: Option<R>,
    /// The record's bytes as the log has them.
    pub(crate) bytes: Vec<u8>,
    /// The bytes are no record: the object stays as it was, under this revision, so that it can be written again.
    pub(crate) is_unreadable: bool,
}

/// What a change replaces in the view.
pub(crate) struct Replaced<R> {
    pub(crate) before: Option<Before<R>>,
    /// Of the record or of its deletion; 0: the view knows of neither.
    pub(crate) revision: u64,
}

/// A record that a change replaces.
pub(crate) struct Before<R> {
    pub(crate) value: R,
    pub(crate) bytes: Vec<u8>,
}

/// A row of a bucket.
pub(crate) struct Row {
    pub(crate) revision: u64,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct View {
    file: File,
}

impl View {
    pub(crate) fn open(folder: &Path) -> Result<Self, ViewError> {
        Ok(Self {
            file: File::open(folder, make_tables)?,
        })
    }

    /// Writes everything applied so far to the disk. Without it a crash only replays a little more.
    pub(crate) fn flush(&self) -> Result<(), ViewError> {
        self.file.write(Durability::Immediate, |_| Ok(()))
    }

    pub(crate) fn binding(&self, bucket: &str) -> Result<Option<Binding>, ViewError> {
        self.file.read(|txn| {
            let table = txn.open_table(BINDINGS)?;
            let row = table.get(bucket)?;
            Ok(row.and_then(|row| Binding::decode(row.value()).ok()))
        })
    }

    pub(crate) fn bind(&self, bucket: &str, binding: &Binding) -> Result<(), ViewError> {
        self.file
            .write(Durability::None, |txn| put_binding(txn, bucket, binding))
    }

    /// Forgets everything of a bucket.
    pub(crate) fn clear(&self, bucket: &str) -> Result<(), ViewError> {
        self.file.write(Durability::Immediate, |txn| {
            txn.open_table(BINDINGS)?.remove(bucket)?;
            txn.open_table(RECORDS)?.retain(|(b, _), _| b != bucket)?;
            txn.open_table(TOMBSTONES)?
                .retain(|(b, _), _| b != bucket)?;
            txn.open_table(INDEX)?
                .retain(|(b, _, _, _), ()| b != bucket)?;
            txn.open_table(OUTBOX)?.retain(|(b, _), _| b != bucket)?;
            Ok(())
        })
    }

    /// Applies changes in order, with the outgoing events that `event` makes of each, and moves the binding from
    /// revision `from`. Answers with what each record was before; `None`: the view is not at `from`.
    pub(crate) fn apply<R: Record>(
        &self,
        from: u64,
        binding: &Binding,
        changes: &[Applied<R>],
        event: impl Fn(&Applied<R>, &Replaced<R>) -> Option<Outgoing>,
    ) -> Result<Option<Vec<Option<R>>>, ViewError> {
        self.file.write(Durability::None, |txn| {
            // The file was opened again after a failure: it went back, or it is a new one.
            if get_binding(txn, R::BUCKET)?.is_none_or(|known| known.applied != from) {
                return Ok(None);
            }
            let mut tables = Tables::of(txn);
            let mut befores = Vec::with_capacity(changes.len());
            for change in changes {
                if change.is_unreadable {
                    tables.pass_over(change)?;
                    befores.push(None);
                    continue;
                }
                let replaced = tables.replace(change)?;
                if let Some(outgoing) = event(change, &replaced) {
                    let bytes = outgoing.encode_to_vec();
                    tables.note_event::<R>(change.revision, &bytes)?;
                }
                befores.push(replaced.before.map(|before| before.value));
            }
            drop(tables);
            put_binding(txn, R::BUCKET, binding)?;
            Ok(Some(befores))
        })
    }

    pub(crate) fn get(&self, bucket: &str, id: &str) -> Result<Option<Row>, ViewError> {
        self.file.read(|txn| {
            let table = txn.open_table(RECORDS)?;
            let row = table.get((bucket, id))?;
            Ok(row.and_then(|row| to_row(row.value())))
        })
    }

    /// The revision of a record's deletion, 0 when it was never there or is there now.
    pub(crate) fn tombstone(&self, bucket: &str, id: &str) -> Result<u64, ViewError> {
        self.file.read(|txn| {
            let table = txn.open_table(TOMBSTONES)?;
            let row = table.get((bucket, id))?;
            Ok(row.map_or(0, |row| row.value()))
        })
    }

    /// Every record of a bucket, in order of id.
    pub(crate) fn list(&self, bucket: &str) -> Result<Vec<(String, Row)>, ViewError> {
        self.file.read(|txn| {
            let table = txn.open_table(RECORDS)?;
            let mut rows = Vec::new();
            for entry in table.range((bucket, "")..)? {
                let (key, value) = entry?;
                let (b, id) = key.value();
                if b != bucket {
                    break;
                }
                rows.extend(to_row(value.value()).map(|row| (id.to_owned(), row)));
            }
            Ok(rows)
        })
    }

    pub(crate) fn tombstones(&self, bucket: &str) -> Result<Vec<(String, u64)>, ViewError> {
        self.file.read(|txn| {
            let table = txn.open_table(TOMBSTONES)?;
            let mut rows = Vec::new();
            for entry in table.range((bucket, "")..)? {
                let (key, value) = entry?;
                let (b, id) = key.value();
                if b != bucket {
                    break;
                }
                rows.push((id.to_owned(), value.value()));
            }
            Ok(rows)
        })
    }

    /// Ids of the records that an index has under a key, in order of id.
    pub(crate) fn find(
        &self,
        bucket: &str,
        index: &str,
        key: &str,
    ) -> Result<Vec<String>, ViewError> {
        self.file.read(|txn| {
            let table = txn.open_table(INDEX)?;
            let mut ids = Vec::new();
            for entry in table.range((bucket, index, key, "")..)? {
                let (row, _) = entry?;
                let (b, i, k, id) = row.value();
                if (b, i, k) != (bucket, index, key) {
                    break;
                }
                ids.push(id.to_owned());
            }
            Ok(ids)
        })
    }

    /// The oldest events that are still to be published.
    pub(crate) fn outbox(
        &self,
        bucket: &str,
        most: usize,
    ) -> Result<Vec<(u64, Outgoing)>, ViewError> {
        self.file.read(|txn| {
            let table = txn.open_table(OUTBOX)?;
            let mut rows = Vec::new();
            for entry in table.range((bucket, 0)..=(bucket, u64::MAX))?.take(most) {
                let (key, value) = entry?;
                if let Ok(outgoing) = Outgoing::decode(value.value()) {
                    rows.push((key.value().1, outgoing));
                }
            }
            Ok(rows)
        })
    }

    /// How many events are still to be published.
    pub(crate) fn outbox_length(&self, bucket: &str) -> Result<u64, ViewError> {
        self.file.read(|txn| {
            let table = txn.open_table(OUTBOX)?;
            let rows = table.range((bucket, 0)..=(bucket, u64::MAX))?;
            Ok(rows.count().try_into().unwrap_or(u64::MAX))
        })
    }

    /// Forgets events up to a revision: they are published.
    pub(crate) fn published(&self, bucket: &str, revision: u64) -> Result<(), ViewError> {
        self.file.write(Durability::None, |txn| {
            txn.open_table(OUTBOX)?
                .retain_in((bucket, 0)..=(bucket, revision), |_, _| false)?;
            Ok(())
        })
    }
}

fn make_tables(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(BINDINGS)?;
    txn.open_table(RECORDS)?;
    txn.open_table(TOMBSTONES)?;
    txn.open_table(INDEX)?;
    txn.open_table(OUTBOX)?;
    Ok(())
}

fn put_binding(txn: &WriteTransaction, bucket: &str, binding: &Binding) -> Result<(), redb::Error> {
    let bytes = binding.encode_to_vec();
    txn.open_table(BINDINGS)?.insert(bucket, bytes.as_slice())?;
    Ok(())
}

fn get_binding(txn: &WriteTransaction, bucket: &str) -> Result<Option<Binding>, redb::Error> {
    let table = txn.open_table(BINDINGS)?;
    let row = table.get(bucket)?;
    Ok(row.and_then(|row| Binding::decode(row.value()).ok()))
}

pub(super) fn from_row(revision: u64, bytes: &[u8]) -> Vec<u8> {
    let mut row = revision.to_be_bytes().to_vec();
    row.extend_from_slice(bytes);
    row
}

pub(super) fn to_row(bytes: &[u8]) -> Option<Row> {
    let (revision, bytes) = bytes.split_first_chunk::<REVISION_BYTES>()?;
    Some(Row {
        revision: u64::from_be_bytes(*revision),
        bytes: bytes.to_vec(),
    })
}
