//! What clients send, as jobs and placement take it. Checks what a person would mistype, so that nothing is asked of
//! other services that cannot be.

use contracts::{jobs, limits, names, rest};

use crate::error::{Failure, Outcome};

/// Host groups and hosts that a request named, as ids; empty where it named none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) group_id: String,
    pub(crate) host_id: String,
}

pub(super) fn within(field: &str, value: u64, least: u64, most: u64) -> Outcome<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Failure::invalid(
        field,
        format!("{field}: {value} is not between {least} and {most}."),
        "Choose a value between the two.",
    ))
}

pub(super) fn check_description(description: &str) -> Outcome<()> {
    let chars = description.chars().count() as u64;
    if chars <= limits::DESCRIPTION_CHARS_MAX as u64 {
        return Ok(());
    }
    Err(Failure::invalid(
        "description",
        format!("The description has {chars} characters."),
        &format!("Use at most {}.", limits::DESCRIPTION_CHARS_MAX),
    ))
}

pub(super) fn check_tags<'a>(
    tags: impl ExactSizeIterator<Item = (&'a String, Option<&'a String>)>,
) -> Outcome<()> {
    within("tags", tags.len() as u64, 0, limits::TAGS_MAX as u64)?;
    let fits = |text: &str| text.chars().count() <= limits::TAG_CHARS_MAX;
    for (key, value) in tags {
        if key.is_empty() || !fits(key) || !value.is_none_or(|value| fits(value)) {
            return Err(Failure::invalid(
                &format!("tags.{}", names::shorten(key)),
                format!("The tag {:?} is empty or too long.", names::shorten(key)),
                &format!("Use 1 to {} characters.", limits::TAG_CHARS_MAX),
            ));
        }
    }
    Ok(())
}

pub(crate) fn vm_update(vm_id: String, request: rest::UpdateVm) -> Outcome<jobs::VmUpdate> {
    if request == rest::UpdateVm::default() {
        return Err(nothing_to_change());
    }
    let rest::UpdateVm {
        owner,
        description,
        tags,
    } = request;
    check_description(description.as_deref().unwrap_or_default())?;
    check_tags(tags.iter().map(|(key, value)| (key, value.as_ref())))?;
    let (set, removed): (Vec<_>, Vec<_>) = tags.into_iter().partition(|(_, v)| v.is_some());
    Ok(jobs::VmUpdate {
        vm_id,
        owner,
        description,
        set_tags: set.into_iter().filter_map(|(k, v)| Some((k, v?))).collect(),
        remove_tags: removed.into_iter().map(|(key, _)| key).collect(),
    })
}

pub(super) fn nothing_to_change() -> Failure {
    Failure::invalid(
        "",
        "The request names nothing to change.",
        "Set at least one field.",
    )
}

pub(crate) fn group_create(
    request: rest::CreateGroup,
    parent_id: String,
) -> Outcome<jobs::GroupCreate> {
    let rest::CreateGroup {
        name,
        parent: _,
        description,
    } = request;
    names::check_title("name", &name)?;
    check_description(&description)?;
    Ok(jobs::GroupCreate {
        name,
        parent_id,
        description,
    })
}

pub(crate) fn group_update(
    group_id: String,
    request: rest::UpdateGroup,
    parent_id: Option<String>,
) -> Outcome<jobs::GroupUpdate> {
    if request == rest::UpdateGroup::default() {
        return Err(nothing_to_change());
    }
    let rest::UpdateGroup {
        name,
        parent: _,
        description,
        encryption,
        reserves,
        settings,
        inherit,
    } = request;
    if let Some(name) = &name {
        names::check_title("name", name)?;
    }
    check_description(description.as_deref().unwrap_or_default())?;
    Ok(jobs::GroupUpdate {
        group_id,
        name,
        parent_id,
        description,
        encryption: encryption.map(|said| contracts::data::Encryption::from(said).into()),
        reserves: reserves.map(Into::into),
        settings: settings.map(Into::into),
        inherit,
    })
}

/// Names and ids of the fields at fault, as the client knows them.
pub(crate) fn rename_field(mut status: contracts::Status) -> contracts::Status {
    if let Some(rest) = status.field.strip_prefix("hardware.") {
        status.field = rest.to_owned();
    }
    status
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_set_to_null_is_removed() {
        let request = rest::UpdateVm {
            tags: [
                ("env".to_owned(), Some("prod".to_owned())),
                ("old".to_owned(), None),
            ]
            .into(),
            ..rest::UpdateVm::default()
        };
        let update = vm_update("v1".to_owned(), request).unwrap();
        assert_eq!(
            update.set_tags,
            [("env".to_owned(), "prod".to_owned())].into()
        );
        assert_eq!(update.remove_tags, ["old"]);
        assert!(vm_update("v1".to_owned(), rest::UpdateVm::default()).is_err());
    }
}
