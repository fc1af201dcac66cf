//! Parcels on a folder of the test's own.

use std::fs;
use std::path::PathBuf;

use contracts::Code;

use super::*;

struct Share(tempfile::TempDir);

impl Share {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("share/deep")).unwrap();
        Self(dir)
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("share")
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    fn open(&self, folder: &str) -> Result<String, Status> {
        let opened = open(&self.root(), &asked(folder, "p1"));
        opened.map(|opened| opened.hidden_folder)
    }

    /// As the data channel would.
    fn bring(&self, hidden: &str) {
        for file in ["disk0.qcow2", "seed"] {
            fs::write(self.root().join(hidden).join(file), "x").unwrap();
        }
    }

    fn name(&self, folder: &str) -> Result<(), Status> {
        name(&self.root(), &place(folder, "p1"))
    }

    fn close(&self, folder: &str, keep: bool) -> Result<(), Status> {
        let request = CloseParcelRequest {
            place: Some(place(folder, "p1")),
            keep,
        };
        close(&self.root(), &request)
    }
}

fn place(folder: &str, parcel_id: &str) -> ParcelPlace {
    ParcelPlace {
        parcel_id: parcel_id.to_owned(),
        folder: folder.to_owned(),
        files: vec!["disk0.qcow2".to_owned(), "seed".to_owned()],
        ..ParcelPlace::default()
    }
}

fn asked(folder: &str, parcel_id: &str) -> OpenParcelRequest {
    OpenParcelRequest {
        place: Some(place(folder, parcel_id)),
        ..OpenParcelRequest::default()
    }
}

#[test]
fn a_folder_is_hidden_until_it_is_whole_and_each_step_can_be_done_twice() {
    let share = Share::new();
    for _ in 0..2 {
        assert_eq!(share.open("deep/web").unwrap(), "deep/.web.p1.parcel");
    }
    let refusal = share.name("deep/web").unwrap_err();
    assert!(
        refusal.message.contains("disk0.qcow2 has not come"),
        "{refusal}"
    );
    share.bring("deep/.web.p1.parcel");
    for _ in 0..2 {
        share.name("deep/web").unwrap();
    }
    assert_eq!(share.names("deep"), ["web"]);
    let mode = |file: &str| {
        let metadata = fs::metadata(share.root().join("deep/web").join(file)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode("seed") & 0o077, 0);
    for _ in 0..2 {
        share.close("deep/web", true).unwrap();
    }
    assert_eq!(share.names("deep/web"), ["disk0.qcow2", "seed"]);
    // It is its owner's now: a late undo takes nothing away.
    share.close("deep/web", false).unwrap();
    assert_eq!(share.names("deep/web"), ["disk0.qcow2", "seed"]);
}

#[test]
fn what_is_taken_back_goes_before_and_after_it_has_its_name() {
    let share = Share::new();
    let hidden = share.open("web").unwrap();
    share.bring(&hidden);
    fs::write(share.root().join(&hidden).join(".disk0.qcow2.part"), "x").unwrap();
    for _ in 0..2 {
        share.close("web", false).unwrap();
    }
    assert_eq!(share.names(""), ["deep"]);
    let hidden = share.open("web").unwrap();
    share.bring(&hidden);
    share.name("web").unwrap();
    share.close("web", false).unwrap();
    assert_eq!(share.names(""), ["deep"]);
}

#[test]
fn what_is_anothers_stays() {
    let share = Share::new();
    fs::create_dir(share.root().join("web")).unwrap();
    fs::write(share.root().join("web/disk0.qcow2"), "theirs").unwrap();
    assert_eq!(share.open("web").unwrap_err().code(), Code::AlreadyExists);
    share.close("web", false).unwrap();
    assert_eq!(share.names("web"), ["disk0.qcow2"]);
    // Somebody takes the name while the files come.
    let hidden = share.open("other").unwrap();
    share.bring(&hidden);
    fs::create_dir(share.root().join("other")).unwrap();
    assert_eq!(share.name("other").unwrap_err().code(), Code::AlreadyExists);
    share.close("other", false).unwrap();
    assert_eq!(share.names(""), ["deep", "other", "web"]);
    // Somebody puts a file of theirs beside those that are taken back.
    let hidden = share.open("mixed").unwrap();
    share.bring(&hidden);
    share.name("mixed").unwrap();
    fs::write(share.root().join("mixed/notes"), "theirs").unwrap();
    share.close("mixed", false).unwrap();
    assert_eq!(share.names("mixed"), ["notes"]);
}

#[test]
fn nothing_leads_out_of_the_share_and_room_is_looked_at() {
    let share = Share::new();
    std::os::unix::fs::symlink(share.0.path(), share.root().join("up")).unwrap();
    for path in [
        "",
        "../web",
        "/web",
        ".web",
        "deep/.web",
        "deep//web",
        "deep/../web",
    ] {
        assert_eq!(
            share.open(path).unwrap_err().code(),
            Code::InvalidArgument,
            "{path}"
        );
    }
    for path in ["up/web", "none/web"] {
        assert_eq!(
            share.open(path).unwrap_err().code(),
            Code::FailedPrecondition,
            "{path}"
        );
    }
    let large = OpenParcelRequest {
        bytes: u64::MAX / 2,
        check_only: true,
        ..asked("web", "p1")
    };
    let full = open(&share.root(), &large).unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted, "{full}");
    let only = OpenParcelRequest {
        check_only: true,
        ..asked("web", "p1")
    };
    open(&share.root(), &only).unwrap();
    assert_eq!(share.names(""), ["deep", "up"]);
}
