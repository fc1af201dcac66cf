//! The tree of host groups: what a change of it may be.
//!
//! Every rule here looks at the whole tree, so every change is written only if no other group was written since the
//! tree was read (see `store`).

use std::collections::BTreeMap;

use contracts::inventory::{GroupChange, GroupSettings, HostGroup, Reserves};
use contracts::limits::{DESCRIPTION_CHARS_MAX, GROUP_DEPTH_MAX};
use contracts::names::{self, ROOT_GROUP_ID};
use contracts::{ObjectRef, Status};
use kit::records::Decision;

use super::lock::{Held, check_holder};

/// What a change of a group comes to, with the group as it is then.
pub type GroupDecision = Result<Decision<HostGroup, HostGroup>, Status>;

/// Every group, by id.
pub struct Tree(BTreeMap<String, HostGroup>);

impl FromIterator<HostGroup> for Tree {
    fn from_iter<I: IntoIterator<Item = HostGroup>>(groups: I) -> Self {
        Self(groups.into_iter().map(|g| (g.id.clone(), g)).collect())
    }
}

impl Tree {
    pub fn find(&self, id: &str) -> Result<&HostGroup, Status> {
        self.0
            .get(id)
            .ok_or_else(|| Status::not_found(ObjectRef::new("host_group", id, "")))
    }

    /// The group and those above it, up to the root.
    fn path<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a HostGroup> {
        // A loop cannot be made; the bound is for a store that somebody mended by hand.
        std::iter::successors(self.0.get(id), |group| self.0.get(&group.parent_id))
            .take(self.0.len())
    }

    fn depth(&self, id: &str) -> usize {
        self.path(id).count()
    }

    fn children<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a HostGroup> {
        self.0.values().filter(move |g| g.parent_id == id)
    }

    /// Levels of the group and what is below it.
    fn height(&self, id: &str) -> usize {
        let above = self.depth(id);
        let below = self
            .0
            .keys()
            .filter(|other| self.path(other).any(|g| g.id == id));
        below.map(|other| self.depth(other)).max().unwrap_or(above) + 1 - above
    }

    fn check_place(
        &self,
        id: &str,
        name: &str,
        parent_id: &str,
        height: usize,
    ) -> Result<(), Status> {
        let parent = self.find(parent_id)?;
        let group = ObjectRef::new("host_group", id, name);
        if self.path(parent_id).any(|g| g.id == id) {
            let message = format!("Host group {name} cannot be put below itself.");
            return Err(Status::precondition(message)
                .about(group)
                .action("Choose a group that is not below it."));
        }
        if self.depth(parent_id) + height > GROUP_DEPTH_MAX {
            let message = format!(
                "Below {}, host groups would be deeper than {GROUP_DEPTH_MAX}.",
                parent.name
            );
            return Err(Status::precondition(message)
                .about(group)
                .action("Choose a group nearer to the root."));
        }
        let same = self
            .children(parent_id)
            .find(|g| g.id != id && g.name.to_lowercase() == name.to_lowercase());
        same.map_or(Ok(()), |same| {
            let message = format!(
                "There is a host group {} in {} already.",
                same.name, parent.name
            );
            Err(Status::already_exists(same.object(), message)
                .action("Choose another name or another parent."))
        })
    }
}

/// Makes a group. The same again is no error.
pub fn create(tree: &Tree, change: &GroupChange, now_ms: i64) -> GroupDecision {
    names::check_id("id", &change.id)?;
    let name = change.name.clone().unwrap_or_default();
    names::check_title("name", &name)?;
    check_description(change)?;
    let parent_id = or_root(change.parent_id.as_deref());
    if let Ok(there) = tree.find(&change.id) {
        if there.name == name && there.parent_id == parent_id {
            return Ok(Decision::Keep(there.clone()));
        }
        let message = format!("The id {} is that of host group {}.", change.id, there.name);
        return Err(Status::already_exists(there.object(), message).action("Use another id."));
    }
    tree.check_place(&change.id, &name, parent_id, 1)?;
    let group = HostGroup {
        id: change.id.clone(),
        name,
        parent_id: parent_id.to_owned(),
        description: change.description.clone().unwrap_or_default(),
        created_ms: now_ms,
        job_id: change.job_id.clone(),
        ..HostGroup::default()
    };
    Ok(Decision::Put(group.clone(), group))
}

