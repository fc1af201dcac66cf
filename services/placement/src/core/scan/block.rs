//! 64 hosts in columns. Those are indexed by what runs over a column of the same length.
#![allow(clippy::indexing_slicing)]

mod estimate;

use crate::core::model::{Ask, Goal, RESOURCES, Row, SCORE_ONE, SIZES};

/// Hosts in a block: one bit of a word each.
pub(super) const LANES: usize = 64;

/// The estimate of a host that cannot take the machine. All others are above it.
pub(super) const MISFIT: f32 = -1.0;

/// How far an estimate, 0 to 1, may be off the definition. Each float operation is off by 2^-24 of its value at most, each
/// rounding down of the definition by one part of [`SCORE_ONE`]; there are about two dozen of them.
pub(super) const ERROR_MAX: f32 = 64.0 / SCORE_ONE as f32;

/// Amounts up to this are whole numbers in a float, and so are their differences: whether a machine fits is never estimated.
const AMOUNT_MAX: u32 = 1 << 24;

/// One number of each host, so that no vector lies across two lines of the processor's cache.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Column<T>([T; LANES]);

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
    /// All hosts have the same of everything: what is one over it need not be fetched for each.
    is_alike: bool,
    stocks: [Stock; RESOURCES],
    features: [Column<u32>; 2],
    largest: [Column<f32>; SIZES],
    /// Levels of `stay`; 0: not known.
    stays: Column<f32>,
}

/// A resource of an [`Ask`].
#[derive(Clone, Copy)]
struct Want {
    need: f32,
    is_limited: bool,
    weight: f32,
}

/// An [`Ask`] in the form of columns.
pub(super) struct Plan {
    wants: [Want; RESOURCES],
    features: [u32; 2],
    sizes: [f32; SIZES],
    goal: Goal,
    /// A level of `stay`; 0: not known, or not asked for.
    stay: f32,
}

impl Plan {
    /// Needs, sizes and weights are below 2^24: exact.
    pub(super) fn new(ask: &Ask) -> Self {
        let want = |resource: usize| Want {
            need: ask.need[resource] as f32,
            is_limited: ask.limits & (1 << resource) != 0,
            weight: ask.weights[resource] as f32,
        };
        Self {
            wants: std::array::from_fn(want),
            features: halves(ask.features),
            sizes: ask.size.map(|size| size as f32),
            goal: ask.goal,
            stay: match ask.goal {
                Goal::Balance => 0.0,
                Goal::Maximise => f32::from(ask.stay.level()),
            },
        }
    }
}

/// Whether columns can hold all amounts of a row or an ask.
pub(super) fn can_hold(amounts: &[u32]) -> bool {
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
            stocks: std::array::from_fn(|_| Stock {
                room: Column([0.0; LANES]),
                inverse: Column([0.0; LANES]),
            }),
            features: [const { Column([0; LANES]) }; 2],
            largest: [const { Column([0.0; LANES]) }; SIZES],
            stays: Column([0.0; LANES]),
        };
        for (lane, row) in rows.iter().enumerate() {
            block.put(lane, row);
        }
        block.is_alike = block.looks_alike();
        block
    }

    pub(super) fn set(&mut self, lane: usize, row: &Row) {
        self.put(lane, row);
        self.is_alike = self.looks_alike();
    }

    #[allow(clippy::cast_possible_truncation)]
    fn put(&mut self, lane: usize, row: &Row) {
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
            stock.room.0[lane] = free.unwrap_or(-1.0);
            stock.inverse.0[lane] = one_over as f32;
        }
        for (column, half) in self.features.iter_mut().zip(halves(row.features)) {
            column.0[lane] = half;
        }
        // No size that is asked for is larger.
        for (column, most) in self.largest.iter_mut().zip(row.largest) {
            column.0[lane] = most.min(AMOUNT_MAX) as f32;
        }
        self.stays.0[lane] = f32::from(row.stay.level());
    }

    fn looks_alike(&self) -> bool {
        let rows = self.rows.trailing_ones() as usize;
        let is_one = |stock: &Stock| {
            let some = &stock.inverse.0[..rows];
            some.iter().all(|inverse| *inverse == some[0])
        };
        self.stocks.iter().all(is_one)
    }
}
