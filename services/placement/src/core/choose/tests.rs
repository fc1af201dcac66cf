#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::super::claims::{self, Owner};
use super::super::guest::Guest;
use super::super::query::tests::{DEFAULTS, query};
use super::*;
use contracts::host::{Datastore, HostFacts, VmState};
use contracts::inventory::host::{Approval, Status as HostStatus};
use contracts::inventory::{Host, HostSettings};
use contracts::placement::rule::{Bond, Level};
use contracts::placement::{Requirements, Rule};

const MIB: u64 = 1 << 20;

fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below.max(1)
    }
}

fn host(id: &str, memory_mib: u64) -> Host {
    Host {
        id: id.to_owned(),
        name: format!("name-of-{id}"),
        approval: Approval::Approved.into(),
        status: HostStatus::Responding.into(),
        facts: Some(HostFacts {
            cpus: 8,
            memory_bytes: memory_mib * MIB,
            memory_overhead_bytes: 3 * MIB,
            datastores: vec![Datastore {
                name: "ds1".to_owned(),
                capacity_bytes: 1 << 40,
                free_bytes: 1 << 40,
                ..Datastore::default()
            }],
            ..HostFacts::default()
        }),
        ..Host::default()
    }
}

fn random_hosts(next: &mut impl FnMut(u64) -> u64, count: u64) -> Vec<Host> {
    let one = |at| {
        let mut host = host(&format!("h{at:02}"), 512 * (1 + next(8)));
        host.facts.as_mut().unwrap().memory_used_bytes = next(2_048) * MIB;
        host.settings = Some(HostSettings {
            rack: format!("r{}", next(3)),
            maintenance: next(5) == 0,
            ..HostSettings::default()
        });
        host
    };
    (0..count).map(one).collect()
}

fn fleet(hosts: &[Host]) -> Fleet {
    let mut fleet = Fleet::new(DEFAULTS);
    for host in hosts {
        fleet.put_host(host.id.clone(), Some(host.clone()));
    }
    fleet.refresh();
    fleet
}

fn needs(memory_mib: u64) -> Requirements {
    Requirements {
        vcpus: 1,
        memory_bytes: memory_mib * MIB,
        tags: [("app".to_owned(), "web".to_owned())].into(),
        ..Requirements::default()
    }
}

fn occasion(vm_id: &str) -> Occasion<'_> {
    Occasion {
        vm_id,
        job_id: "j",
        now_ms: 7,
    }
}

/// Places and claims, as the service does.
fn place(fleet: &mut Fleet, vm_id: &str, query: &Query) -> Result<Decision, Status> {
    let decision = choose(fleet, query, occasion(vm_id))?;
    let owner = Owner { vm_id, job_id: "j" };
    fleet.add_pending(&decision.host_id, claims::new(owner, &query.needs, 0));
    Ok(decision)
}

fn apart(level: Level) -> Rule {
    let mut rule = Rule {
        id: "r".to_owned(),
        name: "webs apart".to_owned(),
        vm_tag: "app=web".to_owned(),
        ..Rule::default()
    };
    rule.set_bond(Bond::Apart);
    rule.set_level(level);
    rule.set_strength(Strength::Must);
    rule
}

#[test]
fn the_order_in_which_hosts_came_does_not_matter() {
    for seed in 0..100 {
        let mut next = numbers(seed);
        let count = 1 + next(40);
        let mut hosts = random_hosts(&mut next, count);
        let query = query(needs(64 * (1 + next(32))));
        let wanted = choose(&fleet(&hosts), &query, occasion("v")).ok();
        let all = rate_all(&fleet(&hosts), &query).unwrap();
        for at in (1..hosts.len()).rev() {
            let other = usize::try_from(next(at as u64 + 1)).unwrap();
            hosts.swap(at, other);
        }
        let again = choose(&fleet(&hosts), &query, occasion("v")).ok();
        assert_eq!(again, wanted, "seed {seed}");
        assert_eq!(
            rate_all(&fleet(&hosts), &query).unwrap(),
            all,
            "seed {seed}"
        );
        // The choice by numbers is the head of the list by whole ratings.
        let best = all.ratings.first().filter(|r| rate::can_take(r));
        assert_eq!(
            wanted.map(|d| d.host_id),
            best.map(|r| r.host_id.clone()),
            "seed {seed}"
        );
    }
}

