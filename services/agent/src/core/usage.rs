//! What is used, from what counters say: a rate is what passed between two readings.

use contracts::performance::Usage;

/// Counters as they stand. What cannot be had is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counters {
    /// CPUs that `cpu_secs` can grow by together.
    pub cpus: u32,
    pub cpu_secs: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub disk_read_bytes: Option<u64>,
    pub disk_write_bytes: Option<u64>,
    pub disk_operations: Option<u64>,
    pub disk_used_bytes: Option<u64>,
    pub network_received_bytes: Option<u64>,
    pub network_sent_bytes: Option<u64>,
}

/// What was used between two readings. A counter that has gone back was begun anew: nothing is known of it.
pub fn usage(before: &Counters, after: &Counters, elapsed_secs: f64) -> Usage {
    let rate = |counter: fn(&Counters) -> Option<u64>| {
        per_sec(counter(before)?, counter(after)?, elapsed_secs)
    };
    Usage {
        cpu_percent: cpu_percent(before, after, elapsed_secs),
        memory_bytes: after.memory_bytes,
        disk_read_bytes_per_sec: rate(|c| c.disk_read_bytes),
        disk_write_bytes_per_sec: rate(|c| c.disk_write_bytes),
        disk_operations_per_sec: rate(|c| c.disk_operations),
        disk_used_bytes: after.disk_used_bytes,
        network_received_bytes_per_sec: rate(|c| c.network_received_bytes),
        network_sent_bytes_per_sec: rate(|c| c.network_sent_bytes),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)] // A rate is no exact number.
fn per_sec(before: u64, after: u64, elapsed_secs: f64) -> Option<u64> {
    let passed = after.checked_sub(before)?;
    (elapsed_secs > 0.0).then(|| (passed as f64 / elapsed_secs).round() as u64)
}

#[allow(clippy::cast_possible_truncation)] // A hundredth of a percent is kept of it.
fn cpu_percent(before: &Counters, after: &Counters, elapsed_secs: f64) -> Option<f32> {
    let passed = after.cpu_secs? - before.cpu_secs?;
    let most = elapsed_secs * f64::from(after.cpus);
    // The kernel counts in hundredths of a second, so that a little more than all may seem to have passed.
    (passed >= 0.0 && most > 0.0).then(|| (passed / most * 100.0).min(100.0) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_passed_between_two_readings() {
        let before = Counters {
            cpus: 2,
            cpu_secs: Some(10.0),
            disk_read_bytes: Some(1_000),
            network_sent_bytes: Some(50),
            ..Counters::default()
        };
        let after = Counters {
            cpu_secs: Some(40.0),
            memory_bytes: Some(7),
            disk_read_bytes: Some(7_000),
            network_sent_bytes: Some(20),
            ..before
        };
        let usage = usage(&before, &after, 60.0);
        assert_eq!(usage.cpu_percent, Some(25.0));
        assert_eq!(usage.memory_bytes, Some(7));
        assert_eq!(usage.disk_read_bytes_per_sec, Some(100));
        assert_eq!(usage.network_sent_bytes_per_sec, None, "it was begun anew");
        assert_eq!(
            usage.network_received_bytes_per_sec, None,
            "it cannot be had"
        );
    }
}
