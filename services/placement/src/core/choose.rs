//! Choosing a host, with what the choice was made from.

use std::collections::BTreeMap;

use contracts::placement::rule::Strength;
use contracts::placement::{Claim, Decision, HostState, RateResponse, Rating, RuleStanding};
use contracts::{ObjectRef, Status};

use super::checks::broken;
use super::fleet::{Fleet, Slot};
use super::query::Query;
use super::rate::{self, Score, better_first};
use super::scan::{RowSet, Tally};
use super::standing::{self, Member, Placed};
use super::units::{mib_down, mib_up};
use super::{scope, summary, transfer};

/// Hosts that a decision keeps as they were. Enough to see how close it was; a record of it is about two KiB.
pub const CONTENDERS_MAX: usize = 5;

/// A query with everything that a look at the fleet takes.
struct Look<'a> {
    fleet: &'a Fleet,
    query: &'a Query,
    rules: Vec<Placed<'a>>,
    /// The hosts in scope; `None`: all.
    inside: Option<RowSet>,
}

/// Hosts in order, and what was seen of the others on the way.
struct Best<'a> {
    slots: Vec<&'a Slot>,
    /// All hosts in scope by their numbers alone.
    tally: Tally,
}

impl<'a> Look<'a> {
    fn new(fleet: &'a Fleet, query: &'a Query, vm_id: &'a str) -> Result<Self, Status> {
        let scope = scope::of(&query.request, fleet)?;
        let machine = Member {
            id: vm_id,
            name: "",
            tags: &query.needs.tags,
        };
        let slots = fleet.slots().iter().enumerate();
        let inside = (!scope.is_all()).then(|| {
            let inside = slots.filter(|(_, slot)| scope.holds(&slot.state));
            inside.map(|(at, _)| at).collect()
        });
        Ok(Self {
            fleet,
            query,
            rules: standing::of(fleet.rules(), machine, || fleet.members(|_, _| true)),
            inside,
        })
    }

    fn count(&self) -> usize {
        let inside = self.inside.as_ref();
        inside.map_or(self.fleet.slots().len(), RowSet::len)
    }

    fn slots(&self) -> impl Iterator<Item = &'a Slot> + '_ {
        let slots = self.fleet.slots().iter().enumerate();
        let is_inside = |at: usize| self.inside.as_ref().is_none_or(|inside| inside.has(at));
        let inside = slots.filter(move |(at, _)| is_inside(*at));
        inside.map(|(_, slot)| slot)
    }

    fn standings(&self, state: &HostState) -> Vec<RuleStanding> {
        self.rules.iter().map(|placed| placed.on(state)).collect()
    }

    fn score(&self, slot: &Slot) -> Score {
        rate::score(&slot.state, &self.standings(&slot.state), self.query)
    }

    fn tally(&self) -> Tally {
        let columns = self.fleet.columns();
        columns.tally(&self.query.ask, self.inside.as_ref())
    }

    /// The best few that can take the machine, best first, and if those are fewer some that cannot, by name.
    fn best(&self, count: usize) -> Best<'a> {
        // What numbers do not say takes a look at each host.
        let slots = if self.rules.is_empty() && !self.query.has_wishes() {
            self.best_by_numbers(count)
        } else {
            let scored = self.slots().map(|slot| (self.score(slot), slot));
            let mut scored: Vec<(Score, &Slot)> = scored.collect();
            // Stable, so that of hosts that are alike the first by name comes first.
            scored.sort_by(|a, b| better_first(&a.0, &b.0));
            scored
                .into_iter()
                .take(count)
                .map(|(_, slot)| slot)
                .collect()
        };
        Best {
            slots,
            tally: self.tally(),
        }
    }

    /// By numbers first; only the first few of those are looked at whole.
    fn best_by_numbers(&self, count: usize) -> Vec<&'a Slot> {
        let (all, columns) = (self.fleet.slots(), self.fleet.columns());
        let is_plain = self.query.is_plain();
        let can_take = |slot: &&Slot| is_plain || self.score(slot).possible;
        // Ever more, so that a check which most hosts fail costs no more than looking at all.
        let mut looked_at = if is_plain { count } else { count * 4 };
        let mut best: Vec<&Slot>;
        loop {
            let choices = columns.top(&self.query.ask, self.inside.as_ref(), looked_at);
            let is_all = choices.len() < looked_at;
            let slots = choices.iter().filter_map(|choice| all.get(choice.at));
            best = slots.filter(can_take).take(count).collect();
            if is_all || best.len() == count {
                break;
            }
            looked_at *= 8;
        }
        if best.len() < count {
            let impossible = self.slots().filter(|slot| !self.score(slot).possible);
            best.extend(impossible.take(count - best.len()));
        }
        best
    }

    fn rate(&self, state: &HostState) -> Rating {
        rate::rate(state, &self.standings(state), self.query)
    }
}

