//! The agent's own store: who it is, how often it was started, and what became of its commands.
//!
//! What machines there are is not in it: that lies beside their disks.

use std::path::Path;
use std::time::Duration;

use prost::Message as _;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _};
use redb::{TableDefinition, WriteTransaction};

use contracts::Status;

use crate::limits;

const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
/// Outcome by operation: when it was stored, whether it succeeded, the encoded answer or status.
const OPERATIONS: TableDefinition<'_, &str, (i64, bool, &[u8])> =
    TableDefinition::new("operations");
/// The same operations in the order of their age.
const BY_AGE: TableDefinition<'_, (i64, &str), ()> = TableDefinition::new("operations_by_age");

const HOST_ID: &str = "host_id";
const GENERATION: &str = "generation";

/// What became of a command: the encoded answer, or why not.
pub(crate) type Outcome = Result<Vec<u8>, Status>;

/// Who this agent is in this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub host_id: String,
    /// Counts the starts of the agent.
    pub generation: u64,
}

pub struct Store(Database);

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "the agent's store {path} cannot be opened: {why}. Another agent may run with the same data_dir."
    )]
    NotOpened { path: String, why: String },
    #[error("the agent's store failed: {0}")]
    Failed(Box<redb::Error>),
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error.into()))
    }
}

impl Store {
    /// Opens the store below a folder, which is made when it is not there. Only one agent can have it open.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("agent.redb");
        let not_opened = |why: String| StoreError::NotOpened {
            path: path.display().to_string(),
            why,
        };
        std::fs::create_dir_all(folder).map_err(|error| not_opened(error.to_string()))?;
        let database = Database::create(&path).map_err(|error| not_opened(error.to_string()))?;
        Ok(Self(database))
    }

    fn begin(&self) -> Result<WriteTransaction, StoreError> {
        let mut transaction = self.0.begin_write()?;
        // A store that was not closed opens at once, and two crashes in a row lose nothing.
        transaction.set_quick_repair(true);
        Ok(transaction)
    }

    /// Counts this start and answers who we are: the configured id, else the one kept, else a new one.
    pub fn start(&self, configured: &str, new_id: &str) -> Result<Identity, StoreError> {
        let transaction = self.begin()?;
        let identity = {
            let mut meta = transaction.open_table(META)?;
            let kept = |key: &str, meta: &redb::Table<'_, &str, &str>| {
                let value = meta.get(key)?;
                Ok::<_, StoreError>(value.map(|value| value.value().to_owned()))
            };
            let host_id = match (configured, kept(HOST_ID, &meta)?) {
                ("", Some(kept)) => kept,
                ("", None) => new_id.to_owned(),
                (configured, _) => configured.to_owned(),
            };
            let last = kept(GENERATION, &meta)?
                .and_then(|text| text.parse().ok())
                .unwrap_or(0u64);
            let generation = last + 1;
            meta.insert(HOST_ID, host_id.as_str())?;
            meta.insert(GENERATION, generation.to_string().as_str())?;
            Identity {
                host_id,
                generation,
            }
        };
        transaction.commit()?;
        Ok(identity)
    }

    /// What became of an operation, if it is remembered.
    pub(crate) fn outcome(&self, operation: &str) -> Result<Option<Outcome>, StoreError> {
        let operations = match self.0.begin_read()?.open_table(OPERATIONS) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(stored) = operations.get(operation)? else {
            return Ok(None);
        };
        let (_, succeeded, bytes) = stored.value();
        if succeeded {
            return Ok(Some(Ok(bytes.to_vec())));
        }
        // A status that cannot be read is as good as none: the command is done again.
        Ok(Status::decode(bytes).ok().map(Err))
    }

    /// Remembers what became of an operation, and forgets the oldest beyond the limits.
    pub(crate) fn remember(
        &self,
        operation: &str,
        outcome: &Outcome,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        {
            let mut operations = transaction.open_table(OPERATIONS)?;
            let mut by_age = transaction.open_table(BY_AGE)?;
            let (succeeded, bytes) = match outcome {
                Ok(answer) => (true, answer.clone()),
                Err(status) => (false, status.encode_to_vec()),
            };
            let replaced = operations.insert(operation, (now_ms, succeeded, bytes.as_slice()))?;
            if let Some(replaced) = replaced {
                by_age.remove((replaced.value().0, operation))?;
            }
            by_age.insert((now_ms, operation), ())?;
        }
        prune(
            &transaction,
            now_ms,
            limits::OPERATIONS_KEPT,
            limits::OPERATIONS_MAX,
        )?;
        transaction.commit()?;
        Ok(())
    }
}

