//! What is known of a share, kept over restarts: a file that is as it was is not looked at again.

use std::io;
use std::path::{Path, PathBuf};

use prost::Message as _;

use crate::core::library::{Items, Known};

/// The largest index that is read: of more items than a share has.
const BYTES_MAX: u64 = 512 << 20;

#[derive(Clone, PartialEq, prost::Message)]
struct Kept {
    #[prost(message, repeated, tag = "1")]
    items: Vec<Known>,
    #[prost(uint64, tag = "2")]
    device: u64,
}

/// Items of a share, and the filesystem that they were on.
#[derive(Debug, Default)]
pub(super) struct Index {
    path: PathBuf,
    pub(super) items: Items,
    pub(super) device: u64,
}

impl Index {
    /// One that is damaged is as good as none: everything is looked at again.
    pub(super) fn open(folder: &Path, share_id: &str) -> Self {
        let path = folder.join(format!("{share_id}.index"));
        let kept = read(&path).unwrap_or_default();
        let items = kept.items.into_iter();
        Self {
            items: items.map(|known| (known.facts.id.clone(), known)).collect(),
            device: kept.device,
            path,
        }
    }

    pub(super) fn replace(&mut self, items: Items, device: u64) -> io::Result<()> {
        let same = self.items == items && self.device == device;
        self.items = items;
        self.device = device;
        if same {
            return Ok(());
        }
        let kept = Kept {
            items: self.items.values().cloned().collect(),
            device,
        };
        // It is made anew if it is lost, so that it is not synced.
        let unfinished = self.path.with_extension("part");
        std::fs::write(&unfinished, kept.encode_to_vec())?;
        std::fs::rename(&unfinished, &self.path)
    }

    pub(super) fn forget(&self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "no index was removed");
        }
    }
}

fn read(path: &Path) -> Option<Kept> {
    let is_fine = std::fs::metadata(path).ok()?.len() <= BYTES_MAX;
    let bytes = is_fine.then(|| std::fs::read(path).ok())??;
    Kept::decode(bytes.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use contracts::library::ItemFacts;

    use super::*;

    #[test]
    fn an_index_is_kept_and_one_that_is_damaged_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let facts = ItemFacts {
            id: "i1".to_owned(),
            ..ItemFacts::default()
        };
        let known = Known {
            facts,
            ..Known::default()
        };
        let items: Items = [("i1".to_owned(), known)].into();
        let mut index = Index::open(dir.path(), "s1");
        index.replace(items.clone(), 7).unwrap();
        let again = Index::open(dir.path(), "s1");
        assert_eq!((&again.items, again.device), (&items, 7));
        std::fs::write(dir.path().join("s1.index"), b"\xff\xff").unwrap();
        assert!(Index::open(dir.path(), "s1").items.is_empty());
    }
}