/// Rates every host in scope, best first.
pub fn rate_all(fleet: &Fleet, query: &Query) -> Result<RateResponse, Status> {
    let vm_id = query.request.vm_id.as_str();
    let look = Look::new(fleet, query, vm_id)?;
    if vm_id.is_empty() && look.rules.is_empty() && query.is_plain() {
        return Ok(rate_by_numbers(&look));
    }
    let guest = fleet.guest(vm_id);
    let home = guest.and_then(|guest| fleet.without(&guest.host_id, vm_id));
    let mut scored: Vec<(Score, &HostState)> = look
        .slots()
        .map(|slot| {
            let own = home
                .as_ref()
                .filter(|home| home.state.host_id == slot.state.host_id);
            let state = own.map_or(&slot.state, |home| &home.state);
            (rate::score(state, &look.standings(state), query), state)
        })
        .collect();
    scored.sort_by(|a, b| better_first(&a.0, &b.0));
    let ratings = scored.iter().take(limit(query)).map(|(_, state)| Rating {
        transfer: guest.map(|guest| {
            let from = home.as_ref().map(|home| &home.state);
            transfer::of(guest, from, state)
        }),
        ..look.rate(state)
    });
    Ok(RateResponse {
        ratings: ratings.collect(),
        hosts_rated: count(scored.len()),
        hosts_possible: count(scored.iter().filter(|(score, _)| score.possible).count()),
    })
}

/// The same where numbers say it all: only hosts that are told of are looked at.
fn rate_by_numbers(look: &Look<'_>) -> RateResponse {
    let most = limit(look.query).min(look.count());
    let best = look.best(most);
    let ratings = best.slots.iter().map(|slot| look.rate(&slot.state));
    RateResponse {
        ratings: ratings.collect(),
        hosts_rated: count(look.count()),
        hosts_possible: count(best.tally.able),
    }
}

fn limit(query: &Query) -> usize {
    usize::try_from(query.request.limit).unwrap_or(usize::MAX)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Hosts that are out of question by their numbers alone, by check.
fn failed_checks(tally: &Tally) -> BTreeMap<String, u32> {
    let failed = [
        ("takes_no_part", tally.features),
        ("memory", tally.resources),
        ("cpu", tally.processors),
        ("disk", tally.disk),
    ];
    let failed = failed.into_iter().filter(|(_, hosts)| *hosts > 0);
    let failed = failed.map(|(check, hosts)| (check.to_owned(), count(hosts)));
    failed.collect()
}

/// Whose machine is to be placed, and when.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    pub vm_id: &'a str,
    pub job_id: &'a str,
    pub now_ms: i64,
}

/// Chooses the best host. `Err`: none can take the machine, and why.
pub fn choose(fleet: &Fleet, query: &Query, occasion: Occasion<'_>) -> Result<Decision, Status> {
    let look = Look::new(fleet, query, occasion.vm_id)?;
    let best = look.best(CONTENDERS_MAX);
    let contenders: Vec<HostState> = best
        .slots
        .iter()
        .map(|slot| kept(&slot.state, look.standings(&slot.state), query))
        .collect();
    let (host_id, ratings) = decide(&contenders, query);
    let Some(host_id) = host_id else {
        let all: Vec<Rating> = look.slots().map(|slot| look.rate(&slot.state)).collect();
        return Err(summary::nowhere(&all));
    };
    Ok(Decision {
        vm_id: occasion.vm_id.to_owned(),
        job_id: occasion.job_id.to_owned(),
        time_ms: occasion.now_ms,
        request: Some(query.request.clone()),
        contenders,
        ratings,
        hosts_rated: count(look.count()),
        hosts_possible: count(best.tally.able),
        failed_checks: failed_checks(&best.tally),
        host_id,
    })
}

