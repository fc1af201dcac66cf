//! Which items machines can be made from, and which of a family is the newest.

use std::cmp::Ordering;

use contracts::library::{AnswerFile, Item, ItemKind, ItemStatus, LibraryImage, Share};
use contracts::{ObjectRef, Status, names};
use uuid::Uuid;

use super::item::status;

/// Namespace of what tells contents apart in the names of files.
const CONTENTS: Uuid = Uuid::from_u128(0x6d75_7374_6572_436f_6e74_656e_7473_0000);

/// An item with the share that it lies on.
#[derive(Clone, Copy, Debug)]
pub struct Shelved<'a> {
    pub item: &'a Item,
    pub share: &'a Share,
}

impl Shelved<'_> {
    /// `<share>/<path>`.
    pub fn title(&self) -> String {
        format!("{}/{}", self.share.name, self.item.path())
    }

    fn refused(&self, what: &str, why: &str, action: &str) -> Status {
        let title = self.title();
        let object = ObjectRef::new("library_item", &self.item.id, &title);
        Status::precondition(format!("{what} {title} {why}."))
            .about(object)
            .action(action)
    }

    fn check_there(&self, what: &str) -> Result<(), Status> {
        match status(self.item, self.share) {
            // It is looked at again when it is copied.
            ItemStatus::Ok | ItemStatus::ChangedInUse => Ok(()),
            ItemStatus::Disabled => {
                Err(self.refused(what, "is disabled", "Enable it, or name another one."))
            }
            ItemStatus::Missing | ItemStatus::Unspecified => Err(self.refused(
                what,
                "is missing",
                "Bring the file or its share back, or name another one.",
            )),
        }
    }

    /// The image as machines are made from it, or why none can be.
    pub fn image(&self) -> Result<LibraryImage, Status> {
        self.check_there("Image")?;
        let facts = self.item.facts.clone().unwrap_or_default();
        if facts.kind() != ItemKind::VirtualDisk {
            return Err(self.refused("Item", "is no virtual disk", "Name one that is."));
        }
        if !matches!(facts.format.as_str(), "qcow2" | "raw") {
            let why = format!("is of format {}", facts.format);
            return Err(self.refused(
                "Image",
                &why,
                "Convert it to qcow2: muster library item convert.",
            ));
        }
        if !facts.backing_path.is_empty() {
            let why = format!("lies on another file, {}", facts.backing_path);
            let action = "Make it one file with qemu-img convert.";
            return Err(self.refused("Image", &why, action));
        }
        Ok(LibraryImage {
            file: file_name(self.item),
            item_id: self.item.id.clone(),
            server_id: self.item.server_id.clone(),
            share_id: self.share.id.clone(),
            share_name: self.share.name.clone(),
            path: facts.path,
            file_bytes: facts.file_bytes,
            virtual_bytes: facts.virtual_bytes,
            modified_ms: facts.modified_ms,
        })
    }

    /// The file as user data is made from it, or why none can be.
    pub fn answer_file(&self) -> Result<AnswerFile, Status> {
        self.check_there("Answer file")?;
        let facts = self.item.facts.clone().unwrap_or_default();
        if facts.kind() != ItemKind::AnswerFile {
            return Err(self.refused("Item", "is no answer file", "Name one that is."));
        }
        Ok(AnswerFile {
            item_id: self.item.id.clone(),
            server_id: self.item.server_id.clone(),
            share_id: self.share.id.clone(),
            share_name: self.share.name.clone(),
            path: facts.path,
            file_bytes: facts.file_bytes,
            modified_ms: facts.modified_ms,
        })
    }
}

/// What an image is called on datastores: the same content of the same item has one name, another has another.
fn file_name(item: &Item) -> String {
    let facts = item.facts.clone().unwrap_or_default();
    let seen = format!("{}\n{}\n", facts.file_bytes, facts.modified_ms);
    let seen = [seen.as_bytes(), &facts.content_hash].concat();
    let content = Uuid::new_v5(&CONTENTS, &seen).simple().to_string();
    let content = content.get(..12).unwrap_or_default();
    names::library_image(&item.id, content, &facts.format)
}

