//! Which machines to move so that hosts become empty: many for few moves.
//!
//! The hosts with the fewest machines are tried first. A host is emptied whole or not at all: each of its machines, largest
//! first, goes where the host becomes fullest, on a host that stays. Where it fits nowhere, one other machine makes place for it by moving
//! on: that mixes anew what does not match, such as hosts with memory and no processors left. Empty hosts are never filled.

use super::model::{Ask, Resource, Row, can_take, of, with, without};
use super::scan::{Columns, RowSet};

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

/// Machines that are tried to make place for one that fits nowhere.
const EJECTIONS_MAX: usize = 8;

/// Moves that empty hosts, at most `moves_max`, host after host. `seats` are the machines of each row of `hosts`, which is
/// left as it is after the moves.
pub fn plan(hosts: &mut Columns, seats: &[Vec<Seat>], moves_max: usize) -> Vec<Move> {
    let count = |at: &usize| seats.get(*at).map_or(0, Vec::len);
    let mut order: Vec<usize> = (0..seats.len()).filter(|at| count(at) > 0).collect();
    order.sort_by_key(|at| (count(at), *at));
    let mut work = Work {
        hosts,
        open: order.iter().copied().collect(),
        touched: RowSet::default(),
        seats: seats.to_vec(),
        moves: Vec::new(),
        moves_max,
    };
    let mut failures = 0;
    for from in order {
        if failures > FAILURES_MAX || work.moves.len() + count(&from) > moves_max {
            break;
        }
        // What came here moments ago would have to move again.
        if !work.touched.has(from) {
            failures = if work.empty(from) { 0 } else { failures + 1 };
        }
    }
    work.moves
}

struct Work<'a> {
    hosts: &'a mut Columns,
    seats: Vec<Vec<Seat>>,
    /// Hosts that stay.
    open: RowSet,
    /// Hosts that machines were moved to.
    touched: RowSet,
    moves: Vec<Move>,
    moves_max: usize,
}

impl Work<'_> {
    /// Moves all machines of a host away, or none.
    fn empty(&mut self, from: usize) -> bool {
        let mut largest_first = self.on(from).to_vec();
        let size = |seat: &Seat| {
            let [cpu, memory] = [Resource::Cpu, Resource::Memory].map(|r| of(&seat.ask.need, r));
            (std::cmp::Reverse((memory, cpu)), seat.vm)
        };
        largest_first.sort_by_key(size);
        let before = self.moves.len();
        self.open.remove(from);
        let done = largest_first.iter().all(|seat| self.away(seat, from))
            && self.moves.len() <= self.moves_max;
        if done {
            let to = self.moves.iter().skip(before).map(|step| step.to);
            to.for_each(|to| self.touched.insert(to));
        } else {
            self.undo(before);
            self.open.insert(from);
        }
        done
    }

    fn on(&self, at: usize) -> &[Seat] {
        self.seats.get(at).map_or(&[], Vec::as_slice)
    }

    fn away(&mut self, seat: &Seat, from: usize) -> bool {
        if let Some(to) = self.hosts.best(&seat.ask, Some(&self.open)) {
            self.shift(seat, from, to.at);
            return true;
        }
        let tries = self.in_the_way(seat);
        for (_, at, other) in tries {
            self.open.remove(at);
            let to = self.hosts.best(&other.ask, Some(&self.open));
            self.open.insert(at);
            if let Some(to) = to {
                self.shift(&other, at, to.at);
                self.shift(seat, from, at);
                return true;
            }
        }
        false
    }

    /// Single machines, smallest first, without which another would fit on their host.
    fn in_the_way(&self, seat: &Seat) -> Vec<(u64, usize, Seat)> {
        let mut found = Vec::new();
        let rows = self.hosts.rows().iter().enumerate();
        for (at, row) in rows.filter(|(at, _)| self.open.has(*at)) {
            for other in self.on(at) {
                if can_take(&without(*row, &other.ask), &seat.ask) {
                    found.push((share(row, &other.ask), at, *other));
                }
            }
        }
        found.sort_by_key(|(share, at, other)| (*share, *at, other.vm));
        found.truncate(EJECTIONS_MAX);
        found
    }

    fn shift(&mut self, seat: &Seat, from: usize, to: usize) {
        self.put(seat, from, to);
        self.moves.push(Move {
            vm: seat.vm,
            from,
            to,
        });
    }

    fn put(&mut self, seat: &Seat, from: usize, to: usize) {
        if let (Some(&old), Some(&new)) = (self.hosts.rows().get(from), self.hosts.rows().get(to)) {
            self.hosts.set(from, without(old, &seat.ask));
            self.hosts.set(to, with(new, &seat.ask));
        }
        if let Some(seats) = self.seats.get_mut(from) {
            seats.retain(|other| other.vm != seat.vm);
        }
        if let Some(seats) = self.seats.get_mut(to) {
            seats.push(*seat);
        }
    }

    fn undo(&mut self, before: usize) {
        for step in self.moves.split_off(before).into_iter().rev() {
            let seat = self.on(step.to).iter().find(|seat| seat.vm == step.vm);
            if let Some(seat) = seat.copied() {
                self.put(&seat, step.to, step.from);
            }
        }
    }
}

/// The larger share of a host that a machine takes, in parts of 2^16.
fn share(row: &Row, ask: &Ask) -> u64 {
    let shares = ask.need.iter().zip(row.total);
    let shares = shares.map(|(need, total)| (u64::from(*need) << 16) / u64::from(total.max(1)));
    shares.max().unwrap_or(0)
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
            size: [0; 2],
            weights: [1, 1, 0, 0],
            goal: Goal::Maximise,
            ..Ask::NOTHING
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
