//! How few hosts of one kind machines would fit on, and which machines together: what a fleet could shrink to.
//!
//! Machines of one size are alike, so the question is how often to use each pattern (so many of each size on one host). The
//! linear program over all patterns is solved by column generation: the duals of its sizes price a new pattern, which a
//! knapsack over two resources finds; when none is worth more than a host, the program is solved, and its value is a bound.
//! Patterns are used as often as their whole part says; the few machines that are left go where they sit tightest.
//!
//! Floats are added, multiplied and divided one by one, which every machine does alike; of equals the first one wins.

mod knapsack;
mod program;

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Processors and memory, in any units that hosts and machines share.
pub type Size = [u32; 2];

/// Sizes that are told apart; with more of them memory is rounded up until there are no more.
const SIZES_MAX: usize = 48;

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The machines of each host, by index.
    pub hosts: Vec<Vec<usize>>,
    /// The value of the linear program: about as many hosts are needed at least. Exact where sizes were not rounded.
    pub bound: f64,
    /// Machines that are larger than a host.
    pub too_large: Vec<usize>,
}

/// Packs machines on as few hosts of one kind as it finds.
pub fn plan(host: Size, machines: &[Size]) -> Plan {
    let fits = |size: &Size| size.iter().zip(host).all(|(need, there)| *need <= there);
    let (fitting, too_large): (Vec<usize>, Vec<usize>) =
        (0..machines.len()).partition(|at| machines.get(*at).is_some_and(fits));
    let mut queues = by_size(host, machines, &fitting);
    let sizes: Vec<Size> = queues.keys().copied().collect();
    let counts: Vec<f64> = queues.values().map(|queue| queue.len() as f64).collect();
    let solved = program::solve(host, &sizes, &counts);
    let mut hosts = Vec::new();
    for (pattern, times) in &solved.patterns {
        for _ in 0..whole(*times) {
            let host = take(&mut queues, &sizes, pattern);
            if !host.is_empty() {
                hosts.push(host);
            }
        }
    }
    let rest: Vec<usize> = queues.into_values().flatten().collect();
    fill(host, machines, &mut hosts, rest);
    // Of very many sizes, which had to be rounded, patterns can be the worse way.
    let mut plain = Vec::new();
    fill(host, machines, &mut plain, fitting);
    if plain.len() < hosts.len() {
        hosts = plain;
    }
    Plan {
        hosts,
        bound: solved.value,
        too_large,
    }
}

/// The whole part, of a number that may be a little below a whole one.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(times: f64) -> usize {
    (times + 1e-6).floor().max(0.0) as usize
}

/// Machines by size, of few sizes.
fn by_size(host: Size, machines: &[Size], some: &[usize]) -> BTreeMap<Size, Vec<usize>> {
    let [_, memory_max] = host;
    let mut step = 1;
    loop {
        let mut queues: BTreeMap<Size, Vec<usize>> = BTreeMap::new();
        for &at in some {
            if let Some(&[cpu, memory]) = machines.get(at) {
                let memory = memory.next_multiple_of(step).min(memory_max);
                queues.entry([cpu.max(1), memory]).or_default().push(at);
            }
        }
        if queues.len() <= SIZES_MAX || step >= memory_max.max(1) {
            return queues;
        }
        step *= 2;
    }
}

/// As many machines of each size as a pattern says and there still are.
fn take(queues: &mut BTreeMap<Size, Vec<usize>>, sizes: &[Size], pattern: &[u32]) -> Vec<usize> {
    let mut taken = Vec::new();
    for (size, count) in sizes.iter().zip(pattern) {
        if let Some(queue) = queues.get_mut(size) {
            let keep = queue.len().saturating_sub(*count as usize);
            taken.extend(queue.drain(keep..));
        }
    }
    taken
}

/// Puts the rest, largest first, where least of any resource is left, or on new hosts.
fn fill(host: Size, machines: &[Size], hosts: &mut Vec<Vec<usize>>, mut rest: Vec<usize>) {
    let size = |at: usize| machines.get(at).copied().unwrap_or_default();
    let less = |[c, m]: Size, [dc, dm]: Size| Some([c.checked_sub(dc)?, m.checked_sub(dm)?]);
    let mut room: Vec<Size> = hosts
        .iter()
        .map(|on| {
            on.iter()
                .fold(host, |room, at| less(room, size(*at)).unwrap_or_default())
        })
        .collect();
    // The larger share of a host, in parts of 2^16.
    let share = |[cpu, memory]: Size| {
        let of = |part: u32, all: u32| (u64::from(part) << 16) / u64::from(all.max(1));
        of(cpu, host[0]).max(of(memory, host[1]))
    };
    rest.sort_by_key(|at| (Reverse(share(size(*at))), *at));
    for at in rest {
        let need = size(at);
        let after = room
            .iter()
            .enumerate()
            .filter_map(|(h, room)| Some((h, less(*room, need)?)));
        let best = after.min_by_key(|(h, after)| (share(*after), *h));
        let (to, left) = best.unwrap_or_else(|| {
            hosts.push(Vec::new());
            room.push(host);
            (hosts.len() - 1, less(host, need).unwrap_or_default())
        });
        if let (Some(on), Some(room)) = (hosts.get_mut(to), room.get_mut(to)) {
            on.push(at);
            *room = left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_whole(plan: &Plan, host: Size, machines: &[Size]) {
        let mut all: Vec<usize> = plan.hosts.iter().flatten().copied().collect();
        all.extend(&plan.too_large);
        all.sort_unstable();
        assert_eq!(all, (0..machines.len()).collect::<Vec<_>>());
        for on in &plan.hosts {
            let sum = |r: usize| on.iter().map(|at| machines[*at][r]).sum::<u32>();
            assert!(sum(0) <= host[0] && sum(1) <= host[1], "{on:?}");
        }
    }

    #[test]
    fn opposites_are_put_together() {
        // Alone, 10 of the one kind or 4 of the other fill a host; together a host takes 4 and 8.
        let mut machines = vec![[2, 1]; 80];
        machines.extend(vec![[1, 8]; 40]);
        let plan = plan([20, 40], &machines);
        is_whole(&plan, [20, 40], &machines);
        assert_eq!(plan.hosts.len(), 10);
        assert!((plan.bound - 10.0).abs() < 1e-6, "{}", plan.bound);
    }

    #[test]
    fn every_machine_is_placed_once_and_no_host_is_overfilled() {
        let machines: Vec<Size> = (0..600_u32)
            .map(|i| [1 << (i % 3), 1_000 * (1 + i * 7_919 % 5)])
            .collect();
        let host = [64, 100_000];
        let plan = plan(host, &machines);
        is_whole(&plan, host, &machines);
        let most = plan.bound * 1.05 + 1.0;
        assert!(
            plan.hosts.len() as f64 <= most,
            "{} of {most}",
            plan.hosts.len()
        );
        assert_eq!(plan, super::plan(host, &machines));
    }

    #[test]
    fn nothing_and_what_is_too_large() {
        assert_eq!(plan([4, 4], &[]).hosts.len(), 0);
        let plan = plan([4, 4], &[[5, 1], [4, 4], [0, 0]]);
        assert_eq!(plan.too_large, [0]);
        is_whole(&plan, [4, 4], &[[5, 1], [4, 4], [0, 0]]);
    }
}
