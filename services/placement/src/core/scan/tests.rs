use super::*;
use crate::core::model::{Goal, Resource, WEIGHT_MAX};
use crate::core::stay::Stay;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// The best few by comparing every row by the definition.
fn plain(rows: &[Row], ask: &Ask, count: usize) -> Vec<Choice> {
    let rows = rows.iter().enumerate();
    let mut all: Vec<Choice> = rows
        .filter_map(|(at, row)| score(row, ask).map(|score| Choice { at, score }))
        .collect();
    all.sort_by_key(|choice| (Reverse(choice.score), choice.at));
    all.truncate(count);
    all
}

struct Draw(ChaCha8Rng);

impl Draw {
    fn below(&mut self, end: u32) -> u32 {
        self.0.next_u32() % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.0.next_u32() as usize % all.len()]
    }

    /// Fleets of few kinds of hosts, so that many are alike, and of odd ones.
    fn row(&mut self) -> Row {
        let is_odd = self.below(40) == 0;
        let total = self.of(&[
            [6_400, 262_144, 90_000, 10_000],
            [6_400, 147_456, 0, 25_000],
        ]);
        let used = total.map(|total| {
            let sixteenth = total / 16;
            sixteenth * self.below(17)
        });
        Row {
            total: if is_odd && self.below(4) > 0 {
                total.map(|total| total / 3 * 2)
            } else if is_odd {
                [0; 4].map(|_: u32| self.0.next_u32())
            } else {
                total
            },
            used: if self.below(20) == 0 {
                used.map(|u| u + self.below(9))
            } else {
                used
            },
            rated: self.of(&[0b1111, 0b1111, 0b0011, 0b0000]),
            features: self.of(&[u64::MAX, 0b11, 1 << 40 | 1]),
            largest: self.of(&[[64, 1 << 20], [64, u32::MAX], [8, 4_096]]),
            overhead: 0,
            stay: self.stay(),
        }
    }

    fn stay(&mut self) -> Stay {
        let hours = self.of(&[0, 1, 2, 5, 17, 60, 500]);
        if self.below(3) == 0 {
            Stay::UNKNOWN
        } else {
            Stay::of_secs(hours * 3_600)
        }
    }

    fn ask(&mut self) -> Ask {
        let need = self.of(&[
            [400, 16_384, 100, 50],
            [0; 4],
            [u32::MAX, 9, 9, 9],
            [6_400, 1, 1, 1],
        ]);
        Ask {
            need,
            limits: self.of(&[0b0011, 0b0010, 0b1111, 0]),
            features: self.of(&[0, 1, 0b10, 1 << 40]),
            size: self.of(&[[0, 0], [4, 4_096], [9, 1], [1, 5_000], [1, u32::MAX]]),
            weights: self.of(&[[1_000; 4], [WEIGHT_MAX, 1, 0, 7], [0, 1_000, 0, 0]]),
            goal: self.of(&[Goal::Balance, Goal::Maximise]),
            stay: self.stay(),
        }
    }
}

#[test]
fn it_finds_what_comparing_every_host_finds() {
    for seed in 0..60 {
        let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed));
        let rows: Vec<Row> = (0..draw.below(400)).map(|_| draw.row()).collect();
        let mut columns = Columns::new(rows);
        for _ in 0..30 {
            if !columns.rows().is_empty() {
                let at = draw.0.next_u32() as usize % columns.rows().len();
                columns.set(at, draw.row());
            }
            let (ask, count) = (draw.ask(), draw.of(&[1, 1, 2, 10, 500]));
            let found = columns.top(&ask, None, count);
            let wanted = plain(columns.rows(), &ask, count);
            assert_eq!(found, wanted, "{seed} {ask:?}");
            let tally = columns.tally(&ask, None);
            let mut counted = Tally::default();
            columns
                .rows()
                .iter()
                .for_each(|row| counted.count(row, &ask));
            assert_eq!(tally, counted, "{seed} {ask:?}");
            assert_eq!(tally.able, plain(columns.rows(), &ask, 500).len());
        }
    }
}

#[test]
fn rows_that_are_left_out_are_not_chosen() {
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(1));
    let columns = Columns::new((0..300).map(|_| draw.row()).collect());
    let some: RowSet = (0..300).filter(|at| at % 7 == 3).collect();
    let inside: Vec<Row> = columns.rows().iter().skip(3).step_by(7).copied().collect();
    for _ in 0..50 {
        let ask = draw.ask();
        let outside = |c: Choice| Choice {
            at: c.at * 7 + 3,
            ..c
        };
        let wanted = plain(&inside, &ask, 1).pop().map(outside);
        assert_eq!(columns.best(&ask, Some(&some)), wanted);
    }
    assert_eq!(columns.best(&draw.ask(), Some(&RowSet::default())), None);
}

#[test]
fn the_order_in_which_hosts_are_listed_decides_between_equals_only() {
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(2));
    let rows: Vec<Row> = (0..200).map(|_| draw.row()).collect();
    let (forth, back) = (
        Columns::new(rows.clone()),
        Columns::new(rows.into_iter().rev().collect()),
    );
    for _ in 0..50 {
        let ask = draw.ask();
        let score = |columns: &Columns| columns.best(&ask, None).map(|best| best.score);
        assert_eq!(score(&forth), score(&back));
    }
}

#[test]
fn adding_free_memory_never_lowers_a_score_for_balance() {
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(3));
    for _ in 0..2_000 {
        let (row, ask) = (
            draw.row(),
            Ask {
                goal: Goal::Balance,
                ..draw.ask()
            },
        );
        let mut roomier = row;
        let memory = Resource::Memory as usize;
        roomier.total[memory] = row.total[memory].saturating_add(draw.below(1 << 20));
        if let Some(before) = score(&row, &ask) {
            assert!(score(&roomier, &ask).is_some_and(|after| after >= before));
        }
    }
}

#[test]
fn a_fleet_without_hosts_has_no_best() {
    assert_eq!(Columns::default().best(&Ask::NOTHING, None), None);
}
