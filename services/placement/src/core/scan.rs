//! The best hosts for a machine, out of thousands, in microseconds.
//!
//! [`model::score`] says what is best, in whole numbers. Here the same is first estimated for every host with
//! single-precision floats, in columns of 64 hosts and vector operations; then those hosts that can be among the best, given
//! how far an estimate may be off, are measured by the definition. So the answer never depends on how a machine rounds, and
//! is that of comparing all of them by the definition.

mod block;
mod pass;

use std::cmp::Reverse;

use block::{Block, LANES, Plan};
use pass::{Near, Tallying};

use super::model::{Ask, Row, score};

/// A host that was chosen: its row, and its score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub at: usize,
    pub score: u32,
}

/// Hosts by what they lack first. Each host is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub features: usize,
    /// Of the resources that are limited.
    pub resources: usize,
    pub processors: usize,
    pub disk: usize,
    /// They lack nothing.
    pub able: usize,
}

/// A set of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowSet(Vec<u64>);

impl RowSet {
    pub fn insert(&mut self, at: usize) {
        let word = at / LANES;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (at % LANES);
        }
    }

    pub fn remove(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / LANES) {
            *word &= !(1 << (at % LANES));
        }
    }

    pub fn has(&self, at: usize) -> bool {
        self.word(at / LANES) & (1 << (at % LANES)) != 0
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The rows below `end`.
    pub fn below(end: usize) -> Self {
        (0..end).collect()
    }

    /// The rows that are in both.
    pub fn and(&self, other: &Self) -> Self {
        let words = self.0.iter().zip(&other.0);
        Self(words.map(|(a, b)| a & b).collect())
    }

    pub fn remove_all(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word &= !other;
        }
    }

    /// In rising order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let words = self.0.iter().enumerate();
        words.flat_map(|(block, word)| {
            let lanes = (0..LANES).filter(move |lane| word & (1 << lane) != 0);
            lanes.map(move |lane| block * LANES + lane)
        })
    }

    fn word(&self, block: usize) -> u64 {
        self.0.get(block).copied().unwrap_or(0)
    }
}

impl FromIterator<usize> for RowSet {
    fn from_iter<I: IntoIterator<Item = usize>>(rows: I) -> Self {
        let mut set = Self::default();
        rows.into_iter().for_each(|at| set.insert(at));
        set
    }
}

/// Hosts as columns, kept up to date row by row.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    rows: Vec<Row>,
    blocks: Vec<Block>,
    /// Rows with an amount that a column cannot hold (16 TiB of memory): while there is one, all are measured.
    giants: usize,
}

impl Columns {
    pub fn new(rows: Vec<Row>) -> Self {
        let blocks = rows.chunks(LANES).map(Block::new).collect();
        let giants = rows.iter().filter(|row| is_giant(row)).count();
        Self {
            rows,
            blocks,
            giants,
        }
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub fn push(&mut self, row: Row) {
        let lane = self.rows.len() % LANES;
        if lane == 0 {
            self.blocks.push(Block::new(&[]));
        }
        if let Some(block) = self.blocks.last_mut() {
            block.set(lane, &row);
        }
        self.giants += usize::from(is_giant(&row));
        self.rows.push(row);
    }

    /// Replaces a row. One that is not there is left out.
    pub fn set(&mut self, at: usize, row: Row) {
        if let (Some(old), Some(block)) = (self.rows.get_mut(at), self.blocks.get_mut(at / LANES)) {
            self.giants -= usize::from(is_giant(old));
            self.giants += usize::from(is_giant(&row));
            *old = row;
            block.set(at % LANES, &row);
        }
    }

    /// The best host for a machine, of all or of some; of hosts that are alike the first row.
    pub fn best(&self, ask: &Ask, among: Option<&RowSet>) -> Option<Choice> {
        self.top(ask, among, 1).pop()
    }

    /// The best few hosts, best first.
    pub fn top(&self, ask: &Ask, among: Option<&RowSet>, count: usize) -> Vec<Choice> {
        if !self.can_hold(ask) {
            let some = |at: &usize| among.is_none_or(|set| set.has(*at));
            let all = (0..self.rows.len()).filter(some).map(|at| (at, 0.0));
            return self.measured(&all.collect::<Vec<_>>(), ask, count);
        }
        let near = pulp::Arch::new().dispatch(Near {
            blocks: &self.blocks,
            plan: &Plan::new(ask),
            among,
            count,
        });
        self.measured(&near, ask, count)
    }

    /// What hosts lack, of all or of some.
    pub fn tally(&self, ask: &Ask, among: Option<&RowSet>) -> Tally {
        let mut tally = Tally::default();
        let is_quick = self.can_hold(ask) && among.is_none();
        let full = if is_quick { self.rows.len() / LANES } else { 0 };
        let (full, mut counted) = (self.blocks.get(..full).unwrap_or_default(), 0);
        if !full.is_empty() {
            let plan = &Plan::new(ask);
            tally = pulp::Arch::new().dispatch(Tallying { blocks: full, plan });
            counted = full.len() * LANES;
        }
        for (at, row) in self.rows.iter().enumerate().skip(counted) {
            if among.is_none_or(|set| set.has(at)) {
                tally.count(row, ask);
            }
        }
        tally
    }

    fn can_hold(&self, ask: &Ask) -> bool {
        self.giants == 0 && block::can_hold(&ask.need) && block::can_hold(&ask.size)
    }

    /// The best by definition, of rows that are estimated to be near it.
    fn measured(&self, near: &[(usize, f32)], ask: &Ask, count: usize) -> Vec<Choice> {
        let mut estimates: Vec<f32> = near.iter().map(|(_, value)| *value).collect();
        let least = pass::nth_largest(&mut estimates, count);
        let mut choices = Vec::new();
        // Of many rows that are the same only the first few can win: a fleet of empty hosts is not measured whole.
        let (mut last, mut alike) = (None, 0);
        for (at, _) in near.iter().filter(|(_, value)| *value >= least) {
            let Some(row) = self.rows.get(*at) else {
                continue;
            };
            alike = if last == Some(row) { alike + 1 } else { 0 };
            last = Some(row);
            if alike < count {
                let score = score(row, ask);
                choices.extend(score.map(|score| Choice { at: *at, score }));
            }
        }
        choices.sort_unstable_by_key(|choice| (Reverse(choice.score), choice.at));
        choices.truncate(count);
        choices
    }
}

impl Tally {
    fn count(&mut self, row: &Row, ask: &Ask) {
        let has_size = |at: usize| row.largest.get(at) >= ask.size.get(at);
        let lack = if row.features & ask.features != ask.features {
            &mut self.features
        } else if !super::model::fits(row, ask) {
            &mut self.resources
        } else if !has_size(0) {
            &mut self.processors
        } else if !has_size(1) {
            &mut self.disk
        } else {
            &mut self.able
        };
        *lack += 1;
    }
}

fn is_giant(row: &Row) -> bool {
    !block::can_hold(&row.total) || !block::can_hold(&row.used)
}

#[cfg(test)]
mod tests;
