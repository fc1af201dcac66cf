//! The best hosts for a machine, out of thousands, in microseconds.
//!
//! [`model::score`] and [`pack::tightness`] say what is best, in whole numbers. Here the same is first estimated for every
//! host with single-precision floats, in columns of 64 hosts that the compiler turns into vector instructions; then those
//! hosts that can be among the best, given how far an estimate may be off, are measured by the definition. So the answer
//! never depends on how a machine rounds, and is that of comparing all of them by the definition.

mod block;

use std::cmp::Reverse;

use block::{Block, LANES, Plan};

use super::model::{Ask, Row, score};
use super::pack::tightness;

/// By which of the definitions hosts are compared. Higher is better; of hosts that are alike the first row wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// [`score`].
    Score,
    /// [`tightness`].
    Tightness,
}

impl Order {
    /// How good a host is, by the definition. `None`: the machine does not fit.
    pub fn measure(self, row: &Row, ask: &Ask) -> Option<u32> {
        match self {
            Self::Score => score(row, ask),
            Self::Tightness => tightness(row, ask),
        }
    }
}

/// A host that was chosen: its row, and its score or tightness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub at: usize,
    pub value: u32,
}

/// A set of rows.
#[derive(Clone, Debug, Default)]
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

    /// The best host for a machine, of all or of some.
    pub fn best(&self, ask: &Ask, order: Order, among: Option<&RowSet>) -> Option<Choice> {
        self.top(ask, order, among, 1).pop()
    }

    /// The best few hosts, best first.
    pub fn top(
        &self,
        ask: &Ask,
        order: Order,
        among: Option<&RowSet>,
        count: usize,
    ) -> Vec<Choice> {
        if self.giants > 0 || !block::can_hold(&ask.need) {
            return self.top_by_definition(ask, order, among, count);
        }
        let plan = Plan::new(ask, order);
        let highest = pulp::Arch::new().dispatch(Highest {
            blocks: &self.blocks,
            plan: &plan,
            among,
        });
        let least = nth_largest(&mut highest.clone(), count);
        let mut values = [0.0; LANES];
        let mut near = Vec::new();
        for (at, block) in self.blocks.iter().enumerate() {
            if highest.get(at).is_some_and(|most| *most >= least) {
                let some = among.map_or(u64::MAX, |set| set.word(at));
                block.estimate(pulp::Scalar::new(), &plan, some, &mut values);
                let rows = (at * LANES..).zip(values);
                near.extend(rows.filter(|(_, value)| *value >= least));
            }
        }
        self.measured(&near, count, |row| order.measure(row, ask))
    }

    fn top_by_definition(
        &self,
        ask: &Ask,
        order: Order,
        among: Option<&RowSet>,
        count: usize,
    ) -> Vec<Choice> {
        let some = |at: &usize| among.is_none_or(|set| set.has(*at));
        let rows = (0..self.rows.len()).filter(some);
        let all: Vec<(usize, f32)> = rows.map(|at| (at, 0.0)).collect();
        self.measured(&all, count, |row| order.measure(row, ask))
    }

    /// The best by definition, of rows that are estimated to be near it.
    fn measured(
        &self,
        near: &[(usize, f32)],
        count: usize,
        measure: impl Fn(&Row) -> Option<u32>,
    ) -> Vec<Choice> {
        let mut estimates: Vec<f32> = near.iter().map(|(_, value)| *value).collect();
        let least = nth_largest(&mut estimates, count);
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
                choices.extend(measure(row).map(|value| Choice { at: *at, value }));
            }
        }
        choices.sort_unstable_by_key(|choice| (Reverse(choice.value), choice.at));
        choices.truncate(count);
        choices
    }
}

/// The highest estimate of each block, as code that is compiled for each kind of processor.
struct Highest<'a> {
    blocks: &'a [Block],
    plan: &'a Plan,
    among: Option<&'a RowSet>,
}

impl pulp::WithSimd for Highest<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) -> Vec<f32> {
        let mut values = [0.0; LANES];
        let mut highest = Vec::with_capacity(self.blocks.len());
        for (at, block) in self.blocks.iter().enumerate() {
            let some = self.among.map_or(u64::MAX, |set| set.word(at));
            highest.push(block.estimate(simd, self.plan, some, &mut values));
        }
        highest
    }
}

fn is_giant(row: &Row) -> bool {
    !block::can_hold(&row.total) || !block::can_hold(&row.used)
}

/// What an estimate must reach so that its row may be among the best `count`: the estimate of that rank, less what both may
/// be off.
fn nth_largest(estimates: &mut Vec<f32>, count: usize) -> f32 {
    estimates.retain(|value| *value > block::MISFIT);
    let rank = count.saturating_sub(1);
    let nth = if rank < estimates.len() {
        *estimates
            .select_nth_unstable_by(rank, |a, b| b.total_cmp(a))
            .1
    } else {
        0.0
    };
    (nth - 2.0 * block::ERROR_MAX).max(-block::ERROR_MAX)
}

#[cfg(test)]
mod tests;
