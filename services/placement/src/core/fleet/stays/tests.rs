#![allow(clippy::unwrap_used)]
use super::super::tests::{guest, host};
use super::*;
use crate::core::choose::{Occasion, choose, decide};
use crate::core::query::Query;
use crate::core::query::tests::DEFAULTS;
use contracts::host::{Datastore, VmState};
use contracts::inventory::Host;
use contracts::inventory::host::{Approval, Status};
use contracts::placement::{Decision, Goal, RateRequest, Requirements};
use prost::Message as _;

const HOUR_MS: i64 = 3_600_000;

/// A machine that was made at a time, of an owner whose machines are alike.
fn made(id: &str, owner: &str, created_ms: i64) -> Guest {
    Guest {
        owner: owner.to_owned(),
        created_ms,
        ..guest(id, "h", VmState::Running)
    }
}

/// Two hosts that can take machines, and nothing on them.
fn with_hosts(mut fleet: Fleet) -> Fleet {
    for id in ["h", "other"] {
        let mut ready = Host {
            approval: Approval::Approved.into(),
            status: Status::Responding.into(),
            ..host(id, id)
        };
        if let Some(facts) = &mut ready.facts {
            facts.datastores.push(Datastore {
                name: "ds".to_owned(),
                free_bytes: 1 << 40,
                ..Datastore::default()
            });
        }
        fleet.put_host(id.to_owned(), Some(ready));
    }
    fleet.refresh();
    fleet
}

fn plain() -> Fleet {
    with_hosts(Fleet::new(DEFAULTS))
}

fn learning() -> Fleet {
    let mut fleet = Fleet::new(DEFAULTS);
    fleet.learn_stays(Lifetimes::default());
    with_hosts(fleet)
}

fn later(fleet: &mut Fleet, now_ms: i64) {
    fleet.grow_older(now_ms);
    fleet.look_at_stays();
}

/// A hundred machines of an owner come at a time, and go after so many hours.
fn come_and_go(fleet: &mut Fleet, owner: &str, from_ms: i64, hours: i64) {
    let ids: Vec<String> = (0..100).map(|at| format!("{owner}{at}")).collect();
    later(fleet, from_ms);
    for id in &ids {
        fleet.put_guest(id.clone(), Some(made(id, owner, from_ms)));
    }
    later(fleet, from_ms + hours * HOUR_MS);
    for id in ids {
        fleet.put_guest(id, None);
    }
}

fn on_host(fleet: &mut Fleet) -> Option<u64> {
    fleet.refresh();
    fleet
        .slot("h")
        .and_then(|slot| slot.state.expected_stay_secs)
}

#[test]
fn machines_are_expected_to_stay_as_their_owners_others_did() {
    let mut fleet = learning();
    assert_eq!(on_host(&mut fleet), Some(0));
    come_and_go(&mut fleet, "ann", 0, 1);
    come_and_go(&mut fleet, "bob", 0, 70);
    let now_ms = 80 * HOUR_MS;
    for (id, owner) in [("a", "ann"), ("b", "bob")] {
        fleet.put_guest(id.to_owned(), Some(made(id, owner, now_ms)));
    }
    later(&mut fleet, now_ms);
    let of = |fleet: &Fleet, id| fleet.expected_stay_secs(id).unwrap_or(0);
    assert!(of(&fleet, "a") * 4 < of(&fleet, "b"));
    assert_eq!(on_host(&mut fleet), fleet.expected_stay_secs("b"));
    fleet.put_guest("b".to_owned(), None);
    assert_eq!(on_host(&mut fleet), fleet.expected_stay_secs("a"));
}

#[test]
fn a_claim_counts_by_the_record_of_its_machine() {
    let mut fleet = learning();
    come_and_go(&mut fleet, "ann", 0, 1);
    let waiting = Guest {
        host_id: String::new(),
        ..made("a", "ann", HOUR_MS)
    };
    fleet.put_guest("a".to_owned(), Some(waiting));
    later(&mut fleet, 2 * HOUR_MS);
    for (vm_id, is_known) in [("a", true), ("nobody knows it", false)] {
        let claim = Claim {
            vm_id: vm_id.to_owned(),
            ..Claim::default()
        };
        fleet.add_pending("h", claim);
        assert_eq!(on_host(&mut fleet).is_some(), is_known);
    }
}

#[test]
fn what_was_found_or_never_had_a_host_teaches_nothing() {
    let mut fleet = learning();
    for at in 0..200 {
        let id = format!("v{at}");
        let never_placed = at % 2 == 0;
        let guest = Guest {
            is_found: !never_placed,
            host_id: if never_placed { "" } else { "h" }.to_owned(),
            ..made(&id, "ann", 0)
        };
        fleet.put_guest(id.clone(), Some(guest));
        fleet.put_guest(id, None);
    }
    fleet.put_guest("a".to_owned(), Some(made("a", "ann", 0)));
    later(&mut fleet, HOUR_MS);
    assert_eq!(fleet.expected_stay_secs("a"), None);
}

