//! Why no host can take a machine, in two sentences: hosts by reason, and the smallest change that would help.

use std::collections::BTreeMap;

use contracts::Status;
use contracts::placement::Rating;

/// The refusal of a placement that found no host.
pub fn nowhere(ratings: &[Rating]) -> Status {
    let Some(nearest) = nearest(ratings) else {
        return Status::precondition("There is no host to place the machine on.")
            .action("Add and approve a host, or choose a group that holds one.");
    };
    let message = format!("No host can take the machine: {}.", counts(ratings));
    let changes: Vec<&str> = nearest
        .zero_reasons
        .iter()
        .map(|reason| reason.recommended_action.as_str())
        .collect();
    Status::precondition(message).action(format!(
        "The least to do is on host {}: {}",
        nearest.host_name,
        changes.join(" ")
    ))
}

/// "memory on 2 hosts, not responding on 1 host (of 3)".
fn counts(ratings: &[Rating]) -> String {
    let mut by_check: BTreeMap<&str, usize> = BTreeMap::new();
    for rating in ratings {
        let mut checks: Vec<&str> = rating
            .zero_reasons
            .iter()
            .map(|r| r.check.as_str())
            .collect();
        checks.dedup();
        for check in checks {
            *by_check.entry(check).or_default() += 1;
        }
    }
    let mut parts: Vec<(&str, usize)> = by_check.into_iter().collect();
    parts.sort_by_key(|(check, count)| (std::cmp::Reverse(*count), *check));
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(check, count)| format!("{} on {count}", check.replace('_', " ")))
        .collect();
    format!("{} (hosts looked at: {})", parts.join(", "), ratings.len())
}

/// The host with the fewest failed checks; of those the one that would have most left.
pub fn nearest(ratings: &[Rating]) -> Option<&Rating> {
    ratings.iter().min_by(|a, b| {
        let failed = |rating: &Rating| rating.zero_reasons.len();
        let lost = |rating: &Rating| -> f64 {
            let after = rating.resources.iter().map(|r| r.used_percent_after);
            after.fold(0.0, f64::max)
        };
        failed(a)
            .cmp(&failed(b))
            .then(lost(a).total_cmp(&lost(b)))
            .then_with(|| (&a.host_name, &a.host_id).cmp(&(&b.host_name, &b.host_id)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::placement::Reason;

    fn rating(name: &str, checks: &[&str]) -> Rating {
        let reason = |check: &&str| Reason {
            check: (*check).to_owned(),
            message: String::new(),
            recommended_action: format!("Mend {check}."),
            half_stars_lost: 0,
        };
        Rating {
            host_name: name.to_owned(),
            zero_reasons: checks.iter().map(reason).collect(),
            ..Rating::default()
        }
    }

    #[test]
    fn hosts_are_counted_by_reason_and_the_nearest_is_named() {
        let ratings = [
            rating("h1", &["memory", "image", "image"]),
            rating("h2", &["memory"]),
            rating("h3", &["not_responding", "disk"]),
        ];
        let status = nowhere(&ratings);
        assert!(
            status
                .message
                .contains("memory on 2, disk on 1, image on 1, not responding on 1")
        );
        assert!(status.message.contains("looked at: 3"));
        assert!(status.recommended_action.contains("h2: Mend memory."));
    }

    #[test]
    fn no_host_at_all_is_said_plainly() {
        assert!(nowhere(&[]).message.contains("no host"));
    }
}
