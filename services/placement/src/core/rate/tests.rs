#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use contracts::placement::{
    DatastoreState, EffectiveReserves, Goal as AskedGoal, RateRequest, Requirements, Weights,
};

use super::super::query::tests::{DEFAULTS, query};
use super::*;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// 8 processors, 16 GiB, nothing used, 10 % and 1 GiB kept.
fn host(name: &str) -> HostState {
    HostState {
        host_id: format!("id-{name}"),
        host_name: name.to_owned(),
        approved: true,
        responding: true,
        cpus: 8,
        memory_bytes: 16 * GIB,
        reserves: Some(EffectiveReserves {
            cpu_percent: 10.0,
            memory_bytes: GIB,
            memory_from: "host group Lab".to_owned(),
            disk_bytes: GIB,
            ..EffectiveReserves::default()
        }),
        datastores: vec![DatastoreState {
            name: "ds1".to_owned(),
            free_bytes: 50 * GIB,
            images: vec!["debian.qcow2".to_owned()],
            ..DatastoreState::default()
        }],
        networks: vec!["user".to_owned()],
        ..HostState::default()
    }
}

fn with(mut state: HostState, change: impl Fn(&mut HostState)) -> HostState {
    change(&mut state);
    state
}

fn needs(vcpus: u32, memory_bytes: u64) -> Requirements {
    Requirements {
        vcpus,
        memory_bytes,
        ..Requirements::default()
    }
}

