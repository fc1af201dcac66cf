//! A batch with rules solved together, beside placing its machines one after the other.

use std::time::{Duration, Instant};

use placement::core::batch::{
    Batch, Bond, Domains, Item, Level, Solution, Strength, Tie, solve, solve_in_turn,
};
use placement::core::model::{Ask, Goal, Resource, Row, SCORE_ONE};
use placement::core::scan::Columns;

use crate::table::{Report, ratio};

const HOSTS: usize = 500;
const MACHINES: usize = 200;
const ROUNDS: usize = 20;

pub(crate) fn run() -> Report {
    let mut report = Report::new(
        "200 machines with rules on 500 hosts, least of 20 (aims: 100 ms, never worth less than one after the other)",
        &["goal", "together", "one after the other", "worth"],
    );
    for (name, goal) in [("balance", Goal::Balance), ("maximise", Goal::Maximise)] {
        let mut columns = Columns::new((0..HOSTS).map(host).collect());
        let batch = batch(goal);
        let (took, together) = least(|| solve(&batch, &mut columns));
        let (took_in_turn, in_turn) = least(|| solve_in_turn(&batch, &mut columns));
        let worth = |solved: &Result<Solution, usize>| {
            solved
                .as_ref()
                .map_or(0.0, |solution| solution.worth as f64)
        };
        report.row([
            name.to_owned(),
            told(took, &together),
            told(took_in_turn, &in_turn),
            ratio(worth(&together), worth(&in_turn)),
        ]);
    }
    report
}

fn told(took: Duration, solved: &Result<Solution, usize>) -> String {
    let note = if solved.is_ok() { "" } else { ", no place" };
    format!("{:.1} ms{note}", took.as_secs_f64() * 1e3)
}

fn least<T>(mut solve: impl FnMut() -> T) -> (Duration, T) {
    let mut best = Duration::MAX;
    let mut last = solve();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        last = solve();
        best = best.min(started.elapsed());
    }
    (best, last)
}

#[allow(clippy::cast_possible_truncation)]
fn host(number: usize) -> Row {
    let used = (number as u32 * 7_919) % 200;
    Row {
        total: [6_400, 262_144, 0, 0],
        used: [used * 16, used * 1_024, 0, 0],
        rated: 0b11,
        largest: [64, 1 << 22],
        ..Row::default()
    }
}

/// Groups of five that must be in one rack, one of each group on its own host, and all of a kind rather in other rooms.
#[allow(clippy::cast_possible_truncation)]
fn batch(goal: Goal) -> Batch {
    let item = |number: usize| {
        let vcpus = 1 << (number % 4);
        Item {
            ask: Ask {
                need: [vcpus * 20, vcpus * 3_584, 0, 0],
                limits: Resource::Memory.bit(),
                size: [vcpus, 20_481],
                goal,
                ..Ask::NOTHING
            },
            rows: None,
            costs: Vec::new(),
        }
    };
    let tie = |bond, strength, level, members: Vec<usize>| Tie {
        bond,
        strength,
        level,
        members,
        placed: Vec::new(),
    };
    let group = |first: usize| (first..first + 5).collect::<Vec<_>>();
    let mut ties = Vec::new();
    for first in (0..MACHINES).step_by(5) {
        ties.push(tie(
            Bond::Together,
            Strength::Must,
            Level::Rack,
            group(first),
        ));
        ties.push(tie(Bond::Apart, Strength::Must, Level::Host, group(first)));
    }
    let leaders = (0..MACHINES).step_by(5).collect();
    ties.push(tie(Bond::Apart, Strength::Should, Level::Room, leaders));
    let by = |size: usize| (0..HOSTS).map(|row| (row / size) as u32).collect();
    Batch {
        domains: Domains::new(by(20), by(100)),
        items: (0..MACHINES).map(item).collect(),
        ties,
        wish_cost: SCORE_ONE / 5,
    }
}
