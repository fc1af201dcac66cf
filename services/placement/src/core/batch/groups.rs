//! Machines that must be together, over however many rules.

use std::cmp::Reverse;

use super::{Batch, Bond, Level, Strength};
use crate::core::scan::Columns;

pub(super) struct Groups<'a> {
    batch: &'a Batch,
}

impl<'a> Groups<'a> {
    pub(super) fn new(batch: &'a Batch) -> Self {
        Self { batch }
    }

    /// All machines of the batch in groups, the largest group first, and in each the largest machine.
    pub(super) fn largest_first(&self, columns: &Columns) -> Vec<Vec<usize>> {
        let all: Vec<usize> = (0..self.batch.items.len()).collect();
        let mut groups = self.split(&all, None);
        let sizes: Vec<u64> = all.iter().map(|item| self.size(*item, columns)).collect();
        let size = |item: &usize| sizes.get(*item).copied().unwrap_or(0);
        for group in &mut groups {
            group.sort_by_key(|item| (Reverse(size(item)), *item));
        }
        let key = |group: &Vec<usize>| {
            let sum: u64 = group.iter().map(size).sum();
            (Reverse(sum), group.iter().min().copied())
        };
        groups.sort_by_key(key);
        groups
    }

    /// The largest share of the fleet that a machine needs of one resource.
    fn size(&self, item: usize, columns: &Columns) -> u64 {
        let Some(item) = self.batch.items.get(item) else {
            return 0;
        };
        let all = columns.rows().iter().fold([0_u64; 4], |mut all, row| {
            for (sum, total) in all.iter_mut().zip(row.total) {
                *sum += u64::from(total);
            }
            all
        });
        let limited = item.ask.need.iter().zip(all).enumerate();
        let limited = limited.filter(|(at, _)| item.ask.limits & (1 << at) != 0);
        let shares = limited.map(|(_, (need, all))| (u64::from(*need) << 32) / all.max(1));
        shares.max().unwrap_or(0)
    }

    /// Machines in groups that must be together, by rules of levels below one.
    pub(super) fn split(&self, items: &[usize], below: Option<Level>) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = items.iter().map(|item| vec![*item]).collect();
        for (_, members) in self.bonds(items, below) {
            let is_bound = |group: &Vec<usize>| group.iter().any(|item| members.contains(item));
            let (bound, mut apart): (Vec<_>, Vec<_>) = groups.into_iter().partition(is_bound);
            apart.push(bound.concat());
            groups = apart;
        }
        groups.retain(|group| !group.is_empty());
        groups
    }

    /// The widest domain that a rule holds some of the machines in.
    pub(super) fn widest(&self, items: &[usize], below: Option<Level>) -> Option<Level> {
        self.bonds(items, below).map(|(level, _)| level).max()
    }

    /// Rules that hold two at least of the machines together.
    fn bonds(
        &self,
        items: &[usize],
        below: Option<Level>,
    ) -> impl Iterator<Item = (Level, Vec<usize>)> {
        let ties = self.batch.ties.iter().filter(move |tie| {
            let is_narrower = below.is_none_or(|below| tie.level < below);
            let must = tie.bond == Bond::Together && tie.strength == Strength::Must;
            must && is_narrower
        });
        let bonds = ties.map(|tie| {
            let members = items.iter().filter(|item| tie.members.contains(item));
            (tie.level, members.copied().collect::<Vec<usize>>())
        });
        bonds.filter(|(_, members)| members.len() > 1)
    }
}
