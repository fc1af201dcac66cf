use super::super::query::tests::DEFAULTS;
use super::*;
use contracts::host::{HostFacts, VmState};

const MIB: u64 = 1 << 20;

pub(super) fn host(id: &str, name: &str) -> Host {
    Host {
        id: id.to_owned(),
        name: name.to_owned(),
        facts: Some(HostFacts {
            cpus: 4,
            memory_bytes: 4_096 * MIB,
            ..HostFacts::default()
        }),
        ..Host::default()
    }
}

fn fleet(hosts: &[(&str, &str)]) -> Fleet {
    let mut fleet = Fleet::new(DEFAULTS);
    for (id, name) in hosts {
        fleet.put_host((*id).to_owned(), Some(host(id, name)));
    }
    fleet.refresh();
    fleet
}

fn claim(vm_id: &str) -> Claim {
    Claim {
        vm_id: vm_id.to_owned(),
        job_id: "j".to_owned(),
        vcpus: 1,
        memory_bytes: 100 * MIB,
        ..Claim::default()
    }
}

fn used(fleet: &Fleet, host_id: &str) -> u64 {
    fleet
        .slot(host_id)
        .map_or(0, |slot| slot.state.memory_used_bytes / MIB)
}

pub(super) fn guest(id: &str, host_id: &str, state: VmState) -> Guest {
    Guest {
        id: id.to_owned(),
        host_id: host_id.to_owned(),
        job_id: "j".to_owned(),
        state,
        memory_bytes: 100 * MIB,
        ..Guest::default()
    }
}

#[test]
fn hosts_are_in_order_of_name_however_they_came() {
    let mut fleet = fleet(&[("1", "c"), ("2", "a"), ("3", "b")]);
    let names = |fleet: &Fleet| -> Vec<String> {
        let names = fleet
            .slots()
            .iter()
            .map(|slot| slot.state.host_name.clone());
        names.collect()
    };
    assert_eq!(names(&fleet), ["a", "b", "c"]);
    fleet.put_host("2".to_owned(), Some(host("2", "z")));
    fleet.put_host("3".to_owned(), None);
    fleet.refresh();
    assert_eq!(names(&fleet), ["c", "z"]);
    assert!(fleet.slot("3").is_none());
}

#[test]
fn a_claim_counts_from_the_moment_that_it_is_chosen_and_once() {
    let mut fleet = fleet(&[("h", "h")]);
    fleet.add_pending("h", claim("v"));
    assert_eq!(used(&fleet, "h"), 100);
    let record = HostClaims {
        claims: vec![claim("v")],
        vm_revision: 0,
    };
    fleet.put_claims("h".to_owned(), 5, Some(record));
    fleet.refresh();
    assert_eq!((used(&fleet, "h"), fleet.claims("h").0), (100, 5));
    fleet.put_guest("v".to_owned(), Some(guest("v", "h", VmState::Running)));
    fleet.refresh();
    assert_eq!((used(&fleet, "h"), fleet.claims_for("v").count()), (100, 0));
    fleet.put_claims("h".to_owned(), 6, None);
    fleet.put_guest("v".to_owned(), None);
    fleet.refresh();
    assert_eq!((used(&fleet, "h"), fleet.claims("h").0), (0, 0));
}

#[test]
fn a_claim_that_was_dropped_or_closed_counts_no_more() {
    let mut fleet = fleet(&[("h", "h")]);
    fleet.add_pending("h", claim("v"));
    fleet.drop_pending("h", &claim("v"));
    assert_eq!(used(&fleet, "h"), 0);
    let record = HostClaims {
        claims: vec![claim("v"), claim("w")],
        vm_revision: 0,
    };
    fleet.put_claims("h".to_owned(), 5, Some(record));
    let owner = Owner {
        vm_id: "v",
        job_id: "j",
    };
    fleet.close_claim("h", owner);
    fleet.refresh();
    assert_eq!(used(&fleet, "h"), 100);
    assert!(fleet.is_closed("h", &claim("v")) && !fleet.is_closed("h", &claim("w")));
}

#[test]
fn samples_that_grow_old_are_not_trusted_until_new_ones_come() {
    let mut fleet = Fleet::new(DEFAULTS);
    let mut old = host("h", "h");
    old.facts_ms = 1_000;
    fleet.put_host("h".to_owned(), Some(old.clone()));
    fleet.trust_from(1_001);
    fleet.refresh();
    let is_stale = |fleet: &Fleet| fleet.slot("h").is_some_and(|slot| slot.state.stale);
    assert!(is_stale(&fleet));
    old.facts_ms = 2_000;
    fleet.put_host("h".to_owned(), Some(old));
    fleet.refresh();
    assert!(!is_stale(&fleet));
}

#[test]
fn a_machine_that_moves_leaves_the_one_host_and_takes_from_the_other() {
    let mut fleet = fleet(&[("h1", "h1"), ("h2", "h2")]);
    for host_id in ["h1", "h2", ""] {
        fleet.put_guest("v".to_owned(), Some(guest("v", host_id, VmState::Running)));
        fleet.refresh();
        let expected = |id| if id == host_id { 100 } else { 0 };
        assert_eq!(used(&fleet, "h1"), expected("h1"));
        assert_eq!(used(&fleet, "h2"), expected("h2"));
    }
}
