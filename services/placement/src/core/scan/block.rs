//! 64 hosts in columns, and the estimate of how good each is.
//!
//! Written in vector operations, since the compiler finds only some of them by itself. All is inlined into its caller, which
//! is compiled for each kind of processor. Columns are indexed by what runs over a column of the same length.
#![allow(clippy::indexing_slicing)]

use pulp::Simd;

use super::Order;
use crate::core::model::{Amounts, Ask, Goal, RESOURCES, Row, SCORE_ONE};
use crate::core::pack;

/// Hosts in a block: one bit of a word each.
pub(super) const LANES: usize = 64;

/// The estimate of a host that cannot take the machine. All others are above it.
pub(super) const MISFIT: f32 = -1.0;

/// How far an estimate, 0 to 1, may be off the definition. Each float operation is off by 2^-24 of its value at most, each
/// rounding down of the definition by one part of [`SCORE_ONE`]; a score has about a dozen of them, a tightness twice that.
pub(super) const ERROR_MAX: f32 = 64.0 / SCORE_ONE as f32;

/// Amounts up to this are whole numbers in a float, and so are their differences: whether a machine fits is never estimated.
const AMOUNT_MAX: u32 = 1 << 24;

type Column<T> = [T; LANES];

/// One resource of 64 hosts.
#[derive(Clone, Debug)]
struct Stock {
    /// What there is less what is used; -1 for any less than 0.
    room: Column<f32>,
    /// One over what there is; 0 where that is not known.
    inverse: Column<f32>,
}

#[derive(Clone, Debug)]
pub(super) struct Block {
    rows: u64,
    /// The same resources are known of all hosts.
    is_alike: bool,
    stocks: [Stock; RESOURCES],
    features: [Column<u32>; 2],
}

/// A resource of an [`Ask`].
#[derive(Clone, Copy)]
struct Want {
    need: f32,
    /// What there must be room for; -1: any will do.
    least: f32,
    weight: f32,
}

/// An [`Ask`] in the form of columns.
pub(super) struct Plan {
    wants: [Want; RESOURCES],
    features: [u32; 2],
    order: Order,
    goal: Goal,
}

impl Plan {
    pub(super) fn new(ask: &Ask, order: Order) -> Self {
        // Needs and weights are below 2^24: exact.
        let wants = std::array::from_fn(|resource| Want {
            need: ask.need[resource] as f32,
            least: if ask.limits & (1 << resource) != 0 {
                ask.need[resource] as f32
            } else {
                -1.0
            },
            weight: ask.weights[resource] as f32,
        });
        Self {
            wants,
            features: halves(ask.features),
            order,
            goal: ask.goal,
        }
    }
}

/// Whether columns can hold all amounts of a row or an ask.
pub(super) fn can_hold(amounts: &Amounts) -> bool {
    amounts.iter().all(|amount| *amount <= AMOUNT_MAX)
}

#[allow(clippy::cast_possible_truncation)]
fn halves(features: u64) -> [u32; 2] {
    [features as u32, (features >> 32) as u32]
}

impl Block {
    pub(super) fn new(rows: &[Row]) -> Self {
        let mut block = Self {
            rows: 0,
            is_alike: true,
            stocks: [const { Stock::UNKNOWN }; RESOURCES],
            features: [[0; LANES]; 2],
        };
        for (lane, row) in rows.iter().enumerate() {
            block.set(lane, row);
        }
        block
    }

    #[allow(clippy::cast_possible_truncation)]
    pub(super) fn set(&mut self, lane: usize, row: &Row) {
        self.rows |= 1 << lane;
        let amounts = row.total.iter().zip(row.used).enumerate();
        for (stock, (resource, (&total, used))) in self.stocks.iter_mut().zip(amounts) {
            let is_known = row.rated & (1 << resource) != 0;
            // Of nothing, nothing is left, whatever one over it is.
            let one_over = if is_known {
                1.0 / f64::from(total.max(1))
            } else {
                0.0
            };
            let free = total.checked_sub(used).map(|free| free as f32);
            put(&mut stock.room, lane, free.unwrap_or(-1.0));
            put(&mut stock.inverse, lane, one_over as f32);
        }
        for (column, half) in self.features.iter_mut().zip(halves(row.features)) {
            put(column, lane, half);
        }
        let is_alike = |stock: &Stock| {
            let known = |lane: &f32| *lane > 0.0;
            let rows = self.rows.trailing_ones() as usize;
            let (mut some, first) = (stock.inverse.iter().take(rows), stock.inverse[0]);
            some.all(|inverse| known(inverse) == known(&first))
        };
        self.is_alike = self.stocks.iter().all(is_alike);
    }

