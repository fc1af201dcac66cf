//! Units, as rows count and as people read.

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;

/// MiB, rounded up: for needs and use.
pub fn mib_up(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(MIB)).unwrap_or(u32::MAX)
}

/// MiB, rounded down: for what there is.
pub fn mib_down(bytes: u64) -> u32 {
    u32::try_from(bytes / MIB).unwrap_or(u32::MAX)
}

/// A number that does not fit is beyond every limit anyway.
pub fn cut(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A measure as a whole number, rounded up; one that is none is beyond every limit.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // In range by then; `as` saturates.
pub fn whole_up(measure: f64) -> u64 {
    if measure.is_nan() {
        return u64::from(u32::MAX);
    }
    measure.ceil().clamp(0.0, f64::from(u32::MAX)) as u64
}

/// A measure as a whole number, rounded down; one that is none is nothing.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn whole_down(measure: f64) -> u64 {
    measure.floor().clamp(0.0, f64::from(u32::MAX)) as u64
}

/// Which way a size is rounded. Needs are rounded up and what is there down, so that no sentence says that 512 do not fit
/// into 512.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    Up,
    Down,
}

/// "3.5 GiB", "512 MiB", rounded up.
pub fn up(bytes: u64) -> String {
    text(bytes, Round::Up)
}

/// The same, rounded down.
pub fn down(bytes: u64) -> String {
    text(bytes, Round::Down)
}

fn text(bytes: u64, round: Round) -> String {
    // Tenths of a GiB from 2 GiB on, MiB below.
    let (unit, name, is_tenths) = if bytes >= 2 * GIB {
        (GIB, "GiB", true)
    } else {
        (MIB, "MiB", false)
    };
    let scale = if is_tenths { 10 } else { 1 };
    let scaled = u128::from(bytes) * scale;
    let count = match round {
        Round::Up => scaled.div_ceil(u128::from(unit)),
        Round::Down => scaled / u128::from(unit),
    };
    match (is_tenths, count % 10) {
        (true, 0) => format!("{} {name}", count / 10),
        (true, tenth) => format!("{}.{tenth} {name}", count / 10),
        (false, _) => format!("{count} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_are_rounded_up_and_what_is_there_down() {
        let bytes = 7 * GIB / 2 + 1;
        assert_eq!(
            (up(bytes), down(bytes)),
            ("3.6 GiB".into(), "3.5 GiB".into())
        );
        assert_eq!(
            (up(MIB + 1), down(MIB + 1)),
            ("2 MiB".into(), "1 MiB".into())
        );
        assert_eq!(up(4 * GIB), "4 GiB");
        assert_eq!(up(u64::MAX), "17179869184 GiB");
    }

    #[test]
    fn measures_that_are_none_are_the_worst() {
        assert_eq!(whole_up(f64::NAN), u64::from(u32::MAX));
        assert_eq!(whole_down(f64::NAN), 0);
        assert_eq!((whole_up(-1.0), whole_up(1.2), whole_down(1.8)), (0, 2, 1));
        assert_eq!(whole_up(f64::INFINITY), u64::from(u32::MAX));
    }
}
