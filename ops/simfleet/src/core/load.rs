//! How busy machines are: most of them little, more by day than by night, each in its own way.

use contracts::host::VmReport;

const DAY_MS: i64 = 24 * 3600 * 1000;
const MINUTE_MS: i64 = 60 * 1000;

/// The part of its processors' time that a machine uses, 0 to 1.
pub fn load(machine: &VmReport, now_ms: i64) -> f64 {
    let own = hash(&machine.vm_id, 0);
    let [base, swing, phase, ..] = own;
    // Squared: many idle machines and a few busy ones.
    let base = 0.02 + 0.3 * part(base) * part(base);
    let swing = 0.4 * part(swing) * part(swing);
    let shift_ms = f64::from(phase) / 255.0 * 3.0 * 3_600_000.0;
    #[allow(clippy::cast_precision_loss)]
    let of_day = ((now_ms.rem_euclid(DAY_MS)) as f64 + shift_ms) / DAY_MS as f64;
    // Highest at two in the afternoon.
    let daily = 0.5 - 0.5 * (std::f64::consts::TAU * (of_day - 2.0 / 24.0)).cos();
    let [noise, ..] = hash(&machine.vm_id, now_ms.div_euclid(MINUTE_MS));
    let noise = 0.05 * (part(noise) - 0.5);
    (base + swing * daily + noise).clamp(0.0, 1.0)
}

fn part(byte: u8) -> f64 {
    f64::from(byte) / 255.0
}

fn hash(id: &str, moment: i64) -> [u8; 4] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(id.as_bytes());
    hasher.update(&moment.to_be_bytes());
    let hash = hasher.finalize();
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_busier_than_nights() {
        let at = |hour: i64| -> f64 {
            let one = |n: i32| {
                let machine = VmReport {
                    vm_id: format!("v{n}"),
                    ..VmReport::default()
                };
                load(
                    &machine,
                    1_760_000_000_000 / DAY_MS * DAY_MS + hour * 3_600_000,
                )
            };
            (0..500).map(one).sum::<f64>() / 500.0
        };
        assert!(at(14) > 1.3 * at(2), "{} {}", at(14), at(2));
        assert!((0.05..0.5).contains(&at(14)));
    }
}
