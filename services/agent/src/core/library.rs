//! Which file of a share is which: what a look has seen is matched with what was known.

use std::collections::{BTreeMap, BTreeSet};

use contracts::library::{Found, ItemFacts, ItemKind};

/// Two looks at a file that find the same stamp found the same content.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Stamp {
    #[prost(uint64, tag = "1")]
    pub device: u64,
    #[prost(uint64, tag = "2")]
    pub inode: u64,
    #[prost(uint64, tag = "3")]
    pub bytes: u64,
    #[prost(int64, tag = "4")]
    pub modified_ns: i64,
    #[prost(int64, tag = "5")]
    pub changed_ns: i64,
}

/// An item as it was when it was looked at last.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Known {
    #[prost(message, required, tag = "1")]
    pub facts: ItemFacts,
    #[prost(message, required, tag = "2")]
    pub stamp: Stamp,
}

/// Items by id.
pub type Items = BTreeMap<String, Known>;

/// A file that is not as it was known, or new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fresh {
    pub path: String,
    /// The id that its extended attribute has.
    pub attribute: Option<String>,
    /// BLAKE3 of the content, where files are recognised by it.
    pub hash: Vec<u8>,
}

/// What a file is by its name and size. `None`: nothing that the library keeps.
pub fn kind(path: &str, bytes: u64) -> Option<ItemKind> {
    /// Sizes of floppy disks; an `.img` of another size is a virtual disk.
    const FLOPPIES: [u64; 6] = [163_840, 368_640, 737_280, 1_228_800, 1_474_560, 2_949_120];
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    if ["user-data", "meta-data", "network-config", "vendor-data"].contains(&name.as_str()) {
        return Some(ItemKind::AnswerFile);
    }
    if name.ends_with(contracts::stored::ENDING) {
        return Some(ItemKind::StoredVm);
    }
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension {
        "img" | "ima" if FLOPPIES.contains(&bytes) => ItemKind::Floppy,
        "qcow2" | "raw" | "img" | "vhd" | "vhdx" | "vmdk" => ItemKind::VirtualDisk,
        "iso" => ItemKind::Iso,
        "vfd" | "flp" => ItemKind::Floppy,
        "sh" | "ps1" | "py" => ItemKind::Script,
        "inf" | "xml" | "yaml" | "yml" => ItemKind::AnswerFile,
        "ovf" => ItemKind::Ovf,
        "ova" => ItemKind::Ova,
        _ => return None,
    })
}

/// A reason why a file may have an id.
type Claim<'a> = &'a dyn Fn(&Fresh) -> Option<String>;

