#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use crate::core::reserves::Reserved;
use contracts::host::{Datastore, HostFacts, ImageFile};
use contracts::inventory::Host;
use contracts::inventory::host::{Approval, Status as HostStatus};
use contracts::placement::Claim;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// 8 processors, 16 GiB, nothing used, 10 % and 1 GiB kept.
fn candidate(name: &str) -> Candidate {
    let datastore = Datastore {
        name: "ds1".to_owned(),
        capacity_bytes: 100 * GIB,
        free_bytes: 50 * GIB,
        images: vec![ImageFile {
            name: "debian.qcow2".to_owned(),
            file_bytes: GIB,
        }],
        ..Datastore::default()
    };
    let facts = HostFacts {
        cpus: 8,
        memory_bytes: 16 * GIB,
        datastores: vec![datastore],
        ..HostFacts::default()
    };
    Candidate {
        host: Host {
            id: format!("id-{name}"),
            name: name.to_owned(),
            approval: Approval::Approved.into(),
            status: HostStatus::Responding.into(),
            facts: Some(facts),
            ..Host::default()
        },
        reserved: Reserved {
            cpu_percent: 10.0,
            memory_bytes: GIB,
            disk_bytes: GIB,
        },
        vms: Vec::new(),
        claims: Vec::new(),
    }
}

fn with_facts(mut candidate: Candidate, change: impl Fn(&mut HostFacts)) -> Candidate {
    change(candidate.host.facts.as_mut().unwrap());
    candidate
}

fn needs(vcpus: u32, memory_bytes: u64) -> Requirements {
    Requirements {
        vcpus,
        memory_bytes,
        ..Requirements::default()
    }
}

fn checks(candidate: &Candidate, needs: &Requirements) -> Vec<String> {
    let rating = rate(candidate, needs, 20.0);
    rating.zero_reasons.into_iter().map(|r| r.check).collect()
}

/// A small generator, so that a failing case can be run again from its number.
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below.max(1)
    }
}

fn random_candidate(next: &mut impl FnMut(u64) -> u64, index: u64) -> Candidate {
    let (total, used, cpu) = (next(64) * GIB, next(64) * GIB, next(101));
    let cpus = u32::try_from(next(32)).unwrap();
    with_facts(candidate(&format!("h{:02}", index % 7)), |facts| {
        facts.memory_bytes = total;
        facts.memory_used_bytes = used;
        facts.cpu_used_percent = f64::from(u32::try_from(cpu).unwrap());
        facts.cpus = cpus;
    })
}

#[test]
fn the_formulas_are_those_of_virtual_machine_manager() {
    // CPU: 27 % in use and 4 of 8 at 36 % more: 1 - 45/90. Memory: 5 GiB used and 1 more: 1 - 6/15.
    let host = with_facts(candidate("a"), |facts| {
        facts.cpu_used_percent = 27.0;
        facts.memory_used_bytes = 5 * GIB;
    });
    let request = Requirements {
        expected_cpu_percent: Some(36.0),
        ..needs(4, GIB)
    };
    let rating = rate(&host, &request, 20.0);
    assert!((rating.score - (0.5 + 0.6) / 2.0 * 5.0).abs() < 1e-9);
    assert_eq!(rating.half_stars, 6);
    assert!((rating.resources[0].stars_lost - 2.5).abs() < 1e-9);
    assert!((rating.resources[1].stars_lost - 2.0).abs() < 1e-9);
}

#[test]
fn an_idle_host_keeps_almost_all_its_stars_and_a_busy_one_half_a_star() {
    let tiny = needs(1, 16 * MIB);
    assert_eq!(rate(&candidate("a"), &tiny, 20.0).half_stars, 10);
    let busy = with_facts(candidate("b"), |facts| {
        facts.cpu_used_percent = 100.0;
        facts.memory_used_bytes = 15 * GIB - 16 * MIB;
    });
    let rating = rate(&busy, &tiny, 20.0);
    assert!(can_take(&rating), "{:?}", rating.zero_reasons);
    assert_eq!(rating.half_stars, 1);
}

#[test]
fn every_failed_check_is_named() {
    let mut host = with_facts(candidate("a"), |facts| {
        facts.cpus = 2;
        facts.memory_used_bytes = 14 * GIB;
        facts.datastores[0].free_bytes = 2 * GIB;
    });
    host.host.approval = Approval::Pending.into();
    host.host.status = HostStatus::NotResponding.into();
    host.host.removing = true;
    let request = Requirements {
        disk_bytes: 2 * GIB,
        images: vec!["other.qcow2".to_owned()],
        ..needs(4, 2 * GIB)
    };
    assert_eq!(
        checks(&host, &request),
        [
            "not_approved",
            "not_responding",
            "removing",
            "cpu",
            "memory",
            "disk",
            "image"
        ]
    );
}

