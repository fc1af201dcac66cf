//! The figures of a sample, and the whole numbers that they are kept as.
//!
//! A figure is kept as its logarithm: from one byte a second to the fastest disk it is known to a thirtieth of a percent
//! in two bytes, and 0 stays 0. CPU is kept in hundredths of a percent.

use contracts::performance::Usage;

/// How many figures a sample has.
pub const COUNT: usize = 8;

/// Where in a sample CPU stands.
const CPU: usize = 0;

/// What a figure is kept as when there is none.
pub const ABSENT: u16 = u16::MAX;

/// Steps for each doubling. 2^63 bytes must stay below [`ABSENT`].
const STEPS: f64 = 1024.0;

/// CPU is kept in steps of this many to a percent.
const CPU_STEPS: f64 = 100.0;

/// A sample as it is kept in memory.
pub type Packed = [u16; COUNT];

pub const NOTHING: Packed = [ABSENT; COUNT];

/// A sample as numbers.
pub type Figures = [Option<f64>; COUNT];

/// What a list can be sorted by, and where in a sample it stands.
pub const NAMES: [(&str, usize); COUNT] = [
    ("cpu", CPU),
    ("memory", 1),
    ("disk_read", 2),
    ("disk_write", 3),
    ("disk_operations", 4),
    ("disk_used", 5),
    ("network_received", 6),
    ("network_sent", 7),
];

/// The figures of a message. What cannot be (no number, below 0) is none.
#[allow(clippy::cast_precision_loss)] // A thirtieth of a percent is kept of it.
pub fn of_message(usage: &Usage) -> Figures {
    let whole = |figure: Option<u64>| figure.map(|value| value as f64);
    let cpu = usage.cpu_percent.map(f64::from);
    [
        cpu.filter(|percent| percent.is_finite() && *percent >= 0.0),
        whole(usage.memory_bytes),
        whole(usage.disk_read_bytes_per_sec),
        whole(usage.disk_write_bytes_per_sec),
        whole(usage.disk_operations_per_sec),
        whole(usage.disk_used_bytes),
        whole(usage.network_received_bytes_per_sec),
        whole(usage.network_sent_bytes_per_sec),
    ]
}

/// The message of figures.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // They came from such numbers.
pub fn to_message(figures: &Figures) -> Usage {
    let [cpu, memory, read, write, operations, used, received, sent] = *figures;
    let whole = |figure: Option<f64>| figure.map(|value| value.round() as u64);
    Usage {
        cpu_percent: cpu.map(|percent| percent as f32),
        memory_bytes: whole(memory),
        disk_read_bytes_per_sec: whole(read),
        disk_write_bytes_per_sec: whole(write),
        disk_operations_per_sec: whole(operations),
        disk_used_bytes: whole(used),
        network_received_bytes_per_sec: whole(received),
        network_sent_bytes_per_sec: whole(sent),
    }
}

pub fn pack(figures: &Figures) -> Packed {
    let mut packed = NOTHING;
    for (index, (kept, figure)) in packed.iter_mut().zip(figures).enumerate() {
        *kept = figure.map_or(ABSENT, |value| code(index, value));
    }
    packed
}

pub fn unpack(packed: &Packed) -> Figures {
    let mut figures = [None; COUNT];
    for (index, (figure, kept)) in figures.iter_mut().zip(packed).enumerate() {
        *figure = (*kept != ABSENT).then(|| value(index, *kept));
    }
    figures
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // It saturates.
fn code(index: usize, value: f64) -> u16 {
    let code = if index == CPU {
        value.min(100.0) * CPU_STEPS
    } else {
        (value.max(0.0) + 1.0).log2() * STEPS
    };
    (code.round() as u16).min(ABSENT - 1)
}

fn value(index: usize, code: u16) -> f64 {
    if index == CPU {
        f64::from(code) / CPU_STEPS
    } else {
        (f64::from(code) / STEPS).exp2() - 1.0
    }
}

/// Sums for a mean, of each figure by itself: one that is there only now and then has the mean of when it was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    sums: [f64; COUNT],
    counts: [u16; COUNT],
}

impl Mean {
    pub fn add(&mut self, figures: &Figures) {
        let kept = self.sums.iter_mut().zip(&mut self.counts);
        for ((sum, count), figure) in kept.zip(figures) {
            if let (Some(value), Some(more)) = (figure, count.checked_add(1)) {
                *sum += value;
                *count = more;
            }
        }
    }

    /// The mean of what was added since the last call; `None`: nothing was.
    pub fn take(&mut self) -> Option<Figures> {
        let taken = std::mem::take(self);
        let mut figures = [None; COUNT];
        for ((figure, sum), count) in figures.iter_mut().zip(taken.sums).zip(taken.counts) {
            *figure = (count > 0).then(|| sum / f64::from(count));
        }
        figures.iter().any(Option::is_some).then_some(figures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_kept_to_a_thirtieth_of_a_percent_and_zero_stays_zero() {
        for value in [0.0, 1.0, 7.0, 1e3, 123_456_789.0, 5e12, 9.2e18] {
            let back = unpack(&pack(&[
                None,
                Some(value),
                None,
                None,
                None,
                None,
                None,
                None,
            ]));
            let [None, Some(back), ..] = back else {
                panic!("{back:?}");
            };
            assert!((back - value).abs() <= value * 0.000_35, "{value}: {back}");
        }
        let cpu = unpack(&pack(&[
            Some(99.99),
            None,
            None,
            None,
            None,
            None,
            None,
            None,
        ]));
        assert!((cpu[0].unwrap() - 99.99).abs() < 0.005);
    }

    #[test]
    fn what_cannot_be_is_none_and_what_is_too_much_is_the_most() {
        let usage = Usage {
            cpu_percent: Some(f32::NAN),
            ..Usage::default()
        };
        assert_eq!(of_message(&usage), [None; COUNT]);
        let usage = Usage {
            cpu_percent: Some(1e9),
            memory_bytes: Some(u64::MAX),
            ..Usage::default()
        };
        let [cpu, memory, ..] = pack(&of_message(&usage));
        assert_eq!(cpu, 10_000);
        assert!(memory < ABSENT);
    }

    #[test]
    fn a_mean_is_of_what_was_there() {
        let mut mean = Mean::default();
        assert_eq!(mean.take(), None);
        let of = |cpu, memory| [cpu, memory, None, None, None, None, None, None];
        mean.add(&of(Some(10.0), None));
        mean.add(&of(Some(20.0), Some(5.0)));
        assert_eq!(mean.take(), Some(of(Some(15.0), Some(5.0))));
        assert_eq!(mean.take(), None);
    }
}
