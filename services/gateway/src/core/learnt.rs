//! What a machine is expected to use, learnt from what it has used.

use contracts::performance::{Point, Usage};
use contracts::{placement, rest};

/// Means of what was measured; a figure that was never measured is left out.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn load(points: &[Point]) -> Option<rest::ExpectedLoad> {
    let mean = |figure: &dyn Fn(&Usage) -> Option<f64>| {
        let figures = points
            .iter()
            .filter_map(|point| figure(point.usage.as_ref()?));
        let (count, sum) = figures.fold((0.0, 0.0), |(n, sum), figure| (n + 1.0, sum + figure));
        (count > 0.0).then_some(sum / count)
    };
    let megabits = |usage: &Usage| {
        let (received, sent) = (
            usage.network_received_bytes_per_sec,
            usage.network_sent_bytes_per_sec,
        );
        (received.is_some() || sent.is_some())
            .then(|| (received.unwrap_or(0) as f64 + sent.unwrap_or(0) as f64) * 8.0 / 1e6)
    };
    let load = rest::ExpectedLoad {
        cpu_percent: mean(&|usage| usage.cpu_percent.map(f64::from)),
        disk_io_per_sec: mean(&|usage| usage.disk_operations_per_sec.map(|count| count as f64)),
        network_mbit: mean(&megabits),
    };
    (load != rest::ExpectedLoad::default()).then_some(load)
}

/// Whether a request leaves open what the machine is expected to use.
pub(crate) fn is_wanted(needs: &placement::Requirements) -> bool {
    needs.expected_cpu_percent.is_none()
        || needs.expected_disk_io_per_sec.is_none()
        || needs.expected_network_mbit.is_none()
}

/// Fills in what the request leaves open.
pub(crate) fn fill(needs: &mut placement::Requirements, load: &rest::ExpectedLoad) {
    fn or(asked: &mut Option<f64>, learnt: Option<f64>) {
        *asked = asked.or(learnt);
    }
    or(&mut needs.expected_cpu_percent, load.cpu_percent);
    or(&mut needs.expected_disk_io_per_sec, load.disk_io_per_sec);
    or(&mut needs.expected_network_mbit, load.network_mbit);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(cpu_percent: Option<f32>, received: Option<u64>, sent: Option<u64>) -> Point {
        Point {
            time_ms: 0,
            usage: Some(Usage {
                cpu_percent,
                network_received_bytes_per_sec: received,
                network_sent_bytes_per_sec: sent,
                ..Usage::default()
            }),
        }
    }

    #[test]
    fn a_load_is_the_mean_of_what_was_measured() {
        let points = [
            point(Some(10.0), Some(1_000_000), None),
            point(Some(30.0), Some(500_000), Some(500_000)),
            point(None, None, None),
        ];
        let load = load(&points);
        let expected = rest::ExpectedLoad {
            cpu_percent: Some(20.0),
            disk_io_per_sec: None,
            network_mbit: Some(8.0),
        };
        assert_eq!(load, Some(expected));
        assert_eq!(super::load(&[point(None, None, None)]), None);
    }

    #[test]
    fn what_was_asked_for_stays() {
        let mut needs = placement::Requirements {
            expected_cpu_percent: Some(50.0),
            ..placement::Requirements::default()
        };
        assert!(is_wanted(&needs));
        let load = rest::ExpectedLoad {
            cpu_percent: Some(20.0),
            disk_io_per_sec: Some(3.0),
            network_mbit: None,
        };
        fill(&mut needs, &load);
        let filled = (needs.expected_cpu_percent, needs.expected_disk_io_per_sec);
        assert_eq!(filled, (Some(50.0), Some(3.0)));
        assert_eq!(needs.expected_network_mbit, None);
    }
}
