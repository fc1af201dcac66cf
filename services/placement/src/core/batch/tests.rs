#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::collections::BTreeMap;

use super::*;
use crate::core::model::{Goal, Resource, Row, fits, with};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

const WISH: u32 = 1 << 22;

fn row(memory: u32) -> Row {
    Row {
        total: [800, memory, 0, 0],
        rated: 0b11,
        largest: [64, 1 << 20],
        ..Row::default()
    }
}

fn item(memory: u32) -> Item {
    Item {
        ask: Ask {
            need: [20, memory, 0, 0],
            limits: Resource::Memory.bit(),
            size: [1, 1],
            goal: Goal::Balance,
            ..Ask::NOTHING
        },
        rows: None,
        costs: Vec::new(),
    }
}

fn tie(bond: Bond, strength: Strength, level: Level, members: &[usize]) -> Tie {
    Tie {
        bond,
        strength,
        level,
        members: members.to_vec(),
        placed: Vec::new(),
    }
}

/// Two hosts a rack, four a room.
fn batch(hosts: usize, items: Vec<Item>, ties: Vec<Tie>) -> Batch {
    let by = |size: usize| (0..hosts).map(move |row| u32::try_from(row / size).unwrap());
    Batch {
        domains: Domains::new(by(2).collect(), by(4).collect()),
        items,
        ties,
        wish_cost: WISH,
    }
}

fn solved(memory: &[u32], batch: &Batch) -> Result<Vec<usize>, usize> {
    let mut columns = Columns::new(memory.iter().map(|memory| row(*memory)).collect());
    let before = columns.rows().to_vec();
    let solved = solve(batch, &mut columns).map(|solution| solution.rows);
    assert_eq!(columns.rows(), before);
    solved
}

#[test]
fn rules_hold_and_what_cannot_be_is_refused() {
    use Bond::{Apart, Together};
    let with = |bond, members: &[usize], hosts: usize| {
        let ties = vec![tie(bond, Strength::Must, Level::Host, members)];
        let batch = batch(hosts, vec![item(400); 3], ties);
        solved(&vec![1_000; hosts], &batch)
    };
    assert_eq!(with(Apart, &[0, 1, 2], 3), Ok(vec![0, 1, 2]));
    assert!(with(Apart, &[0, 1, 2], 2).is_err());
    let pair = with(Together, &[0, 1], 3).unwrap();
    assert!(pair[0] == pair[1] && pair[2] != pair[0], "{pair:?}");
    assert!(with(Together, &[0, 1, 2], 3).is_err());
}

#[test]
fn what_must_be_together_finds_the_one_domain_that_takes_all_of_it() {
    // One after the other the first would go to the roomiest host, which is too small for three.
    let ties = vec![tie(Bond::Together, Strength::Must, Level::Rack, &[0, 1, 2])];
    let batch = batch(6, vec![item(500); 3], ties);
    let memory = [1_100, 100, 700, 100, 1_000, 600];
    let rows = solved(&memory, &batch).unwrap();
    assert!(rows.iter().all(|row| [4, 5].contains(row)), "{rows:?}");
}

#[test]
fn a_wish_is_kept_where_it_costs_less_than_it_gives() {
    let apart = vec![tie(Bond::Apart, Strength::Should, Level::Rack, &[0, 1])];
    let batch = batch(4, vec![item(100); 2], apart);
    let rows = solved(&[1_000, 1_000, 900, 900], &batch).unwrap();
    assert_ne!(rows[0] / 2, rows[1] / 2, "{rows:?}");
    let rows = solved(&[1_000, 1_000, 50, 50], &batch).unwrap();
    assert!(rows[0] < 2 && rows[1] < 2, "{rows:?}");
}

struct Draw(ChaCha8Rng);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0.next_u32() as usize % end
    }

    fn batch(&mut self, hosts: usize) -> Batch {
        let count = 1 + self.below(24);
        let items = (0..count).map(|_| item(50 + 50 * u32::try_from(self.below(6)).unwrap()));
        let items = items.collect();
        let tie = |draw: &mut Self| {
            let bond = [Bond::Apart, Bond::Together][draw.below(2)];
            let strength = [Strength::Must, Strength::Should][draw.below(2)];
            let level = [Level::Host, Level::Rack, Level::Room][draw.below(3)];
            let members: Vec<usize> = (0..count).filter(|_| draw.below(6) == 0).collect();
            let mut tie = tie(bond, strength, level, &members);
            if draw.below(4) == 0 {
                tie.placed = vec![draw.below(hosts)];
            }
            tie
        };
        let ties = (0..self.below(5)).map(|_| tie(self)).collect();
        batch(hosts, items, ties)
    }
}

/// By the definition of each rule, apart from the solver.
fn keeps(batch: &Batch, rows: &[usize], tie: &Tie) -> bool {
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    let members = tie.members.iter().map(|member| rows[*member]);
    for row in members.chain(tie.placed.iter().copied()) {
        *counts.entry(batch.domains.of(row, tie.level)).or_default() += 1;
    }
    let is_alone = tie.members.is_empty();
    match tie.bond {
        Bond::Together => is_alone || counts.len() <= 1,
        Bond::Apart => {
            let mine = tie
                .members
                .iter()
                .map(|at| batch.domains.of(rows[*at], tie.level));
            mine.into_iter().all(|domain| counts[&domain] == 1)
        }
    }
}

#[test]
fn a_batch_overfills_nothing_keeps_every_rule_and_is_never_worse_than_one_after_the_other() {
    let (mut better, mut all) = (0, 0);
    for seed in 0..400 {
        let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed));
        let hosts = 4 + draw.below(12);
        let memory: Vec<u32> = (0..hosts)
            .map(|_| 200 + 200 * u32::try_from(draw.below(5)).unwrap())
            .collect();
        let batch = draw.batch(hosts);
        let mut columns = Columns::new(memory.iter().map(|memory| row(*memory)).collect());
        let before = columns.rows().to_vec();
        let solution = solve(&batch, &mut columns);
        let in_turn = solve_in_turn(&batch, &mut columns);
        assert_eq!(columns.rows(), before, "seed {seed}");
        assert_eq!(solve(&batch, &mut columns), solution, "seed {seed}");
        let Ok(solution) = solution else {
            assert!(in_turn.is_err(), "seed {seed}");
            continue;
        };
        all += 1;
        better += usize::from(in_turn.as_ref().map_or(0, |in_turn| in_turn.worth) < solution.worth);
        assert!(
            in_turn.is_err() || in_turn.unwrap().worth <= solution.worth,
            "seed {seed}"
        );
        let mut filled = before;
        for (item, at) in batch.items.iter().zip(&solution.rows) {
            assert!(fits(&filled[*at], &item.ask), "seed {seed}");
            filled[*at] = with(filled[*at], &item.ask);
        }
        let mut must = batch
            .ties
            .iter()
            .filter(|tie| tie.strength == Strength::Must);
        assert!(
            must.all(|tie| keeps(&batch, &solution.rows, tie)),
            "seed {seed}"
        );
    }
    assert!(better > 0 && all > 100, "{better} of {all}");
}
