//! Rules, batches, decisions made again, and questions.

use std::collections::BTreeSet;

use contracts::Code;
use contracts::common::Empty;
use contracts::inventory::{Host, HostSettings};
use contracts::placement::rule::{Bond, Level, Strength};
use contracts::placement::{
    BatchMachine, PlaceBatchRequest, PlaceRequest, Requirements, Rule, RuleRef, SimulateRequest,
    SimulatedMachines,
};
use futures::future::join_all;

use crate::harness::{Fleet, MIB, host, place, rate};

fn webs(bond: Bond, level: Level) -> Rule {
    Rule {
        id: format!("webs-{}", bond.as_str_name()),
        name: format!("webs {}", bond.as_str_name()),
        bond: bond.into(),
        strength: Strength::Must.into(),
        level: level.into(),
        vm_tag: "app=web".to_owned(),
        ..Rule::default()
    }
}

fn in_rack(id: &str, rack: &str) -> Host {
    Host {
        settings: Some(HostSettings {
            rack: rack.to_owned(),
            ..HostSettings::default()
        }),
        ..host(id, 4_096)
    }
}

fn web(vm_id: &str) -> PlaceRequest {
    let mut request = place(vm_id, 64);
    let needs = request
        .rate
        .as_mut()
        .and_then(|rate| rate.requirements.as_mut());
    needs.unwrap().tags = [("app".to_owned(), "web".to_owned())].into();
    request
}

#[tokio::test]
async fn rules_hold_however_many_machines_are_placed_at_once() {
    let fleet = Fleet::start().await;
    for (id, rack) in [
        ("h1", "r1"),
        ("h2", "r1"),
        ("h3", "r2"),
        ("h4", "r2"),
        ("h5", "r3"),
    ] {
        fleet.put_host(in_rack(id, rack)).await;
    }
    fleet
        .add_rule(webs(Bond::Apart, Level::Rack))
        .await
        .unwrap();
    let answers = join_all((0..20).map(|number| {
        let (client, context) = (fleet.client.clone(), fleet.context());
        async move { client.place(&context, &web(&format!("v{number}"))).await }
    }))
    .await;
    let placed: Vec<String> = answers
        .iter()
        .flatten()
        .map(|a| a.host_id.clone())
        .collect();
    let racks: BTreeSet<char> = placed
        .iter()
        .map(|id| match id.as_str() {
            "h1" | "h2" => '1',
            "h3" | "h4" => '2',
            _ => '3',
        })
        .collect();
    assert_eq!((placed.len(), racks.len()), (3, 3), "{placed:?}");
    let refused = answers.iter().find_map(|a| a.as_ref().err()).unwrap();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.recommended_action.contains("webs BOND_APART"),
        "{refused}"
    );
    // What was claimed and given back is gone.
    let mut claims = 0;
    for id in ["h1", "h2", "h3", "h4", "h5"] {
        claims += fleet.claims(id).await.len();
    }
    assert_eq!(claims, 3);
}

#[tokio::test]
async fn a_rule_that_contradicts_is_refused_by_name_and_one_that_is_removed_binds_no_more() {
    let fleet = Fleet::start().await;
    fleet.put_host(host("h1", 4_096)).await;
    let apart = fleet
        .add_rule(webs(Bond::Apart, Level::Host))
        .await
        .unwrap();
    let together = fleet
        .add_rule(webs(Bond::Together, Level::Host))
        .await
        .unwrap_err();
    assert_eq!(together.code(), Code::FailedPrecondition);
    for name in ["webs BOND_APART", "webs BOND_TOGETHER"] {
        assert!(together.message.contains(name), "{together}");
    }
    let context = fleet.context();
    let rules = fleet
        .planning
        .list_rules(&context, &Empty {})
        .await
        .unwrap()
        .rules;
    assert_eq!(rules, std::slice::from_ref(&apart));
    let place = async |vm_id: &str| fleet.client.place(&context, &web(vm_id)).await;
    assert!(place("v1").await.is_ok());
    assert!(place("v2").await.is_err());
    for _ in 0..2 {
        let which = RuleRef {
            id: apart.id.clone(),
        };
        fleet.planning.remove_rule(&context, &which).await.unwrap();
    }
    assert!(place("v2").await.is_ok());
}

