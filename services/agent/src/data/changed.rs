//! Files of shares that were changed while another host read them: the library says so of the item.

use std::collections::BTreeSet;

use contracts::data::FileRef;
use tokio::sync::watch;

/// Files that are kept until their share asks; one that does not ask loses the rest.
const KEPT_MAX: usize = 256;

/// Share and path of each.
#[derive(Debug, Default)]
pub(crate) struct ChangedFiles(watch::Sender<BTreeSet<(String, String)>>);

impl ChangedFiles {
    pub(super) fn note(&self, file: &FileRef) {
        self.0.send_modify(|files| {
            if files.len() < KEPT_MAX {
                files.insert((file.datastore.clone(), file.path.clone()));
            }
        });
    }

    /// Waits until there are some of a share, and takes their paths.
    pub(crate) async fn of(&self, share_id: &str) -> BTreeSet<String> {
        let mut files = self.0.subscribe();
        let is_of_it = |(share, _): &(String, String)| share == share_id;
        // Only an end of the sender fails, which is ours.
        let _ = files.wait_for(|files| files.iter().any(is_of_it)).await;
        let mut taken = BTreeSet::new();
        self.0.send_modify(|files| {
            let found = files.extract_if(.., is_of_it);
            taken.extend(found.map(|(_, path)| path));
        });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(share: &str, path: &str) -> FileRef {
        FileRef {
            datastore: share.to_owned(),
            path: path.to_owned(),
        }
    }

    #[tokio::test]
    async fn each_share_hears_of_its_own_files_once() {
        let changed = ChangedFiles::default();
        changed.note(&file("s1", "a.raw"));
        changed.note(&file("s2", "b.raw"));
        assert_eq!(changed.of("s2").await, ["b.raw".to_owned()].into());
        assert_eq!(changed.of("s1").await, ["a.raw".to_owned()].into());
        let again = changed.of("s1");
        tokio::pin!(again);
        assert!(futures::poll!(&mut again).is_pending());
        changed.note(&file("s1", "c.raw"));
        assert_eq!(again.await, ["c.raw".to_owned()].into());
    }
}
