#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::super::query::tests::DEFAULTS;
use super::*;
use contracts::host::{Datastore, HostFacts, VmState};
use contracts::inventory::Host;
use contracts::inventory::host::{Approval, Status as HostStatus};
use contracts::placement::SimulatedMachines;

const GIB: u64 = 1 << 30;

/// Hosts of 8 GiB, half a GiB of it kept, two of them with a machine of 2 GiB.
fn fleet() -> Fleet {
    let mut fleet = Fleet::new(DEFAULTS);
    for id in ["h1", "h2", "h3"] {
        let host = Host {
            id: id.to_owned(),
            name: id.to_owned(),
            approval: Approval::Approved.into(),
            status: HostStatus::Responding.into(),
            facts: Some(HostFacts {
                cpus: 8,
                memory_bytes: 8 * GIB,
                datastores: vec![Datastore {
                    name: "ds1".to_owned(),
                    capacity_bytes: 100 * GIB,
                    free_bytes: 100 * GIB,
                    ..Datastore::default()
                }],
                ..HostFacts::default()
            }),
            ..Host::default()
        };
        fleet.put_host(id.to_owned(), Some(host));
    }
    for (id, host_id) in [("v1", "h1"), ("v2", "h2")] {
        let guest = Guest {
            id: id.to_owned(),
            name: id.to_owned(),
            host_id: host_id.to_owned(),
            state: VmState::Running,
            vcpus: 1,
            memory_bytes: 2 * GIB,
            ..Guest::default()
        };
        fleet.put_guest(id.to_owned(), Some(guest));
    }
    fleet.refresh();
    fleet
}

fn add(count: u32, memory_bytes: u64) -> SimulatedMachines {
    SimulatedMachines {
        count,
        requirements: Some(Requirements {
            vcpus: 1,
            memory_bytes,
            ..Requirements::default()
        }),
    }
}

#[test]
fn machines_are_added_until_none_fits_and_what_is_in_the_way_is_told() {
    let request = SimulateRequest {
        add: vec![add(20, GIB)],
        ..SimulateRequest::default()
    };
    let answer = run(&fleet(), &request).unwrap();
    // 5 + 5 + 7 of 7.5 GiB each, less what runs there.
    let outcome = &answer.added[0];
    assert_eq!(
        (outcome.asked, outcome.placed, outcome.hosts_used),
        (20, 17, 3)
    );
    assert_eq!(outcome.left_over.len(), 3);
    assert_eq!(outcome.bottlenecks[0].check, "memory");
    assert_eq!(outcome.bottlenecks[0].hosts, 3);
    assert!(
        outcome.bottlenecks[0]
            .recommended_action
            .contains("Free 512 MiB")
    );
    let memory = answer
        .resources
        .iter()
        .find(|r| r.resource == "memory")
        .unwrap();
    assert!(memory.used_percent_after > 90.0 && memory.used_percent_before < 20.0);
}

#[test]
fn machines_of_lost_hosts_find_a_place_before_new_ones() {
    let request = SimulateRequest {
        lose_host_ids: vec!["h1".to_owned()],
        add: vec![add(20, GIB)],
        ..SimulateRequest::default()
    };
    let answer = run(&fleet(), &request).unwrap();
    let moved = answer.moved.unwrap();
    assert_eq!((answer.hosts, moved.asked, moved.placed), (2, 1, 1));
    assert_eq!(answer.added[0].placed, 10);
}

#[test]
fn other_reserves_are_tried_out_and_nothing_of_the_fleet_is_changed() {
    let fleet = fleet();
    let request = SimulateRequest {
        add: vec![add(1, 7 * GIB)],
        reserves: Some(SimulatedReserves {
            memory_bytes: Some(2 * GIB),
            ..SimulatedReserves::default()
        }),
        ..SimulateRequest::default()
    };
    let answer = run(&fleet, &request).unwrap();
    assert_eq!(answer.added[0].placed, 0);
    let reserves = fleet.slots()[0].state.reserves.clone().unwrap();
    assert_eq!(reserves.memory_bytes, DEFAULTS.reserves.memory_bytes);
    let as_it_is = SimulateRequest {
        reserves: None,
        ..request
    };
    assert_eq!(run(&fleet, &as_it_is).unwrap().added[0].placed, 1);
}

#[test]
fn a_simulation_of_what_cannot_be_is_refused() {
    let unknown = SimulateRequest {
        lose_host_ids: vec!["nobody".to_owned()],
        ..SimulateRequest::default()
    };
    assert!(run(&fleet(), &unknown).is_err());
    let many = SimulateRequest {
        add: vec![add(limits::SIMULATED_MAX, GIB), add(1, GIB)],
        ..SimulateRequest::default()
    };
    assert_eq!(run(&fleet(), &many).unwrap_err().field, "add");
    let none = run(
        &Fleet::new(DEFAULTS),
        &SimulateRequest {
            add: vec![add(1, GIB)],
            ..SimulateRequest::default()
        },
    );
    assert_eq!(none.unwrap().added[0].placed, 0);
}
