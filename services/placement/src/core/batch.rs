//! Several machines placed together, with the rules between them.
//!
//! Machines that must be together go as one: a domain is looked for that takes all of them, and inside of it, rule after
//! narrower rule, the same again. What is hardest to place, by size, goes first; what then finds no place goes before all
//! others the next time. The same machines are also placed one after the other as they were asked for, and the better of
//! both is taken: the one in which the ratings that the machines have in the end sum to more.

mod domains;
mod groups;
mod work;

pub use domains::{Domains, Level, NO_DOMAIN};

use super::model::Ask;
use super::scan::{Columns, RowSet};
use groups::Groups;
use work::Work;

/// How often what found no place is put first.
const RESTARTS_MAX: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bond {
    /// In one domain.
    Together,
    /// In different domains.
    Apart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strength {
    Must,
    /// Kept where it can be; what breaks it costs.
    Should,
}

/// A rule between machines of one batch, and those of them that have a host already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tie {
    pub bond: Bond,
    pub strength: Strength,
    pub level: Level,
    /// Indexes of the batch's machines.
    pub members: Vec<usize>,
    /// Hosts, by row, of members that are placed already; one entry a machine.
    pub placed: Vec<usize>,
}

/// A machine of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub ask: Ask,
    /// Rows that come into question; `None`: all.
    pub rows: Option<RowSet>,
    /// Rows that cost something of their score, and how much.
    pub costs: Vec<(RowSet, u32)>,
}

/// Machines to be placed together. Rows are in order of hosts' names, and of hosts that are alike the first one wins, so that
/// the answer is one.
#[derive(Clone, Debug)]
pub struct Batch {
    /// For each row.
    pub domains: Domains,
    pub items: Vec<Item>,
    pub ties: Vec<Tie>,
    /// What a wish that is not met costs, as part of a score.
    pub wish_cost: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solution {
    /// A row for each machine.
    pub rows: Vec<usize>,
    /// The sum of the scores that the machines have in the end.
    pub worth: u64,
}

/// `Err`: a machine that finds no host. The columns are left as they were.
pub fn solve(batch: &Batch, columns: &mut Columns) -> Result<Solution, usize> {
    let together = solve_together(batch, columns);
    let in_turn = solve_in_turn(batch, columns);
    match (together, in_turn) {
        (Ok(together), Ok(in_turn)) if in_turn.worth > together.worth => Ok(in_turn),
        (Ok(together), _) => Ok(together),
        (Err(_), Ok(in_turn)) => Ok(in_turn),
        (Err(at), Err(_)) => Err(at),
    }
}

/// One after the other, as they were asked for.
pub fn solve_in_turn(batch: &Batch, columns: &mut Columns) -> Result<Solution, usize> {
    let mut work = Work::new(batch, columns);
    let mut items = 0..batch.items.len();
    match items.find(|item| !work.place(*item, None)) {
        Some(item) => Err(item),
        None => Ok(work.solution()),
    }
}

/// What must be together first, and the hardest before the others.
pub fn solve_together(batch: &Batch, columns: &mut Columns) -> Result<Solution, usize> {
    let mut order = Groups::new(batch).largest_first(columns);
    let mut stuck = None;
    for _ in 0..=RESTARTS_MAX {
        let mut work = Work::new(batch, columns);
        let mut groups = order.iter().enumerate();
        let Some((at, group)) = groups.find(|(_, group)| !work.place_group(group, None)) else {
            return Ok(work.solution());
        };
        stuck = group.first().copied();
        if at == 0 {
            break;
        }
        let first = order.remove(at);
        order.insert(0, first);
    }
    Err(stuck.unwrap_or(0))
}

#[cfg(test)]
mod tests;