fn checks(state: &HostState, needs: &Requirements) -> Vec<String> {
    let rating = rate(state, &[], &query(needs.clone()));
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

fn random_host(next: &mut impl FnMut(u64) -> u64, index: u64) -> HostState {
    let (total, used, cpu) = (next(64) * GIB, next(64) * GIB, next(3_200));
    let (cpus, io) = (u32::try_from(next(32)).unwrap(), next(3) * 1_000);
    with(host(&format!("h{:02}", index % 7)), |state| {
        state.memory_bytes = total;
        state.memory_used_bytes = used;
        state.cpu_used = cpu;
        state.cpus = cpus;
        state.disk_io_max = io;
        state.disk_io_used = used / GIB * 20;
    })
}

/// The documentation computes the same by hand.
fn is_told(rating: &Rating) {
    let page = include_str!("../../../../../docs/placement.md");
    let stars = f64::from(rating.half_stars) / 2.0;
    let told = format!("= {:.3}, shown as {stars:.1} stars", rating.score);
    assert!(
        page.contains(&told),
        "docs/placement.md does not say {told:?}"
    );
}

#[test]
fn the_formulas_are_those_of_virtual_machine_manager() {
    // CPU: 27 % in use and 4 of 8 at 36 % more: 1 - 45/90. Memory: 5 GiB used and 1 more: 1 - 6/15.
    let state = with(host("a"), |state| {
        state.cpu_used = 216;
        state.memory_used_bytes = 5 * GIB;
    });
    let request = Requirements {
        expected_cpu_percent: Some(36.0),
        ..needs(4, GIB)
    };
    let rating = rate(&state, &[], &query(request.clone()));
    assert!((rating.score - (0.5 + 0.6) / 2.0 * 5.0).abs() < 1e-6);
    assert_eq!(rating.half_stars, 6);
    assert!((rating.resources[0].stars_lost - 1.25).abs() < 1e-6);
    assert!((rating.resources[1].stars_lost - 1.0).abs() < 1e-6);
    // Disk I/O: 200 of 1,000 and 300 more: 1 - 0.5. Network: 20 of 100 Mbit/s, a fifth of them kept, and 4 more: 1 - 24/80.
    let state = with(state, |state| {
        (state.disk_io_used, state.disk_io_max) = (200, 1_000);
        (state.network_used, state.network_max) = (20, 100);
        state.reserves.as_mut().unwrap().network_percent = 20.0;
    });
    let request = Requirements {
        expected_disk_io_per_sec: Some(300.0),
        expected_network_mbit: Some(4.0),
        ..request
    };
    let rating = rate(&state, &[], &query(request.clone()));
    assert!((rating.score - (0.5 + 0.6 + 0.5 + 0.7) / 4.0 * 5.0).abs() < 1e-6);
    is_told(&rating);
    let maximised = RateRequest {
        requirements: Some(request.clone()),
        goal: AskedGoal::Maximise.into(),
        ..RateRequest::default()
    };
    let fullness = rate(&state, &[], &Query::new(&maximised, &DEFAULTS).unwrap());
    let imbalance = (0.7 - 0.5) - (0.8 - 2.0 / 3.0);
    assert!((fullness.score - (0.425 - imbalance / 3.0) * 5.0).abs() < 1e-5);
    is_told(&fullness);
    let weighted = RateRequest {
        requirements: Some(request),
        weights: Some(Weights {
            cpu: 0.0,
            memory: 1.0,
            disk_io: 3.0,
            network: 0.0,
        }),
        ..RateRequest::default()
    };
    let weighted = Query::new(&weighted, &DEFAULTS).unwrap();
    let rating = rate(&state, &[], &weighted);
    assert!((rating.score - (0.6 + 3.0 * 0.5) / 4.0 * 5.0).abs() < 1e-6);
    let lost: f64 = rating.resources.iter().map(|r| r.stars_lost).sum();
    assert!((rating.score + lost - 5.0).abs() < 1e-6);
}

#[test]
fn resource_maximisation_wants_the_fullest_host_that_still_fits() {
    let request = RateRequest {
        requirements: Some(needs(1, GIB)),
        goal: AskedGoal::Maximise.into(),
        ..RateRequest::default()
    };
    let query = Query::new(&request, &DEFAULTS).unwrap();
    let used = |gib: u64| with(host("a"), |state| state.memory_used_bytes = gib * GIB);
    let (empty, full) = (rate(&used(1), &[], &query), rate(&used(14), &[], &query));
    assert!(full.score > empty.score);
    for rating in [&empty, &full] {
        let lost: f64 = rating.resources.iter().map(|r| r.stars_lost).sum();
        assert!((rating.score + lost - 5.0).abs() < 1e-5, "{rating:?}");
    }
    assert!(!can_take(&rate(&used(15), &[], &query)));
}

#[test]
fn a_resource_that_is_not_known_does_not_count_and_says_so() {
    let rating = rate(&host("a"), &[], &query(needs(1, GIB)));
    let disk = &rating.resources[2];
    assert_eq!(
        (disk.resource.as_str(), disk.weight, disk.stars_lost),
        ("disk_io", 0.0, 0.0)
    );
    assert!(disk.explanation.contains("muster host set a --disk-io-max"));
}

#[test]
fn an_idle_host_keeps_almost_all_its_stars_and_a_busy_one_half_a_star() {
    let tiny = needs(1, 16 * MIB);
    assert_eq!(rate(&host("a"), &[], &query(tiny.clone())).half_stars, 10);
    let busy = with(host("b"), |state| {
        state.cpu_used = 800;
        state.memory_used_bytes = 15 * GIB - 16 * MIB;
    });
    let rating = rate(&busy, &[], &query(tiny));
    assert!(can_take(&rating), "{:?}", rating.zero_reasons);
    assert_eq!(rating.half_stars, 1);
}

#[test]
fn a_host_must_know_the_type_of_a_machine_that_there_was_before() {
    let of = |machine_type: &str| Requirements {
        machine_type: machine_type.to_owned(),
        ..needs(1, GIB)
    };
    let knows = |versions: &[&str]| {
        with(host("a"), |state| {
            state.q35_versions = versions.iter().map(|v| (*v).to_owned()).collect();
        })
    };
    let old = knows(&["8.2", "8.1", "rhel9.4.0"]);
    assert_eq!(checks(&old, &of("pc-q35-9.2")), ["machine_type"]);
    for known in ["pc-q35-8.1", "pc-q35-rhel9.4.0", "q35", "pc-i440fx-9.2", ""] {
        assert!(checks(&old, &of(known)).is_empty(), "{known}");
    }
    // Of an agent that does not say.
    assert!(checks(&knows(&[]), &of("pc-q35-9.2")).is_empty());
}

#[test]
fn every_failed_check_is_named() {
    let state = with(host("a"), |state| {
        state.approved = false;
        state.responding = false;
        state.removing = true;
        state.maintenance = true;
        state.other_virtualization = "VirtualBox".to_owned();
        state.cpus = 2;
        state.q35_versions = vec!["8.2".to_owned(), "8.1".to_owned()];
        state.memory_used_bytes = 14 * GIB;
        state.datastores[0].free_bytes = 2 * GIB;
    });
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let request = Requirements {
        disk_bytes: 2 * GIB,
        images: words(&["other.qcow2"]),
        networks: words(&["user", "vlan-7"]),
        highly_available: true,
        platform: "x86_64".to_owned(),
        accelerator: "kvm".to_owned(),
        uefi: true,
        machine_type: "pc-q35-9.2".to_owned(),
        cpu_features: words(&["avx512f"]),
        host_tags: words(&["gpu"]),
        possible_host_ids: words(&["id-b"]),
        ..needs(4, 2 * GIB)
    };
    let wanted = [
        "not_approved",
        "not_responding",
        "removing",
        "maintenance",
        "other_virtualization",
        "cpu",
        "memory",
        "disk",
        "image",
        "network",
        "cluster",
        "platform",
        "accelerator",
        "firmware",
        "machine_type",
        "cpu_features",
        "host_tag",
        "possible_host",
    ];
    assert_eq!(checks(&state, &request), wanted);
    let rating = rate(&state, &[], &query(request));
    let is_clear = |r: &Reason| !r.message.is_empty() && !r.recommended_action.is_empty();
    assert!(rating.zero_reasons.iter().all(is_clear));
    assert_eq!((rating.half_stars, rating.score), (0, 0.0));
}

#[test]
fn memory_that_is_short_comes_with_the_numbers_and_the_smallest_changes_that_help() {
    let state = with(host("a"), |state| {
        state.memory_used_bytes = 14 * GIB;
        state.memory_overhead_bytes = 100 * MIB;
    });
    let reason = |memory: u64| {
        let rating = rate(&state, &[], &query(needs(1, memory)));
        rating.zero_reasons[0].clone()
    };
    let short = reason(2 * GIB);
    for part in ["needs 2.1 GiB", "1024 MiB are free", "by host group Lab"] {
        assert!(short.message.contains(part), "{}", short.message);
    }
    let action = &short.recommended_action;
    assert_eq!(
        action,
        "Free 1124 MiB on the host, or give the machine at most 924 MiB."
    );
    let action = reason(GIB).recommended_action;
    assert!(
        action.ends_with("or lower the reserve to 924 MiB."),
        "{action}"
    );
    assert!(checks(&state, &needs(1, 924 * MIB)).is_empty());
    assert_eq!(checks(&state, &needs(1, 925 * MIB)), ["memory"]);
}

#[test]
fn images_are_found_by_file_or_by_datastore_and_file() {
    let image = |name: &str| Requirements {
        images: vec![name.to_owned()],
        ..needs(1, GIB)
    };
    for there in ["debian.qcow2", "ds1/debian.qcow2"] {
        assert!(checks(&host("a"), &image(there)).is_empty(), "{there}");
    }
    for absent in ["ds2/debian.qcow2", "ds1debian.qcow2", "ds1/", "debian"] {
        assert_eq!(checks(&host("a"), &image(absent)), ["image"], "{absent}");
    }
}

#[test]
fn a_datastore_is_wanted_by_name_or_tag_and_one_with_a_problem_holds_nothing() {
    let broken = with(host("a"), |state| {
        state.datastores[0].problem = "not mounted".to_owned();
    });
    assert_eq!(checks(&broken, &needs(1, GIB)), ["datastore"]);
    let none = with(host("a"), |state| state.datastores.clear());
    assert_eq!(checks(&none, &needs(1, GIB)), ["datastore"]);
    let tagged = |tag: &str| Requirements {
        datastore_tags: vec![tag.to_owned()],
        ..needs(1, GIB)
    };
    let ssd = with(host("a"), |state| {
        state.datastores[0].tags = vec!["ssd".to_owned()];
    });
    assert!(checks(&ssd, &tagged("ssd")).is_empty());
    assert_eq!(checks(&host("a"), &tagged("ssd")), ["datastore_tag"]);
    let other = Requirements {
        datastore: "ds2".to_owned(),
        ..needs(1, GIB)
    };
    assert_eq!(checks(&host("a"), &other), ["datastore"]);
}

#[test]
fn a_host_that_says_nothing_of_itself_takes_nothing() {
    let silent = HostState {
        approved: true,
        responding: true,
        ..HostState::default()
    };
    let rating = rate(&silent, &[], &query(needs(1, GIB)));
    assert_eq!((rating.half_stars, rating.score), (0, 0.0));
    assert_eq!(
        checks(&silent, &needs(1, GIB)),
        ["cpu", "memory", "datastore"]
    );
}

#[test]
fn wishes_cost_stars_and_stale_samples_are_only_told() {
    let request = Requirements {
        preferred_host_ids: vec!["id-b".to_owned()],
        ..needs(1, GIB)
    };
    let plain = rate(&host("b"), &[], &query(request.clone()));
    let other = rate(&host("a"), &[], &query(request.clone()));
    assert!((plain.score - other.score - 1.0).abs() < 1e-6);
    assert_eq!(other.remarks[0].half_stars_lost, 2);
    let stale = with(host("b"), |state| state.stale = true);
    let stale = rate(&stale, &[], &query(request));
    assert_eq!(
        (stale.score, stale.remarks[0].check.as_str()),
        (plain.score, "stale_samples")
    );
}

#[test]
fn more_free_memory_never_lowers_a_rating() {
    for seed in 0..2_000 {
        let mut next = numbers(seed);
        let state = random_host(&mut next, 0);
        let query = query(needs(1, (1 + next(16)) * GIB));
        let more = next(32) * GIB;
        let larger = with(state.clone(), |state| state.memory_bytes += more);
        let emptier = with(state.clone(), |state| {
            state.memory_used_bytes = state.memory_used_bytes.saturating_sub(more);
        });
        let before = rate(&state, &[], &query);
        for roomier in [larger, emptier] {
            let after = rate(&roomier, &[], &query);
            assert!(after.score >= before.score, "seed {seed}");
            assert!(after.half_stars >= before.half_stars, "seed {seed}");
        }
    }
}

#[test]
fn numbers_alone_say_the_same_as_the_whole_rating() {
    for seed in 0..2_000 {
        let mut next = numbers(seed);
        let state = random_host(&mut next, 0);
        let query = query(needs(1, (1 + next(16)) * GIB));
        let by_row = model::score(&state::row(&state), &query.ask);
        let score = score(&state, &[], &query);
        assert_eq!(by_row.is_some(), checks(&state, &query.needs).is_empty());
        if score.possible {
            assert_eq!(by_row, Some(score.parts), "seed {seed}");
        }
    }
}
