//! How good each of the 64 hosts of a block is, as an estimate; and what each lacks.
//!
//! Written in vector operations, since the compiler finds only some of them by itself. All is inlined into its caller, which
//! is compiled for each kind of processor.
#![allow(clippy::indexing_slicing)]

use pulp::Simd;

use super::{Block, LANES, MISFIT, Plan, Stock};
use crate::core::fullness;
use crate::core::model::{Goal, RESOURCES};
use crate::core::scan::Tally;
use crate::core::stay;

impl Block {
    /// Estimates every host of the block that is in `among`, and answers the highest estimate.
    #[inline(always)]
    pub(in crate::core::scan) fn estimate<S: Simd>(
        &self,
        simd: S,
        plan: &Plan,
        among: u64,
        values: &mut [f32; LANES],
    ) -> f32 {
        let among = among & self.rows;
        if among == 0 {
            *values = [MISFIT; LANES];
            return MISFIT;
        }
        // Closures that are not inlined would be compiled for any processor.
        let highest = match (plan.goal, self.is_alike) {
            (Goal::Balance, true) => {
                let factors = self.factors(plan);
                self.each(
                    simd,
                    plan,
                    values,
                    #[inline(always)]
                    |at| self.alike_left(simd, plan, &factors, at),
                )
            }
            (Goal::Balance, false) => self.each(
                simd,
                plan,
                values,
                #[inline(always)]
                |at| self.mean_left(simd, plan, at),
            ),
            (Goal::Maximise, true) => {
                let factors = self.factors(plan);
                self.each(
                    simd,
                    plan,
                    values,
                    #[inline(always)]
                    |at| self.alike_fullness(simd, plan, &factors, at),
                )
            }
            (Goal::Maximise, false) => self.each(
                simd,
                plan,
                values,
                #[inline(always)]
                |at| self.fullness(simd, plan, at),
            ),
        };
        if among == u64::MAX {
            return highest;
        }
        let mut most = MISFIT;
        for (lane, value) in values.iter_mut().enumerate() {
            *value = if among & (1 << lane) != 0 {
                *value
            } else {
                MISFIT
            };
            most = most.max(*value);
        }
        most
    }

    /// Estimates group after group of hosts, and answers the highest estimate.
    #[inline(always)]
    fn each<S: Simd>(
        &self,
        simd: S,
        plan: &Plan,
        values: &mut [f32; LANES],
        estimate: impl Fn(usize) -> S::f32s,
    ) -> f32 {
        let misfit = simd.splat_f32s(MISFIT);
        let mut highest = misfit;
        for (at, place) in S::as_mut_simd_f32s(values).0.iter_mut().enumerate() {
            let can_take = self.has_features(simd, plan, at);
            let can_take = simd.and_m32s(can_take, self.fits(simd, plan, at));
            let can_take = simd.and_m32s(can_take, self.has_size(simd, plan, 0, at));
            let can_take = simd.and_m32s(can_take, self.has_size(simd, plan, 1, at));
            let mut value = estimate(at);
            if plan.stay > 0.0 {
                value = self.less_stay(simd, plan, at, value);
            }
            *place = simd.select_f32s(can_take, value, misfit);
            highest = simd.max_f32s(highest, *place);
        }
        simd.reduce_max_f32s(highest)
    }

    /// What a unit of each resource adds to the mean, where all hosts have the same.
    #[inline(always)]
    fn factors(&self, plan: &Plan) -> [f32; RESOURCES] {
        let inverse = |resource: usize| self.stocks[resource].inverse.0[0];
        let weights: [f32; RESOURCES] = std::array::from_fn(|resource| {
            let is_known = inverse(resource) > 0.0;
            if is_known {
                plan.wants[resource].weight
            } else {
                0.0
            }
        });
        let sum = weights.iter().sum::<f32>().max(1.0);
        std::array::from_fn(|resource| inverse(resource) * (weights[resource] / sum))
    }

    #[inline(always)]
    fn alike_left<S: Simd>(
        &self,
        simd: S,
        plan: &Plan,
        factors: &[f32; RESOURCES],
        at: usize,
    ) -> S::f32s {
        let mut sum = simd.splat_f32s(0.0);
        let wants = plan.wants.iter().zip(factors);
        for (stock, (want, factor)) in self.stocks.iter().zip(wants) {
            if *factor > 0.0 {
                let free = stock.free(simd, at, want.need);
                sum = simd.mul_add_e_f32s(free, simd.splat_f32s(*factor), sum);
            }
        }
        sum
    }

