//! A filesystem that can really be full.

use std::fs::{File, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// A small filesystem, mounted as long as the process of the test lives, however that ends.
pub struct SmallDisk {
    path: PathBuf,
    /// Unmounts when its input is closed.
    keeper: Child,
}

/// In a session of its own, so that whoever ends the test's group does not end it too.
const KEEPER: &str = r#"
mount -t tmpfs -o "size=$2,mode=755" muster-test "$1" || exit 1
echo mounted; cat >/dev/null; umount --lazy "$1"
"#;

/// Takes what room there is, but a little, when `qemu-img` begins to write. `$neighbour` is there while it does so.
const QEMU_IMG: &str = r#"#!/bin/sh
case "$1" in
convert) left=8M ;;
create) left=64K ;;
*) left= ;;
esac
if [ -n "$left" ] && [ -d "$neighbour" ]; then
    cat /dev/zero >"$neighbour/data" 2>/dev/null
    truncate -s "-$left" "$neighbour/data"
fi
exec qemu-img "$@"
"#;

impl SmallDisk {
    /// Mounts it at a folder, which is made. `None`: this process may not mount, as in a container without that right.
    pub fn mount(path: &Path, bytes: u64) -> anyhow::Result<Option<Self>> {
        std::fs::create_dir_all(path)?;
        let mut keeper = Command::new("setsid")
            .args(["sh", "-c", KEEPER, "keeper"])
            .arg(path)
            .arg(bytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = keeper.stdout.take().context("no output")?;
        let mut said = String::new();
        BufReader::new(stdout).read_line(&mut said)?;
        if said.trim() != "mounted" {
            keeper.wait()?;
            eprintln!(
                "PASSED OVER: a full disk cannot be had here, for want of the right to mount"
            );
            return Ok(None);
        }
        Ok(Some(Self {
            path: path.to_owned(),
            keeper,
        }))
    }

    pub fn free_bytes(&self) -> anyhow::Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_bavail * stat.f_frsize)
    }

    /// Takes all room but this, until [`SmallDisk::make_room`].
    pub fn leave(&self, bytes: u64) -> anyhow::Result<()> {
        let taken = self.free_bytes()?.saturating_sub(bytes);
        let file = File::create(self.path.join("taken"))?;
        Ok(rustix::fs::fallocate(
            file,
            rustix::fs::FallocateFlags::empty(),
            0,
            taken,
        )?)
    }

    pub fn make_room(&self) -> anyhow::Result<()> {
        let _ = std::fs::remove_file(self.path.join("taken"));
        let _ = std::fs::remove_dir_all(self.neighbour());
        Ok(())
    }

    fn neighbour(&self) -> PathBuf {
        self.path.join("neighbour")
    }

    /// From now on a neighbour takes all room but a little as soon as the `qemu-img` of [`SmallDisk::qemu_img`] begins to
    /// write, until [`SmallDisk::make_room`].
    pub fn fill_on_the_way(&self) -> anyhow::Result<()> {
        std::fs::create_dir(self.neighbour())?;
        Ok(std::fs::set_permissions(
            self.neighbour(),
            Permissions::from_mode(0o777),
        )?)
    }

    /// Writes a program that is `qemu-img`, with a neighbour who waits for it.
    pub fn qemu_img(&self, program: &Path) -> anyhow::Result<()> {
        let neighbour = self.neighbour();
        let neighbour = neighbour.to_str().context("odd path")?;
        std::fs::write(program, QEMU_IMG.replace("$neighbour", neighbour))?;
        Ok(std::fs::set_permissions(
            program,
            Permissions::from_mode(0o755),
        )?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
