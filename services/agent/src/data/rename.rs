//! Names for what is whole.

use std::fs::File;
use std::io;

use rustix::fs::{AtFlags, RenameFlags, renameat, renameat_with, statat};
use rustix::io::Errno;

/// Renames a file or folder within a folder. Replaces nothing, whoever made it meanwhile.
pub(crate) fn rename_unless_there(folder: &File, from: &str, to: &str) -> io::Result<()> {
    match renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => look_and_rename(folder, from, to),
        renamed => Ok(renamed?),
    }
}

/// On a filesystem that cannot do both in one.
fn look_and_rename(folder: &File, from: &str, to: &str) -> io::Result<()> {
    match statat(folder, to, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(renameat(folder, from, folder, to)?),
        Err(error) => Err(error.into()),
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_replaces_nothing_on_whatever_filesystem() {
        for rename in [rename_unless_there, look_and_rename] {
            let dir = tempfile::tempdir().unwrap();
            let folder = File::open(dir.path()).unwrap();
            std::fs::write(dir.path().join("new"), "new").unwrap();
            std::fs::write(dir.path().join("old"), "old").unwrap();
            let refused = rename(&folder, "new", "old").unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(std::fs::read(dir.path().join("old")).unwrap(), b"old");
            rename(&folder, "new", "free").unwrap();
            assert_eq!(std::fs::read(dir.path().join("free")).unwrap(), b"new");
            assert!(!dir.path().join("new").exists());
        }
    }
}