    #[inline(always)]
    fn mean_left<S: Simd>(&self, simd: S, plan: &Plan, at: usize) -> S::f32s {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let (mut sum, mut weight) = (zero, zero);
        for (stock, want) in self.stocks.iter().zip(&plan.wants) {
            let inverse = stock.inverse(simd, at);
            let weighs = simd.splat_f32s(want.weight);
            let known = simd.less_than_f32s(zero, inverse);
            weight = simd.add_f32s(weight, simd.select_f32s(known, weighs, zero));
            let left = simd.mul_f32s(stock.free(simd, at, want.need), inverse);
            sum = simd.mul_add_e_f32s(left, weighs, sum);
        }
        // No weight: nothing that counts is known, and the sum is 0.
        simd.div_f32s(sum, simd.max_f32s(weight, one))
    }

    #[inline(always)]
    fn alike_fullness<S: Simd>(
        &self,
        simd: S,
        plan: &Plan,
        factors: &[f32; RESOURCES],
        at: usize,
    ) -> S::f32s {
        let (mut after, mut before) = (Ends::new(simd), Ends::new(simd));
        let mut mean = simd.splat_f32s(0.0);
        let wants = plan.wants.iter().zip(factors);
        for (stock, (want, factor)) in self.stocks.iter().zip(wants) {
            if *factor > 0.0 {
                let inverse = simd.splat_f32s(stock.inverse.0[0]);
                let free = stock.free(simd, at, want.need);
                mean = simd.mul_add_e_f32s(free, simd.splat_f32s(*factor), mean);
                after.take(simd, simd.mul_f32s(free, inverse));
                before.take(simd, simd.mul_f32s(stock.free(simd, at, 0.0), inverse));
            }
        }
        if factors.iter().all(|factor| *factor == 0.0) {
            return simd.splat_f32s(0.0);
        }
        fullness(simd, mean, &after, &before)
    }

    #[inline(always)]
    fn fullness<S: Simd>(&self, simd: S, plan: &Plan, at: usize) -> S::f32s {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let (mut after, mut before) = (Ends::new(simd), Ends::new(simd));
        let mut rated = zero;
        for (stock, want) in self.stocks.iter().zip(&plan.wants) {
            if want.weight > 0.0 {
                let inverse = stock.inverse(simd, at);
                rated = simd.max_f32s(rated, inverse);
                let known = simd.less_than_f32s(zero, inverse);
                for (ends, need) in [(&mut after, want.need), (&mut before, 0.0)] {
                    let left = simd.mul_f32s(stock.free(simd, at, need), inverse);
                    ends.most = simd.max_f32s(ends.most, left);
                    let least = simd.select_f32s(known, left, one);
                    ends.least = simd.min_f32s(ends.least, least);
                }
            }
        }
        let value = fullness(simd, self.mean_left(simd, plan, at), &after, &before);
        simd.select_f32s(simd.less_than_f32s(zero, rated), value, zero)
    }

