//! A batch that is being placed.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::groups::Groups;
use super::{Batch, Bond, Item, Level, NO_DOMAIN, Solution, Strength, Tie};
use crate::core::model::{self, Ask, Row, SCORE_ONE, with, without};
use crate::core::rate::CROWD_MAX;
use crate::core::scan::{Columns, RowSet};

/// Domains that are tried for a group.
const DOMAINS_MAX: usize = 64;

pub(super) struct Work<'a> {
    batch: &'a Batch,
    columns: &'a mut Columns,
    /// Rows that were changed, as they were, the first change first.
    before: Vec<(usize, Row)>,
    /// For each tie, machines by domain.
    counts: Vec<BTreeMap<u32, u32>>,
    /// For each machine, its ties.
    ties_of: Vec<Vec<usize>>,
    rows: Vec<Option<usize>>,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        for (at, row) in self.before.drain(..).rev() {
            self.columns.set(at, row);
        }
    }
}

impl<'a> Work<'a> {
    pub(super) fn new(batch: &'a Batch, columns: &'a mut Columns) -> Self {
        let mut ties_of = vec![Vec::new(); batch.items.len()];
        for (tie, known) in batch.ties.iter().enumerate() {
            for member in &known.members {
                if let Some(ties) = ties_of.get_mut(*member) {
                    ties.push(tie);
                }
            }
        }
        let count = |tie: &Tie| {
            let mut counts = BTreeMap::new();
            for row in &tie.placed {
                *counts.entry(batch.domains.of(*row, tie.level)).or_default() += 1;
            }
            counts
        };
        Self {
            counts: batch.ties.iter().map(count).collect(),
            rows: vec![None; batch.items.len()],
            before: Vec::new(),
            ties_of,
            columns,
            batch,
        }
    }

    /// Places one machine on the best host that its ties leave it.
    pub(super) fn place(&mut self, at: usize, within: Option<&RowSet>) -> bool {
        let row = self.choose(at, within);
        if let Some(row) = row {
            self.put(at, row);
        }
        row.is_some()
    }

    /// Places machines that must be together, all or none of them.
    pub(super) fn place_group(&mut self, group: &[usize], within: Option<&RowSet>) -> bool {
        self.place_below(group, within, None)
    }

    fn place_below(
        &mut self,
        group: &[usize],
        within: Option<&RowSet>,
        below: Option<Level>,
    ) -> bool {
        let groups = Groups::new(self.batch);
        let Some(level) = groups.widest(group, below) else {
            return self.place_all(group, |work, item| work.place(item, within));
        };
        let parts = groups.split(group, Some(level));
        self.domains_for(group, level, within)
            .into_iter()
            .take(DOMAINS_MAX)
            .any(|rows| {
                let place = |work: &mut Self, part: Vec<usize>| {
                    work.place_below(&part, Some(&rows), Some(level))
                };
                self.place_all(&parts, |work, part| place(work, part))
            })
    }

    /// All of some, or none.
    fn place_all<T: Clone>(
        &mut self,
        all: &[T],
        mut place: impl FnMut(&mut Self, T) -> bool,
    ) -> bool {
        let before = self.rows.clone();
        if all.iter().cloned().all(|one| place(self, one)) {
            return true;
        }
        let placed = (0..before.len()).filter(|at| self.rows.get(*at) != before.get(*at));
        for at in placed.collect::<Vec<_>>() {
            self.take_away(at);
        }
        false
    }

