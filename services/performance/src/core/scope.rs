//! Which hosts are in a group or below it.

use std::collections::{HashMap, HashSet};

use contracts::inventory::{Host, HostGroup};

/// Ids of the hosts in a group and in the groups below it.
pub fn hosts_in(group_id: &str, groups: &[HostGroup], hosts: &[Host]) -> HashSet<String> {
    let mut below: HashMap<&str, Vec<&str>> = HashMap::new();
    for group in groups {
        below.entry(&group.parent_id).or_default().push(&group.id);
    }
    let mut wanted = HashSet::from([group_id]);
    let mut open = vec![group_id];
    while let Some(group) = open.pop() {
        for child in below.get(group).into_iter().flatten() {
            // A group that was seen is not looked into again, should the tree ever be none.
            if wanted.insert(child) {
                open.push(child);
            }
        }
    }
    let is_wanted = |host: &&Host| wanted.contains(host.group_id.as_str());
    hosts
        .iter()
        .filter(is_wanted)
        .map(|host| host.id.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_groups_below_belong_to_a_group_too() {
        let group = |id: &str, parent: &str| HostGroup {
            id: id.to_owned(),
            parent_id: parent.to_owned(),
            ..HostGroup::default()
        };
        let host = |id: &str, group: &str| Host {
            id: id.to_owned(),
            group_id: group.to_owned(),
            ..Host::default()
        };
        let groups = [
            group("a", ""),
            group("b", "a"),
            group("c", "b"),
            group("x", ""),
        ];
        let hosts = [host("1", "a"), host("2", "c"), host("3", "x")];
        let found = hosts_in("a", &groups, &hosts);
        assert_eq!(found, HashSet::from(["1".to_owned(), "2".to_owned()]));
    }
}