    /// Less what it costs that the machine stays longer or shorter than the hosts' last ones.
    #[inline(always)]
    fn less_stay<S: Simd>(&self, simd: S, plan: &Plan, at: usize, value: S::f32s) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        let (longer, shorter) = stay::step_costs();
        let last = S::as_simd_f32s(&self.stays.0).0[at];
        let steps = simd.sub_f32s(simd.splat_f32s(plan.stay), last);
        let over = simd.mul_f32s(simd.max_f32s(steps, zero), simd.splat_f32s(longer));
        let under = simd.mul_f32s(simd.min_f32s(steps, zero), simd.splat_f32s(-shorter));
        let less = simd.sub_f32s(value, simd.add_f32s(over, under));
        let known = simd.less_than_f32s(zero, last);
        simd.select_f32s(known, simd.max_f32s(less, zero), value)
    }

    #[inline(always)]
    fn has_features<S: Simd>(&self, simd: S, plan: &Plan, at: usize) -> S::m32s {
        let mut lacks = simd.splat_u32s(0);
        for (column, wanted) in self.features.iter().zip(plan.features) {
            // What is not asked for is not fetched.
            if wanted != 0 {
                let features = S::as_simd_u32s(&column.0).0[at];
                let missing = simd.and_u32s(simd.splat_u32s(wanted), simd.not_u32s(features));
                lacks = simd.or_u32s(lacks, missing);
            }
        }
        simd.equal_u32s(lacks, simd.splat_u32s(0))
    }

    /// Whether all that must fit does.
    #[inline(always)]
    fn fits<S: Simd>(&self, simd: S, plan: &Plan, at: usize) -> S::m32s {
        let mut fits = simd.equal_u32s(simd.splat_u32s(0), simd.splat_u32s(0));
        for (stock, want) in self.stocks.iter().zip(&plan.wants) {
            if want.is_limited {
                let room = S::as_simd_f32s(&stock.room.0).0[at];
                let has_room = simd.less_than_or_equal_f32s(simd.splat_f32s(want.need), room);
                fits = simd.and_m32s(fits, has_room);
            }
        }
        fits
    }

    #[inline(always)]
    fn has_size<S: Simd>(&self, simd: S, plan: &Plan, size: usize, at: usize) -> S::m32s {
        let wanted = plan.sizes[size];
        if wanted == 0.0 {
            return simd.equal_u32s(simd.splat_u32s(0), simd.splat_u32s(0));
        }
        let most = S::as_simd_f32s(&self.largest[size].0).0[at];
        simd.less_than_or_equal_f32s(simd.splat_f32s(wanted), most)
    }

    /// Counts the hosts of the block by what they lack first.
    #[inline(always)]
    pub(in crate::core::scan) fn tally<S: Simd>(&self, simd: S, plan: &Plan, tally: &mut Tally) {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let mut able = [zero; 4];
        for at in 0..LANES / S::F32_LANES {
            let featured = self.has_features(simd, plan, at);
            let fitting = simd.and_m32s(featured, self.fits(simd, plan, at));
            let wide = simd.and_m32s(fitting, self.has_size(simd, plan, 0, at));
            let large = simd.and_m32s(wide, self.has_size(simd, plan, 1, at));
            for (able, has) in able.iter_mut().zip([featured, fitting, wide, large]) {
                *able = simd.add_f32s(*able, simd.select_f32s(has, one, zero));
            }
        }
        // At most 64: exact.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let [features, resources, processors, disk] = [
            simd.reduce_sum_f32s(able[0]) as usize,
            simd.reduce_sum_f32s(able[1]) as usize,
            simd.reduce_sum_f32s(able[2]) as usize,
            simd.reduce_sum_f32s(able[3]) as usize,
        ];
        tally.features += self.rows.count_ones() as usize - features;
        tally.resources += features - resources;
        tally.processors += resources - processors;
        tally.disk += processors - disk;
        tally.able += disk;
    }
}

/// What is left of the resource that has most left, and of the one that has least.
struct Ends<S: Simd> {
    most: S::f32s,
    least: S::f32s,
}

impl<S: Simd> Ends<S> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        Self {
            most: simd.splat_f32s(0.0),
            least: simd.splat_f32s(1.0),
        }
    }

    #[inline(always)]
    fn take(&mut self, simd: S, left: S::f32s) {
        self.most = simd.max_f32s(self.most, left);
        self.least = simd.min_f32s(self.least, left);
    }
}

#[inline(always)]
fn fullness<S: Simd>(simd: S, mean: S::f32s, after: &Ends<S>, before: &Ends<S>) -> S::f32s {
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    let spread = simd.sub_f32s(after.most, after.least);
    let spread_before = simd.sub_f32s(before.most, before.least);
    let imbalance = simd.sub_f32s(spread, spread_before);
    let balance = simd.splat_f32s(-1.0 / fullness::BALANCE_PARTS as f32);
    let value = simd.mul_add_e_f32s(imbalance, balance, simd.sub_f32s(one, mean));
    simd.min_f32s(simd.max_f32s(value, zero), one)
}

impl Stock {
    #[inline(always)]
    fn inverse<S: Simd>(&self, simd: S, at: usize) -> S::f32s {
        let _ = simd;
        S::as_simd_f32s(&self.inverse.0).0[at]
    }

    /// What is left, at least 0.
    #[inline(always)]
    fn free<S: Simd>(&self, simd: S, at: usize, need: f32) -> S::f32s {
        let room = S::as_simd_f32s(&self.room.0).0[at];
        let left = simd.sub_f32s(room, simd.splat_f32s(need));
        simd.max_f32s(left, simd.splat_f32s(0.0))
    }
}
