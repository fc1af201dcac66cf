//! Machines of one request, placed together: hosts as rows, the request's and the site's rules as ties between them.

use std::collections::{BTreeMap, HashMap, HashSet};

use contracts::placement::rule::{Bond as RuleBond, Level as RuleLevel, Strength as RuleStrength};
use contracts::placement::{BatchMachine, HostState, RateRequest, Rule, RuleStanding};
use contracts::{Status, limits};

use super::batch::{Batch, Bond, Domains, Item, Level, NO_DOMAIN, Strength, Tie};
use super::fleet::Fleet;
use super::query::{Defaults, Query};
use super::rate::{self, HALF_STAR, WISH_HALF_STARS};
use super::scan::RowSet;
use super::standing::{self, Member};
use super::{rules, scope, summary};

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

    /// The same with how long each machine is expected to stay.
    #[must_use]
    pub fn expecting(&self, fleet: &Fleet) -> Self {
        let machines = self.machines.iter().map(|(vm_id, query)| {
            let expected = fleet.expected_stay_secs(vm_id);
            (vm_id.clone(), query.clone().expecting(expected))
        });
        Self {
            machines: machines.collect(),
            rules: self.rules.clone(),
        }
    }
}

/// What is to be solved, with the names of its ties.
pub struct Problem {
    pub batch: Batch,
    rules: Vec<String>,
}

impl Problem {
    /// Everything that is not between machines is looked at here: which hosts come into question for each.
    pub fn new(fleet: &Fleet, asked: &Asked) -> Result<Self, Status> {
        let mut items = Items {
            fleet,
            asked,
            known: Vec::new(),
        };
        let machines = asked.machines.iter();
        let items = machines.map(|(vm_id, query)| items.of(vm_id, query));
        let items = items.collect::<Result<_, Status>>()?;
        let (rules, ties) = ties(fleet, asked).into_iter().unzip();
        Ok(Self {
            batch: Batch {
                domains: domains(fleet),
                items,
                ties,
                wish_cost: WISH_HALF_STARS * HALF_STAR,
            },
            rules,
        })
    }

    /// Rules that must hold between a machine and others.
    pub fn rules_of(&self, at: usize) -> Vec<&str> {
        let ties = self.batch.ties.iter().zip(&self.rules);
        let must =
            ties.filter(|(tie, _)| tie.strength == Strength::Must && tie.members.contains(&at));
        must.map(|(_, rule)| rule.as_str()).collect()
    }
}

/// Machines of a batch are of few kinds: hosts are looked at once for each.
struct Items<'a> {
    fleet: &'a Fleet,
    asked: &'a Asked,
    known: Vec<(&'a RateRequest, Vec<&'a str>, Item)>,
}

impl<'a> Items<'a> {
    fn of(&mut self, vm_id: &'a str, query: &'a Query) -> Result<Item, Status> {
        let machine = member(vm_id, query);
        // Rules between machines are ties.
        let on_hosts = |rule: &&Rule| matches!(rule.bond(), RuleBond::On | RuleBond::NotOn);
        let all = self.fleet.rules().chain(&self.asked.rules);
        let rules: Vec<&Rule> = all
            .filter(on_hosts)
            .filter(|rule| machine.is_in(rule))
            .collect();
        let names: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
        let mut known = self.known.iter();
        let is_same =
            |kind: &&(&RateRequest, Vec<&str>, Item)| *kind.0 == query.request && kind.1 == names;
        if let Some((.., item)) = known.find(is_same) {
            return Ok(item.clone());
        }
        let placed = standing::of(rules.into_iter(), machine, Vec::new);
        let item = self.look(query, &|state| {
            placed.iter().map(|placed| placed.on(state)).collect()
        })?;
        self.known.push((&query.request, names, item.clone()));
        Ok(item)
    }

    fn look(
        &self,
        query: &Query,
        standings: &dyn Fn(&HostState) -> Vec<RuleStanding>,
    ) -> Result<Item, Status> {
        let scope = scope::of(&query.request, self.fleet)?;
        let slots = self.fleet.slots().iter().enumerate();
        let mut rows = RowSet::default();
        let mut costs: BTreeMap<u32, RowSet> = BTreeMap::new();
        for (at, slot) in slots.filter(|(_, slot)| scope.holds(&slot.state)) {
            let (possible, lost) = rate::standing(&slot.state, &standings(&slot.state), query);
            if possible {
                rows.insert(at);
            }
            if possible && lost > 0 {
                costs.entry(lost).or_default().insert(at);
            }
        }
        if rows.is_empty() {
            let states = self.fleet.slots().iter().map(|slot| &slot.state);
            let inside = states.filter(|state| scope.holds(state));
            let ratings = inside.map(|state| rate::rate(state, &standings(state), query));
            return Err(summary::nowhere(&ratings.collect::<Vec<_>>()));
        }
        let costs = costs.into_iter();
        Ok(Item {
            ask: query.ask,
            rows: Some(rows),
            costs: costs.map(|(lost, rows)| (rows, lost * HALF_STAR)).collect(),
        })
    }
}

fn member<'a>(vm_id: &'a str, query: &'a Query) -> Member<'a> {
    Member {
        id: vm_id,
        name: "",
        tags: &query.needs.tags,
    }
}

/// Racks and rooms numbered in order of their first host.
fn domains(fleet: &Fleet) -> Domains {
    let states = || fleet.slots().iter().map(|slot| &slot.state);
    Domains::new(
        numbered(states().map(|state| state.rack.as_str())),
        numbered(states().map(|state| state.room.as_str())),
    )
}

fn numbered<'a>(names: impl Iterator<Item = &'a str>) -> Vec<u32> {
    let mut known: HashMap<&str, u32> = HashMap::new();
    let number = |name: &'a str| {
        let next = u32::try_from(known.len()).unwrap_or(NO_DOMAIN);
        if name.is_empty() {
            NO_DOMAIN
        } else {
            *known.entry(name).or_insert(next)
        }
    };
    names.map(number).collect()
}

/// Rules that name machines of the batch and bind them to each other, or to machines that are somewhere.
fn ties(fleet: &Fleet, asked: &Asked) -> Vec<(String, Tie)> {
    let all = fleet.rules().chain(&asked.rules);
    let between = |rule: &&Rule| matches!(rule.bond(), RuleBond::Together | RuleBond::Apart);
    let between: Vec<&Rule> = all.filter(between).collect();
    if between.is_empty() {
        return Vec::new();
    }
    let ids = asked.machines.iter().map(|(vm_id, _)| vm_id.as_str());
    let in_batch: HashSet<&str> = ids.collect();
    let mut others = fleet.members(|_, _| true);
    others.retain(|(other, _)| !in_batch.contains(other.id));
    let ties = between.into_iter().filter_map(|rule| {
        let machines = asked.machines.iter().enumerate();
        let members = machines.filter(|(_, (vm_id, query))| member(vm_id, query).is_in(rule));
        let members: Vec<usize> = members.map(|(at, _)| at).collect();
        let placed = others.iter().filter(|(other, _)| other.is_in(rule));
        let placed = placed.filter_map(|(_, state)| fleet.place(&state.host_id));
        (!members.is_empty()).then(|| (rule.name.clone(), tie(rule, members, placed.collect())))
    });
    ties.collect()
}

fn tie(rule: &Rule, members: Vec<usize>, placed: Vec<usize>) -> Tie {
    Tie {
        bond: match rule.bond() {
            RuleBond::Together => Bond::Together,
            _ => Bond::Apart,
        },
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
        placed,
    }
}
