//! What ids of hosts and groups mean to people, and where groups lie in their tree.

use std::collections::{HashMap, HashSet};

use contracts::inventory::host::Status;
use contracts::inventory::{Host, HostGroup};
use contracts::limits;

/// Names of hosts, and the tree of groups.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Names {
    hosts: HashMap<String, String>,
    /// Hosts that do not respond.
    silent: HashSet<String>,
    groups: HashMap<String, Group>,
}

#[derive(Debug, PartialEq)]
struct Group {
    name: String,
    parent_id: String,
    path: String,
}

impl Names {
    pub(crate) fn new<'a>(
        hosts: impl Iterator<Item = &'a Host>,
        groups: impl Iterator<Item = &'a HostGroup>,
    ) -> Self {
        let mut silent = HashSet::new();
        let hosts = hosts.inspect(|host| {
            if host.status() == Status::NotResponding {
                silent.insert(host.id.clone());
            }
        });
        let hosts = hosts.map(|h| (h.id.clone(), h.name.clone())).collect();
        let mut names = Self {
            hosts,
            silent,
            groups: groups.map(|g| (g.id.clone(), Group::new(g))).collect(),
        };
        let paths: Vec<(String, String)> = names
            .groups
            .keys()
            .map(|id| (id.clone(), names.path_of(id)))
            .collect();
        for (id, path) in paths {
            if let Some(group) = names.groups.get_mut(&id) {
                group.path = path;
            }
        }
        names
    }

    /// Empty when the host is not known.
    pub(crate) fn host<'a>(&'a self, id: &str) -> &'a str {
        self.hosts.get(id).map_or("", String::as_str)
    }

    /// Whether a host is known not to respond.
    pub(crate) fn is_silent(&self, host_id: &str) -> bool {
        self.silent.contains(host_id)
    }

    /// Ids of the hosts that do not respond.
    pub(crate) fn silent(&self) -> &HashSet<String> {
        &self.silent
    }

    /// Names from the root down, joined by slashes; empty when the group is not known.
    pub(crate) fn group_path<'a>(&'a self, id: &str) -> &'a str {
        self.groups.get(id).map_or("", |group| &group.path)
    }

    /// Ids of the hosts that are called so.
    pub(crate) fn hosts_like(&self, is_like: impl Fn(&str) -> bool) -> HashSet<String> {
        self.hosts
            .iter()
            .filter(|(id, name)| is_like(id) || is_like(name))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Ids of the groups that are called so, by id, name or path, and of all below them.
    pub(crate) fn groups_like(&self, is_like: impl Fn(&str) -> bool) -> HashSet<String> {
        let named: HashSet<&str> = self
            .groups
            .iter()
            .filter(|(id, group)| is_like(id) || is_like(&group.name) || is_like(&group.path))
            .map(|(id, _)| id.as_str())
            .collect();
        self.groups
            .keys()
            .filter(|id| self.upwards(id).any(|above| named.contains(above)))
            .cloned()
            .collect()
    }

    /// Whether a group is another one or lies below it.
    pub(crate) fn is_within(&self, group_id: &str, above_id: &str) -> bool {
        group_id == above_id || self.upwards(group_id).any(|id| id == above_id)
    }

    /// The group and those above it. A circle, which inventory never makes, ends with the deepest tree there can be.
    fn upwards<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a str> {
        let above = |id: &&'a str| {
            let group = self.groups.get(*id)?;
            (!group.parent_id.is_empty()).then_some(group.parent_id.as_str())
        };
        std::iter::successors(Some(id), above).take(limits::GROUP_DEPTH_MAX)
    }

    fn path_of(&self, id: &str) -> String {
        let mut names: Vec<&str> = self
            .upwards(id)
            .map(|id| self.groups.get(id).map_or(id, |group| &group.name))
            .collect();
        names.reverse();
        names.join("/")
    }
}

impl Group {
    fn new(group: &HostGroup) -> Self {
        Self {
            name: group.name.clone(),
            parent_id: group.parent_id.clone(),
            path: String::new(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn group(id: &str, name: &str, parent_id: &str) -> HostGroup {
        HostGroup {
            id: id.to_owned(),
            name: name.to_owned(),
            parent_id: parent_id.to_owned(),
            ..HostGroup::default()
        }
    }

    pub(crate) fn some_names() -> Names {
        let host = |id: &str, name: &str| Host {
            id: id.to_owned(),
            name: name.to_owned(),
            ..Host::default()
        };
        let hosts = [host("h1", "host-1"), host("h2", "host-2")];
        let groups = [
            group("all-hosts", "All Hosts", ""),
            group("g1", "Prod", "all-hosts"),
            group("g2", "Web", "g1"),
            group("g3", "Test", "all-hosts"),
        ];
        Names::new(hosts.iter(), groups.iter())
    }

    #[test]
    fn a_group_is_reached_by_its_path_and_holds_those_below() {
        let names = some_names();
        assert_eq!(names.group_path("g2"), "All Hosts/Prod/Web");
        assert!(names.is_within("g2", "g1") && names.is_within("g2", "all-hosts"));
        assert!(!names.is_within("g1", "g2") && !names.is_within("g3", "g1"));
        let mut below: Vec<String> = names.groups_like(|n| n == "Prod").into_iter().collect();
        below.sort();
        assert_eq!(below, ["g1", "g2"]);
    }

    #[test]
    fn a_circle_of_groups_ends() {
        let circle = [group("a", "A", "b"), group("b", "B", "a")];
        let names = Names::new(std::iter::empty(), circle.iter());
        assert!(names.is_within("a", "b"));
        assert!(!names.is_within("a", "c"));
    }
}
