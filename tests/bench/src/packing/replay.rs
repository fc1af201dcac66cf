//! A trace replayed on hosts of one kind: each machine is placed when it comes, by one rule, knowing nothing of the future.
#![allow(clippy::indexing_slicing)] // Hosts and machines are numbered by the replay itself.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use placement::core::drain::{self, Seat};
use placement::core::model::{Ask, Goal, Resource, Row, with, without};
use placement::core::scan::Columns;
use placement::core::stay::Stay;

use super::stays::{Oracle, Stays};
use super::trace::{Size, Trace, Vm};

/// A host that carries something. A rule opens another one only if none of these fits.
const OPEN: u64 = 1;

const BOTH: u8 = Resource::Cpu.bit() | Resource::Memory.bit();

const HOUR_SECS: i64 = 3_600;

/// How often it is looked anew how long machines stay that are there; as the service does.
const LOOK_SECS: i64 = 600;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    FirstFit,
    /// Least of what is left, squared and summed.
    BestFit,
    WorstFit,
    /// What is free most alike to what is needed.
    DotProduct,
    /// The placement core's, by what is expected of how long machines stay, and at most so many moves an hour.
    Ours {
        stays: Oracle,
        moves_an_hour_max: usize,
    },
}

impl Rule {
    pub(super) const fn ours(stays: Oracle) -> Self {
        Self::Ours {
            stays,
            moves_an_hour_max: 0,
        }
    }

    fn oracle(self) -> Oracle {
        match self {
            Self::Ours { stays, .. } => stays,
            _ => Oracle::Nobody,
        }
    }
}

impl Rule {
    pub(super) fn name(self) -> String {
        match self {
            Self::FirstFit => "first fit".to_owned(),
            Self::BestFit => "best fit (L2)".to_owned(),
            Self::WorstFit => "worst fit (L2)".to_owned(),
            Self::DotProduct => "dot product".to_owned(),
            Self::Ours {
                stays,
                moves_an_hour_max: 0,
            } => match stays {
                Oracle::Nobody => "Muster".to_owned(),
                Oracle::Learned => "Muster, learned lifetimes".to_owned(),
                Oracle::Told => "Muster, true lifetimes".to_owned(),
            },
            Self::Ours {
                moves_an_hour_max, ..
            } => {
                format!("Muster, up to {moves_an_hour_max} moves/h")
            }
        }
    }

    /// Lower is better; shares of a host that are left, and that are needed.
    fn cost(self, left: [f32; 2], need: [f32; 2]) -> f32 {
        let dot = |a: [f32; 2], b: [f32; 2]| a[0] * b[0] + a[1] * b[1];
        match self {
            Self::BestFit => dot(left, left),
            Self::WorstFit => -dot(left, left),
            Self::DotProduct => -dot([left[0] + need[0], left[1] + need[1]], need),
            Self::FirstFit | Self::Ours { .. } => 0.0,
        }
    }
}

#[derive(Default)]
pub(super) struct Outcome {
    pub(super) host_secs: i64,
    /// What the larger of the two demands needs at least, rounded up to whole hosts, at every moment.
    pub(super) bound_secs: i64,
    pub(super) peak_hosts: usize,
    pub(super) moves: usize,
    /// Share of all processors that was given when a machine was first refused. `None`: none was.
    pub(super) density: Option<f64>,
}

struct Replay<'a> {
    vms: &'a [Vm],
    stays: Stays<'a>,
    host: Size,
    rule: Rule,
    hosts: Columns,
    on: Vec<Vec<usize>>,
    place: Vec<usize>,
    empty: BTreeSet<usize>,
    used: [u64; 2],
    now_secs: i64,
    outcome: Outcome,
}

/// Replays a trace to its last arrival, or to the first refusal where there are only so many hosts.
pub(super) fn run(trace: &Trace, host: Size, rule: Rule, hosts_max: Option<usize>) -> Outcome {
    let vms = trace.vms.as_slice();
    let start = vms.first().map_or(0, |vm| vm.from_secs);
    let mut replay = Replay {
        vms,
        stays: Stays::new(trace, rule.oracle()),
        host,
        rule,
        hosts: Columns::default(),
        on: Vec::new(),
        place: vec![0; vms.len()],
        empty: BTreeSet::new(),
        used: [0; 2],
        now_secs: start,
        outcome: Outcome::default(),
    };
    let mut ends: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
    let mut next_hour = start + HOUR_SECS;
    let mut next_look = start;
    for (at, vm) in vms.iter().enumerate() {
        while next_hour <= vm.from_secs {
            replay.end(&mut ends, next_hour);
            replay.until(next_hour);
            replay.tidy_up();
            next_hour += HOUR_SECS;
        }
        replay.end(&mut ends, vm.from_secs);
        replay.until(vm.from_secs);
        if next_look <= vm.from_secs {
            replay.look_again();
            next_look = vm.from_secs + LOOK_SECS;
        }
        if vm.size.iter().zip(host).any(|(need, there)| *need > there) {
            continue;
        }
        if !replay.place(at, hosts_max) {
            let all = f64::from(host[0]) * replay.on.len() as f64;
            replay.outcome.density = Some(replay.used[0] as f64 / all);
            break;
        }
        ends.extend(vm.until_secs.map(|until| Reverse((until, at))));
    }
    replay.outcome
}