    /// Estimates every host of the block that is in `among`, and answers the highest estimate.
    #[inline(always)]
    pub(super) fn estimate<S: Simd>(
        &self,
        simd: S,
        plan: &Plan,
        among: u64,
        values: &mut Column<f32>,
    ) -> f32 {
        let among = among & self.rows;
        if among == 0 {
            *values = [MISFIT; LANES];
            return MISFIT;
        }
        let highest = match plan.order {
            Order::Score if self.is_alike => {
                let wanted = self.wanted(plan);
                self.each(simd, plan, values, |at| wanted.scores(simd, self, at))
            }
            Order::Score => self.each(simd, plan, values, |at| self.scores(simd, plan, at)),
            Order::Tightness => {
                let counted = self.counted(plan);
                self.each(simd, plan, values, |at| {
                    tightnesses(simd, plan, &counted, at)
                })
            }
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
        values: &mut Column<f32>,
        estimate: impl Fn(usize) -> S::f32s,
    ) -> f32 {
        let misfit = simd.splat_f32s(MISFIT);
        let mut highest = misfit;
        for (at, place) in S::as_mut_simd_f32s(values).0.iter_mut().enumerate() {
            *place = simd.select_f32s(self.fits(simd, plan, at), estimate(at), misfit);
            highest = simd.max_f32s(highest, *place);
        }
        simd.reduce_max_f32s(highest)
    }

    /// The score as a sum, where the same is known of all hosts.
    #[inline(always)]
    fn wanted(&self, plan: &Plan) -> Wanted {
        let weights: [f32; RESOURCES] = std::array::from_fn(|resource| {
            let is_known = self.stocks[resource].inverse[0] > 0.0;
            if is_known {
                plan.wants[resource].weight
            } else {
                0.0
            }
        });
        let weight: f32 = weights.iter().sum();
        let one_over = if weight > 0.0 { 1.0 / weight } else { 0.0 };
        let (base, factor) = match plan.goal {
            Goal::Maximise if weight > 0.0 => (1.0, -one_over),
            Goal::Maximise | Goal::Balance => (0.0, one_over),
        };
        Wanted {
            needs: plan.wants.map(|want| want.need),
            weights: weights.map(|weight| weight * factor),
            base,
        }
    }

    /// What there is of the resources that count.
    #[inline(always)]
    fn counted(&self, plan: &Plan) -> [&Stock; RESOURCES] {
        let counts = |resource: usize| plan.wants[resource].weight > 0.0;
        std::array::from_fn(|at| {
            if counts(at) {
                &self.stocks[at]
            } else {
                &Stock::UNKNOWN
            }
        })
    }

    #[inline(always)]
    fn scores<S: Simd>(&self, simd: S, plan: &Plan, at: usize) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        let (mut sum, mut weight) = (zero, zero);
        for (stock, want) in self.stocks.iter().zip(&plan.wants) {
            let wanted = simd.splat_f32s(want.weight);
            let left = stock.left(simd, at, want.need);
            sum = simd.add_f32s(sum, simd.mul_f32s(left, wanted));
            let known = stock.known(simd, at);
            weight = simd.add_f32s(weight, simd.select_f32s(known, wanted, zero));
        }
        // No weight: nothing that counts is known, and the score is 0.
        let one = simd.splat_f32s(1.0);
        let some = simd.less_than_f32s(zero, weight);
        let share = simd.div_f32s(sum, simd.select_f32s(some, weight, one));
        match plan.goal {
            Goal::Balance => share,
            Goal::Maximise => simd.select_f32s(some, simd.sub_f32s(one, share), zero),
        }
    }

