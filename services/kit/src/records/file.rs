//! The redb file behind a view: opened only when it is whole, opened again after a failure, set aside when it is damaged.
//!
//! redb trusts the pages of a file that was closed in order, and answers wrongly or panics when one has rotted. But every
//! page is summed up to the root, so that walking the file once when it is opened finds any damage (measured: 0.2 s for
//! 45,000 records of 1.5 KB). After an error of the disk redb refuses everything until the file is opened anew; that
//! takes the view back to what was on the disk, and its followers go on from there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{Database, Durability, ReadableDatabase, StorageError, WriteTransaction};

use super::view::ViewError;

/// Pages of the file that are kept in memory, beside those that the system keeps. redb's own default is 1 GiB, which each
/// of a dozen stores would fill in a large fleet.
const CACHE_BYTES: usize = 16 << 20;

/// Makes the tables of a new file.
type Make = fn(&WriteTransaction) -> Result<(), redb::Error>;

pub(super) struct File {
    opened: RwLock<Opened>,
    path: PathBuf,
    make: Make,
}

struct Opened {
    /// `None`: the file could not be opened again.
    db: Option<Database>,
    /// Counts openings, so that of several that met one failure only the first opens the file again.
    count: u64,
}

impl File {
    /// Opens the file; one that is damaged is set aside and made anew, since the log has everything.
    pub(super) fn open(folder: &Path, make: Make) -> Result<Self, ViewError> {
        let path = folder.join("records.redb");
        std::fs::create_dir_all(folder).map_err(|e| failed(&path, redb::Error::Io(e)))?;
        let db = open_or_set_aside(&path, make)?;
        Ok(Self {
            opened: RwLock::new(Opened {
                db: Some(db),
                count: 0,
            }),
            path,
            make,
        })
    }

    pub(super) fn write<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, ViewError> {
        self.with(|db| write(db, durability, work))
    }

    /// Reads; after a failure once more from the file opened anew.
    pub(super) fn read<T>(
        &self,
        work: impl Fn(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, ViewError> {
        let run = || self.with(|db| work(&db.begin_read()?));
        run().or_else(|_| run())
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, ViewError> {
        let (outcome, count) = {
            let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
            let outcome = match &opened.db {
                Some(db) => no_panic(|| work(db)),
                None => Err(redb::Error::PreviousIo),
            };
            (outcome, opened.count)
        };
        outcome.map_err(|source| {
            self.open_again(count);
            failed(&self.path, source)
        })
    }

    fn open_again(&self, count: u64) {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.count != count {
            return;
        }
        // Closed first: the file is locked while it is open.
        opened.db = None;
        opened.db = open_or_set_aside(&self.path, self.make)
            .inspect_err(|error| {
                tracing::error!(
                    error = error as &dyn std::error::Error,
                    "the store could not be opened again"
                );
            })
            .ok();
        opened.count += 1;
    }
}

fn failed(path: &Path, source: redb::Error) -> ViewError {
    ViewError::Failed {
        path: path.to_owned(),
        source: Box::new(source),
    }
}

fn open_or_set_aside(path: &Path, make: Make) -> Result<Database, ViewError> {
    let error = match open_whole(path, make) {
        Ok(db) => return Ok(db),
        Err(redb::Error::DatabaseAlreadyOpen) => {
            return Err(ViewError::InUse {
                path: path.to_owned(),
            });
        }
        // A full disk, a folder that is not ours: the file may be as good as ever.
        Err(redb::Error::Io(error)) if is_the_systems(&error) => {
            return Err(failed(path, redb::Error::Io(error)));
        }
        Err(error) => error,
    };
    let aside = path.with_extension("damaged");
    tracing::error!(%error, store = %path.display(), aside = %aside.display(),
        "the store is damaged; it is set aside and rebuilt from the log");
    std::fs::rename(path, &aside).map_err(|e| failed(path, redb::Error::Io(e)))?;
    open_whole(path, make).map_err(|e| failed(path, e))
}

/// Whether the system refused, as opposed to contents that make no sense. A sector that cannot be read is damage.
fn is_the_systems(error: &std::io::Error) -> bool {
    const EIO: i32 = 5;
    error.raw_os_error().is_some_and(|code| code != EIO)
}

fn open_whole(path: &Path, make: Make) -> Result<Database, redb::Error> {
    no_panic(|| {
        let mut db = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)?;
        if !db.check_integrity()? {
            return Err(damaged("its pages do not fit together"));
        }
        // Nothing is written when the tables are there: a full disk does not keep a service from starting.
        let is_new = db.begin_read()?.list_tables()?.next().is_none();
        if is_new {
            write(&db, Durability::Immediate, make)?;
        }
        Ok(db)
    })
}

fn write<T>(
    db: &Database,
    durability: Durability,
    work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
) -> Result<T, redb::Error> {
    let mut txn = db.begin_write()?;
    txn.set_durability(durability)?;
    // A file that was not closed is then opened at once, however large.
    txn.set_quick_repair(matches!(durability, Durability::Immediate));
    let result = work(&txn)?;
    txn.commit()?;
    Ok(result)
}

/// redb panics on some damage.
fn no_panic<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(damaged("reading it panicked")))
}

fn damaged(what: &str) -> redb::Error {
    StorageError::Corrupted(what.to_owned()).into()
}
