//! Which machines to move so that hosts become empty: many for few moves.
//!
//! The hosts with the fewest machines are tried first. A host is emptied whole or not at all: each of its machines, largest
//! first, goes where it sits tightest, on a host that stays. Empty hosts are never filled.

use super::model::{Ask, Resource, Row, of};
use super::scan::{Columns, Order, RowSet};

/// A machine where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The caller's name for it.
    pub vm: usize,
    pub ask: Ask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    pub vm: usize,
    pub from: usize,
    pub to: usize,
}

/// Hosts in a row that could not be emptied, after which the rest, which are fuller, are left alone.
const FAILURES_MAX: usize = 32;

/// Moves that empty hosts, at most `moves_max`, host after host. `seats` are the machines of each row of `hosts`, which is
/// left as it is after the moves.
pub fn plan(hosts: &mut Columns, seats: &[Vec<Seat>], moves_max: usize) -> Vec<Move> {
    let mut order: Vec<usize> = (0..seats.len()).collect();
    let count = |at: &usize| seats.get(*at).map_or(0, Vec::len);
    order.retain(|at| count(at) > 0);
    order.sort_by_key(|at| (count(at), *at));
    let mut open: RowSet = order.iter().copied().collect();
    let mut moves: Vec<Move> = Vec::new();
    let mut filled = RowSet::default();
    let mut failures = 0;
    for from in order {
        let left = moves_max - moves.len();
        let here = seats.get(from).map_or(&[][..], Vec::as_slice);
        if here.len() > left || failures > FAILURES_MAX {
            break;
        }
        // What came here moments ago would have to move again.
        if filled.has(from) {
            continue;
        }
        open.remove(from);
        if let Some(found) = empty(hosts, here, from, &open) {
            found.iter().for_each(|step| filled.insert(step.to));
            moves.extend(found);
            failures = 0;
        } else {
            open.insert(from);
            failures += 1;
        }
    }
    moves
}

/// Moves that empty a host, or `None` and all as it was.
fn empty(hosts: &mut Columns, seats: &[Seat], from: usize, open: &RowSet) -> Option<Vec<Move>> {
    let mut largest_first: Vec<&Seat> = seats.iter().collect();
    let size = |seat: &&Seat| {
        let [cpu, memory] = [Resource::Cpu, Resource::Memory].map(|r| of(&seat.ask.need, r));
        (std::cmp::Reverse((memory, cpu)), seat.vm)
    };
    largest_first.sort_by_key(size);
    let mut moves = Vec::new();
    let mut before = Vec::new();
    for seat in largest_first {
        let Some(to) = hosts.best(&seat.ask, Order::Tightness, Some(open)) else {
            before
                .into_iter()
                .rev()
                .for_each(|(at, row)| hosts.set(at, row));
            return None;
        };
        let row = *hosts.rows().get(to.at)?;
        before.push((to.at, row));
        hosts.set(to.at, with(row, &seat.ask));
        moves.push(Move {
            vm: seat.vm,
            from,
            to: to.at,
        });
    }
    let row = *hosts.rows().get(from)?;
    let emptied = seats.iter().fold(row, |row, seat| without(row, &seat.ask));
    hosts.set(from, emptied);
    Some(moves)
}

/// A host with one more machine.
pub fn with(mut row: Row, ask: &Ask) -> Row {
    for (used, need) in row.used.iter_mut().zip(ask.need) {
        *used = used.saturating_add(need);
    }
    row
}

/// A host without a machine.
pub fn without(mut row: Row, ask: &Ask) -> Row {
    for (used, need) in row.used.iter_mut().zip(ask.need) {
        *used = used.saturating_sub(need);
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{Goal, fits};

    const BOTH: u8 = Resource::Cpu.bit() | Resource::Memory.bit();

    fn seat(vm: usize, cpu: u32, memory: u32) -> Seat {
        let ask = Ask {
            need: [cpu, memory, 0, 0],
            limits: BOTH,
            features: 0,
            weights: [1, 1, 0, 0],
            goal: Goal::Maximise,
        };
        Seat { vm, ask }
    }

    fn hosts(seats: &[Vec<Seat>]) -> Columns {
        let empty = Row {
            total: [64, 256, 0, 0],
            rated: BOTH,
            ..Row::default()
        };
        let carrying = |seats: &Vec<Seat>| seats.iter().fold(empty, |row, s| with(row, &s.ask));
        Columns::new(seats.iter().map(carrying).collect())
    }

    #[test]
    fn the_emptiest_host_is_emptied_into_the_fullest_that_fit() {
        let seats = [
            vec![seat(0, 4, 8), seat(1, 8, 8)],
            vec![],
            (2..6).map(|vm| seat(vm, 14, 50)).collect(),
            (6..9).map(|vm| seat(vm, 12, 50)).collect(),
        ];
        let mut hosts = hosts(&seats);
        let moves = plan(&mut hosts, &seats, 2);
        let there: Vec<(usize, usize)> = moves.iter().map(|step| (step.vm, step.to)).collect();
        assert_eq!(there, [(1, 2), (0, 3)]);
        assert_eq!(hosts.rows()[0].used, [0; 4]);
    }

    #[test]
    fn a_host_is_emptied_whole_or_not_at_all_and_nothing_is_overfilled() {
        let seats = [
            vec![seat(0, 30, 100), seat(1, 30, 20)],
            vec![seat(2, 30, 100), seat(3, 4, 20), seat(4, 1, 1)],
        ];
        let mut hosts = hosts(&seats);
        let before = hosts.rows().to_vec();
        assert_eq!(plan(&mut hosts, &seats, 100), []);
        assert_eq!(hosts.rows(), before);
        let ask = Ask {
            need: [0; 4],
            ..seats[0][0].ask
        };
        assert!(hosts.rows().iter().all(|row| fits(row, &ask)));
        assert_eq!(plan(&mut hosts, &seats, 1), []);
    }
}
