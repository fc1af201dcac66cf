//! What ratings say when no host can take a machine.

use contracts::placement::Rating;
use contracts::{Code, ObjectRef, Status};

/// Hosts that a refusal tells of; a fleet has thousands.
const HOSTS_TOLD: usize = 3;

pub(crate) fn is_usable(rating: &Rating) -> bool {
    rating.zero_reasons.is_empty()
}

/// Refuses a machine that no host can take, telling why by the hosts that came closest.
pub(crate) fn refusal(vm_name: &str, ratings: &[Rating]) -> Status {
    let object = ObjectRef::new("vm", "", vm_name);
    let mut closest: Vec<&Rating> = ratings.iter().collect();
    closest.sort_by_key(|rating| rating.zero_reasons.len());
    let Some(best) = closest.first().and_then(|r| r.zero_reasons.first()) else {
        return Status::precondition(format!(
            "There is no host that could take virtual machine {vm_name}."
        ))
        .about(object)
        .action("Add a host, or name another host group.");
    };
    let code = match best.check.as_str() {
        "image" => Code::NotFound,
        "not_responding" => Code::Unavailable,
        "not_approved" => Code::FailedPrecondition,
        // What no room on it would mend.
        "network" | "platform" | "accelerator" | "firmware" | "machine_type" | "cpu_features"
        | "host_tag" => Code::FailedPrecondition,
        _ => Code::ResourceExhausted,
    };
    let told: Vec<String> = closest
        .iter()
        .take(HOSTS_TOLD)
        .map(|rating| tell(rating))
        .collect();
    let more = match closest.len().saturating_sub(HOSTS_TOLD) {
        0 => String::new(),
        n => format!(" And {n} more."),
    };
    Status::new(
        code,
        format!(
            "No host can take virtual machine {vm_name}. {}{more}",
            told.join(" ")
        ),
    )
    .about(object)
    .action(best.recommended_action.clone())
}

fn tell(rating: &Rating) -> String {
    let reasons: Vec<&str> = rating
        .zero_reasons
        .iter()
        .map(|r| r.message.as_str())
        .collect();
    format!("{}: {}", rating.host_name, reasons.join(" "))
}

/// "4.5 stars".
pub(crate) fn stars(rating: &Rating) -> String {
    let half = if rating.half_stars % 2 == 1 { ".5" } else { "" };
    format!("{}{half} stars", rating.half_stars / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::placement::Reason;

    fn rating(host: &str, checks: &[&str]) -> Rating {
        Rating {
            host_name: host.to_owned(),
            half_stars: 9,
            zero_reasons: checks
                .iter()
                .map(|check| Reason {
                    check: (*check).to_owned(),
                    message: format!("{check} is short."),
                    recommended_action: format!("Give more {check}."),
                    half_stars_lost: 0,
                })
                .collect(),
            ..Rating::default()
        }
    }

    #[test]
    fn what_a_host_cannot_do_is_no_want_of_room() {
        let refusal = refusal("web", &[rating("h1", &["machine_type"])]);
        assert_eq!(refusal.code(), Code::FailedPrecondition);
    }

    #[test]
    fn the_host_that_came_closest_is_told_first() {
        let ratings = [rating("h1", &["memory", "disk"]), rating("h2", &["memory"])];
        let refusal = refusal("web", &ratings);
        assert_eq!(refusal.code(), Code::ResourceExhausted);
        assert!(
            refusal.message.contains("h2: memory is short. h1:"),
            "{refusal}"
        );
        assert_eq!(refusal.recommended_action, "Give more memory.");
    }

    #[test]
    fn without_hosts_it_says_so() {
        assert_eq!(refusal("web", &[]).code(), Code::FailedPrecondition);
        assert_eq!(stars(&rating("h", &[])), "4.5 stars");
    }
}
