//! What earlier releases wrote is read by today's code, and what they rely on is still there.
//!
//! Each release has a folder in `tests/data/golden/`: its descriptors, a sample of every message with every field set
//! (once for each choice that a message offers), the same in words, and samples of every REST type. They are made once,
//! when the release is:
//!
//! `MUSTER_GOLDEN=v0.2 cargo test -p contracts --test golden`
//!
//! and never changed afterwards. What is not released yet is in no folder and may change freely.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod gate;
mod live;
mod rest;
mod sample;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use contracts::messages::recode;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _};
use sample::Sample;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/golden")
}

/// A release that was made.
struct Release {
    folder: PathBuf,
    pool: DescriptorPool,
}

impl Release {
    fn open(folder: PathBuf) -> Self {
        let descriptors = fs::read(folder.join("descriptors.bin")).unwrap();
        let pool = DescriptorPool::decode(descriptors.as_slice()).unwrap();
        Self { folder, pool }
    }

    fn name(&self) -> String {
        self.folder.file_name().unwrap().to_string_lossy().into()
    }

    fn files(&self, ending: &str) -> BTreeSet<String> {
        fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(ending).map(str::to_owned))
            .collect()
    }
}

fn releases() -> Vec<Release> {
    if let Some(name) = std::env::var_os("MUSTER_GOLDEN") {
        make(&root().join(name));
    }
    let folders = fs::read_dir(root()).unwrap();
    let mut folders: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    assert!(!folders.is_empty(), "no release has been kept");
    folders.into_iter().map(Release::open).collect()
}

/// Keeps what there is today as a release. One that is there already stays as it is.
fn make(folder: &Path) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        if folder.exists() {
            return;
        }
        let half = folder.with_extension("new");
        fs::create_dir_all(&half).unwrap();
        fs::write(half.join("descriptors.bin"), contracts::DESCRIPTORS).unwrap();
        for sample in sample::all(contracts::diff::pool()) {
            // Through the code of the type, which writes the entries of maps in order.
            let bytes = recode(&sample.message, &sample.encode()).unwrap().unwrap();
            fs::write(half.join(format!("{}.pb", sample.file)), bytes).unwrap();
            fs::write(half.join(format!("{}.txt", sample.file)), sample.text()).unwrap();
        }
        for (name, value) in rest::samples() {
            let text = serde_json::to_string_pretty(&value).unwrap();
            fs::write(half.join(format!("{name}.json")), text + "\n").unwrap();
        }
        fs::rename(half, folder).unwrap();
    });
}

/// What the bytes say to a program of that release.
fn read(sample: &Sample, bytes: &[u8]) -> DynamicMessage {
    DynamicMessage::decode(sample.value.descriptor(), bytes).unwrap()
}

#[test]
fn every_message_of_every_release_is_read_with_every_field() {
    for release in releases() {
        for sample in sample::all(&release.pool) {
            let what = format!("{} of {}", sample.file, release.name());
            let bytes = fs::read(release.folder.join(format!("{}.pb", sample.file))).unwrap();
            assert_eq!(read(&sample, &bytes), sample.value, "{what} was changed");
            let today = recode(&sample.message, &bytes).unwrap_or_else(|| panic!("{what} is gone"));
            let today = today.unwrap_or_else(|error| panic!("{what} cannot be read: {error}"));
            assert_eq!(
                sample::text(&read(&sample, &today)),
                sample.text(),
                "{what} reads otherwise"
            );
        }
    }
}

#[test]
fn every_sample_is_kept_in_bytes_and_in_words() {
    for release in releases() {
        let wanted: BTreeSet<String> = sample::all(&release.pool).map(|s| s.file).collect();
        assert_eq!(release.files(".pb"), wanted);
        assert_eq!(release.files(".txt"), wanted);
        for sample in sample::all(&release.pool) {
            let path = release.folder.join(format!("{}.txt", sample.file));
            assert_eq!(fs::read_to_string(path).unwrap(), sample.text());
        }
    }
}

#[test]
fn nothing_that_an_earlier_release_relies_on_is_gone_or_another() {
    for release in releases() {
        let broken = gate::broken(&release.pool, contracts::diff::pool());
        assert!(
            broken.is_empty(),
            "programs of {} would misunderstand this one:\n{}",
            release.name(),
            broken.join("\n")
        );
    }
}

#[test]
fn every_rest_sample_of_every_release_is_read_and_has_the_same_names() {
    for release in releases() {
        let today: BTreeSet<String> = rest::kinds().iter().map(|k| k.name.to_owned()).collect();
        let kept = release.files(".json");
        let gone: Vec<_> = kept.difference(&today).collect();
        assert!(gone.is_empty(), "{gone:?} of {} are gone", release.name());
        for kind in rest::kinds().iter().filter(|k| kept.contains(k.name)) {
            let path = release.folder.join(format!("{}.json", kind.name));
            let text = fs::read_to_string(path).unwrap();
            let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
            let read = (kind.again)(golden.clone())
                .unwrap_or_else(|error| panic!("{} cannot be read: {error}", kind.name));
            let mut lost = Vec::new();
            rest::lost(kind.name, &golden, &read, &mut lost);
            assert!(lost.is_empty(), "lost or renamed: {lost:#?}");
        }
    }
}
