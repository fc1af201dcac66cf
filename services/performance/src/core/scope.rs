//! Which hosts are in a group or below it.

use std::collections::HashSet;

use contracts::inherit::{self, Groups};
use contracts::inventory::Host;

/// Ids of the hosts in a group and in the groups below it.
pub fn hosts_in(group_id: &str, groups: &Groups, hosts: &[Host]) -> HashSet<String> {
    let is_wanted = |host: &&Host| {
        let mut path = inherit::path(groups, &host.group_id);
        path.any(|group| group.id == group_id)
    };
    hosts
        .iter()
        .filter(is_wanted)
        .map(|host| host.id.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::inventory::HostGroup;

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
        let groups = Groups::from(groups.map(|group| (group.id.clone(), group)));
        let hosts = [host("1", "a"), host("2", "c"), host("3", "x")];
        let found = hosts_in("a", &groups, &hosts);
        assert_eq!(found, HashSet::from(["1".to_owned(), "2".to_owned()]));
    }
}
