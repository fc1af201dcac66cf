//! The best hosts out of many by columns, beside comparing host by host.

use std::hint::black_box;
use std::time::{Duration, Instant};

use placement::core::model::{Ask, Goal, Row, score};
use placement::core::scan::Columns;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::table::{Report, ratio};

const ROUNDS: usize = 200;

pub(crate) fn run() -> Report {
    let mut report = Report::new(
        "Choosing a host by four resources and a mask of features, least of 200 (aims at 10,000: best 10 us, ten best 100 us)",
        &["hosts", "goal", "host by host", "best", "ratio", "ten best"],
    );
    for hosts in [1_000, 2_500, 10_000, 100_000] {
        let columns = Columns::new(fleet(hosts));
        for (name, goal) in [("balance", Goal::Balance), ("maximise", Goal::Maximise)] {
            let asks = asks(goal);
            let plain = least(&asks, |ask| plain(&columns, ask));
            let best = least(&asks, |ask| columns.best(ask, None));
            let ten = least(&asks, |ask| columns.top(ask, None, 10));
            report.row([
                hosts.to_string(),
                name.to_owned(),
                micros(plain),
                micros(best),
                ratio(best.as_secs_f64(), plain.as_secs_f64()),
                micros(ten),
            ]);
        }
    }
    report
}

/// The same choice by the definition alone.
fn plain(columns: &Columns, ask: &Ask) -> Option<(u32, usize)> {
    let rows = columns.rows().iter().enumerate();
    let values = rows.filter_map(|(at, row)| Some((score(row, ask)?, at)));
    values.reduce(|best, next| if next.0 > best.0 { next } else { best })
}

fn least<T>(asks: &[Ask], choose: impl Fn(&Ask) -> T) -> Duration {
    let rounds = asks.iter().cycle().take(ROUNDS);
    let times = rounds.map(|ask| {
        let started = Instant::now();
        black_box(choose(black_box(ask)));
        started.elapsed()
    });
    times.min().unwrap_or_default()
}

fn fleet(hosts: usize) -> Vec<Row> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let total = [6_400, 262_144, 90_000, 10_000];
    let mut row = || Row {
        total,
        used: total.map(|total| random.next_u32() % total),
        rated: 0b1111,
        features: if random.next_u32().is_multiple_of(4) {
            1
        } else {
            3
        },
        largest: [64, 1 << 22],
        ..Row::default()
    };
    (0..hosts).map(|_| row()).collect()
}

fn asks(goal: Goal) -> Vec<Ask> {
    let ask = |vcpus: u32| Ask {
        need: [100 * vcpus, 4_096 * vcpus, 100, 50],
        limits: 0b0011,
        features: 2,
        size: [vcpus, 20_480],
        weights: [1_000; 4],
        goal,
        ..Ask::NOTHING
    };
    (1..=8).map(ask).collect()
}

fn micros(duration: Duration) -> String {
    format!("{:.1} us", duration.as_secs_f64() * 1e6)
}
