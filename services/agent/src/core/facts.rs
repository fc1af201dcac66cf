//! Whether facts of the host have changed enough to be told.

use contracts::host::HostFacts;

/// Memory and room that come and go are told in steps of a twentieth of the whole.
const STEP: u64 = 20;

/// CPU use is told in steps of this many points.
const CPU_STEP_PERCENT: f64 = 10.0;

pub fn differ(told: &HostFacts, now: &HostFacts) -> bool {
    without_measures(told) != without_measures(now)
        || moved(
            told.memory_used_bytes,
            now.memory_used_bytes,
            now.memory_bytes,
        )
        || (told.cpu_used_percent - now.cpu_used_percent).abs() >= CPU_STEP_PERCENT
        || told
            .datastores
            .iter()
            .zip(&now.datastores)
            .any(|(told, now)| moved(told.free_bytes, now.free_bytes, now.capacity_bytes))
}

fn moved(told: u64, now: u64, whole: u64) -> bool {
    told.abs_diff(now) >= (whole / STEP).max(1)
}

fn without_measures(facts: &HostFacts) -> HostFacts {
    let mut facts = HostFacts {
        memory_used_bytes: 0,
        cpu_used_percent: 0.0,
        disk_io_per_sec: 0.0,
        network_mbit: 0.0,
        ..facts.clone()
    };
    for datastore in &mut facts.datastores {
        datastore.free_bytes = 0;
    }
    facts
}

#[cfg(test)]
mod tests {
    use contracts::host::Datastore;

    use super::*;

    fn facts(used: u64, free: u64, cpu: f64) -> HostFacts {
        HostFacts {
            memory_bytes: 1000,
            memory_used_bytes: used,
            cpu_used_percent: cpu,
            datastores: vec![Datastore {
                capacity_bytes: 1000,
                free_bytes: free,
                ..Datastore::default()
            }],
            ..HostFacts::default()
        }
    }

    #[test]
    fn noise_is_not_told_and_a_step_is() {
        let told = facts(500, 500, 20.0);
        assert!(!differ(&told, &facts(549, 451, 29.0)));
        assert!(differ(&told, &facts(550, 500, 20.0)));
        assert!(differ(&told, &facts(500, 450, 20.0)));
        assert!(differ(&told, &facts(500, 500, 31.0)));
    }

    #[test]
    fn a_new_image_is_told_at_once() {
        let mut now = facts(500, 500, 20.0);
        let told = now.clone();
        for datastore in &mut now.datastores {
            datastore.images.push(Default::default());
        }
        assert!(differ(&told, &now));
    }
}
