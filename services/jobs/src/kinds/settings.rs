//! Reserves and settings of hosts and host groups: what may be set, and what comes of setting it.

use contracts::inventory::{GroupSettings, Host, Reserves};
use contracts::{ObjectRef, Status, limits};

/// More than the disks or the network of any host do.
const PER_SEC_MAX: f64 = 1e9;

/// Names of reserves, as they are inherited again by.
const RESERVES: [&str; 5] = [
    "cpu_percent",
    "memory_bytes",
    "disk_bytes",
    "disk_io_per_sec",
    "network_percent",
];

/// Names of group settings.
const SETTINGS: [&str; 3] = ["tips", "tips_from", "tips_automatic"];

/// Refuses reserves that no host can keep.
pub(super) fn check_reserves(reserves: &Reserves) -> Result<(), Status> {
    for (field, percent) in [
        ("reserves.cpu_percent", reserves.cpu_percent),
        ("reserves.network_percent", reserves.network_percent),
    ] {
        check(field, percent, 100.0)?;
    }
    check(
        "reserves.disk_io_per_sec",
        reserves.disk_io_per_sec,
        PER_SEC_MAX,
    )?;
    for (field, bytes, most) in [
        (
            "reserves.memory_bytes",
            reserves.memory_bytes,
            limits::VM_MEMORY_BYTES_MAX,
        ),
        (
            "reserves.disk_bytes",
            reserves.disk_bytes,
            limits::DISK_BYTES_MAX,
        ),
    ] {
        if bytes.is_some_and(|bytes| bytes > most) {
            let message = format!("{field}: no host has that much to keep.");
            return Err(
                Status::invalid(field, message).action(format!("Use at most {most} bytes."))
            );
        }
    }
    Ok(())
}

fn check(field: &str, value: Option<f64>, most: f64) -> Result<(), Status> {
    if value.is_none_or(|value| (0.0..=most).contains(&value)) {
        return Ok(());
    }
    let value = value.unwrap_or_default();
    let message = format!("{field}: {value} is not between 0 and {most}.");
    Err(Status::invalid(field, message).action("Choose a value between the two."))
}

/// Refuses reserves above what one host has: nothing could ever be placed there.
pub(super) fn check_fits(reserves: &Reserves, host: &Host) -> Result<(), Status> {
    let Some(facts) = &host.facts else {
        return Ok(());
    };
    let largest = facts.datastores.iter().map(|d| d.capacity_bytes).max();
    for (field, kept, has) in [
        (
            "reserves.memory_bytes",
            reserves.memory_bytes,
            Some(facts.memory_bytes),
        ),
        ("reserves.disk_bytes", reserves.disk_bytes, largest),
    ] {
        if let (Some(kept), Some(has)) = (kept, has)
            && kept > has
        {
            let object = ObjectRef::new("host", &host.id, &host.name);
            let message = format!(
                "{field}: host {} has {has} bytes, and {kept} would be kept.",
                host.name
            );
            return Err(Status::invalid(field, message)
                .about(object)
                .action(format!("Keep at most {has} bytes.")));
        }
    }
    Ok(())
}

/// Refuses names that nothing is inherited by.
pub(super) fn check_inherit(inherit: &[String], with_settings: bool) -> Result<(), Status> {
    let settings: &[&str] = if with_settings { &SETTINGS } else { &[] };
    let is_known = |name: &str| RESERVES.contains(&name) || settings.contains(&name);
    match inherit.iter().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => {
            let known: Vec<&str> = RESERVES.iter().chain(settings).copied().collect();
            let message = format!(
                "inherit: there is no {:?}.",
                contracts::names::shorten(name)
            );
            Err(Status::invalid("inherit", message).action(format!("Use {}.", known.join(", "))))
        }
    }
}

/// The reserves with what is set taken over and what is inherited again left out; `None`: nothing is left that is said here.
pub(super) fn reserves(
    before: Option<Reserves>,
    set: Option<&Reserves>,
    inherit: &[String],
) -> Option<Reserves> {
    let (before, set) = (before.unwrap_or_default(), set.copied().unwrap_or_default());
    let after = Reserves {
        cpu_percent: merged("cpu_percent", inherit, set.cpu_percent, before.cpu_percent),
        memory_bytes: merged(
            "memory_bytes",
            inherit,
            set.memory_bytes,
            before.memory_bytes,
        ),
        disk_bytes: merged("disk_bytes", inherit, set.disk_bytes, before.disk_bytes),
        disk_io_per_sec: merged(
            "disk_io_per_sec",
            inherit,
            set.disk_io_per_sec,
            before.disk_io_per_sec,
        ),
        network_percent: merged(
            "network_percent",
            inherit,
            set.network_percent,
            before.network_percent,
        ),
    };
    (after != Reserves::default()).then_some(after)
}

/// The same for settings of a group.
pub(super) fn settings(
    before: Option<GroupSettings>,
    set: Option<&GroupSettings>,
    inherit: &[String],
) -> Option<GroupSettings> {
    let (before, set) = (before.unwrap_or_default(), set.copied().unwrap_or_default());
    let after = GroupSettings {
        tips: merged("tips", inherit, set.tips, before.tips),
        tips_from: merged("tips_from", inherit, set.tips_from, before.tips_from),
        tips_automatic: merged(
            "tips_automatic",
            inherit,
            set.tips_automatic,
            before.tips_automatic,
        ),
    };
    (after != GroupSettings::default()).then_some(after)
}

fn merged<T>(name: &str, inherit: &[String], set: Option<T>, before: Option<T>) -> Option<T> {
    if inherit.iter().any(|inherited| inherited == name) {
        return None;
    }
    set.or(before)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_not_said_stays_and_what_is_inherited_again_goes() {
        let before = Reserves {
            cpu_percent: Some(5.0),
            memory_bytes: Some(7),
            ..Reserves::default()
        };
        let set = Reserves {
            disk_bytes: Some(9),
            ..Reserves::default()
        };
        let inherit = ["memory_bytes".to_owned()];
        let after = reserves(Some(before), Some(&set), &inherit).unwrap();
        assert_eq!(
            (after.cpu_percent, after.memory_bytes, after.disk_bytes),
            (Some(5.0), None, Some(9))
        );
        let all: Vec<String> = RESERVES.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(reserves(Some(before), None, &all), None);
    }

    #[test]
    fn reserves_that_cannot_be_kept_are_refused_by_field() {
        let percent = |cpu_percent| Reserves {
            cpu_percent: Some(cpu_percent),
            ..Reserves::default()
        };
        for bad in [-1.0, 101.0, f64::NAN] {
            let refused = check_reserves(&percent(bad)).unwrap_err();
            assert_eq!(refused.field, "reserves.cpu_percent");
        }
        let host = Host {
            facts: Some(contracts::host::HostFacts {
                memory_bytes: 8,
                ..Default::default()
            }),
            ..Host::default()
        };
        let memory = |memory_bytes| Reserves {
            memory_bytes: Some(memory_bytes),
            ..Reserves::default()
        };
        assert!(check_fits(&memory(8), &host).is_ok());
        assert_eq!(
            check_fits(&memory(9), &host).unwrap_err().field,
            "reserves.memory_bytes"
        );
        assert_eq!(
            check_inherit(&["tips".to_owned()], false)
                .unwrap_err()
                .field,
            "inherit"
        );
        assert!(check_inherit(&["tips".to_owned()], true).is_ok());
    }
}