#[test]
fn nothing_is_expected_by_a_fleet_that_does_not_learn() {
    let mut fleet = plain();
    come_and_go(&mut fleet, "ann", 0, 1);
    fleet.put_guest("a".to_owned(), Some(made("a", "ann", 0)));
    later(&mut fleet, 5 * HOUR_MS);
    assert_eq!(fleet.expected_stay_secs("a"), None);
    assert_eq!(on_host(&mut fleet), None);
    fleet.put_host("h".to_owned(), Some(host("h", "renamed")));
    assert_eq!(on_host(&mut fleet), None);
}

/// Asked for with resource maximisation.
fn query() -> Query {
    let request = RateRequest {
        requirements: Some(Requirements {
            vcpus: 1,
            memory_bytes: 100 << 20,
            ..Requirements::default()
        }),
        goal: Goal::Maximise.into(),
        ..RateRequest::default()
    };
    Query::new(&request, &DEFAULTS).unwrap()
}

/// Two hosts that are as full: on one is a machine of Bob, whose stay long, on the other one of Ann.
fn two_hosts(mut fleet: Fleet) -> Fleet {
    come_and_go(&mut fleet, "ann", 0, 1);
    come_and_go(&mut fleet, "bob", 0, 70);
    let now_ms = 80 * HOUR_MS;
    for (owner, host_id) in [("bob", "h"), ("ann", "other")] {
        let id = format!("{owner}s");
        let there = Guest {
            host_id: host_id.to_owned(),
            ..made(&id, owner, now_ms)
        };
        fleet.put_guest(id, Some(there));
        let id = format!("{owner}s next");
        let coming = Guest {
            host_id: String::new(),
            ..made(&id, owner, now_ms)
        };
        fleet.put_guest(id, Some(coming));
    }
    later(&mut fleet, now_ms);
    fleet.refresh();
    fleet
}

fn chosen(fleet: &Fleet, vm_id: &str) -> Decision {
    let query = query().expecting(fleet.expected_stay_secs(vm_id));
    let occasion = Occasion {
        vm_id,
        job_id: "j",
        now_ms: 0,
    };
    choose(fleet, &query, occasion).unwrap()
}

#[test]
fn a_machine_goes_beside_such_as_stay_as_long_and_the_record_says_so() {
    let fleet = two_hosts(learning());
    for (vm_id, host_id) in [("anns next", "other"), ("bobs next", "h")] {
        let decision = chosen(&fleet, vm_id);
        assert_eq!(decision.host_id, host_id);
        let remarks = decision.ratings.iter().flat_map(|rating| &rating.remarks);
        let told = remarks.filter(|remark| remark.message.contains("expected to stay"));
        assert_eq!(told.count(), 2);
        // The record alone says the same, when nobody remembers what was learned.
        let read = Decision::decode(decision.encode_to_vec().as_slice()).unwrap();
        let query = Query::new(&read.request.unwrap(), &DEFAULTS).unwrap();
        let (again, ratings) = decide(&read.contenders, &query);
        assert_eq!(again.as_deref(), Some(host_id));
        assert_eq!(ratings, decision.ratings);
    }
}

#[test]
fn without_knowledge_the_choice_is_what_it_was() {
    let plain = two_hosts(plain());
    let mut untaught = learning();
    for id in ["anns", "bobs"] {
        untaught.put_guest(id.to_owned(), plain.guest(id).cloned());
    }
    later(&mut untaught, 80 * HOUR_MS);
    untaught.refresh();
    for vm_id in ["anns next", "bobs next"] {
        assert_eq!(chosen(&plain, vm_id), chosen(&untaught, vm_id));
        assert_eq!(chosen(&plain, vm_id).host_id, "h");
    }
}

#[test]
fn for_load_balancing_and_where_the_request_says_nothing_learned_counts() {
    let mut balanced = query().request;
    balanced.set_goal(Goal::Balance);
    let balanced = Query::new(&balanced, &DEFAULTS).unwrap();
    assert_eq!(balanced.clone().expecting(Some(9_999)), balanced);
    let mut said = query().request;
    if let Some(needs) = &mut said.requirements {
        needs.expected_stay_secs = Some(7_200);
    }
    let said = Query::new(&said, &DEFAULTS).unwrap();
    assert_eq!(said.clone().expecting(Some(9_999)), said);
    assert_eq!(query().expecting(Some(7_200)), said);
}