#[test]
fn what_the_columns_choose_is_what_rating_every_host_chooses() {
    use contracts::placement::Goal;
    for seed in 0..150 {
        let mut next = numbers(seed);
        let count = 1 + next(200);
        let mut hosts = random_hosts(&mut next, count);
        let mut fleet = fleet(&hosts);
        for _ in 0..4 {
            // Records change, and columns with them.
            let at = usize::try_from(next(count)).unwrap();
            hosts[at].facts.as_mut().unwrap().memory_used_bytes = next(4_096) * MIB;
            fleet.put_host(hosts[at].id.clone(), Some(hosts[at].clone()));
            fleet.refresh();
            let mut request = query(Requirements {
                disk_bytes: next(2) << (30 + next(12)),
                ..needs(64 * (1 + next(32)))
            })
            .request;
            request.limit = u32::try_from(1 + next(20)).unwrap();
            request.set_goal([Goal::Balance, Goal::Maximise][usize::try_from(next(2)).unwrap()]);
            let query = Query::new(&request, &DEFAULTS).unwrap();
            let states = fleet.slots().iter().map(|slot| &slot.state);
            let mut slow: Vec<Rating> = states.map(|s| rate::rate(s, &[], &query)).collect();
            slow.sort_by(|a, b| {
                let can = |rating: &Rating| rate::can_take(rating);
                can(b).cmp(&can(a)).then(b.score.total_cmp(&a.score))
            });
            let possible = slow.iter().filter(|rating| rate::can_take(rating)).count();
            slow.truncate(usize::try_from(request.limit).unwrap());
            let quick = rate_all(&fleet, &query).unwrap();
            assert_eq!(quick.ratings, slow, "seed {seed}");
            assert_eq!(quick.hosts_possible, super::count(possible), "seed {seed}");
            let chosen = choose(&fleet, &query, occasion("v")).ok();
            let best = slow.first().filter(|rating| rate::can_take(rating));
            assert_eq!(chosen.map(|d| d.host_id), best.map(|r| r.host_id.clone()));
        }
    }
}

#[test]
fn hosts_are_never_overfilled_by_one_placement_after_another() {
    for seed in 0..30 {
        let mut next = numbers(seed);
        let mut fleet = fleet(&random_hosts(&mut next, 6));
        let mut placed = 0;
        for number in 0..400 {
            let query = query(needs(16 * (1 + next(20))));
            if place(&mut fleet, &format!("v{number}"), &query).is_ok() {
                placed += 1;
            }
        }
        assert!(placed > 0, "seed {seed}");
        for slot in fleet.slots() {
            let state = &slot.state;
            let was = state.memory_used_bytes;
            let most = state
                .memory_bytes
                .saturating_sub(DEFAULTS.reserves.memory_bytes);
            let is_untouched = fleet.open_on(&state.host_id).count() == 0;
            assert!(
                was <= most || is_untouched,
                "seed {seed}: {}",
                state.host_id
            );
            assert!(!is_overfull(state) || is_untouched, "seed {seed}");
        }
    }
}

#[test]
fn a_decision_that_is_made_again_from_its_record_is_the_same_to_the_last_bit() {
    use prost::Message as _;
    for seed in 0..100 {
        let mut next = numbers(seed);
        let mut fleet = fleet(&random_hosts(&mut next, 12));
        if next(2) == 0 {
            let mut rule = apart(Level::Rack);
            rule.set_strength(Strength::Should);
            fleet.put_rule(rule.id.clone(), Some(rule));
        }
        for number in 0..8 {
            let query = query(needs(64));
            let Ok(decision) = place(&mut fleet, &format!("v{number}"), &query) else {
                continue;
            };
            let read = Decision::decode(decision.encode_to_vec().as_slice()).unwrap();
            // Whatever the site says by then.
            let later = super::super::query::Defaults {
                expected_cpu_percent: 90.0,
                ..DEFAULTS
            };
            let query = Query::new(&read.request.unwrap(), &later).unwrap();
            let (host_id, ratings) = decide(&read.contenders, &query);
            assert_eq!(host_id.as_ref(), Some(&decision.host_id), "seed {seed}");
            let bytes = |ratings: &[Rating]| -> Vec<Vec<u8>> {
                ratings.iter().map(Rating::encode_to_vec).collect()
            };
            assert_eq!(bytes(&ratings), bytes(&decision.ratings), "seed {seed}");
        }
    }
}

