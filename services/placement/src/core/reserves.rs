//! What is kept free for a host itself: the host's own word, else that of the nearest group above it, else the
//! configuration's; each resource on its own.

use std::collections::BTreeMap;

use contracts::inventory::{Host, HostGroup, Reserves};

/// Reserves with nothing left open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reserved {
    pub cpu_percent: f64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
}

/// Groups by id.
pub type Groups = BTreeMap<String, HostGroup>;

/// The reserves in force for a host.
pub fn of(host: &Host, groups: &Groups, defaults: Reserved) -> Reserved {
    let above = path(groups, &host.group_id).map(|group| group.reserves);
    let said: Vec<Reserves> = std::iter::once(host.reserves)
        .chain(above)
        .flatten()
        .collect();
    let cpu = said
        .iter()
        .find_map(|r| r.cpu_percent)
        .unwrap_or(defaults.cpu_percent);
    Reserved {
        cpu_percent: if cpu.is_finite() {
            cpu.clamp(0.0, 100.0)
        } else {
            defaults.cpu_percent
        },
        memory_bytes: said
            .iter()
            .find_map(|r| r.memory_bytes)
            .unwrap_or(defaults.memory_bytes),
        disk_bytes: said
            .iter()
            .find_map(|r| r.disk_bytes)
            .unwrap_or(defaults.disk_bytes),
    }
}

/// A group and those above it.
pub fn path<'a>(groups: &'a Groups, id: &str) -> impl Iterator<Item = &'a HostGroup> {
    // Inventory allows no loop; the bound is for a store that somebody mended by hand.
    std::iter::successors(groups.get(id), |group| groups.get(&group.parent_id)).take(groups.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Reserved = Reserved {
        cpu_percent: 10.0,
        memory_bytes: 512,
        disk_bytes: 1024,
    };

    fn group(id: &str, parent_id: &str, reserves: Option<Reserves>) -> (String, HostGroup) {
        let group = HostGroup {
            id: id.to_owned(),
            parent_id: parent_id.to_owned(),
            reserves,
            ..HostGroup::default()
        };
        (id.to_owned(), group)
    }

    #[test]
    fn the_host_overrides_its_group_and_that_its_parent_and_that_the_default() {
        let of_parent = Reserves {
            cpu_percent: Some(30.0),
            memory_bytes: Some(3_000),
            disk_bytes: None,
        };
        let of_child = Reserves {
            cpu_percent: Some(20.0),
            ..Reserves::default()
        };
        let groups = Groups::from([
            group("parent", "", Some(of_parent)),
            group("child", "parent", Some(of_child)),
        ]);
        let mut host = Host {
            group_id: "child".to_owned(),
            ..Host::default()
        };
        let reserved = of(&host, &groups, DEFAULTS);
        assert_eq!((reserved.cpu_percent, reserved.memory_bytes), (20.0, 3_000));
        assert_eq!(reserved.disk_bytes, 1024);
        host.reserves = Some(Reserves {
            cpu_percent: Some(5.0),
            ..Reserves::default()
        });
        assert_eq!(of(&host, &groups, DEFAULTS).cpu_percent, 5.0);
    }

    #[test]
    fn a_host_whose_group_is_unknown_has_the_defaults() {
        assert_eq!(of(&Host::default(), &Groups::new(), DEFAULTS), DEFAULTS);
    }
}
