//! A batch solved in the plainest way: the largest machine first, each on the best host that its ties leave it.

use std::collections::HashMap;

use super::model::{
    self, Amounts, Batch, Bond, Item, Level, NO_DOMAIN, Resource, Row, Strength, Tie,
};

/// A row for each machine of the batch; `Err`: the machine that found none.
pub fn solve(batch: &Batch<'_>) -> Result<Vec<u32>, usize> {
    let mut work = Work {
        batch,
        rows: batch.rows.to_vec(),
        counts: batch.ties.iter().map(|tie| counted(batch, tie)).collect(),
    };
    let mut order: Vec<usize> = (0..batch.items.len()).collect();
    let memory = |at: &usize| batch.items.get(*at).map(|item| of(&item.ask.need));
    order.sort_by_key(|at| std::cmp::Reverse(memory(at)));
    let mut placed = vec![0; batch.items.len()];
    for at in order {
        let row = work.place(at).ok_or(at)?;
        if let Some(place) = placed.get_mut(at) {
            *place = row;
        }
    }
    Ok(placed)
}

fn of(need: &Amounts) -> u32 {
    model::of(need, Resource::Memory)
}

struct Work<'a> {
    batch: &'a Batch<'a>,
    /// With what was placed so far.
    rows: Vec<Row>,
    /// For each tie, machines by domain.
    counts: Vec<HashMap<u32, u32>>,
}

fn counted(batch: &Batch<'_>, tie: &Tie) -> HashMap<u32, u32> {
    let mut counts = HashMap::new();
    for row in &tie.placed {
        *counts.entry(domain(batch, *row, tie.level)).or_default() += 1;
    }
    counts
}

fn domain(batch: &Batch<'_>, row: u32, level: Level) -> u32 {
    let at = usize::try_from(row).unwrap_or(usize::MAX);
    let [host, rack, room] = batch.domains.get(at).copied().unwrap_or([NO_DOMAIN; 3]);
    match level {
        Level::Host => host,
        Level::Rack => rack,
        Level::Room => room,
    }
}

impl Work<'_> {
    fn place(&mut self, at: usize) -> Option<u32> {
        let item = self.batch.items.get(at)?;
        let all: Vec<u32> = match &item.rows {
            Some(rows) => rows.clone(),
            None => (0..u32::try_from(self.rows.len()).ok()?).collect(),
        };
        let scored = all.into_iter().filter_map(|row| {
            let place = self.rows.get(usize::try_from(row).ok()?)?;
            let score = model::score(place, &item.ask)?;
            Some((self.broken(at, row)?, score, row))
        });
        // Fewest wishes broken, best score, first by name.
        let best =
            scored.min_by_key(|(broken, score, row)| (*broken, std::cmp::Reverse(*score), *row));
        let (.., row) = best?;
        self.take(at, item, row);
        Some(row)
    }

    /// How many wishes a row breaks; `None`: something that must hold.
    fn broken(&self, at: usize, row: u32) -> Option<u32> {
        let mut broken = 0;
        for (tie, counts) in self.batch.ties.iter().zip(&self.counts) {
            if !tie
                .members
                .iter()
                .any(|member| usize::try_from(*member) == Ok(at))
            {
                continue;
            }
            let domain = domain(self.batch, row, tie.level);
            let here = counts.get(&domain).copied().unwrap_or(0);
            let all: u32 = counts.values().sum();
            let breaks = match tie.bond {
                Bond::Apart if domain == NO_DOMAIN => 1,
                Bond::Apart => here,
                Bond::Together if domain == NO_DOMAIN => 1,
                Bond::Together => all - here,
            };
            if breaks > 0 && tie.strength == Strength::Must {
                return None;
            }
            broken += breaks;
        }
        Some(broken)
    }

    fn take(&mut self, at: usize, item: &Item, row: u32) {
        let place = usize::try_from(row)
            .ok()
            .and_then(|row| self.rows.get_mut(row));
        if let Some(place) = place {
            for (used, need) in place.used.iter_mut().zip(item.ask.need) {
                *used = used.saturating_add(need);
            }
        }
        for (tie, counts) in self.batch.ties.iter().zip(&mut self.counts) {
            if tie
                .members
                .iter()
                .any(|member| usize::try_from(*member) == Ok(at))
            {
                *counts
                    .entry(domain(self.batch, row, tie.level))
                    .or_default() += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{Ask, Goal};

    fn solved(members: &[u32], bond: Bond, hosts: u32) -> Result<Vec<u32>, usize> {
        let row = Row {
            total: [800, 1_000, 0, 0],
            rated: 0b11,
            ..Row::default()
        };
        let item = Item {
            ask: Ask {
                need: [20, 400, 0, 0],
                limits: Resource::Memory.bit(),
                features: 0,
                weights: [1, 1, 0, 0],
                goal: Goal::Balance,
            },
            rows: None,
        };
        let tie = Tie {
            bond,
            strength: Strength::Must,
            level: Level::Host,
            members: members.to_vec(),
            placed: Vec::new(),
        };
        let hosts: Vec<u32> = (0..hosts).collect();
        solve(&Batch {
            rows: &vec![row; hosts.len()],
            domains: &hosts.iter().map(|at| [*at, 0, 0]).collect::<Vec<_>>(),
            items: &vec![item; 3],
            ties: &[tie],
        })
    }

    #[test]
    fn rules_hold_and_what_cannot_be_is_refused() {
        assert_eq!(solved(&[0, 1, 2], Bond::Apart, 3), Ok(vec![0, 1, 2]));
        assert_eq!(solved(&[0, 1, 2], Bond::Apart, 2), Err(2));
        assert_eq!(solved(&[0, 1], Bond::Together, 3), Ok(vec![0, 0, 1]));
        assert_eq!(solved(&[0, 1, 2], Bond::Together, 3), Err(2));
    }
}