#[test]
fn machines_that_must_be_apart_are_and_the_next_one_is_told_why_not() {
    let mut hosts: Vec<Host> = (0..3).map(|at| host(&format!("h{at}"), 4_096)).collect();
    for (at, host) in hosts.iter_mut().enumerate() {
        host.settings = Some(HostSettings {
            rack: format!("r{}", at / 2),
            ..HostSettings::default()
        });
    }
    let mut fleet = fleet(&hosts);
    fleet.put_rule("r".to_owned(), Some(apart(Level::Rack)));
    let query = query(needs(64));
    let first = place(&mut fleet, "v1", &query).unwrap().host_id;
    let second = place(&mut fleet, "v2", &query).unwrap().host_id;
    assert_eq!((first.as_str(), second.as_str()), ("h0", "h2"));
    let refused = place(&mut fleet, "v3", &query).unwrap_err();
    assert!(refused.message.contains("rule on 3"), "{refused}");
    assert!(
        refused.recommended_action.contains("webs apart"),
        "{refused}"
    );
    // A machine that is there does not count against itself.
    let guest = Guest {
        id: "v1".to_owned(),
        host_id: "h0".to_owned(),
        state: VmState::Running,
        tags: query.needs.tags.clone().into_iter().collect(),
        ..Guest::default()
    };
    fleet.put_guest("v1".to_owned(), Some(guest));
    fleet.refresh();
    let machine = Member {
        id: "v1",
        name: "v1",
        tags: &query.needs.tags,
    };
    assert!(!breaks_rule(&fleet, "h0", machine, |_, _| true));
    assert!(breaks_rule(&fleet, "h2", machine, |_, _| true));
}

#[test]
fn a_small_fleet_is_told_of_whole_and_a_large_one_by_its_best() {
    let mut hosts: Vec<Host> = (0..3).map(|at| host(&format!("h{at}"), 4_096)).collect();
    hosts[0].status = HostStatus::NotResponding.into();
    let decision = choose(&fleet(&hosts), &query(needs(64)), occasion("v")).unwrap();
    assert_eq!((decision.ratings.len(), decision.hosts_rated), (3, 3));
    assert_eq!(decision.failed_checks.get("takes_no_part"), Some(&1));
    assert!(!rate::can_take(&decision.ratings[2]));
    let many: Vec<Host> = (0..400)
        .map(|at| host(&format!("h{at:03}"), 4_096))
        .collect();
    let decision = choose(&fleet(&many), &query(needs(64)), occasion("v")).unwrap();
    assert_eq!(
        (decision.contenders.len(), decision.hosts_possible),
        (CONTENDERS_MAX, 400)
    );
    assert_eq!(decision.host_id, "h000");
}

#[test]
fn no_host_no_memory_or_a_machine_larger_than_all_is_answered_plainly() {
    let nobody = choose(&fleet(&[]), &query(needs(64)), occasion("v")).unwrap_err();
    assert!(nobody.message.contains("no host"));
    let hosts = [host("h1", 512), host("h2", 1_024)];
    let large = choose(&fleet(&hosts), &query(needs(4_096)), occasion("v")).unwrap_err();
    assert!(large.message.contains("memory on 2"), "{large}");
    assert!(large.recommended_action.contains("name-of-h2"), "{large}");
    assert!(choose(&fleet(&hosts), &query(needs(64)), occasion("v")).is_ok());
    let nothing = choose(&fleet(&[host("h0", 0)]), &query(needs(64)), occasion("v"));
    assert!(nothing.unwrap_err().message.contains("memory on 1"));
}