impl Replay<'_> {
    fn until(&mut self, secs: i64) {
        let passed = secs - self.now_secs;
        let of = |r: usize| self.used[r].div_ceil(u64::from(self.host[r]));
        let bound = i64::try_from(of(0).max(of(1))).unwrap_or(i64::MAX);
        let open = i64::try_from(self.on.len() - self.empty.len()).unwrap_or(i64::MAX);
        self.outcome.host_secs += open * passed;
        self.outcome.bound_secs += bound * passed;
        self.now_secs = secs;
    }

    fn ask(&self, at: usize) -> Ask {
        let [cpu, memory] = self.vms[at].size;
        Ask {
            need: [cpu, memory, 0, 0],
            limits: BOTH,
            features: OPEN,
            size: [0; 2],
            weights: [1, 1, 0, 0],
            goal: Goal::Maximise,
            stay: self.stays.of(at, self.now_secs),
        }
    }

    fn end(&mut self, ends: &mut BinaryHeap<Reverse<(i64, usize)>>, now: i64) {
        while let Some(&Reverse((until, at))) = ends.peek() {
            if until > now {
                return;
            }
            ends.pop();
            self.until(until);
            let host = self.place[at];
            self.on[host].retain(|vm| *vm != at);
            self.stays.went(at);
            self.changed(host, without(self.hosts.rows()[host], &self.ask(at)));
            self.count(at, |used, need| used - need);
        }
    }

    fn place(&mut self, at: usize, hosts_max: Option<usize>) -> bool {
        let Some(host) = self.choose(at).or_else(|| self.open(hosts_max)) else {
            return false;
        };
        self.place[at] = host;
        self.on[host].push(at);
        self.changed(host, with(self.hosts.rows()[host], &self.ask(at)));
        self.count(at, |used, need| used + need);
        let open = self.on.len() - self.empty.len();
        self.outcome.peak_hosts = self.outcome.peak_hosts.max(open);
        true
    }

    fn count(&mut self, at: usize, by: impl Fn(u64, u64) -> u64) {
        for (used, need) in self.used.iter_mut().zip(self.vms[at].size) {
            *used = by(*used, u64::from(need));
        }
    }

    /// What is expected of machines changes as they grow older.
    fn look_again(&mut self) {
        if !self.stays.are_expected() {
            return;
        }
        let all = self.on.iter().flatten().copied();
        self.stays.look(all, self.now_secs);
        for host in 0..self.on.len() {
            self.changed(host, self.hosts.rows()[host]);
        }
    }

    fn last(&self, host: usize) -> Stay {
        let on = self.on[host].iter();
        let stays = on.map(|vm| self.stays.of(*vm, self.now_secs));
        stays.fold(Stay::of_secs(0), Stay::and)
    }

    fn changed(&mut self, host: usize, mut row: Row) {
        let is_empty = self.on[host].is_empty();
        if self.stays.are_expected() {
            row.stay = self.last(host);
        }
        row.features = if is_empty { 0 } else { OPEN };
        self.hosts.set(host, row);
        if is_empty {
            self.empty.insert(host);
        } else {
            self.empty.remove(&host);
        }
    }

    fn open(&mut self, hosts_max: Option<usize>) -> Option<usize> {
        if let Some(host) = self.empty.first() {
            return Some(*host);
        }
        if hosts_max.is_some_and(|most| self.on.len() >= most) {
            return None;
        }
        let [cpu, memory] = self.host;
        self.hosts.push(Row {
            total: [cpu, memory, 0, 0],
            rated: BOTH,
            ..Row::default()
        });
        self.on.push(Vec::new());
        self.empty.insert(self.on.len() - 1);
        Some(self.on.len() - 1)
    }

    fn choose(&self, at: usize) -> Option<usize> {
        let ask = self.ask(at);
        if matches!(self.rule, Rule::Ours { .. }) {
            return self.hosts.best(&ask, None).map(|best| best.at);
        }
        let shares = self.host.map(|there| 1.0 / there as f32);
        let need = [ask.need[0], ask.need[1]];
        let mut best: Option<(f32, usize)> = None;
        for (host, row) in self.hosts.rows().iter().enumerate() {
            let room = |r: usize| row.total[r] - row.used[r];
            if row.features & OPEN == 0 || room(0) < need[0] || room(1) < need[1] {
                continue;
            }
            let left = |r: usize| (room(r) - need[r]) as f32 * shares[r];
            let needed = |r: usize| need[r] as f32 * shares[r];
            let cost = self.rule.cost([left(0), left(1)], [needed(0), needed(1)]);
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, host));
            }
            if self.rule == Rule::FirstFit {
                break;
            }
        }
        best.map(|(_, host)| host)
    }

    /// Empties hosts, as far as the rule may move machines.
    fn tidy_up(&mut self) {
        let Rule::Ours {
            moves_an_hour_max, ..
        } = self.rule
        else {
            return;
        };
        if moves_an_hour_max == 0 {
            return;
        }
        let seat = |vm: &usize| Seat {
            vm: *vm,
            ask: self.ask(*vm),
        };
        let seats: Vec<Vec<Seat>> = self
            .on
            .iter()
            .map(|on| on.iter().map(seat).collect())
            .collect();
        let moves = drain::plan(&mut self.hosts, &seats, moves_an_hour_max);
        self.outcome.moves += moves.len();
        for step in &moves {
            self.on[step.from].retain(|vm| *vm != step.vm);
            self.on[step.to].push(step.vm);
            self.place[step.vm] = step.to;
        }
        for step in moves {
            self.changed(step.from, self.hosts.rows()[step.from]);
        }
    }
}
