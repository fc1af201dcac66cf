//! Refreshes of hosts: which kinds there are, what there is to refresh, and what the records say a host should have.

use std::collections::BTreeMap;

use contracts::host::{Level, VmReport, VmState};
use contracts::inventory::host::Status as HostStatus;
use contracts::inventory::{Host, Vm};
use contracts::refresher::{Condition, Kind, ListTargetsResponse, Target};
use contracts::{ObjectRef, Status, digest};

use super::registration::is_approved;

const LIGHT: &str = "vm_light";
const HEAVY: &str = "vm_heavy";
const HOST: &str = "host";

/// The kinds that inventory serves. Intervals are those of Virtual Machine Manager.
pub fn kinds() -> Vec<Kind> {
    let silent = i32::from(Condition::NotResponding);
    let in_maintenance = i32::from(Condition::Maintenance);
    let kind = |name: &str, covers: &str, writes: &str| Kind {
        name: name.to_owned(),
        covers: covers.to_owned(),
        writes: writes.to_owned(),
        interval_secs: 1_800,
        interval_secs_min: 300,
        interval_secs_max: 86_400,
        // It tells everything itself when it is back.
        passes_over: vec![silent],
        by_hand: true,
        ..Kind::default()
    };
    let light = Kind {
        interval_secs: 120,
        interval_secs_min: 10,
        interval_secs_max: 3_600,
        object_kinds: vec!["vm".to_owned(), "host".to_owned()],
        // The heavy one looks at all of this too.
        by_hand: false,
        ..kind(
            LIGHT,
            "which machines a host has and what they do",
            "state of machines; imports new ones, marks those that are gone as missing",
        )
    };
    let heavy = Kind {
        object_kinds: vec!["vm".to_owned(), "host".to_owned()],
        ..kind(
            HEAVY,
            "everything of a host's machines: hardware, disks, network cards, guest",
            "all properties of machines",
        )
    };
    let host = Kind {
        object_kinds: vec!["host".to_owned()],
        passes_over: vec![silent, in_maintenance],
        ..kind(
            HOST,
            "what a host is and has: system, processors, memory, datastores, images",
            "facts of hosts",
        )
    };
    vec![light, heavy, host]
}

/// How closely a kind of refresh looks at a host.
pub fn level(kind: &str) -> Result<Level, Status> {
    match kind {
        LIGHT => Ok(Level::Light),
        HEAVY => Ok(Level::Heavy),
        HOST => Ok(Level::Host),
        other => Err(
            Status::invalid("kind", format!("Inventory serves no refresher {other:?}."))
                .action("Update the caller or inventory so that both are of one release."),
        ),
    }
}

/// What there is to refresh, unless that is what the caller knows already.
pub fn targets<'a>(
    hosts: impl IntoIterator<Item = &'a Host>,
    known_digest: &[u8],
) -> ListTargetsResponse {
    let in_fleet = |host: &&Host| is_approved(host) && !host.removing;
    let targets = hosts.into_iter().filter(in_fleet).map(target);
    digest::answer_targets(known_digest, targets.collect())
}

fn target(host: &Host) -> Target {
    let is_silent = host.status() == HostStatus::NotResponding;
    let in_maintenance = host.settings.as_ref().is_some_and(|said| said.maintenance);
    let conditions = [
        (is_silent, Condition::NotResponding),
        (in_maintenance, Condition::Maintenance),
    ];
    let conditions = conditions.into_iter().filter(|(holds, _)| *holds);
    Target {
        id: host.id.clone(),
        name: host.name.clone(),
        server_id: host.id.clone(),
        group_id: host.group_id.clone(),
        kinds: [LIGHT, HEAVY, HOST].map(str::to_owned).to_vec(),
        conditions: conditions.map(|(_, condition)| condition.into()).collect(),
    }
}

