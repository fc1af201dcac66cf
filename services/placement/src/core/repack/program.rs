//! The linear program: the fewest hosts, in fractions, so that every size is packed as often as there are machines of it.
#![allow(clippy::indexing_slicing)] // Square matrices, indexed by what runs below their order.

use super::Size;
use super::knapsack::Knapsack;

/// Rounds of column generation. Some hundred are usual for 48 sizes; what is left open after these many is little.
const ROUNDS_MAX: usize = 400;

/// What a pattern must be worth more than a host, so that rounding alone never goes on.
const GAIN_MIN: f64 = 1e-6;

/// So many of each size on one host.
pub(super) type Pattern = Vec<u32>;

pub(super) struct Solved {
    pub(super) patterns: Vec<(Pattern, f64)>,
    pub(super) value: f64,
}

/// A basis of the program: one pattern for each size, how often it is used, and the inverse of the matrix of patterns.
struct Basis {
    patterns: Vec<Pattern>,
    times: Vec<f64>,
    inverse: Vec<Vec<f64>>,
}

pub(super) fn solve(host: Size, sizes: &[Size], counts: &[f64]) -> Solved {
    let mut basis = Basis::of_single_sizes(host, sizes, counts);
    let knapsack = Knapsack::new(host, sizes);
    for _ in 0..ROUNDS_MAX {
        let prices = basis.prices();
        let (pattern, worth) = knapsack.best(&prices);
        if worth <= 1.0 + GAIN_MIN || !basis.enter(pattern) {
            break;
        }
    }
    let value = basis.times.iter().sum();
    let patterns = basis.patterns.into_iter().zip(basis.times).collect();
    Solved { patterns, value }
}

impl Basis {
    fn of_single_sizes(host: Size, sizes: &[Size], counts: &[f64]) -> Self {
        let order = sizes.len();
        let most = |size: &Size| {
            let of = |r: usize| host[r].checked_div(size[r]).unwrap_or(u32::MAX);
            of(0).min(of(1)).max(1)
        };
        let mut basis = Self {
            patterns: vec![vec![0; order]; order],
            times: vec![0.0; order],
            inverse: vec![vec![0.0; order]; order],
        };
        for (at, (size, count)) in sizes.iter().zip(counts).enumerate() {
            let most = most(size);
            basis.patterns[at][at] = most;
            basis.times[at] = count / f64::from(most);
            basis.inverse[at][at] = 1.0 / f64::from(most);
        }
        basis
    }

    /// What one more machine of each size would cost, in hosts.
    fn prices(&self) -> Vec<f64> {
        let order = self.times.len();
        let mut prices = vec![0.0; order];
        for row in &self.inverse {
            for (price, part) in prices.iter_mut().zip(row) {
                *price += part;
            }
        }
        prices
    }

    /// Takes a pattern in for the one that it drives out. `false`: none can leave.
    fn enter(&mut self, pattern: Pattern) -> bool {
        let direction: Vec<f64> = self
            .inverse
            .iter()
            .map(|row| {
                row.iter()
                    .zip(&pattern)
                    .map(|(part, n)| part * f64::from(*n))
                    .sum()
            })
            .collect();
        let mut leaving: Option<(usize, f64)> = None;
        for (at, (time, step)) in self.times.iter().zip(&direction).enumerate() {
            if *step > 1e-9 && leaving.is_none_or(|(_, least)| time / step < least) {
                leaving = Some((at, time / step));
            }
        }
        let Some((out, times)) = leaving else {
            return false;
        };
        let pivot = direction[out];
        let pivot_row: Vec<f64> = self.inverse[out].iter().map(|part| part / pivot).collect();
        for (at, step) in direction.iter().enumerate() {
            if at != out {
                self.times[at] = (self.times[at] - step * times).max(0.0);
                for (part, of_pivot) in self.inverse[at].iter_mut().zip(&pivot_row) {
                    *part -= step * of_pivot;
                }
            }
        }
        self.times[out] = times;
        self.inverse[out] = pivot_row;
        self.patterns[out] = pattern;
        true
    }
}