#[test]
fn memory_that_is_short_comes_with_the_numbers_and_what_would_fit() {
    let host = with_facts(candidate("a"), |facts| {
        facts.memory_used_bytes = 14 * GIB;
        facts.memory_overhead_bytes = 100 * MIB;
    });
    let rating = rate(&host, &needs(1, 2 * GIB), 20.0);
    let reason = &rating.zero_reasons[0];
    assert!(
        reason.message.contains("needs 2148 MiB"),
        "{}",
        reason.message
    );
    assert!(
        reason.message.contains("1024 MiB are free"),
        "{}",
        reason.message
    );
    assert!(reason.recommended_action.contains("Free 1124 MiB"));
    assert!(reason.recommended_action.contains("at most 924 MiB"));
    assert!(checks(&host, &needs(1, 924 * MIB)).is_empty());
    assert_eq!(checks(&host, &needs(1, 925 * MIB)), ["memory"]);
}

#[test]
fn images_are_found_by_file_or_by_datastore_and_file() {
    let image = |name: &str| Requirements {
        images: vec![name.to_owned()],
        ..needs(1, GIB)
    };
    for there in ["debian.qcow2", "ds1/debian.qcow2"] {
        assert!(checks(&candidate("a"), &image(there)).is_empty(), "{there}");
    }
    for absent in ["ds2/debian.qcow2", "ds1debian.qcow2", "ds1/", "debian"] {
        assert_eq!(
            checks(&candidate("a"), &image(absent)),
            ["image"],
            "{absent}"
        );
    }
}

#[test]
fn a_datastore_with_a_problem_holds_nothing() {
    let host = with_facts(candidate("a"), |facts| {
        facts.datastores[0].problem = "not mounted".to_owned();
    });
    let request = Requirements {
        images: vec!["debian.qcow2".to_owned()],
        ..needs(1, GIB)
    };
    assert_eq!(checks(&host, &request), ["datastore", "image"]);
    let none = with_facts(candidate("a"), |facts| facts.datastores.clear());
    assert_eq!(checks(&none, &needs(1, GIB)), ["datastore"]);
}

#[test]
fn a_host_that_says_nothing_of_itself_takes_nothing() {
    let mut host = candidate("a");
    host.host.facts = None;
    let rating = rate(&host, &needs(1, GIB), 20.0);
    assert_eq!((rating.half_stars, rating.score), (0, 0.0));
    let nan = with_facts(candidate("a"), |facts| facts.cpu_used_percent = f64::NAN);
    assert!(rate(&nan, &needs(1, GIB), 20.0).score.is_finite());
}

#[test]
fn the_order_of_the_hosts_given_does_not_matter() {
    for seed in 0..200 {
        let mut next = numbers(seed);
        let count = next(12);
        let mut hosts: Vec<Candidate> =
            (0..count).map(|i| random_candidate(&mut next, i)).collect();
        for (index, host) in hosts.iter_mut().enumerate() {
            host.host.id = format!("id-{index}");
        }
        let request = needs(1, (1 + next(16)) * GIB);
        let wanted = rate_all(&hosts, &request, 20.0);
        for index in (1..hosts.len()).rev() {
            let other = usize::try_from(next(index as u64 + 1)).unwrap();
            hosts.swap(index, other);
        }
        assert_eq!(rate_all(&hosts, &request, 20.0), wanted, "seed {seed}");
    }
}

#[test]
fn more_free_memory_never_lowers_a_rating() {
    for seed in 0..2_000 {
        let mut next = numbers(seed);
        let host = random_candidate(&mut next, 0);
        let request = needs(1, (1 + next(16)) * GIB);
        let more = next(32) * GIB;
        let larger = with_facts(host.clone(), |facts| facts.memory_bytes += more);
        let emptier = with_facts(host.clone(), |facts| {
            facts.memory_used_bytes = facts.memory_used_bytes.saturating_sub(more);
        });
        let before = rate(&host, &request, 20.0);
        for roomier in [larger, emptier] {
            let after = rate(&roomier, &request, 20.0);
            assert!(after.score >= before.score, "seed {seed}");
            assert!(after.half_stars >= before.half_stars, "seed {seed}");
        }
    }
}

#[test]
fn a_host_is_never_overfilled_by_one_placement_after_another() {
    for seed in 0..200 {
        let mut next = numbers(seed);
        let mut host = random_candidate(&mut next, 0);
        let facts = host.facts();
        for index in 0..200 {
            let request = needs(1, (1 + next(4)) * 512 * MIB);
            if !can_take(&rate(&host, &request, 20.0)) {
                break;
            }
            host.claims.push(Claim {
                vm_id: format!("v{index}"),
                memory_bytes: request.memory_bytes,
                ..Claim::default()
            });
        }
        let promised: u64 = host.claims.iter().map(|c| c.memory_bytes).sum();
        if promised > 0 {
            let taken = facts.memory_used_bytes + promised + host.reserved.memory_bytes;
            assert!(taken <= facts.memory_bytes, "seed {seed}");
        }
    }
}
