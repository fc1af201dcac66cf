//! What placement decides from: hosts as their agents tell of them, requests, rules, and records of decisions.

use contracts::inherit::DEFAULT_RESERVES;
use contracts::inventory::Host;
use contracts::placement::{Decision, Rating, Rule, SimulateRequest, Weights};
use placement::core::fleet::Fleet;
use placement::core::model::{Goal, SCORE_ONE};
use placement::core::query::{Defaults, Query};
use placement::core::{choose, rate, rules, simulate};
use prost::Message;

use super::{is_clear, promise};

const DEFAULTS: Defaults = Defaults {
    reserves: DEFAULT_RESERVES,
    expected_cpu_percent: 20.0,
    goal: Goal::Balance,
    weights: Weights {
        cpu: 1.0,
        memory: 1.0,
        disk_io: 1.0,
        network: 1.0,
    },
};

pub(super) fn placements(input: &[u8]) -> Result<(), String> {
    if let Ok(decision) = Decision::decode(input) {
        again(&decision)?;
    }
    if let Ok(host) = Host::decode(input) {
        on_host(host)?;
    }
    if let Ok(rule) = Rule::decode(input) {
        let rule = rules::complete(&rule);
        if let Err(status) = rules::check(&rule, &Fleet::new(DEFAULTS)) {
            is_clear(&status)?;
        }
    }
    if let Ok(request) = SimulateRequest::decode(input)
        && let Err(status) = simulate::run(&Fleet::new(DEFAULTS), &request)
    {
        is_clear(&status)?;
    }
    Ok(())
}

/// Whatever a record says, ratings of it are possible ratings, and the same the second time.
fn again(decision: &Decision) -> Result<(), String> {
    let request = decision.request.clone().unwrap_or_default();
    let query = match Query::new(&request, &DEFAULTS) {
        Ok(query) => query,
        Err(status) => return is_clear(&status),
    };
    let (host_id, ratings) = choose::decide(&decision.contenders, &query);
    promise(
        choose::decide(&decision.contenders, &query) == (host_id, ratings.clone()),
        "deciding twice differs",
    )?;
    ratings.iter().try_for_each(possible)?;
    for state in &decision.contenders {
        let score = rate::score(state, &state.rules, &query);
        promise(score.parts <= SCORE_ONE, "a score beyond five stars")?;
    }
    Ok(())
}

fn possible(rating: &Rating) -> Result<(), String> {
    promise((0.0..=5.0).contains(&rating.score), "an impossible score")?;
    promise(rating.half_stars <= 10, "more than five stars")?;
    let is_zero = rating.half_stars == 0;
    promise(
        is_zero != rating.zero_reasons.is_empty(),
        "no stars without a reason",
    )?;
    let is_told = |r: &contracts::placement::Reason| {
        !r.message.is_empty() && !r.recommended_action.is_empty()
    };
    promise(
        rating.zero_reasons.iter().all(is_told),
        "a reason without words",
    )?;
    let lost = rating.resources.iter().map(|r| r.stars_lost);
    promise(lost.sum::<f64>() < 5.1, "more stars lost than there are")
}

/// A fleet of whatever the host says of itself.
fn on_host(host: Host) -> Result<(), String> {
    let mut fleet = Fleet::new(DEFAULTS);
    let id = host.id.clone();
    fleet.put_host(id.clone(), Some(host));
    fleet.refresh();
    let Some(slot) = fleet.slot(&id) else {
        return Err("a host that was put is not there".to_owned());
    };
    choose::is_overfull(&slot.state);
    let decision = Decision {
        contenders: vec![slot.state.clone()],
        request: samples::decision().request,
        ..Decision::default()
    };
    again(&decision)
}

pub(super) mod samples {
    use contracts::host::{Datastore, HostFacts};
    use contracts::placement::rule::{Bond, Strength};
    use contracts::placement::{
        DatastoreState, EffectiveReserves, HostState, RateRequest, Requirements, RuleStanding,
        SimulatedMachines,
    };

    use super::*;

    fn requirements() -> Requirements {
        Requirements {
            vcpus: 2,
            memory_bytes: 1 << 30,
            disk_bytes: 1 << 30,
            images: vec!["guest.qcow2".to_owned()],
            networks: vec!["user".to_owned()],
            expected_network_mbit: Some(12.5),
            ..Requirements::default()
        }
    }

    pub(in super::super) fn decision() -> Decision {
        let rule = RuleStanding {
            rule: "webs apart".to_owned(),
            bond: Bond::Apart.into(),
            strength: Strength::Should.into(),
            members_here: 1,
            example: "web-01".to_owned(),
            ..RuleStanding::default()
        };
        let state = HostState {
            host_id: "h1".to_owned(),
            host_name: "host-1".to_owned(),
            approved: true,
            responding: true,
            cpus: 8,
            memory_bytes: 16 << 30,
            memory_used_bytes: 5 << 30,
            cpu_used: 216,
            network_max: 1_000,
            reserves: Some(EffectiveReserves {
                cpu_percent: 10.0,
                memory_bytes: 1 << 30,
                ..EffectiveReserves::default()
            }),
            datastores: vec![DatastoreState {
                name: "ds1".to_owned(),
                free_bytes: 50 << 30,
                images: vec!["guest.qcow2".to_owned()],
                ..DatastoreState::default()
            }],
            networks: vec!["user".to_owned()],
            rules: vec![rule],
            ..HostState::default()
        };
        Decision {
            vm_id: "v1".to_owned(),
            request: Some(RateRequest {
                requirements: Some(requirements()),
                ..RateRequest::default()
            }),
            contenders: vec![state],
            ..Decision::default()
        }
    }

    pub(in super::super) fn placements() -> Vec<Vec<u8>> {
        let host = Host {
            id: "h1".to_owned(),
            facts: Some(HostFacts {
                cpus: 8,
                memory_bytes: 64 << 30,
                cpu_used_percent: 12.5,
                disk_io_per_sec: 80.0,
                datastores: vec![Datastore {
                    name: "ds1".to_owned(),
                    free_bytes: 1 << 40,
                    ..Datastore::default()
                }],
                ..HostFacts::default()
            }),
            ..Host::default()
        };
        let rule = Rule {
            id: "r1".to_owned(),
            name: "webs apart".to_owned(),
            bond: Bond::Apart.into(),
            vm_tag: "app=web".to_owned(),
            ..Rule::default()
        };
        let simulate = SimulateRequest {
            add: vec![SimulatedMachines {
                count: 3,
                requirements: Some(requirements()),
            }],
            ..SimulateRequest::default()
        };
        vec![
            decision().encode_to_vec(),
            host.encode_to_vec(),
            rule.encode_to_vec(),
            simulate.encode_to_vec(),
        ]
    }
}