    /// Domains that have room for all of a group, the best for its first machine first.
    fn domains_for(&self, group: &[usize], level: Level, within: Option<&RowSet>) -> Vec<RowSet> {
        let Some((first, item)) = group
            .first()
            .and_then(|at| Some((*at, self.batch.items.get(*at)?)))
        else {
            return Vec::new();
        };
        let all = self.sum(group);
        let mut domains: BTreeMap<u32, (u32, RowSet)> = BTreeMap::new();
        for row in self.allowed(first, within).iter() {
            let domain = self.batch.domains.of(row, level);
            let Some(host) = self.columns.rows().get(row) else {
                continue;
            };
            let ask = if level == Level::Host {
                &all
            } else {
                &item.ask
            };
            if domain != NO_DOMAIN
                && let Some(score) = model::score(host, ask)
            {
                let score = score.saturating_sub(self.cost(first, row));
                let entry = domains
                    .entry(domain)
                    .or_insert_with(|| (0, self.batch.domains.rows(level, domain)));
                entry.0 = entry.0.max(score);
            }
        }
        let mut domains: Vec<(u32, RowSet)> = domains.into_values().collect();
        // Stable: of domains that are alike the first.
        domains.sort_by_key(|(score, _)| Reverse(*score));
        let rows = domains.into_iter().map(|(_, rows)| match within {
            Some(within) => rows.and(within),
            None => rows,
        });
        rows.collect()
    }

    /// A group as one machine.
    fn sum(&self, group: &[usize]) -> Ask {
        let items = group.iter().filter_map(|at| self.batch.items.get(*at));
        let mut asks = items.map(|item| item.ask);
        let first = asks.next().unwrap_or(Ask::NOTHING);
        asks.fold(first, |mut sum, ask| {
            for (sum, need) in sum.need.iter_mut().zip(ask.need) {
                *sum = sum.saturating_add(need);
            }
            let ([cpus, disk], [more_cpus, more_disk]) = (sum.size, ask.size);
            sum.size = [
                cpus.max(more_cpus),
                disk.saturating_add(more_disk.saturating_sub(1)),
            ];
            sum.limits |= ask.limits;
            sum.features |= ask.features;
            sum
        })
    }

    fn choose(&self, at: usize, within: Option<&RowSet>) -> Option<usize> {
        let item = self.batch.items.get(at)?;
        let ties = self.ties(at);
        let has_wishes = ties
            .clone()
            .any(|(tie, _)| tie.strength == Strength::Should);
        let is_free = ties.count() == 0 && within.is_none() && item.rows.is_none();
        if is_free && item.costs.is_empty() {
            return self.columns.best(&item.ask, None).map(|best| best.at);
        }
        let allowed = self.allowed(at, within);
        if !has_wishes && item.costs.is_empty() {
            let best = self.columns.best(&item.ask, Some(&allowed));
            return best.map(|best| best.at);
        }
        let mut by_cost: BTreeMap<u32, RowSet> = BTreeMap::new();
        for row in allowed.iter() {
            by_cost.entry(self.cost(at, row)).or_default().insert(row);
        }
        let mut best: Option<(u32, Reverse<usize>)> = None;
        for (cost, rows) in by_cost {
            if best.is_some_and(|(score, _)| score > SCORE_ONE.saturating_sub(cost)) {
                break;
            }
            let choice = self.columns.best(&item.ask, Some(&rows));
            let next = choice.map(|best| (best.score.saturating_sub(cost), Reverse(best.at)));
            best = best.max(next);
        }
        best.map(|(_, Reverse(row))| row)
    }

    fn ties(&self, at: usize) -> impl Iterator<Item = (&'a Tie, &BTreeMap<u32, u32>)> + Clone {
        let ties = self.ties_of.get(at).into_iter().flatten();
        let batch = self.batch;
        ties.filter_map(|tie| Some((batch.ties.get(*tie)?, self.counts.get(*tie)?)))
    }

