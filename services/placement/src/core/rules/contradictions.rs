//! Rules that cannot be kept together: machines that must be together and must be apart, or that are left without a host.
//!
//! Only what must be is looked at. A tag stands for the machines that have it and for two that do not exist yet, so that
//! rules which would contradict each other for the next machine are refused too.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use contracts::Status;
use contracts::placement::Rule;
use contracts::placement::rule::{Bond, Level, Strength};

use crate::core::checks::tagged;
use crate::core::fleet::Fleet;

type Members = BTreeSet<String>;

/// A rule with the machines that it is about.
struct Known<'a> {
    rule: &'a Rule,
    members: Members,
}

pub(super) fn check<'a>(
    rule: &'a Rule,
    others: impl Iterator<Item = &'a Rule>,
    fleet: &Fleet,
) -> Result<(), Status> {
    if rule.strength() != Strength::Must {
        return Ok(());
    }
    let must = others.filter(|other| other.strength() == Strength::Must);
    let known = must.chain(std::iter::once(rule)).map(|rule| Known {
        rule,
        members: members(rule, fleet),
    });
    let known: Vec<Known<'_>> = known.collect();
    for apart in known.iter().filter(|k| k.rule.bond() == Bond::Apart) {
        check_apart(apart, &known)?;
    }
    check_hosts(&known, fleet)
}

fn members(rule: &Rule, fleet: &Fleet) -> Members {
    let mut members: Members = rule.vm_ids.iter().cloned().collect();
    if !rule.vm_tag.is_empty() {
        let tagged = fleet.guests().filter(|guest| guest.has_tag(&rule.vm_tag));
        members.extend(tagged.map(|guest| guest.id.clone()));
        // No id has a space.
        members.extend(["one", "two"].map(|which| format!("{which} with {}", rule.vm_tag)));
    }
    members
}

/// What is together in one domain is together in every wider one.
fn binds(known: &Known<'_>, level: Level) -> bool {
    known.rule.bond() == Bond::Together && known.rule.level() <= level
}

/// No two machines of the rule may be bound together, over however many rules.
fn check_apart(apart: &Known<'_>, all: &[Known<'_>]) -> Result<(), Status> {
    let together: Vec<&Known<'_>> = all
        .iter()
        .filter(|known| binds(known, apart.rule.level()))
        .collect();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for start in &apart.members {
        if seen.contains(start.as_str()) {
            continue;
        }
        let reached = reach(start, &together);
        let other = apart
            .members
            .iter()
            .find(|other| *other != start && reached.contains_key(other.as_str()));
        if let Some(other) = other {
            let mut names = chain(other, &reached);
            names.push(&apart.rule.name);
            return Err(contradiction(
                &names,
                "two machines would have to be together and apart",
            ));
        }
        seen.extend(reached.keys());
    }
    Ok(())
}

/// Machines that are bound to one, each with the rule and the machine that it was reached by.
fn reach<'a>(
    start: &'a str,
    together: &[&'a Known<'a>],
) -> HashMap<&'a str, Option<(&'a Rule, &'a str)>> {
    let mut reached = HashMap::from([(start, None)]);
    let mut next = VecDeque::from([start]);
    while let Some(machine) = next.pop_front() {
        for known in together
            .iter()
            .filter(|known| known.members.contains(machine))
        {
            for member in &known.members {
                if !reached.contains_key(member.as_str()) {
                    reached.insert(member, Some((known.rule, machine)));
                    next.push_back(member);
                }
            }
        }
    }
    reached
}

/// The rules that bind a machine to where the search began.
fn chain<'a>(
    machine: &str,
    reached: &HashMap<&'a str, Option<(&'a Rule, &'a str)>>,
) -> Vec<&'a str> {
    let mut names = Vec::new();
    let mut at = machine;
    while let Some(Some((rule, from))) = reached.get(at) {
        if names.last() != Some(&rule.name.as_str()) {
            names.push(rule.name.as_str());
        }
        at = from;
    }
    names
}

/// Machines that are bound together on one host must have one left.
fn check_hosts(all: &[Known<'_>], fleet: &Fleet) -> Result<(), Status> {
    let together: Vec<&Known<'_>> = all
        .iter()
        .filter(|known| binds(known, Level::Host))
        .collect();
    let on_hosts: Vec<&Known<'_>> = all
        .iter()
        .filter(|known| matches!(known.rule.bond(), Bond::On | Bond::NotOn))
        .collect();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for start in on_hosts.iter().flat_map(|known| &known.members) {
        if done.contains(start.as_str()) {
            continue;
        }
        let reached = reach(start, &together);
        let concerned: Vec<&Known<'_>> = on_hosts
            .iter()
            .filter(|known| {
                known
                    .members
                    .iter()
                    .any(|m| reached.contains_key(m.as_str()))
            })
            .copied()
            .collect();
        let binding = together
            .iter()
            .filter(|known| known.members.contains(start));
        check_left(
            &concerned,
            binding.map(|known| known.rule.name.as_str()),
            fleet,
        )?;
        done.extend(reached.keys());
    }
    Ok(())
}

fn check_left<'a>(
    concerned: &[&Known<'a>],
    binding: impl Iterator<Item = &'a str>,
    fleet: &Fleet,
) -> Result<(), Status> {
    let mut left: Option<BTreeSet<&str>> = None;
    for known in concerned.iter().filter(|k| k.rule.bond() == Bond::On) {
        let hosts = hosts(known.rule, fleet);
        // A tag that no host has yet is not a contradiction.
        if hosts.is_empty() {
            return Ok(());
        }
        left = Some(match left {
            Some(left) => left.intersection(&hosts).copied().collect(),
            None => hosts,
        });
    }
    let Some(mut left) = left else {
        return Ok(());
    };
    for known in concerned.iter().filter(|k| k.rule.bond() == Bond::NotOn) {
        let hosts = hosts(known.rule, fleet);
        left.retain(|host| !hosts.contains(host));
    }
    if !left.is_empty() {
        return Ok(());
    }
    let names = concerned.iter().map(|known| known.rule.name.as_str());
    let names: BTreeMap<&str, ()> = names.chain(binding).map(|name| (name, ())).collect();
    let names: Vec<&str> = names.into_keys().collect();
    Err(contradiction(
        &names,
        "machines would be left without any host",
    ))
}

fn hosts<'a>(rule: &'a Rule, fleet: &'a Fleet) -> BTreeSet<&'a str> {
    let mut hosts: BTreeSet<&str> = rule.host_ids.iter().map(String::as_str).collect();
    if !rule.host_tag.is_empty() {
        let states = fleet.slots().iter().map(|slot| &slot.state);
        let tagged = states.filter(|state| tagged(&state.tags, &rule.host_tag));
        hosts.extend(tagged.map(|state| state.host_id.as_str()));
    }
    hosts
}

fn contradiction(names: &[&str], why: &str) -> Status {
    let message = format!(
        "The rules {} contradict each other: {why}.",
        names.join(", ")
    );
    Status::precondition(message)
        .action("Change or remove one of them, or say \"should\" instead of \"must\".")
}
