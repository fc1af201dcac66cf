//! The tree of host groups, drawn.

use contracts::rest::{Host, HostGroup};

/// Groups with their hosts below them; both by name.
pub(super) fn draw(groups: &[HostGroup], hosts: &[Host]) -> String {
    let mut roots: Vec<&HostGroup> = groups.iter().filter(|g| is_root(g, groups)).collect();
    roots.sort_by_key(|group| &group.name);
    let mut text = String::new();
    for root in roots {
        text += &format!("{}\n", root.name);
        branch(root, groups, hosts, "", &mut text);
    }
    text
}

/// A group whose parent is not in the list is drawn at the top rather than not at all.
fn is_root(group: &HostGroup, groups: &[HostGroup]) -> bool {
    let parent = group.parent_id.as_deref();
    !groups.iter().any(|other| Some(other.id.as_str()) == parent)
}

fn branch(
    group: &HostGroup,
    groups: &[HostGroup],
    hosts: &[Host],
    indent: &str,
    text: &mut String,
) {
    let mut below: Vec<&HostGroup> = groups
        .iter()
        .filter(|g| g.parent_id.as_deref() == Some(&group.id))
        .collect();
    below.sort_by_key(|group| &group.name);
    let mut here: Vec<&Host> = hosts
        .iter()
        .filter(|h| h.group_id.as_deref() == Some(&group.id))
        .collect();
    here.sort_by_key(|host| &host.name);
    let mut left = here.len() + below.len();
    for host in here {
        left -= 1;
        *text += &format!("{indent}{}{}\n", fork(left), host_line(host));
    }
    for group in below {
        left -= 1;
        *text += &format!("{indent}{}{}\n", fork(left), group.name);
        let deeper = if left == 0 { "   " } else { "│  " };
        branch(group, groups, hosts, &format!("{indent}{deeper}"), text);
    }
}

fn fork(left: usize) -> &'static str {
    if left == 0 { "└─ " } else { "├─ " }
}

fn host_line(host: &Host) -> String {
    let status = host.status.word().replace('_', " ");
    let vms = if host.vm_count == 1 {
        "machine"
    } else {
        "machines"
    };
    format!("host {} ({status}, {} {vms})", host.name, host.vm_count)
}

#[cfg(test)]
mod tests {
    use contracts::rest::HostStatus;

    use super::*;

    fn group(id: &str, name: &str, parent: Option<&str>) -> HostGroup {
        let message = contracts::inventory::HostGroup {
            id: id.to_owned(),
            name: name.to_owned(),
            parent_id: parent.unwrap_or_default().to_owned(),
            ..Default::default()
        };
        message.into()
    }

    fn host(name: &str, group: &str, vm_count: u64) -> Host {
        let message = contracts::inventory::Host {
            name: name.to_owned(),
            group_id: group.to_owned(),
            ..Default::default()
        };
        Host {
            status: HostStatus::Responding,
            vm_count,
            ..message.into()
        }
    }

    #[test]
    fn hosts_and_groups_hang_below_their_group() {
        let groups = [
            group("w", "Web", Some("p")),
            group("r", "All Hosts", None),
            group("t", "Test", Some("r")),
            group("p", "Prod", Some("r")),
        ];
        let hosts = [host("h2", "p", 1), host("h1", "r", 0)];
        assert_eq!(
            draw(&groups, &hosts),
            "All Hosts\n\
             ├─ host h1 (responding, 0 machines)\n\
             ├─ Prod\n\
             │  ├─ host h2 (responding, 1 machine)\n\
             │  └─ Web\n\
             └─ Test\n"
        );
    }

    #[test]
    fn a_group_without_its_parent_is_still_drawn() {
        assert_eq!(draw(&[group("x", "Lost", Some("gone"))], &[]), "Lost\n");
    }
}