    /// Whether all that must fit does, and all features that are wanted are there.
    #[inline(always)]
    fn fits<S: Simd>(&self, simd: S, plan: &Plan, at: usize) -> S::m32s {
        let [low, high] = &self.features;
        let missing = |features: &Column<u32>, wanted: u32| {
            let features = S::as_simd_u32s(features).0[at];
            simd.and_u32s(simd.splat_u32s(wanted), simd.not_u32s(features))
        };
        let [want_low, want_high] = plan.features;
        // What is not asked for is not fetched.
        let high = if want_high == 0 { low } else { high };
        let missing = simd.or_u32s(missing(low, want_low), missing(high, want_high));
        let mut fits = simd.equal_u32s(missing, simd.splat_u32s(0));
        for (stock, want) in self.stocks.iter().zip(&plan.wants) {
            let room = S::as_simd_f32s(&stock.room).0[at];
            let has_room = simd.less_than_or_equal_f32s(simd.splat_f32s(want.least), room);
            fits = simd.and_m32s(fits, has_room);
        }
        fits
    }
}

/// A score as a sum: a base, and what is left of each resource times a weight.
struct Wanted {
    needs: [f32; RESOURCES],
    weights: [f32; RESOURCES],
    base: f32,
}

impl Wanted {
    #[inline(always)]
    fn scores<S: Simd>(&self, simd: S, block: &Block, at: usize) -> S::f32s {
        let mut sum = simd.splat_f32s(self.base);
        let wants = self.needs.iter().zip(&self.weights);
        for (stock, (&need, &weight)) in block.stocks.iter().zip(wants) {
            let part = simd.mul_f32s(stock.left(simd, at, need), simd.splat_f32s(weight));
            sum = simd.add_f32s(sum, part);
        }
        sum
    }
}

#[inline(always)]
fn tightnesses<S: Simd>(simd: S, plan: &Plan, stocks: &[&Stock; RESOURCES], at: usize) -> S::f32s {
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    let (mut most, mut least, mut most_before, mut least_before) = (zero, one, zero, one);
    for (stock, want) in stocks.iter().zip(&plan.wants) {
        let known = stock.known(simd, at);
        let left = stock.left(simd, at, want.need);
        most = simd.max_f32s(most, left);
        least = simd.min_f32s(least, simd.select_f32s(known, left, one));
        let before = stock.left(simd, at, 0.0);
        most_before = simd.max_f32s(most_before, before);
        least_before = simd.min_f32s(least_before, simd.select_f32s(known, before, one));
    }
    let (weight_left, weight_balance) = (pack::LEFT as f32, pack::BALANCE as f32);
    let spread = simd.sub_f32s(most, least);
    let balance = simd.sub_f32s(spread, simd.sub_f32s(most_before, least_before));
    let cost = simd.add_f32s(
        simd.mul_f32s(most, simd.splat_f32s(weight_left)),
        simd.mul_f32s(balance, simd.splat_f32s(weight_balance)),
    );
    let value = simd.sub_f32s(simd.splat_f32s(weight_left + weight_balance), cost);
    let scale = 1.0 / (weight_left + 2.0 * weight_balance);
    simd.mul_f32s(value, simd.splat_f32s(scale))
}

impl Stock {
    /// Of a resource that does not count.
    const UNKNOWN: Self = Self {
        room: [0.0; LANES],
        inverse: [0.0; LANES],
    };

    /// What is left, 0 to 1.
    #[inline(always)]
    fn left<S: Simd>(&self, simd: S, at: usize, need: f32) -> S::f32s {
        let room = S::as_simd_f32s(&self.room).0[at];
        let left = simd.sub_f32s(room, simd.splat_f32s(need));
        let left = simd.max_f32s(left, simd.splat_f32s(0.0));
        simd.mul_f32s(left, S::as_simd_f32s(&self.inverse).0[at])
    }

    /// Whether there is a number for this resource.
    #[inline(always)]
    fn known<S: Simd>(&self, simd: S, at: usize) -> S::m32s {
        let inverse = S::as_simd_f32s(&self.inverse).0[at];
        simd.less_than_f32s(simd.splat_f32s(0.0), inverse)
    }
}

fn put<T>(column: &mut Column<T>, lane: usize, value: T) {
    if let Some(place) = column.get_mut(lane) {
        *place = value;
    }
}