#[tokio::test]
async fn a_batch_is_placed_whole_with_its_rules_or_not_at_all() {
    let fleet = Fleet::start().await;
    for id in ["h1", "h2", "h3"] {
        fleet.put_host(host(id, 300)).await;
    }
    let batch = |count: usize| PlaceBatchRequest {
        job_id: "j1".to_owned(),
        machines: (0..count)
            .map(|number| BatchMachine {
                vm_id: format!("v{number}"),
                rate: web(&format!("v{number}")).rate,
            })
            .collect(),
        rules: vec![webs(Bond::Apart, Level::Host)],
    };
    let context = fleet.context();
    let refused = fleet
        .planning
        .place_batch(&context, &batch(4))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    for id in ["h1", "h2", "h3"] {
        assert!(fleet.claims(id).await.is_empty());
    }
    let placed = fleet
        .planning
        .place_batch(&context, &batch(3))
        .await
        .unwrap()
        .placed;
    let hosts: BTreeSet<&str> = placed.iter().map(|p| p.host_id.as_str()).collect();
    assert_eq!(hosts.len(), 3);
    // Asked again it is the same, and claims nothing more.
    let again = fleet
        .planning
        .place_batch(&context, &batch(3))
        .await
        .unwrap()
        .placed;
    assert_eq!(again, placed);
    for id in ["h1", "h2", "h3"] {
        assert_eq!(fleet.claims(id).await.len(), 1);
    }
}

#[tokio::test]
async fn a_decision_is_made_again_as_it_was_when_the_fleet_has_long_changed() {
    let fleet = Fleet::start().await;
    for (id, room_mib) in [("h1", 1_024), ("h2", 2_048), ("h3", 64)] {
        fleet.put_host(host(id, room_mib)).await;
    }
    let context = fleet.context();
    let placed = fleet
        .client
        .place(&context, &place("v1", 128))
        .await
        .unwrap();
    let decision = placed.decision.unwrap();
    assert_eq!(
        (decision.host_id.as_str(), decision.ratings.len()),
        ("h2", 3)
    );
    fleet.put_host(host("h0", 65_536)).await;
    let replayed = fleet
        .planning
        .replay(&fleet.context(), &decision)
        .await
        .unwrap();
    assert!(replayed.same, "{replayed:#?}");
    let mut forged = decision.clone();
    forged.contenders[0].memory_used_bytes += 64 * MIB;
    let replayed = fleet.planning.replay(&context, &forged).await.unwrap();
    assert!(!replayed.same);
}

#[tokio::test]
async fn what_would_fit_is_told_and_nothing_is_claimed() {
    let fleet = Fleet::start().await;
    fleet.put_host(host("h1", 1_024)).await;
    fleet.put_host(host("h2", 512)).await;
    let request = SimulateRequest {
        lose_host_ids: vec!["h2".to_owned()],
        add: vec![SimulatedMachines {
            count: 9,
            requirements: Some(Requirements {
                vcpus: 1,
                memory_bytes: 256 * MIB,
                ..Requirements::default()
            }),
        }],
        ..SimulateRequest::default()
    };
    let context = fleet.context();
    let answer = fleet.planning.simulate(&context, &request).await.unwrap();
    assert_eq!((answer.hosts, answer.added[0].placed), (1, 4));
    assert_eq!(answer.added[0].bottlenecks[0].check, "memory");
    assert!(fleet.claims("h1").await.is_empty());
    let rated = fleet.client.rate(&context, &rate(256)).await.unwrap();
    assert_eq!((rated.hosts_rated, rated.hosts_possible), (2, 2));
}
