//! The pattern that is worth most at given prices: a knapsack over processors and memory.
//!
//! For each number of processors it keeps those ways to use them that are worth more than every way with less memory.
#![allow(clippy::indexing_slicing)] // Levels are indexed by what runs below their number.

use super::Size;
use super::program::Pattern;

/// Steps that processors are counted in, at most; with finer sizes they are rounded up.
const LEVELS_MAX: u32 = 256;

/// Ways that are kept for each number of processors. More find patterns that are worth a thousandth more.
const WAYS_MAX: usize = 32;

pub(super) struct Knapsack {
    levels: usize,
    memory: u32,
    /// Levels and memory of each size.
    sizes: Vec<(usize, u32)>,
}

/// A way to use processors, and the one that it adds a machine to.
#[derive(Clone, Copy)]
struct Way {
    memory: u32,
    worth: f64,
    size: usize,
    before: (usize, usize),
}

impl Knapsack {
    pub(super) fn new([cpus, memory]: Size, sizes: &[Size]) -> Self {
        let common = sizes
            .iter()
            .fold(cpus, |common, [cpu, _]| gcd(common, *cpu));
        let step = common.max(cpus.div_ceil(LEVELS_MAX)).max(1);
        let level = |[cpu, memory]: &Size| (cpu.div_ceil(step).min(cpus / step) as usize, *memory);
        Self {
            levels: (cpus / step) as usize,
            memory,
            sizes: sizes.iter().map(level).collect(),
        }
    }

    /// The pattern that is worth most, and its worth.
    pub(super) fn best(&self, prices: &[f64]) -> (Pattern, f64) {
        let nothing = Way {
            memory: 0,
            worth: 0.0,
            size: usize::MAX,
            before: (0, 0),
        };
        let mut ways: Vec<Vec<Way>> = vec![Vec::new(); self.levels + 1];
        ways[0].push(nothing);
        let mut best = (0, 0);
        for level in 0..=self.levels {
            thin(&mut ways[level]);
            for at in 0..ways[level].len() {
                let way = ways[level][at];
                if way.worth > ways[best.0][best.1].worth {
                    best = (level, at);
                }
                for (size, (&(levels, memory), &price)) in self.sizes.iter().zip(prices).enumerate()
                {
                    let to = level + levels.max(1);
                    let memory = way.memory.saturating_add(memory);

                    if price > 0.0 && to <= self.levels && memory <= self.memory {
                        ways[to].push(Way {
                            memory,
                            worth: way.worth + price,
                            size,
                            before: (level, at),
                        });
                    }
                }
            }
        }
        let worth = ways[best.0][best.1].worth;
        (self.pattern(&ways, best), worth)
    }

    fn pattern(&self, ways: &[Vec<Way>], mut at: (usize, usize)) -> Pattern {
        let mut pattern = vec![0; self.sizes.len()];
        loop {
            let way = ways[at.0][at.1];
            let Some(count) = pattern.get_mut(way.size) else {
                return pattern;
            };
            *count += 1;
            at = way.before;
        }
    }
}

/// Keeps the ways that are worth more than those with less memory, and of too many some from end to end.
fn thin(ways: &mut Vec<Way>) {
    ways.sort_by(|a, b| a.memory.cmp(&b.memory).then(b.worth.total_cmp(&a.worth)));
    let mut most = f64::NEG_INFINITY;
    ways.retain(|way| {
        let is_more = way.worth > most;
        most = most.max(way.worth);
        is_more
    });
    let count = ways.len();
    if count > WAYS_MAX {
        let kept = (0..WAYS_MAX).map(|at| ways[at * (count - 1) / (WAYS_MAX - 1)]);
        *ways = kept.collect();
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
