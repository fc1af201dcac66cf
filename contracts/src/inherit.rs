//! What host groups hand down to hosts: for each field the host's own word, else that of the nearest group above it, else
//! what the release is made with; always with who said it.

use std::collections::BTreeMap;

use crate::data::Encryption;
use crate::inventory::group_settings::Tips;
use crate::inventory::{GroupSettings, Host, HostGroup, Reserves};
use crate::placement::EffectiveReserves;

/// Groups by id.
pub type Groups = BTreeMap<String, HostGroup>;

/// Reserves with nothing left open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reserved {
    pub cpu_percent: f64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    pub disk_io_per_sec: f64,
    pub network_percent: f64,
}

/// What is kept where nobody has said anything: enough for a small system and its agent.
pub const DEFAULT_RESERVES: Reserved = Reserved {
    cpu_percent: 10.0,
    memory_bytes: 512 << 20,
    disk_bytes: 1 << 30,
    disk_io_per_sec: 0.0,
    network_percent: 0.0,
};

/// Who said what nobody in the fleet has set.
pub const NOBODY: &str = "the default";

/// A value in force, and who said it.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective<T> {
    pub value: T,
    pub from: String,
}

/// The group settings in force.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectiveSettings {
    pub encryption: Effective<Encryption>,
    pub tips: Effective<bool>,
    pub tips_from: Effective<Tips>,
    pub tips_automatic: Effective<Tips>,
}

/// The reserves in force for a host.
pub fn of_host(host: &Host, groups: &Groups, defaults: Reserved) -> EffectiveReserves {
    let own = host
        .reserves
        .map(|said| (format!("host {}", host.name), said));
    reserves(
        own.into_iter().chain(above(&host.group_id, groups)),
        defaults,
    )
}

/// The reserves that a group hands down.
pub fn of_group(group_id: &str, groups: &Groups, defaults: Reserved) -> EffectiveReserves {
    reserves(above(group_id, groups), defaults)
}

/// The settings that a group hands down.
pub fn settings(group_id: &str, groups: &Groups) -> EffectiveSettings {
    let said: Vec<(String, GroupSettings)> = path(groups, group_id)
        .filter_map(|group| Some((who(group), group.settings?)))
        .collect();
    let encryption: Vec<(String, Encryption)> = path(groups, group_id)
        .map(|group| (who(group), group.encryption()))
        .collect();
    let spoken = |said: &Encryption| Some(*said).filter(|said| *said != Encryption::Unspecified);
    let known = |tips: Option<i32>| tips.and_then(|tips| Tips::try_from(tips).ok());
    EffectiveSettings {
        encryption: first(&encryption, spoken, Encryption::Tls),
        tips: first(&said, |s| s.tips, true),
        tips_from: first(&said, |s| known(s.tips_from), Tips::Warning),
        tips_automatic: first(&said, |s| known(s.tips_automatic), Tips::None),
    }
}

fn who(group: &HostGroup) -> String {
    format!("host group {}", group.name)
}

fn above<'a>(
    group_id: &str,
    groups: &'a Groups,
) -> impl Iterator<Item = (String, Reserves)> + use<'a> {
    path(groups, group_id).filter_map(|group| Some((who(group), group.reserves?)))
}

fn reserves(
    said: impl Iterator<Item = (String, Reserves)>,
    defaults: Reserved,
) -> EffectiveReserves {
    let said: Vec<(String, Reserves)> = said.collect();
    let cpu = first(&said, |r| percent(r.cpu_percent), defaults.cpu_percent);
    let memory = first(&said, |r| r.memory_bytes, defaults.memory_bytes);
    let disk = first(&said, |r| r.disk_bytes, defaults.disk_bytes);
    let io = first(
        &said,
        |r| measure(r.disk_io_per_sec),
        defaults.disk_io_per_sec,
    );
    let network = first(
        &said,
        |r| percent(r.network_percent),
        defaults.network_percent,
    );
    EffectiveReserves {
        cpu_percent: cpu.value,
        cpu_from: cpu.from,
        memory_bytes: memory.value,
        memory_from: memory.from,
        disk_bytes: disk.value,
        disk_from: disk.from,
        disk_io_per_sec: io.value,
        disk_io_from: io.from,
        network_percent: network.value,
        network_from: network.from,
    }
}