/// Renames, describes or moves a group, or changes what is inherited below it. Of the root only the latter.
pub fn update(tree: &Tree, change: &GroupChange) -> GroupDecision {
    let current = tree.find(&change.id)?;
    let is_other =
        change.name.is_some() || change.parent_id.is_some() || change.description.is_some();
    if is_other {
        refuse_root(current, "changed")?;
    }
    check_holder(current, &change.job_id)?;
    check_description(change)?;
    let mut group = current.clone();
    if let Some(name) = &change.name {
        names::check_title("name", name)?;
        group.name.clone_from(name);
    }
    if let Some(parent_id) = &change.parent_id {
        or_root(Some(parent_id)).clone_into(&mut group.parent_id);
    }
    if let Some(description) = &change.description {
        group.description.clone_from(description);
    }
    if let Some(encryption) = change.encryption {
        group.encryption = encryption;
    }
    if let Some(reserves) = change.reserves {
        group.reserves = (reserves != Reserves::default()).then_some(reserves);
    }
    if let Some(settings) = change.settings {
        group.settings = (settings != GroupSettings::default()).then_some(settings);
    }
    if is_other {
        let height = tree.height(&group.id);
        tree.check_place(&group.id, &group.name, &group.parent_id, height)?;
    }
    if group == *current {
        return Ok(Decision::Keep(group));
    }
    Ok(Decision::Put(group.clone(), group))
}

/// Deletes a group that holds nothing. One that is not there is no error.
pub fn delete(
    tree: &Tree,
    id: &str,
    job_id: &str,
    hosts: &[String],
) -> Result<Decision<HostGroup, ()>, Status> {
    let Ok(group) = tree.find(id) else {
        return Ok(Decision::Keep(()));
    };
    refuse_root(group, "deleted")?;
    check_holder(group, job_id)?;
    let holds = if let Some(child) = tree.children(id).next() {
        format!("host group {}", child.name)
    } else if let Some(host) = hosts.first() {
        format!("host {host}")
    } else {
        return Ok(Decision::Delete(()));
    };
    let message = format!("Host group {} is not empty: it holds {holds}.", group.name);
    Err(Status::precondition(message)
        .about(group.object())
        .action("Move or remove what it holds first."))
}

fn or_root(parent_id: Option<&str>) -> &str {
    parent_id
        .filter(|id| !id.is_empty())
        .unwrap_or(ROOT_GROUP_ID)
}

fn refuse_root(group: &HostGroup, what: &str) -> Result<(), Status> {
    if group.id != ROOT_GROUP_ID {
        return Ok(());
    }
    let message = format!("The root host group {} cannot be {what}.", group.name);
    Err(Status::precondition(message)
        .about(group.object())
        .action("Make or choose a group below it."))
}

fn check_description(change: &GroupChange) -> Result<(), Status> {
    let text = change.description.as_deref().unwrap_or_default();
    if text.chars().count() <= DESCRIPTION_CHARS_MAX {
        return Ok(());
    }
    Err(
        Status::invalid("description", "The description is too long.")
            .action(format!("Use at most {DESCRIPTION_CHARS_MAX} characters.")),
    )
}

/// The root group as it is made when there is none.
pub fn root(now_ms: i64) -> HostGroup {
    HostGroup {
        id: ROOT_GROUP_ID.to_owned(),
        name: "All Hosts".to_owned(),
        created_ms: now_ms,
        ..HostGroup::default()
    }
}

#[cfg(test)]
mod tests;