/// Says for each fresh file which id it has; `None`: it needs a new one. `kept` are ids of files that are as they were.
pub fn assign(known: &Items, kept: &BTreeSet<String>, fresh: &[Fresh]) -> Vec<Option<String>> {
    let mut taken = kept.clone();
    let mut ids = vec![None; fresh.len()];
    let by_path: BTreeMap<&str, &String> = known
        .iter()
        .map(|(id, known)| (known.facts.path.as_str(), id))
        .collect();
    let by_hash: BTreeMap<&[u8], &String> = known
        .iter()
        .filter(|(_, known)| !known.facts.content_hash.is_empty())
        .map(|(id, known)| (known.facts.content_hash.as_slice(), id))
        .collect();
    // A copy has its original's attribute too: who is where the original was has the better claim.
    let in_place = |file: &Fresh| {
        let there = by_path.get(file.path.as_str()).copied();
        file.attribute.clone().filter(|id| there == Some(id))
    };
    let attribute = |file: &Fresh| file.attribute.clone();
    let same_path = |file: &Fresh| by_path.get(file.path.as_str()).map(|id| (*id).clone());
    let same_content = |file: &Fresh| by_hash.get(file.hash.as_slice()).map(|id| (*id).clone());
    let claims: [Claim<'_>; 4] = [&in_place, &attribute, &same_path, &same_content];
    for claim in claims {
        for (file, id) in fresh.iter().zip(&mut ids) {
            if id.is_none() {
                *id = claim(file).filter(|wanted| taken.insert(wanted.clone()));
            }
        }
    }
    ids
}

/// What became of a share from one look to the next.
pub fn compare(before: &Items, after: &Items) -> Found {
    const NAMED: usize = 20;
    let mut found = Found {
        items: count(after.len()),
        ..Found::default()
    };
    let mut names = Vec::new();
    for (id, now) in after {
        let counter = match before.get(id) {
            None => &mut found.new,
            Some(was) if was.facts == now.facts => continue,
            Some(was) if was.facts.path != now.facts.path => &mut found.renamed,
            Some(_) => &mut found.changed,
        };
        *counter += 1;
        names.push(&now.facts.path);
    }
    for (id, was) in before {
        if !after.contains_key(id) {
            found.missing += 1;
            names.push(&was.facts.path);
        }
    }
    found.names = names.into_iter().take(NAMED).cloned().collect();
    found
}

pub fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The file of the share that a disk lies on, as the disk's header names it from its own folder. `None`: elsewhere.
pub fn backing_path(path: &str, name: &str) -> Option<String> {
    if name.starts_with('/') || name.contains(':') {
        return None;
    }
    let (folder, _) = path.rsplit_once('/').unwrap_or(("", path));
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(of: &[(&str, &str, &[u8])]) -> Items {
        let known = |(id, path, hash): &(&str, &str, &[u8])| {
            let facts = ItemFacts {
                id: (*id).to_owned(),
                path: (*path).to_owned(),
                content_hash: hash.to_vec(),
                ..ItemFacts::default()
            };
            let stamp = Stamp::default();
            ((*id).to_owned(), Known { facts, stamp })
        };
        of.iter().map(known).collect()
    }

    fn fresh(path: &str, attribute: Option<&str>, hash: &[u8]) -> Fresh {
        Fresh {
            path: path.to_owned(),
            attribute: attribute.map(str::to_owned),
            hash: hash.to_vec(),
        }
    }

    fn assigned(known: &Items, kept: &[&str], files: &[Fresh]) -> Vec<String> {
        let kept = kept.iter().map(|id| (*id).to_owned()).collect();
        let ids = assign(known, &kept, files).into_iter();
        ids.map(|id| id.unwrap_or_else(|| "new".to_owned()))
            .collect()
    }

    #[test]
    fn a_file_keeps_its_id_wherever_it_goes_and_a_copy_gets_its_own() {
        let known = items(&[("i1", "a.iso", &[])]);
        let moved = [fresh("b/c.iso", Some("i1"), &[])];
        assert_eq!(assigned(&known, &[], &moved), ["i1"]);
        assert_eq!(assigned(&known, &["i1"], &moved), ["new"]);
        // Copied and touched: both have the attribute, in whichever order they are met.
        let both = [
            fresh("0.iso", Some("i1"), &[]),
            fresh("a.iso", Some("i1"), &[]),
        ];
        assert_eq!(assigned(&known, &[], &both), ["new", "i1"]);
        // Written anew by a program that replaces the file.
        assert_eq!(assigned(&known, &[], &[fresh("a.iso", None, &[])]), ["i1"]);
        // Another file has come in its place, and it lies elsewhere now.
        let swapped = [fresh("a.iso", None, &[]), fresh("b.iso", Some("i1"), &[])];
        assert_eq!(assigned(&known, &[], &swapped), ["new", "i1"]);
        assert_eq!(
            assigned(&known, &[], &[fresh("z.iso", Some("i9"), &[])]),
            ["i9"]
        );
    }

    #[test]
    fn without_attributes_the_content_says_who_a_file_is() {
        let known = items(&[("i1", "a.iso", b"one"), ("i2", "b.iso", b"two")]);
        let renamed = [fresh("c.iso", None, b"two")];
        assert_eq!(assigned(&known, &["i1"], &renamed), ["i2"]);
        assert_eq!(assigned(&known, &["i1", "i2"], &renamed), ["new"]);
        let rewritten = [fresh("b.iso", None, b"three")];
        assert_eq!(assigned(&known, &["i1"], &rewritten), ["i2"]);
    }

    #[test]
    fn what_became_of_a_share_is_counted() {
        let before = items(&[("i1", "a", b"1"), ("i2", "b", b"2"), ("i3", "c", b"3")]);
        let after = items(&[("i1", "a", b"1"), ("i2", "d", b"2"), ("i4", "e", b"4")]);
        let found = compare(&before, &after);
        let counts = (
            found.items,
            found.new,
            found.renamed,
            found.missing,
            found.changed,
        );
        assert_eq!(counts, (3, 1, 1, 1, 0));
        assert_eq!(found.names, ["d", "e", "c"]);
        let rewritten = items(&[("i1", "a", b"9"), ("i2", "b", b"2"), ("i3", "c", b"3")]);
        assert_eq!(compare(&before, &rewritten).changed, 1);
    }

    #[test]
    fn files_are_known_by_their_names() {
        let is = |name: &str, bytes: u64| kind(name, bytes);
        assert_eq!(is("a/B.QCOW2", 0), Some(ItemKind::VirtualDisk));
        assert_eq!(is("dos.img", 1_474_560), Some(ItemKind::Floppy));
        assert_eq!(is("disk.img", 1 << 20), Some(ItemKind::VirtualDisk));
        assert_eq!(is("web/user-data", 1), Some(ItemKind::AnswerFile));
        assert_eq!(is("setup.sh", 1), Some(ItemKind::Script));
        assert_eq!(is("vm.ova", 1), Some(ItemKind::Ova));
        assert_eq!(
            is("web-01/Machine.muster.json", 1),
            Some(ItemKind::StoredVm)
        );
        assert_eq!(is("web-01/package.json", 1), None);
        assert_eq!(is("README", 1), None);
        assert_eq!(is("x.txt", 1), None);
    }

    #[test]
    fn a_disk_lies_only_on_a_file_of_its_share() {
        let backing = |path: &str, name: &str| backing_path(path, name);
        assert_eq!(
            backing("a/b.qcow2", "base.qcow2").as_deref(),
            Some("a/base.qcow2")
        );
        assert_eq!(
            backing("a/b.qcow2", "../c/d.raw").as_deref(),
            Some("c/d.raw")
        );
        for outside in ["../../x", "/etc/passwd", "nbd://x/y", "json:{}"] {
            assert_eq!(backing("a/b.qcow2", outside), None, "{outside}");
        }
    }
}
