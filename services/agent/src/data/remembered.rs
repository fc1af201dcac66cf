//! Hashes of files that were sent or received, to know their chunks by the next time without reading them.
//!
//! They are a convenience: what is lost is found out again, and a chunk that is taken from a file is checked all the same.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use contracts::data::{FileRef, FileStamp};

use super::limits;
use super::slots::{Head, Slots};

const ENDING: &str = "hashes";

pub(super) struct Remembered {
    folder: PathBuf,
    /// Those that are in use, so that all connections of a transfer fill one file.
    open: Mutex<HashMap<PathBuf, Weak<Slots>>>,
}

impl Remembered {
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self {
            folder,
            open: Mutex::default(),
        })
    }

    fn path(&self, file: &FileRef) -> PathBuf {
        let name = format!("{}/{}", file.datastore, file.path);
        let hash = blake3::hash(name.as_bytes()).to_hex();
        self.folder.join(format!("{hash}.{ENDING}"))
    }

    /// The hashes of a file that has this stamp: those that are known, or an empty set to fill.
    pub(super) fn of(&self, file: &FileRef, stamp: &FileStamp) -> io::Result<Arc<Slots>> {
        let path = self.path(file);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, slots| slots.strong_count() > 0);
        let shared = open.get(&path).and_then(Weak::upgrade);
        let known = match shared {
            Some(slots) => Some(slots),
            None => existing(&path)?.map(Arc::new),
        };
        let is_same = |head: Head| head.stamp.as_ref() == Some(stamp);
        if let Some(slots) = known
            && slots.head()?.is_some_and(is_same)
        {
            open.insert(path, Arc::downgrade(&slots));
            return Ok(slots);
        }
        let head = Head {
            stamp: Some(*stamp),
            datastore: file.datastore.clone(),
            path: file.path.clone(),
            ..Head::default()
        };
        let slots = Arc::new(self.create(&path, &head, |_| Ok(()))?);
        open.insert(path, Arc::downgrade(&slots));
        Ok(slots)
    }

    /// Makes a file under its name when it is filled; whoever uses the one before goes on with that.
    fn create(
        &self,
        path: &Path,
        head: &Head,
        fill: impl FnOnce(&Slots) -> io::Result<()>,
    ) -> io::Result<Slots> {
        let new = path.with_extension("new");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&new)?;
        let slots = Slots(file);
        fill(&slots)?;
        slots.set_head(head)?;
        fs::rename(&new, path)?;
        self.forget_oldest()?;
        Ok(slots)
    }

    /// Keeps the journal of a file that is whole now.
    pub(super) fn keep(&self, file: &FileRef, journal: &Slots, head: &Head) -> io::Result<()> {
        let copy =
            |slots: &Slots| journal.each(head.size_bytes(), |index, hash| slots.set(index, hash));
        self.create(&self.path(file), head, copy).map(drop)
    }

    /// What is remembered of the file of a name, whether it is still the same or not.
    pub(super) fn head(&self, file: &FileRef) -> Option<Head> {
        existing(&self.path(file)).ok()??.head().ok()?
    }

    pub(super) fn forget(&self, file: &FileRef) {
        // What is not there is forgotten already.
        let _ = fs::remove_file(self.path(file));
    }

    /// Everything that is remembered, newest first.
    pub(super) fn all(&self) -> io::Result<Vec<(Head, Slots)>> {
        let mut all = Vec::new();
        for (_, path) in self.by_age()?.into_iter().rev() {
            if let Some(slots) = existing(&path)?
                && let Some(head) = slots.head()?
            {
                all.push((head, slots));
            }
        }
        Ok(all)
    }

    fn by_age(&self) -> io::Result<Vec<(SystemTime, PathBuf)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == ENDING)
                && let Ok(metadata) = path.metadata()
            {
                found.push((metadata.modified()?, path));
            }
        }
        found.sort();
        Ok(found)
    }

    fn forget_oldest(&self) -> io::Result<()> {
        let found = self.by_age()?;
        let too_many = found.len().saturating_sub(limits::FILES_REMEMBERED);
        for (_, path) in found.into_iter().take(too_many) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

fn existing(path: &Path) -> io::Result<Option<Slots>> {
    match File::options().read(true).write(true).open(path) {
        Ok(file) => Ok(Some(Slots(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
