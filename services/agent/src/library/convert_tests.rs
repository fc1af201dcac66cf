use std::process::Command;

use support::small_disk::SmallDisk;

use super::*;

struct Share {
    disk: Option<SmallDisk>,
    dir: tempfile::TempDir,
    disks: DiskLook,
    conversions: Conversions,
}

fn tool(program: &str, arguments: &[&str], folder: &Path) -> String {
    let mut command = Command::new(program);
    let ran = command
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{program} {arguments:?}: {ran:?}");
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

impl Share {
    /// With a disk that holds something, and a folder.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::in_folder(dir, Path::new("qemu-img"), None).await
    }

    async fn in_folder(dir: tempfile::TempDir, qemu_img: &Path, disk: Option<SmallDisk>) -> Self {
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(dir.path().join("deep")).unwrap();
        tool(
            "qemu-img",
            &["create", "-q", "-f", "qcow2", "a.qcow2", "9M"],
            dir.path(),
        );
        let write = ["-c", "write -P 7 1M 3M", "a.qcow2"];
        tool("qemu-io", &write, dir.path());
        Self {
            disk,
            dir,
            disks: DiskLook::new(qemu_img, "nobody").await,
            conversions: Conversions::default(),
        }
    }

    fn request(&self, path: &str, target_path: &str, format: &str) -> ConvertRequest {
        let metadata = std::fs::metadata(self.dir.path().join(path)).unwrap();
        ConvertRequest {
            conversion_id: "c1".to_owned(),
            path: path.to_owned(),
            file_bytes: metadata.len(),
            modified_ms: stamp(&metadata).modified_ns / 1_000_000,
            target_path: target_path.to_owned(),
            format: format.to_owned(),
            ..ConvertRequest::default()
        }
    }

    async fn convert(&self, request: &ConvertRequest) -> Result<(), Status> {
        convert(&self.conversions, &self.disks, self.dir.path(), request).await
    }

    fn end(&self, target_path: &str, keep: bool) {
        let request = EndConversionRequest {
            conversion_id: "c1".to_owned(),
            target_path: target_path.to_owned(),
            keep,
            ..EndConversionRequest::default()
        };
        end(&self.conversions, self.dir.path(), &request).unwrap();
    }

    /// Names in the share, hidden ones too.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn a_disk_is_the_same_in_every_format_and_back() {
    let share = Share::new().await;
    for format in ["vmdk", "vhd", "vhdx", "raw"] {
        let there = format!("deep/a.{format}");
        let request = share.request("a.qcow2", &there, format);
        share.convert(&request).await.unwrap();
        share.end(&there, true);
        let looked = File::open(share.dir.path().join(&there)).unwrap();
        let looked = share
            .disks
            .look(&looked, &At::whole(share.dir.path().join(&there)))
            .await;
        assert_eq!(looked.unwrap().format, format);
        let back = format!("{format}.qcow2");
        let request = share.request(&there, &back, "qcow2");
        share.convert(&request).await.unwrap();
        share.end(&back, true);
        let same = ["compare", "-s", "a.qcow2", &back];
        tool("qemu-img", &same, share.dir.path());
    }
    let left: Vec<String> = share
        .names()
        .into_iter()
        .filter(|n| n.starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let mode = |name: &str| {
        std::fs::metadata(share.dir.path().join(name))
            .unwrap()
            .mode()
    };
    assert_eq!(mode("raw.qcow2") & 0o777, mode("a.qcow2") & 0o666);
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_the_reason_and_leaves_nothing() {
    let share = Share::new().await;
    let overlay = "create -q -u -f qcow2 -b a.qcow2 -F qcow2 over.qcow2 9M";
    let overlay: Vec<&str> = overlay.split(' ').collect();
    tool("qemu-img", &overlay, share.dir.path());
    std::fs::write(share.dir.path().join("there.raw"), "x").unwrap();
    std::fs::write(share.dir.path().join("bad.vmdk"), "KDMV and no more").unwrap();
    std::os::unix::fs::symlink("/tmp", share.dir.path().join("out")).unwrap();
    let before = share.names();
    let changed = ConvertRequest {
        file_bytes: 1,
        ..share.request("a.qcow2", "b.raw", "raw")
    };
    for (request, words) in [
        (share.request("a.qcow2", "b.qcow2", "qcow2"), "already"),
        (
            share.request("a.qcow2", "there.raw", "raw"),
            "There is a file",
        ),
        (
            share.request("over.qcow2", "b.raw", "raw"),
            "lies on another file",
        ),
        (share.request("bad.vmdk", "b.raw", "raw"), "qemu-img"),
        (
            share.request("a.qcow2", "none/b.raw", "raw"),
            "folder cannot be opened",
        ),
        (
            share.request("a.qcow2", "out/b.raw", "raw"),
            "folder cannot be opened",
        ),
        (
            share.request("a.qcow2", "../b.raw", "raw"),
            "cannot be the path",
        ),
        (
            share.request("a.qcow2", ".b.raw", "raw"),
            "cannot be the path",
        ),
        (share.request("a.qcow2", "b.iso", "iso"), "is no format"),
        (changed, "has changed"),
    ] {
        let refused = share.convert(&request).await.unwrap_err();
        assert!(refused.message.contains(words), "{words}: {refused}");
        assert!(!refused.recommended_action.is_empty(), "{refused}");
        assert_eq!(share.names(), before, "{words}");
    }
    let only = ConvertRequest {
        check_only: true,
        ..share.request("a.qcow2", "b.raw", "raw")
    };
    share.convert(&only).await.unwrap();
    assert_eq!(share.names(), before);
}

#[tokio::test]
async fn after_a_crash_at_any_point_a_conversion_goes_on_or_is_taken_back() {
    let share = Share::new().await;
    let request = share.request("a.qcow2", "b.raw", "raw");
    let (part, mark, whole) = (
        share.dir.path().join(".b.raw.c1.part"),
        share.dir.path().join(".b.raw.c1.made"),
        share.dir.path().join("b.raw"),
    );
    // Half of it was there, or all of it without its name.
    std::fs::write(&part, "half").unwrap();
    std::fs::write(&mark, "4 1").unwrap();
    share.convert(&request).await.unwrap();
    let made = std::fs::metadata(&whole).unwrap();
    // It has one name: no filesystem is asked for a second.
    assert_eq!((made.len(), made.nlink()), (9 << 20, 1));
    assert!(mark.exists() && !part.exists());
    // It was whole, and nobody heard of it.
    share.convert(&request).await.unwrap();
    assert_eq!(std::fs::metadata(&whole).unwrap().ino(), made.ino());
    share.end("b.raw", false);
    assert!(!whole.exists() && !mark.exists());
    share.end("b.raw", false);

    // Somebody has put another file there since.
    share.convert(&request).await.unwrap();
    std::fs::write(&whole, "another's").unwrap();
    let refused = share.convert(&request).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    share.end("b.raw", false);
    assert!(whole.exists() && !mark.exists());
    std::fs::remove_file(&whole).unwrap();

    // What was kept, or is another's, stays.
    share.convert(&request).await.unwrap();
    share.end("b.raw", true);
    share.end("b.raw", false);
    assert!(whole.exists() && !mark.exists());

    // One that is under way is stopped.
    let token = CancellationToken::new();
    share
        .conversions
        .lock()
        .insert("c1".to_owned(), token.clone());
    share.end("b.raw", false);
    assert!(token.is_cancelled() && whole.exists());
}

#[tokio::test]
async fn a_full_share_is_found_before_and_on_the_way_and_keeps_nothing_of_it() {
    const MIB: u64 = 1 << 20;
    let (dir, programs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(disk) = SmallDisk::mount(dir.path(), 200 * MIB).unwrap() else {
        return;
    };
    let open = Permissions::from_mode(0o755);
    std::fs::set_permissions(programs.path(), open).unwrap();
    let qemu_img = programs.path().join("qemu-img");
    disk.qemu_img(&qemu_img).unwrap();
    let share = Share::in_folder(dir, &qemu_img, Some(disk)).await;
    let disk = share.disk.as_ref().unwrap();
    let folder = share.dir.path();
    let create = ["create", "-q", "-f", "qcow2", "b.qcow2", "40M"];
    tool("qemu-img", &create, folder);
    tool("qemu-io", &["-c", "write -P 7 0 40M", "b.qcow2"], folder);
    let (before, free) = (share.names(), disk.free_bytes().unwrap());
    for format in ["vmdk", "vhd", "vhdx", "raw"] {
        let to = format!("b.{format}");
        let request = share.request("b.qcow2", &to, format);
        let failed = async |words: &str| {
            let refusal = share.convert(&request).await.unwrap_err();
            assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
            let names_it = refusal.message.contains(folder.to_str().unwrap());
            assert!(names_it && refusal.message.contains(words), "{refusal}");
            assert!(
                refusal
                    .recommended_action
                    .contains("Free room on the share")
            );
            disk.make_room().unwrap();
            let left = (share.names(), disk.free_bytes().unwrap());
            assert_eq!(left, (before.clone(), free), "{refusal}");
        };
        disk.leave(80 * MIB).unwrap();
        failed("MiB free").await;
        disk.fill_on_the_way().unwrap();
        failed("No space left").await;
        share.convert(&request).await.unwrap();
        tool("qemu-img", &["compare", "b.qcow2", &to], folder);
        share.end(&to, false);
        assert_eq!(share.names(), before);
    }
}
