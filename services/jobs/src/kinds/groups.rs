//! What the jobs on host groups share.

use contracts::inventory::HostGroup;
use contracts::names::ROOT_GROUP_ID;
use contracts::records::indexes;
use contracts::{ObjectRef, Status, limits};

use crate::fleet::Fleet;

pub(super) fn object(group: &HostGroup) -> ObjectRef {
    ObjectRef::new("host_group", &group.id, &group.name)
}

/// Refuses to change where the root is: everything hangs on it.
pub(super) fn check_not_root(group: &HostGroup, what: &str) -> Result<(), Status> {
    if group.id != ROOT_GROUP_ID {
        return Ok(());
    }
    Err(Status::precondition(format!(
        "Host group {} is the root and cannot be {what}.",
        group.name
    ))
    .about(object(group))
    .action("Choose another group."))
}

/// Refuses a place in the tree where a group of this name and depth cannot be. `id` is the group itself.
pub(super) fn check_place(
    fleet: &Fleet,
    id: &str,
    name: &str,
    parent_id: &str,
    depth: usize,
) -> Result<(), Status> {
    let line = fleet.line_of(parent_id)?;
    if let Some(own) = line.iter().find(|group| group.id == id) {
        return Err(Status::precondition(format!(
            "Host group {} cannot be moved into itself or below.",
            own.name
        ))
        .about(object(own))
        .action("Choose a parent outside of the group."));
    }
    if line.len() + depth > limits::GROUP_DEPTH_MAX {
        return Err(Status::precondition(format!(
            "Host group {name} would be too deep in the tree."
        ))
        .action(format!(
            "A tree has {} levels at most.",
            limits::GROUP_DEPTH_MAX
        )));
    }
    let siblings = fleet.groups.find(indexes::GROUP, parent_id)?;
    let same =
        |group: &HostGroup| group.id != id && group.name.to_lowercase() == name.to_lowercase();
    match siblings.into_iter().map(|s| s.value).find(same) {
        Some(other) => Err(Status::already_exists(
            object(&other),
            format!(
                "There is a host group {} in that place already.",
                other.name
            ),
        )
        .action("Choose another name.")),
        None => Ok(()),
    }
}

/// Levels of a group with everything below it.
pub(super) fn depth(fleet: &Fleet, group_id: &str) -> Result<usize, Status> {
    let mut level = vec![group_id.to_owned()];
    let mut depth = 0;
    while !level.is_empty() && depth <= limits::GROUP_DEPTH_MAX {
        depth += 1;
        let mut below = Vec::new();
        for id in &level {
            below.extend(
                fleet
                    .groups
                    .find(indexes::GROUP, id)?
                    .into_iter()
                    .map(|s| s.id),
            );
        }
        level = below;
    }
    Ok(depth)
}

/// "1 host", "3 hosts".
pub(super) fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
