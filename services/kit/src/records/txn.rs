//! Changes of records in the tables of one transaction.

use contracts::records::Record;
use redb::{Key, ReadableTable as _, Table, TableDefinition, Value, WriteTransaction};

use super::view::{
    Applied, Before, INDEX, OUTBOX, RECORDS, Replaced, TOMBSTONES, from_row, to_row,
};

/// Tables of one transaction, each opened when it is needed first: a change of a record that was there before, and keeps its
/// indexes, needs one.
pub(super) struct Tables<'t> {
    txn: &'t WriteTransaction,
    records: Option<Table<'t, (&'static str, &'static str), &'static [u8]>>,
    tombstones: Option<Table<'t, (&'static str, &'static str), u64>>,
    index: Option<Table<'t, IndexKey, ()>>,
    outbox: Option<Table<'t, (&'static str, u64), &'static [u8]>>,
}

/// Bucket, index, key, id.
pub(super) type IndexKey = (&'static str, &'static str, &'static str, &'static str);

fn opened<'a, 't, K: Key + 'static, V: Value + 'static>(
    table: &'a mut Option<Table<'t, K, V>>,
    txn: &'t WriteTransaction,
    definition: TableDefinition<K, V>,
) -> Result<&'a mut Table<'t, K, V>, redb::Error> {
    match table {
        Some(table) => Ok(table),
        None => Ok(table.insert(txn.open_table(definition)?)),
    }
}

impl<'t> Tables<'t> {
    pub(super) fn of(txn: &'t WriteTransaction) -> Self {
        Self {
            txn,
            records: None,
            tombstones: None,
            index: None,
            outbox: None,
        }
    }

    /// Puts or removes one record with its index entries; answers with what it was.
    pub(super) fn replace<R: Record>(
        &mut self,
        change: &Applied<R>,
    ) -> Result<Replaced<R>, redb::Error> {
        let key = (R::BUCKET, change.id.as_str());
        let records = opened(&mut self.records, self.txn, RECORDS)?;
        let row = match &change.value {
            Some(_) => records.insert(key, from_row(change.revision, &change.bytes).as_slice())?,
            None => records.remove(key)?,
        };
        let row = row.and_then(|row| to_row(row.value()));
        // What has a record has no deletion.
        let mut revision = row.as_ref().map_or(0, |row| row.revision);
        if row.is_none() || change.value.is_none() {
            let tombstones = opened(&mut self.tombstones, self.txn, TOMBSTONES)?;
            let deletion = match &change.value {
                Some(_) => tombstones.remove(key)?,
                None => tombstones.insert(key, change.revision)?,
            };
            revision = revision.max(deletion.map_or(0, |deletion| deletion.value()));
        }
        let before = row.and_then(|row| {
            let value = R::decode(row.bytes.as_slice()).ok()?;
            let bytes = row.bytes;
            Some(Before { value, bytes })
        });
        self.index(change, before.as_ref())?;
        Ok(Replaced { before, revision })
    }

    fn index<R: Record>(
        &mut self,
        change: &Applied<R>,
        before: Option<&Before<R>>,
    ) -> Result<(), redb::Error> {
        let old = before.map_or_else(Vec::new, |before| before.value.indexes());
        let new = change.value.as_ref().map_or_else(Vec::new, Record::indexes);
        if old == new {
            return Ok(());
        }
        let index = opened(&mut self.index, self.txn, INDEX)?;
        for (name, value) in &old {
            index.remove((R::BUCKET, *name, value.as_str(), change.id.as_str()))?;
        }
        for (name, value) in &new {
            index.insert((R::BUCKET, *name, value.as_str(), change.id.as_str()), ())?;
        }
        Ok(())
    }

    /// Moves what is there, or that nothing is, to the revision of a change that cannot be read.
    pub(super) fn pass_over<R: Record>(&mut self, change: &Applied<R>) -> Result<(), redb::Error> {
        let key = (R::BUCKET, change.id.as_str());
        let records = opened(&mut self.records, self.txn, RECORDS)?;
        let row = records.get(key)?.and_then(|row| to_row(row.value()));
        match row {
            Some(row) => {
                records.insert(key, from_row(change.revision, &row.bytes).as_slice())?;
            }
            None => {
                opened(&mut self.tombstones, self.txn, TOMBSTONES)?.insert(key, change.revision)?;
            }
        }
        Ok(())
    }

    pub(super) fn note_event<R: Record>(
        &mut self,
        revision: u64,
        outgoing: &[u8],
    ) -> Result<(), redb::Error> {
        opened(&mut self.outbox, self.txn, OUTBOX)?.insert((R::BUCKET, revision), outgoing)?;
        Ok(())
    }
}