/// The newest release of a family that is there and enabled.
pub fn newest<'a>(family: &str, items: impl Iterator<Item = Shelved<'a>>) -> Option<Shelved<'a>> {
    let release = |shelved: &Shelved<'a>| {
        let words = shelved.item.words.as_ref();
        words.map_or("", |words| words.release.as_str()).to_owned()
    };
    let found_ms = |shelved: &Shelved<'a>| shelved.item.found_ms;
    items
        .filter(|shelved| {
            let words = shelved.item.words.as_ref();
            words.is_some_and(|words| words.family == family) && shelved.image().is_ok()
        })
        .max_by(|a, b| {
            let later = found_ms(a)
                .cmp(&found_ms(b))
                .then(a.item.id.cmp(&b.item.id));
            order(&release(a), &release(b)).then(later)
        })
}

/// The order of two releases: numbers in them count as numbers, so 13.10 comes after 13.9.
fn order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (parts(a).into_iter(), parts(b).into_iter());
    loop {
        let ordering = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (a, b) => a.cmp(&b),
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

/// Words and numbers in turn. A number has its length before its digits, so that no size of it is too large.
fn parts(release: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let mut rest = release;
    while let Some(first) = rest.chars().next() {
        let is_number = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != is_number);
        let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
        let digits = part.trim_start_matches('0');
        parts.push(match is_number {
            true => (digits.len() + 1, digits),
            false => (0, part),
        });
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use contracts::library::{ItemFacts, ItemWords};

    use super::*;

    fn disk(id: &str, release: &str) -> Item {
        Item {
            id: id.to_owned(),
            facts: Some(ItemFacts {
                path: format!("{id}.qcow2"),
                kind: ItemKind::VirtualDisk.into(),
                format: "qcow2".to_owned(),
                file_bytes: 7,
                ..ItemFacts::default()
            }),
            words: Some(ItemWords {
                family: "debian".to_owned(),
                release: release.to_owned(),
                ..ItemWords::default()
            }),
            ..Item::default()
        }
    }

    fn newest_of(items: &[Item]) -> Option<String> {
        let share = Share::default();
        let shelved = items.iter().map(|item| Shelved {
            item,
            share: &share,
        });
        Some(newest("debian", shelved)?.item.id.clone())
    }

    #[test]
    fn the_newest_release_is_the_highest_number_that_can_be_used() {
        let mut items = vec![
            disk("a", "13.9"),
            disk("b", "13.10"),
            disk("c", "12.99"),
            disk("d", "013.2"),
        ];
        assert_eq!(newest_of(&items).as_deref(), Some("b"));
        if let Some(words) = &mut items[1].words {
            words.disabled = true;
        }
        assert_eq!(newest_of(&items).as_deref(), Some("a"));
        items[0].missing = true;
        assert_eq!(newest_of(&items).as_deref(), Some("d"));
        assert_eq!(newest_of(&[]), None);
    }

    #[test]
    fn releases_are_in_the_order_that_people_mean() {
        for (less, more) in [
            ("1", "2"),
            ("9", "10"),
            ("1.2", "1.10"),
            ("1.2", "1.2.1"),
            ("rc1", "rc2"),
            ("2024-09-30", "2024-10-01"),
            ("99999999999999999999999", "100000000000000000000000"),
        ] {
            assert_eq!(order(less, more), Ordering::Less, "{less} {more}");
        }
        assert_eq!(order("1.02", "1.2"), Ordering::Equal);
    }

    #[test]
    fn an_image_that_cannot_be_used_is_refused_with_the_reason() {
        let share = Share {
            name: "images".to_owned(),
            ..Share::default()
        };
        let refusal = |spoil: &dyn Fn(&mut ItemFacts)| {
            let mut item = disk("a", "1");
            if let Some(facts) = &mut item.facts {
                spoil(facts);
            }
            let shelved = Shelved {
                item: &item,
                share: &share,
            };
            shelved.image().err().map(|e| e.message).unwrap_or_default()
        };
        assert_eq!(refusal(&|_| {}), "");
        assert!(refusal(&|f| f.format = "vmdk".to_owned()).contains("images/a.qcow2 is of format"));
        assert!(refusal(&|f| f.backing_path = "base".to_owned()).contains("lies on another"));
        assert!(refusal(&|f| f.set_kind(ItemKind::Iso)).contains("is no virtual disk"));
    }

    #[test]
    fn another_content_has_another_name() {
        let (item, mut other) = (disk("a", "1"), disk("a", "2"));
        assert_eq!(file_name(&item), file_name(&other));
        if let Some(facts) = &mut other.facts {
            facts.modified_ms += 1;
        }
        assert_ne!(file_name(&item), file_name(&other));
        assert!(file_name(&item).starts_with("library-a-"));
    }
}
