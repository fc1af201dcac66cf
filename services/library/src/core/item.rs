//! Items: what a library server may say of one, what people may, and how it stands.

use contracts::library::{
    Item, ItemFacts, ItemKind, ItemStatus, ItemWords, Share, UpdateItemRequest,
};
use contracts::{Status, limits, names};

/// How an item stands, seen with its share.
pub fn status(item: &Item, share: &Share) -> ItemStatus {
    let is_disabled = item.words.as_ref().is_some_and(|words| words.disabled);
    if item.missing || !share.problem.is_empty() {
        ItemStatus::Missing
    } else if is_disabled {
        ItemStatus::Disabled
    } else if item.changed_in_use().is_some() {
        ItemStatus::ChangedInUse
    } else {
        ItemStatus::Ok
    }
}

/// Refuses what no library server says.
pub fn check_facts(facts: &ItemFacts) -> Result<(), Status> {
    names::check_id("id", &facts.id)?;
    check_path("path", &facts.path)?;
    if !facts.backing_path.is_empty() {
        check_path("backing_path", &facts.backing_path)?;
    }
    if facts.kind() == ItemKind::Unspecified {
        return Err(Status::invalid("kind", "The kind of the item is not said."));
    }
    if facts.format.len() > 16 || facts.content_hash.len() > 32 {
        return Err(Status::invalid("format", "A property is too long."));
    }
    Ok(())
}

fn check_path(field: &str, path: &str) -> Result<(), Status> {
    let is_fine = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\0');
    if path.len() <= limits::LIBRARY_PATH_BYTES_MAX && path.split('/').all(is_fine) {
        return Ok(());
    }
    let message = format!("{:?} is no path below a share.", names::shorten(path));
    Err(Status::invalid(field, message))
}

/// What people say of an item after a change.
pub fn changed(item: &Item, request: &UpdateItemRequest) -> Result<ItemWords, Status> {
    let mut words = item.words.clone().unwrap_or_default();
    let short = limits::TITLE_CHARS_MAX;
    let texts = [
        ("owner", &request.owner, &mut words.owner, short),
        ("os", &request.os, &mut words.os, short),
        ("family", &request.family, &mut words.family, short),
        ("release", &request.release, &mut words.release, short),
        (
            "description",
            &request.description,
            &mut words.description,
            limits::DESCRIPTION_CHARS_MAX,
        ),
    ];
    for (field, said, kept, most) in texts {
        if let Some(said) = said {
            check_text(field, said, most)?;
            kept.clone_from(said);
        }
    }
    for (key, value) in &request.set_tags {
        check_text("set_tags", key, limits::TAG_CHARS_MAX)?;
        check_text("set_tags", value, limits::TAG_CHARS_MAX)?;
        words.tags.insert(key.clone(), value.clone());
    }
    for key in &request.remove_tags {
        words.tags.remove(key);
    }
    if words.tags.len() > limits::TAGS_MAX {
        let message = format!("An item has at most {} tags.", limits::TAGS_MAX);
        return Err(Status::invalid("set_tags", message).action("Remove some."));
    }
    words.disabled = request.disabled.unwrap_or(words.disabled);
    if let Some(change) = item.changed_in_use()
        && request.disabled == Some(false)
    {
        words.accepted_change_ms = change;
    }
    Ok(words)
}

fn check_text(field: &str, text: &str, chars_max: usize) -> Result<(), Status> {
    if text.chars().count() <= chars_max && !text.chars().any(|c| c.is_control() && c != '\n') {
        return Ok(());
    }
    let message =
        format!("The text is longer than {chars_max} characters, or has control characters.");
    Err(Status::invalid(field, message).action("Shorten it."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_as_its_share_lets_it_be() {
        let share = Share::default();
        let away = Share {
            problem: "is not there".to_owned(),
            ..Share::default()
        };
        let disabled = Item {
            words: Some(ItemWords {
                disabled: true,
                ..ItemWords::default()
            }),
            ..Item::default()
        };
        let missing = Item {
            missing: true,
            ..disabled.clone()
        };
        assert_eq!(status(&Item::default(), &share), ItemStatus::Ok);
        assert_eq!(status(&disabled, &share), ItemStatus::Disabled);
        assert_eq!(status(&missing, &share), ItemStatus::Missing);
        assert_eq!(status(&Item::default(), &away), ItemStatus::Missing);
    }

    #[test]
    fn who_enables_an_item_finds_it_fine_as_it_is_now() {
        let share = Share::default();
        let at = |changed_in_use_ms| ItemFacts {
            changed_in_use_ms,
            ..ItemFacts::default()
        };
        let mut item = Item {
            facts: Some(at(7)),
            ..Item::default()
        };
        assert_eq!(status(&item, &share), ItemStatus::ChangedInUse);
        let other = UpdateItemRequest::default();
        item.words = Some(changed(&item, &other).unwrap());
        assert_eq!(status(&item, &share), ItemStatus::ChangedInUse);
        let enable = UpdateItemRequest {
            disabled: Some(false),
            ..other
        };
        item.words = Some(changed(&item, &enable).unwrap());
        assert_eq!(status(&item, &share), ItemStatus::Ok);
        // Again, and a server that has lost what it knew.
        for (now, expected) in [(9, ItemStatus::ChangedInUse), (0, ItemStatus::Ok)] {
            item.facts = Some(at(now));
            assert_eq!(status(&item, &share), expected);
        }
    }

    #[test]
    fn what_is_not_named_stays_and_what_is_too_long_is_refused() {
        let words = ItemWords {
            owner: "ann".to_owned(),
            family: "debian".to_owned(),
            ..ItemWords::default()
        };
        let item = Item {
            words: Some(words),
            ..Item::default()
        };
        let request = UpdateItemRequest {
            release: Some("13.1".to_owned()),
            disabled: Some(true),
            set_tags: [("a".to_owned(), "b".to_owned())].into(),
            ..UpdateItemRequest::default()
        };
        let after = changed(&item, &request).unwrap();
        assert_eq!(
            (after.owner.as_str(), after.family.as_str()),
            ("ann", "debian")
        );
        assert_eq!(after.release, "13.1");
        assert!(after.disabled && after.tags.len() == 1);
        let long = UpdateItemRequest {
            owner: Some("x".repeat(121)),
            ..UpdateItemRequest::default()
        };
        assert_eq!(changed(&item, &long).unwrap_err().field, "owner");
    }

    #[test]
    fn a_server_cannot_name_what_lies_elsewhere() {
        let facts = |path: &str| ItemFacts {
            id: "i1".to_owned(),
            path: path.to_owned(),
            kind: ItemKind::Iso.into(),
            ..ItemFacts::default()
        };
        assert!(check_facts(&facts("a/b.iso")).is_ok());
        for bad in ["", "/a", "../a", "a//b", "a/.b"] {
            assert!(check_facts(&facts(bad)).is_err(), "{bad}");
        }
    }
}
