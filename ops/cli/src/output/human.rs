//! Sizes and times as people say them.

use std::time::Duration;

use jiff::Timestamp;

const UNITS: [(&str, u64); 5] = [
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

/// `1.5 GiB`: rounded to a tenth, whole numbers without one.
pub(crate) fn bytes(count: u64) -> String {
    let Some((unit, size)) = UNITS.iter().find(|(_, size)| count >= *size) else {
        return format!("{count} B");
    };
    let tenths = (u128::from(count) * 10 + u128::from(size / 2)) / u128::from(*size);
    match tenths % 10 {
        0 => format!("{} {unit}", tenths / 10),
        tenth => format!("{}.{tenth} {unit}", tenths / 10),
    }
}

/// `0.4 s`, `12.3 s`, `1 min 5 s`, `3 h 12 min`, `2 d 4 h`.
pub(crate) fn duration(time: Duration) -> String {
    let secs = time.as_secs();
    match secs {
        0..60 => format!("{}.{} s", secs, time.subsec_millis() / 100),
        60..3_600 => two(secs / 60, "min", secs % 60, "s"),
        3_600..86_400 => two(secs / 3_600, "h", secs % 3_600 / 60, "min"),
        _ => two(secs / 86_400, "d", secs % 86_400 / 3_600, "h"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    }
}

/// The same in whole seconds, for ages.
pub(crate) fn whole_secs(time: Duration) -> String {
    match time.as_secs() {
        secs @ 0..60 => format!("{secs} s"),
        secs => duration(Duration::from_secs(secs)),
    }
}

/// How long a time is past. Clocks of two machines differ a little: the future counts as now.
pub(crate) fn since(start: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(start)).unwrap_or_default()
}

/// `3 min 5 s` of a time that may not be set.
pub(crate) fn age(time: Option<Timestamp>, now: Timestamp) -> String {
    time.map_or_else(String::new, |time| whole_secs(since(time, now)))
}

/// `2026-01-31 12:00:00 UTC, 3 min ago`.
pub(crate) fn moment(time: Option<Timestamp>, now: Timestamp) -> String {
    time.map_or_else(String::new, |time| {
        format!("{}, {} ago", clock(time), whole_secs(since(time, now)))
    })
}

/// `2026-01-31 12:00:00 UTC`.
pub(crate) fn clock(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// An error of the system without its number.
pub(crate) fn io(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_a_tenth() {
        for (count, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1 KiB"),
            (134_217_728, "128 MiB"),
            (3 << 29, "1.5 GiB"),
            ((4 << 30) + 1, "4 GiB"),
            (u64::MAX, "16384 PiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (ms, text) in [
            (0, "0.0 s"),
            (12_345, "12.3 s"),
            (65_000, "1 min 5 s"),
            (3_600_000, "1 h"),
            (11_520_000, "3 h 12 min"),
            (187_200_000, "2 d 4 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn a_time_is_told_against_now_and_never_lies_ahead() {
        let now = Timestamp::from_second(1_000).unwrap();
        let past = Timestamp::from_second(880).unwrap();
        assert_eq!(age(Some(past), now), "2 min");
        assert_eq!(age(Some(now), past), "0 s");
        assert_eq!(age(None, now), "");
        assert_eq!(
            moment(Some(past), now),
            "1970-01-01 00:14:40 UTC, 2 min ago"
        );
    }
}
