//! How means are packed for a week: the figures of one object over six hours in some 250 bytes.
//!
//! A mean is kept more coarsely than a sample, to two percent in twelve bits. Over six hours the means of one figure lie
//! close to each other, so each column is written as its least value and the differences from it, with as many bits as
//! the largest difference needs: a figure that is absent or does not move takes no room but that of its head.

use super::figures::{COUNT, Figures};

/// Means that are packed together: 40 of nine minutes are six hours. More would pack a little better, and all of them are
/// unpacked until there are so many.
pub const ROWS: usize = 40;

/// A mean as it is kept. 0 is none.
pub type Coarse = [u16; COUNT];

/// Steps for each doubling: neighbours are 2.2 % apart.
const STEPS: f64 = 32.0;

/// CPU is kept in steps of this many to a percent.
const CPU_STEPS: f64 = 10.0;

/// No value needs more bits: 64 doublings are 2,048 steps.
const BITS: u16 = 12;
const VALUE_MASK: u16 = (1 << BITS) - 1;

/// Which rows there are, and the head of each column.
const HEAD: usize = ROWS / 8 + 2 * COUNT;

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // It saturates.
pub fn coarse(figures: &Figures) -> Coarse {
    let mut coarse = [0; COUNT];
    for (index, (kept, figure)) in coarse.iter_mut().zip(figures).enumerate() {
        let steps = |value: f64| match index {
            0 => value.min(100.0) * CPU_STEPS,
            _ => (value.max(0.0) + 1.0).log2() * STEPS,
        };
        *kept = figure.map_or(0, |value| (steps(value).round() as u16 + 1).min(VALUE_MASK));
    }
    coarse
}

pub fn figures(coarse: &Coarse) -> Figures {
    let mut figures = [None; COUNT];
    for (index, (figure, kept)) in figures.iter_mut().zip(coarse).enumerate() {
        *figure = kept.checked_sub(1).map(|steps| match index {
            0 => f64::from(steps) / CPU_STEPS,
            _ => (f64::from(steps) / STEPS).exp2() - 1.0,
        });
    }
    figures
}

/// Rows of one object, each with its place among [`ROWS`], in order.
pub fn pack(rows: &[(usize, Coarse)]) -> Vec<u8> {
    let mut present = [0_u8; ROWS / 8];
    for (place, _) in rows {
        if let Some(byte) = present.get_mut(place / 8) {
            *byte |= 1 << (place % 8);
        }
    }
    let mut bytes = present.to_vec();
    let mut bits = Bits::default();
    for column in 0..COUNT {
        let values = || rows.iter().filter_map(|(_, row)| row.get(column).copied());
        let (least, most) = (values().min().unwrap_or(0), values().max().unwrap_or(0));
        let width = u16::try_from(u16::BITS - (most - least).leading_zeros()).unwrap_or(BITS);
        bytes.extend((least | width << BITS).to_le_bytes());
        values().for_each(|value| bits.put(value - least, width));
    }
    bytes.extend(bits.finish());
    bytes
}

/// `None`: these bytes were not packed here.
pub fn unpack(bytes: &[u8]) -> Option<Vec<(usize, Coarse)>> {
    let (head, body) = bytes.split_at_checked(HEAD)?;
    let (present, columns) = head.split_at_checked(ROWS / 8)?;
    let is_present = |place: &usize| {
        present
            .get(place / 8)
            .is_some_and(|b| b >> (place % 8) & 1 == 1)
    };
    let mut rows: Vec<(usize, Coarse)> = (0..ROWS)
        .filter(is_present)
        .map(|place| (place, [0; COUNT]))
        .collect();
    let mut bits = Reader { bytes: body, at: 0 };
    for (column, head) in columns.chunks_exact(2).enumerate() {
        let head = u16::from_le_bytes(head.try_into().ok()?);
        let (least, width) = (head & VALUE_MASK, head >> BITS);
        for (_, row) in &mut rows {
            *row.get_mut(column)? = least.checked_add(bits.take(width)?)?;
        }
    }
    Some(rows)
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    held: u32,
    count: u16,
}

impl Bits {
    fn put(&mut self, value: u16, width: u16) {
        self.held |= u32::from(value) << self.count;
        self.count += width;
        while self.count >= 8 {
            self.bytes.extend(self.held.to_le_bytes().first());
            self.held >>= 8;
            self.count -= 8;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.extend(self.held.to_le_bytes().first());
        }
        self.bytes
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, width: u16) -> Option<u16> {
        let mut value = 0;
        for bit in 0..width {
            let byte = self.bytes.get(self.at / 8)?;
            value |= u16::from(byte >> (self.at % 8) & 1) << bit;
            self.at += 1;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_unpacked() {
        let row = |n: u16| [n * 25, 1_000 + n, 0, 4_095, n % 2 * 4_095, 7, 0, 1];
        let rows: Vec<_> = (0..40)
            .filter(|n| n % 3 != 0)
            .map(|n| (n.into(), row(n)))
            .collect();
        assert_eq!(unpack(&pack(&rows)), Some(rows));
        assert_eq!(unpack(&pack(&[])), Some(Vec::new()));
    }

    #[test]
    fn bytes_of_another_kind_are_no_rows_and_no_panic() {
        let whole = pack(&[(0, [9; COUNT]), (39, [4_000; COUNT])]);
        for length in 0..whole.len() {
            assert_eq!(unpack(&whole[..length]), None, "{length}");
        }
        for byte in 0..=255 {
            let _ = unpack(&[byte; 700]);
        }
    }

    #[test]
    fn a_mean_is_kept_to_about_a_percent() {
        for value in [0.0, 1.0, 50.0, 1e6, 3.3e12, 9.2e18] {
            let [_, Some(back), ..] = figures(&coarse(&[
                None,
                Some(value),
                None,
                None,
                None,
                None,
                None,
                None,
            ])) else {
                panic!("{value} was lost");
            };
            assert!(
                (back - value).abs() <= value * 0.011 + 0.02,
                "{value}: {back}"
            );
        }
    }

    #[test]
    fn a_machine_that_does_nothing_takes_no_room_but_its_head() {
        let rows: Vec<_> = (0..ROWS).map(|place| (place, [5; COUNT])).collect();
        assert_eq!(pack(&rows).len(), HEAD);
    }
}
