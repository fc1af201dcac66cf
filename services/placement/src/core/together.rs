//! Machines of one request, placed together: hosts as rows, the request's and the site's rules as ties between them.

use std::collections::HashMap;

use contracts::placement::rule::{Bond as RuleBond, Level as RuleLevel, Strength as RuleStrength};
use contracts::placement::{BatchMachine, HostState, Rule, RuleStanding};
use contracts::{Status, limits};

use super::fleet::Fleet;
use super::model::{Batch, Bond, Domains, Item, Level, NO_DOMAIN, Row, Strength, Tie};
use super::query::{Defaults, Query};
use super::standing::{self, Member, Placed};
use super::{checks, rules, scope, summary};

/// A batch as it was asked for, with what each machine needs.
pub struct Asked {
    pub machines: Vec<(String, Query)>,
    pub rules: Vec<Rule>,
}

impl Asked {
    /// Refuses what nobody can mean.
    pub fn new(
        machines: &[BatchMachine],
        rules: &[Rule],
        defaults: &Defaults,
    ) -> Result<Self, Status> {
        if machines.is_empty() || machines.len() > limits::BATCH_MAX {
            let message = format!("{} machines are no batch.", machines.len());
            let action = format!("Place 1 to {} at a time.", limits::BATCH_MAX);
            return Err(Status::invalid("machines", message).action(action));
        }
        let machines = machines.iter().map(|machine| {
            contracts::names::check_id("vm_id", &machine.vm_id)?;
            let rate = machine.rate.clone().unwrap_or_default();
            Ok((machine.vm_id.clone(), Query::new(&rate, defaults)?))
        });
        Ok(Self {
            machines: machines.collect::<Result<_, Status>>()?,
            rules: rules.iter().map(rules::complete).collect(),
        })
    }
}

/// The parts of a [`Batch`], which lends them out.
pub struct Problem {
    pub rows: Vec<Row>,
    pub domains: Vec<Domains>,
    pub items: Vec<Item>,
    pub ties: Vec<Tie>,
    host_ids: Vec<String>,
}

impl Problem {
    pub fn batch(&self) -> Batch<'_> {
        Batch {
            rows: &self.rows,
            domains: &self.domains,
            items: &self.items,
            ties: &self.ties,
        }
    }

    pub fn host_id(&self, row: u32) -> Option<&str> {
        let at = usize::try_from(row).ok()?;
        self.host_ids.get(at).map(String::as_str)
    }

    /// Everything that is not between machines of the batch is looked at here: which hosts come into question for each.
    pub fn new(fleet: &Fleet, asked: &Asked) -> Result<Self, Status> {
        let states: Vec<&HostState> = fleet.slots().iter().map(|slot| &slot.state).collect();
        let mut items = Vec::with_capacity(asked.machines.len());
        for (vm_id, query) in &asked.machines {
            items.push(item(fleet, asked, vm_id, query, &states)?);
        }
        Ok(Self {
            rows: fleet.rows().to_vec(),
            domains: domains(&states),
            items,
            ties: ties(fleet, asked),
            host_ids: states.iter().map(|state| state.host_id.clone()).collect(),
        })
    }
}