fn prune(
    transaction: &WriteTransaction,
    now_ms: i64,
    kept: Duration,
    most: u64,
) -> Result<(), StoreError> {
    let mut operations = transaction.open_table(OPERATIONS)?;
    let mut by_age = transaction.open_table(BY_AGE)?;
    let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
    loop {
        let oldest = by_age.first()?.map(|(key, _)| {
            let (stored_ms, operation) = key.value();
            (stored_ms, operation.to_owned())
        });
        let Some((stored_ms, operation)) = oldest else {
            return Ok(());
        };
        let too_old = now_ms.saturating_sub(stored_ms) > kept_ms;
        if !too_old && by_age.len()? <= most {
            return Ok(());
        }
        by_age.remove((stored_ms, operation.as_str()))?;
        operations.remove(operation.as_str())?;
    }
}

#[cfg(test)]
mod tests {
    use contracts::Code;

    use super::*;

    #[test]
    fn the_id_stays_and_the_generation_counts() {
        let dir = tempfile::tempdir().unwrap();
        let identity = |configured: &str, new: &str| {
            let store = Store::open(dir.path()).unwrap();
            let Identity {
                host_id,
                generation,
            } = store.start(configured, new).unwrap();
            (host_id, generation)
        };
        assert_eq!(identity("", "first"), ("first".to_owned(), 1));
        assert_eq!(identity("", "second"), ("first".to_owned(), 2));
        assert_eq!(identity("chosen", "third"), ("chosen".to_owned(), 3));
        assert_eq!(identity("", "fourth"), ("chosen".to_owned(), 4));
    }

    #[test]
    fn two_agents_cannot_share_a_store() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Store::open(dir.path()).unwrap();
        let error = Store::open(dir.path()).err().unwrap();
        assert!(error.to_string().contains("Another agent"), "{error}");
    }

    #[test]
    fn an_outcome_is_remembered_for_a_while() {
        const DAY_MS: i64 = 24 * 3600 * 1000;
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.outcome("a").unwrap(), None);
        let refused = Err(Status::new(Code::FailedPrecondition, "no"));
        store.remember("a", &Ok(b"done".to_vec()), 0).unwrap();
        store.remember("b", &refused, DAY_MS).unwrap();
        assert_eq!(store.outcome("a").unwrap(), Some(Ok(b"done".to_vec())));
        assert_eq!(store.outcome("b").unwrap(), Some(refused));
        store
            .remember("c", &Ok(Vec::new()), 7 * DAY_MS + 1)
            .unwrap();
        assert_eq!(store.outcome("a").unwrap(), None);
        assert!(store.outcome("b").unwrap().is_some());
    }

    #[test]
    fn no_more_outcomes_are_kept_than_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for now in 0..5 {
            store
                .remember(&now.to_string(), &Ok(Vec::new()), now)
                .unwrap();
        }
        // Remembered again: it is the youngest now.
        store.remember("0", &Ok(Vec::new()), 5).unwrap();
        let transaction = store.begin().unwrap();
        prune(&transaction, 5, limits::OPERATIONS_KEPT, 2).unwrap();
        transaction.commit().unwrap();
        let left: Vec<bool> = ["0", "1", "2", "3", "4"]
            .iter()
            .map(|operation| store.outcome(operation).unwrap().is_some())
            .collect();
        assert_eq!(left, [true, false, false, false, true]);
    }
}
