//! Passes over all blocks, as code that is compiled for each kind of processor.

use pulp::{Simd, WithSimd};

use super::block::{Block, ERROR_MAX, LANES, MISFIT, Plan};
use super::{RowSet, Tally};

/// Rows whose estimate may be among the best `count`, with it.
pub(super) struct Near<'a> {
    pub(super) blocks: &'a [Block],
    pub(super) plan: &'a Plan,
    pub(super) among: Option<&'a RowSet>,
    pub(super) count: usize,
}

impl WithSimd for Near<'_> {
    type Output = Vec<(usize, f32)>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let some = |at: usize| self.among.map_or(u64::MAX, |set| set.word(at));
        let mut values = [0.0; LANES];
        let mut highest = Vec::with_capacity(self.blocks.len());
        for (at, block) in self.blocks.iter().enumerate() {
            highest.push(block.estimate(simd, self.plan, some(at), &mut values));
        }
        let least = nth_largest(&mut highest.clone(), self.count);
        let mut near = Vec::new();
        for ((at, block), highest) in self.blocks.iter().enumerate().zip(highest) {
            if highest >= least {
                block.estimate(simd, self.plan, some(at), &mut values);
                let rows = (at * LANES..).zip(values);
                near.extend(rows.filter(|(_, value)| *value >= least));
            }
        }
        near
    }
}

/// What all hosts lack.
pub(super) struct Tallying<'a> {
    pub(super) blocks: &'a [Block],
    pub(super) plan: &'a Plan,
}

impl WithSimd for Tallying<'_> {
    type Output = Tally;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Tally {
        let mut tally = Tally::default();
        for block in self.blocks {
            block.tally(simd, self.plan, &mut tally);
        }
        tally
    }
}

/// What an estimate must reach so that its row may be among the best `count`: the estimate of that rank, less what both may
/// be off.
pub(super) fn nth_largest(estimates: &mut Vec<f32>, count: usize) -> f32 {
    estimates.retain(|value| *value > MISFIT);
    let rank = count.saturating_sub(1);
    let nth = if rank == 0 {
        estimates.iter().copied().fold(0.0, f32::max)
    } else if rank < estimates.len() {
        let (_, nth, _) = estimates.select_nth_unstable_by(rank, |a, b| b.total_cmp(a));
        *nth
    } else {
        0.0
    };
    (nth - 2.0 * ERROR_MAX).max(-ERROR_MAX)
}