/// The first that says something.
fn first<S, T>(said: &[(String, S)], get: impl Fn(&S) -> Option<T>, default: T) -> Effective<T> {
    let found = said.iter().find_map(|(who, words)| {
        Some(Effective {
            value: get(words)?,
            from: who.clone(),
        })
    });
    found.unwrap_or_else(|| Effective {
        value: default,
        from: NOBODY.to_owned(),
    })
}

/// Numbers that are none say nothing.
fn percent(said: Option<f64>) -> Option<f64> {
    measure(said).map(|percent| percent.min(100.0))
}

fn measure(said: Option<f64>) -> Option<f64> {
    said.filter(|measure| measure.is_finite())
        .map(|measure| measure.max(0.0))
}

/// A group and those above it.
pub fn path<'a>(groups: &'a Groups, id: &str) -> impl Iterator<Item = &'a HostGroup> + use<'a> {
    // Inventory allows no loop; the bound is for a store that somebody mended by hand.
    std::iter::successors(groups.get(id), |group| groups.get(&group.parent_id)).take(groups.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(id: &str, parent_id: &str, reserves: Option<Reserves>) -> (String, HostGroup) {
        let group = HostGroup {
            id: id.to_owned(),
            name: id.to_uppercase(),
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
            network_percent: Some(f64::NAN),
            ..Reserves::default()
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
            name: "h1".to_owned(),
            group_id: "child".to_owned(),
            ..Host::default()
        };
        let reserved = of_host(&host, &groups, DEFAULT_RESERVES);
        assert_eq!((reserved.cpu_percent, reserved.memory_bytes), (20.0, 3_000));
        assert_eq!(reserved.cpu_from, "host group CHILD");
        assert_eq!(reserved.memory_from, "host group PARENT");
        assert_eq!(reserved.disk_from, NOBODY);
        assert_eq!(reserved.network_percent, 0.0);
        host.reserves = Some(Reserves {
            cpu_percent: Some(5.0),
            ..Reserves::default()
        });
        let reserved = of_host(&host, &groups, DEFAULT_RESERVES);
        assert_eq!(
            (reserved.cpu_percent, reserved.cpu_from.as_str()),
            (5.0, "host h1")
        );
    }

    #[test]
    fn settings_come_from_the_nearest_group_field_by_field() {
        let mut groups = Groups::from([group("parent", "", None), group("child", "parent", None)]);
        let set = |groups: &mut Groups, id: &str, settings| {
            groups.entry(id.to_owned()).or_default().settings = Some(settings);
        };
        let off = GroupSettings {
            tips: Some(false),
            ..GroupSettings::default()
        };
        set(&mut groups, "parent", off);
        groups.entry("parent".to_owned()).or_default().encryption = Encryption::Plain.into();
        let critical = GroupSettings {
            tips_from: Some(Tips::Critical.into()),
            ..GroupSettings::default()
        };
        set(&mut groups, "child", critical);
        let settings = settings("child", &groups);
        assert_eq!(settings.encryption.value, Encryption::Plain);
        assert_eq!(settings.encryption.from, "host group PARENT");
        assert!(!settings.tips.value);
        assert_eq!(settings.tips.from, "host group PARENT");
        assert_eq!(settings.tips_from.value, Tips::Critical);
        assert_eq!(settings.tips_automatic.from, NOBODY);
    }

    #[test]
    fn a_host_whose_group_is_unknown_has_the_defaults() {
        let reserved = of_host(&Host::default(), &Groups::new(), DEFAULT_RESERVES);
        assert_eq!(reserved.memory_bytes, DEFAULT_RESERVES.memory_bytes);
    }
}
