//! Small text files of a share, read for the library: answer files.

use std::io::Read as _;
use std::path::Path;

use contracts::library::ReadTextResponse;
use contracts::{Code, ObjectRef, Status, limits, names};
use rustix::fs::OFlags;

use crate::data::{below, stamp};

/// Reads a file below a share. The kernel sees to it that the way stays there.
pub(super) fn read(root: &Path, path: &str) -> Result<ReadTextResponse, Status> {
    let title = names::shorten(path);
    let refused = |why: &str| {
        Status::precondition(format!("File {title} {why}."))
            .about(ObjectRef::new("file", &title, &title))
            .action("Look at the file on the library server.")
    };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file =
        below(root, path, flags).map_err(|error| refused(&format!("cannot be opened: {error}")))?;
    let unread = |error: std::io::Error| {
        Status::new(
            Code::Unavailable,
            format!("File {title} cannot be read: {error}."),
        )
        .action("Look at the disk of the library server.")
    };
    let metadata = file.metadata().map_err(unread)?;
    if !metadata.is_file() {
        return Err(refused("is no regular file"));
    }
    let most = limits::USER_DATA_BYTES_MAX as u64;
    let mut content = Vec::new();
    file.take(most + 1)
        .read_to_end(&mut content)
        .map_err(unread)?;
    if content.len() as u64 > most {
        return Err(refused(&format!("is longer than {} KiB", most >> 10)));
    }
    let text = String::from_utf8(content).map_err(|_| refused("is no text"))?;
    Ok(ReadTextResponse {
        text,
        file_bytes: metadata.len(),
        modified_ms: stamp(&metadata).modified_ns / 1_000_000,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_texts_of_the_share_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let share = dir.path().join("share");
        std::fs::create_dir_all(share.join("deep")).unwrap();
        std::fs::write(share.join("deep/user-data"), "#cloud-config\n").unwrap();
        std::fs::write(
            share.join("long"),
            "x".repeat(limits::USER_DATA_BYTES_MAX + 1),
        )
        .unwrap();
        std::fs::write(share.join("bytes"), [0xff, 0xfe]).unwrap();
        std::fs::write(dir.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("../secret", share.join("link")).unwrap();
        let good = read(&share, "deep/user-data").unwrap();
        assert_eq!(
            (good.text.as_str(), good.file_bytes),
            ("#cloud-config\n", 14)
        );
        for bad in ["long", "bytes", "link", "../secret", "deep", "none"] {
            assert!(read(&share, bad).is_err(), "{bad}");
        }
    }
}