/// What a host would report if it has what the records say. It does not have what is missing.
pub fn expected<'a>(vms: impl IntoIterator<Item = &'a Vm>) -> BTreeMap<String, VmReport> {
    vms.into_iter()
        .filter(|vm| vm.state() != VmState::Missing)
        .map(|vm| (vm.id.clone(), as_reported(vm)))
        .collect()
}

fn as_reported(vm: &Vm) -> VmReport {
    VmReport {
        vm_id: vm.id.clone(),
        name: vm.name.clone(),
        state: vm.state,
        hardware: vm.hardware.clone(),
        accelerator: vm.accelerator.clone(),
        pid: vm.pid,
        started_ms: vm.started_ms,
        guest: vm.guest.clone(),
        state_reason: vm.state_reason.clone(),
        datastore: vm.datastore.clone(),
        sequence: vm.report_sequence,
    }
}

/// The host did not do its part: the error is about it, whatever the call came to.
pub fn blame(host: &Host, status: Status) -> Status {
    status.about(ObjectRef::new("host", &host.id, &host.name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use contracts::host::{Disk, GuestFacts, Hardware};
    use contracts::inventory::HostSettings;
    use contracts::inventory::host::Approval;

    use super::*;
    use crate::core::report::Sender;
    use kit::records::Decision;

    fn host(id: &str) -> Host {
        Host {
            id: id.to_owned(),
            approval: Approval::Approved.into(),
            status: HostStatus::Responding.into(),
            ..Host::default()
        }
    }

    #[test]
    fn a_record_of_what_was_reported_has_the_digest_of_the_report() {
        let report = VmReport {
            vm_id: "v1".to_owned(),
            name: "web-01".to_owned(),
            state: VmState::Running.into(),
            hardware: Some(Hardware {
                vcpus: 2,
                disks: vec![Disk::default()],
                ..Hardware::default()
            }),
            accelerator: "tcg".to_owned(),
            pid: 7,
            started_ms: 8,
            guest: Some(GuestFacts {
                agent_responding: true,
                uptime_secs: 5,
                ..GuestFacts::default()
            }),
            state_reason: "why".to_owned(),
            datastore: "ds".to_owned(),
            sequence: 9,
        };
        let host = host("h1");
        let sender = Sender {
            host: &host,
            dead_job: None,
            now_ms: 1,
        };
        let Decision::Put(vm, _) = sender.seen(None, &report) else {
            return assert_eq!("imported", "not imported");
        };
        for level in [Level::Light, Level::Heavy] {
            let of_record = digest::machine(level, &expected([&vm])["v1"]);
            assert_eq!(of_record, digest::machine(level, &report), "{level:?}");
        }
    }

    #[test]
    fn targets_are_told_again_only_when_they_have_changed() {
        let mut pending = host("h2");
        pending.set_approval(Approval::Pending);
        let hosts = [host("h1"), pending];
        let first = targets(&hosts, &[]);
        assert_eq!(first.targets.len(), 1);
        assert!(targets(&hosts, &first.digest).targets.is_empty());
        let mut silent = hosts.clone();
        silent[0].set_status(HostStatus::NotResponding);
        let second = targets(&silent, &first.digest);
        assert_eq!(
            second.targets[0].conditions,
            [i32::from(Condition::NotResponding)]
        );
        silent[0].settings = Some(HostSettings {
            maintenance: true,
            ..HostSettings::default()
        });
        let conditions = &targets(&silent, &second.digest).targets[0].conditions;
        let both = [Condition::NotResponding, Condition::Maintenance].map(i32::from);
        assert_eq!(*conditions, both);
    }

    #[test]
    fn every_kind_has_a_level_and_intervals_that_it_allows_itself() {
        for kind in kinds() {
            assert!(level(&kind.name).is_ok(), "{}", kind.name);
            assert!(
                (kind.interval_secs_min..=kind.interval_secs_max).contains(&kind.interval_secs)
            );
        }
        assert!(level("library").is_err());
    }
}
