//! The seed of a guest: a small read-only disk labelled CIDATA with the files of cloud-init's NoCloud, or answers for Windows
//! too, beside the machine's disks. It is made with the machine and goes with its folder.

use std::fs::OpenOptions;
use std::io::{self, Cursor, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::confinement::Confinement;
use super::folder::{Folder, open_regular};
use crate::core::seed::{ANSWERS, SEED_BYTES_MAX, Seed};

/// Its name in the machine's folder.
pub(super) const FILE: &str = "seed.img";

/// What cloud-init looks for. FAT has capitals only.
const LABEL: [u8; 11] = *b"CIDATA     ";

/// Room for the files, and as much again for the tables of FAT.
const DISK_BYTES: usize = 2 * SEED_BYTES_MAX;

/// Makes the disk. It holds what may be secret, so nobody but QEMU may read it.
pub(super) fn make(confinement: &Confinement, folder: &Folder, seed: &Seed) -> io::Result<()> {
    let path = folder.file(FILE);
    let content = disk(seed)?;
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    file.write_all(&content)?;
    file.sync_all()?;
    confinement.hand_over(&path)
}

/// Whether it has answers for Windows, which looks for them on removable disks alone.
pub(super) fn has_answers(path: &Path) -> io::Result<bool> {
    let mut content = Vec::new();
    let file = open_regular(path)?;
    file.take(bytes()).read_to_end(&mut content)?;
    let volume = fatfs::FileSystem::new(Cursor::new(content), fatfs::FsOptions::new())?;
    let mut names = volume.root_dir().iter();
    Ok(names.any(|entry| entry.is_ok_and(|entry| entry.file_name() == ANSWERS)))
}

/// Refuses what cannot be a seed that was made here before.
pub(super) fn check(path: &Path) -> io::Result<()> {
    match open_regular(path)?.metadata()?.len() == bytes() {
        true => Ok(()),
        false => Err(io::Error::other(
            "what its guest was told is not of the size that it was made in",
        )),
    }
}

/// Bytes that it takes.
pub(super) fn bytes() -> u64 {
    DISK_BYTES as u64
}

fn disk(seed: &Seed) -> io::Result<Vec<u8>> {
    let mut content = vec![0; DISK_BYTES];
    let mut disk = Cursor::new(content.as_mut_slice());
    let options = fatfs::FormatVolumeOptions::new().volume_label(LABEL);
    fatfs::format_volume(&mut disk, options)?;
    let volume = fatfs::FileSystem::new(&mut disk, fatfs::FsOptions::new())?;
    for (name, text) in seed.files() {
        let mut file = volume.root_dir().create_file(name)?;
        file.write_all(text.as_bytes())?;
    }
    volume.unmount()?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_holds_the_files_word_for_word() {
        let seed = Seed {
            meta_data: "local-hostname: web-01\n".to_owned(),
            user_data: "#".repeat(64 << 10),
            vendor_data: Some("#cloud-config\n".to_owned()),
            answers: Some("<unattend/>\n".to_owned()),
        };
        let mut content = disk(&seed).unwrap();
        let mut disk = Cursor::new(content.as_mut_slice());
        let volume = fatfs::FileSystem::new(&mut disk, fatfs::FsOptions::new()).unwrap();
        assert_eq!(volume.volume_label(), "CIDATA");
        let read = |name: &str| {
            let mut text = String::new();
            let mut file = volume.root_dir().open_file(name).unwrap();
            file.read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(seed.files().count(), 5);
        for (name, text) in seed.files() {
            assert_eq!(read(name), text);
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        for (answers, expected) in [(seed.answers.clone(), true), (None, false)] {
            let seed = Seed {
                answers,
                ..seed.clone()
            };
            std::fs::write(&path, super::disk(&seed).unwrap()).unwrap();
            assert_eq!(has_answers(&path).unwrap(), expected);
        }
    }
}