/// What a rating of this query reads of a host.
fn kept(state: &HostState, rules: Vec<RuleStanding>, query: &Query) -> HostState {
    let needs = &query.needs;
    let mut state = HostState {
        rules,
        ..state.clone()
    };
    state
        .cpu_features
        .retain(|has| needs.cpu_features.contains(has));
    for datastore in &mut state.datastores {
        let prefix = format!("{}/", datastore.name);
        datastore.images.retain(|image| {
            let mut asked = needs.images.iter();
            asked.any(|a| a == image || a.strip_prefix(&prefix) == Some(image))
        });
    }
    state
}

/// The choice among hosts as they were kept, and their ratings, best first. It looks at nothing else.
pub fn decide(contenders: &[HostState], query: &Query) -> (Option<String>, Vec<Rating>) {
    let mut order: Vec<(Score, &HostState)> = contenders
        .iter()
        .map(|state| (rate::score(state, &state.rules, query), state))
        .collect();
    let name = |state: &HostState| (state.host_name.clone(), state.host_id.clone());
    order.sort_by(|a, b| better_first(&a.0, &b.0).then_with(|| name(a.1).cmp(&name(b.1))));
    let best = order.first().filter(|(score, _)| score.possible);
    let best = best.map(|(_, state)| state.host_id.clone());
    let ratings = order
        .iter()
        .map(|(_, state)| rate::rate(state, &state.rules, query));
    (best, ratings.collect())
}

/// The host that a job has made, or is making, a machine on: its claim may have been confirmed and swept out.
pub fn made<'a>(fleet: &'a Fleet, vm_id: &str, job_id: &str) -> Option<&'a str> {
    let guest = fleet.guest(vm_id)?;
    let is_made = guest.job_id == job_id && guest.counts() && !guest.host_id.is_empty();
    is_made.then_some(guest.host_id.as_str())
}

/// Whether a host that a machine was placed on breaks a rule that must hold, by what came before it: `counts` says which
/// claims did.
pub fn breaks_rule(
    fleet: &Fleet,
    host_id: &str,
    machine: Member<'_>,
    counts: impl Fn(&str, &Claim) -> bool,
) -> bool {
    let Some(slot) = fleet.slot(host_id) else {
        return false;
    };
    let placed = standing::of(fleet.rules(), machine, || fleet.members(&counts));
    let standings = placed.iter().map(|placed| placed.on(&slot.state));
    let mut must = standings.filter(|rule| rule.strength() == Strength::Must);
    must.any(|rule| broken(&slot.state, &rule).is_some())
}

/// Whether what is on a host and promised there is no more than there is.
pub fn is_overfull(state: &HostState) -> bool {
    let reserves = state.reserves.clone().unwrap_or_default();
    let memory = state.memory_bytes.saturating_sub(reserves.memory_bytes);
    let usable = state.datastores.iter().filter(|d| d.problem.is_empty());
    let room = usable.map(|d| d.free_bytes).max().unwrap_or(0);
    let promised = state.disk_promised_bytes;
    let is_disk_over = promised > 0 && promised.saturating_add(reserves.disk_bytes) > room;
    mib_up(state.memory_used_bytes) > mib_down(memory) || is_disk_over
}

/// Refuses a machine to be moved that is not there.
pub fn check_guest(fleet: &Fleet, vm_id: &str) -> Result<(), Status> {
    if vm_id.is_empty() || fleet.guest(vm_id).is_some() {
        return Ok(());
    }
    Err(Status::not_found(ObjectRef::new("vm", vm_id, "")))
}

#[cfg(test)]
mod tests;