    /// Rows that what must be leaves a machine.
    fn allowed(&self, at: usize, within: Option<&RowSet>) -> RowSet {
        let item = self.batch.items.get(at);
        let own = item.and_then(|item| item.rows.as_ref());
        let mut allowed = match (own, within) {
            (Some(own), Some(within)) => own.and(within),
            (Some(rows), None) | (None, Some(rows)) => rows.clone(),
            (None, None) => RowSet::below(self.columns.rows().len()),
        };
        let must = self
            .ties(at)
            .filter(|(tie, _)| tie.strength == Strength::Must);
        for (tie, counts) in must {
            let domains = &self.batch.domains;
            let rows = counts.keys().map(|domain| domains.rows(tie.level, *domain));
            match tie.bond {
                Bond::Apart => {
                    rows.for_each(|rows| allowed.remove_all(&rows));
                    allowed.remove_all(&domains.rows(tie.level, NO_DOMAIN));
                }
                Bond::Together if counts.is_empty() => {}
                Bond::Together => {
                    let named = rows.flat_map(|rows| rows.iter().collect::<Vec<_>>());
                    allowed = allowed.and(&named.collect());
                    allowed.remove_all(&domains.rows(tie.level, NO_DOMAIN));
                }
            }
        }
        allowed
    }

    /// What wishes that a row does not meet cost of its score.
    fn cost(&self, at: usize, row: usize) -> u32 {
        let item: Option<&Item> = self.batch.items.get(at);
        let costs = item.map_or(&[][..], |item| item.costs.as_slice());
        let own = costs.iter().filter(|(rows, _)| rows.has(row));
        let own = own.map(|(_, cost)| *cost).fold(0, u32::saturating_add);
        let wishes = self
            .ties(at)
            .filter(|(tie, _)| tie.strength == Strength::Should);
        let broken = wishes.map(|(tie, counts)| {
            let domain = self.batch.domains.of(row, tie.level);
            let is_none = domain == NO_DOMAIN;
            let here = counts.get(&domain).copied().unwrap_or(0);
            match tie.bond {
                Bond::Apart if is_none => 1,
                Bond::Apart => here.min(CROWD_MAX),
                Bond::Together => u32::from(!counts.is_empty() && (is_none || here == 0)),
            }
        });
        let broken = broken.fold(0, u32::saturating_add);
        own.saturating_add(broken.saturating_mul(self.batch.wish_cost))
    }

    fn put(&mut self, at: usize, row: usize) {
        self.change(at, row, with);
        for (tie, domain) in self.counted(at, row) {
            if let Some(counts) = self.counts.get_mut(tie) {
                *counts.entry(domain).or_default() += 1;
            }
        }
        if let Some(place) = self.rows.get_mut(at) {
            *place = Some(row);
        }
    }

    fn take_away(&mut self, at: usize) {
        let Some(row) = self.rows.get_mut(at).and_then(Option::take) else {
            return;
        };
        self.change(at, row, without);
        for (tie, domain) in self.counted(at, row) {
            if let Some(counts) = self.counts.get_mut(tie) {
                let count = counts.entry(domain).or_default();
                *count = count.saturating_sub(1);
                counts.retain(|_, count| *count > 0);
            }
        }
    }

    fn counted(&self, at: usize, row: usize) -> Vec<(usize, u32)> {
        let ties = self.ties_of.get(at).into_iter().flatten();
        let counted = ties.filter_map(|tie| {
            let level = self.batch.ties.get(*tie)?.level;
            Some((*tie, self.batch.domains.of(row, level)))
        });
        counted.collect()
    }

    fn change(&mut self, at: usize, row: usize, by: impl Fn(Row, &Ask) -> Row) {
        let item = self.batch.items.get(at);
        if let (Some(item), Some(&before)) = (item, self.columns.rows().get(row)) {
            self.before.push((row, before));
            self.columns.set(row, by(before, &item.ask));
        }
    }

    /// What came of it, when every machine has a host.
    pub(super) fn solution(mut self) -> Solution {
        let rows: Vec<usize> = self.rows.iter().map(|row| row.unwrap_or(0)).collect();
        let mut worth = 0;
        for (at, (row, item)) in rows.iter().zip(&self.batch.items).enumerate() {
            // As if it came last.
            self.take_away(at);
            let cost = self.cost(at, *row);
            let host = self.columns.rows().get(*row);
            let score = host.map_or(0, |host| model::value(host, &item.ask));
            worth += u64::from(score.saturating_sub(cost));
            self.put(at, *row);
        }
        Solution { rows, worth }
    }
}