fn item(
    fleet: &Fleet,
    asked: &Asked,
    vm_id: &str,
    query: &Query,
    states: &[&HostState],
) -> Result<Item, Status> {
    let scope = scope::of(&query.request, fleet)?;
    let machine = Member {
        id: vm_id,
        name: "",
        tags: &query.needs.tags,
    };
    let own = asked.rules.iter();
    let all = fleet.rules().chain(own);
    let placed = standing::of(all, machine, || fleet.members(|_, _| true));
    // Together with one that is in the batch too is the solver's business.
    let apart_from_batch = |rule: &RuleStanding| rule.bond() != RuleBond::Together;
    let passes = |state: &HostState| {
        let standings = placed.iter().map(|placed: &Placed<'_>| placed.on(state));
        let standings: Vec<RuleStanding> = standings.filter(apart_from_batch).collect();
        scope.holds(state) && checks::failed(state, &standings, query).is_empty()
    };
    let rows = states.iter().enumerate().filter(|(_, state)| passes(state));
    let rows: Vec<u32> = rows.filter_map(|(at, _)| u32::try_from(at).ok()).collect();
    if rows.is_empty() {
        let rate = |state: &&HostState| super::rate::rate(state, &[], query);
        let ratings: Vec<_> = states.iter().filter(|s| scope.holds(s)).map(rate).collect();
        return Err(summary::nowhere(&ratings));
    }
    Ok(Item {
        ask: query.ask,
        rows: (rows.len() < states.len()).then_some(rows),
    })
}

/// Racks and rooms numbered in order of their first host.
fn domains(states: &[&HostState]) -> Vec<Domains> {
    let mut racks: HashMap<&str, u32> = HashMap::new();
    let mut rooms: HashMap<&str, u32> = HashMap::new();
    let number = |known: &mut HashMap<&str, u32>, name: &'_ str| -> u32 {
        known.get(name).copied().unwrap_or(NO_DOMAIN)
    };
    for state in states {
        for (known, name) in [(&mut racks, &state.rack), (&mut rooms, &state.room)] {
            let next = u32::try_from(known.len()).unwrap_or(NO_DOMAIN);
            if !name.is_empty() {
                known.entry(name).or_insert(next);
            }
        }
    }
    let hosts = states.iter().enumerate().map(|(at, state)| {
        let host = u32::try_from(at).unwrap_or(NO_DOMAIN);
        [
            host,
            number(&mut racks, &state.rack),
            number(&mut rooms, &state.room),
        ]
    });
    hosts.collect()
}

/// Rules between machines of which two at least are in the batch, or one that must be with those that are placed.
fn ties(fleet: &Fleet, asked: &Asked) -> Vec<Tie> {
    let rows: HashMap<&str, u32> = fleet
        .slots()
        .iter()
        .enumerate()
        .filter_map(|(at, slot)| Some((slot.state.host_id.as_str(), u32::try_from(at).ok()?)))
        .collect();
    let all = fleet.rules().chain(&asked.rules);
    all.filter_map(|rule| tie(fleet, asked, rule, &rows))
        .collect()
}

fn tie(fleet: &Fleet, asked: &Asked, rule: &Rule, rows: &HashMap<&str, u32>) -> Option<Tie> {
    let bond = match rule.bond() {
        RuleBond::Together => Bond::Together,
        RuleBond::Apart => Bond::Apart,
        _ => return None,
    };
    let is_member = |vm_id: &str, query: &Query| {
        let tags = &query.needs.tags;
        Member {
            id: vm_id,
            name: "",
            tags,
        }
        .is_in(rule)
    };
    let machines = asked.machines.iter().enumerate();
    let members = machines.filter(|(_, (vm_id, query))| is_member(vm_id, query));
    let members: Vec<u32> = members
        .filter_map(|(at, _)| u32::try_from(at).ok())
        .collect();
    if members.is_empty() {
        return None;
    }
    let in_batch = |id: &str| asked.machines.iter().any(|(vm_id, _)| vm_id == id);
    let others = fleet.members(|_, _| true);
    let others = others
        .iter()
        .filter(|(other, _)| other.is_in(rule) && !in_batch(other.id));
    let placed = others.filter_map(|(_, state)| rows.get(state.host_id.as_str()).copied());
    Some(Tie {
        bond,
        strength: match rule.strength() {
            RuleStrength::Should => Strength::Should,
            _ => Strength::Must,
        },
        level: match rule.level() {
            RuleLevel::Rack => Level::Rack,
            RuleLevel::Room => Level::Room,
            _ => Level::Host,
        },
        members,
        placed: placed.collect(),
    })
}
