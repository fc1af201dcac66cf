//! What should hold on a host and does not, and what its numbers do not say. Each costs stars, or is only said.

use contracts::placement::rule::{Bond, Strength};
use contracts::placement::{HostState, Reason, RuleStanding};

use super::STARS_MAX;
use crate::core::checks::broken;
use crate::core::model::{Goal, SCORE_ONE};
use crate::core::query::Query;
use crate::core::stay::{self, Stay};

/// A wish that is not met costs one star: as much as a fifth of a host's resources, so that a host which is a little
/// fuller but meets it is chosen, and one that is nearly full is not.
pub(in crate::core) const WISH_HALF_STARS: u32 = 2;

/// Of machines that should be apart each one that is there costs that much, up to two: so they spread evenly where there
/// are more machines than domains.
pub(in crate::core) const CROWD_MAX: u32 = 2;

pub(super) fn remarks(state: &HostState, rules: &[RuleStanding], query: &Query) -> Vec<Reason> {
    let mut remarks = Vec::new();
    let preferred = &query.needs.preferred_host_ids;
    if !preferred.is_empty() && !preferred.contains(&state.host_id) {
        let message = format!("Host {} is none of the preferred hosts.", state.host_name);
        remarks.push(remark("preferred_host", message, WISH_HALF_STARS));
    }
    let wishes = rules.iter().filter(|r| r.strength() == Strength::Should);
    for rule in wishes {
        if let Some(message) = broken(state, rule) {
            remarks.push(remark("rule", message, cost(rule)));
        }
    }
    if state.stale {
        let message = format!(
            "The samples of host {} are old: it is rated by what its machines are made for.",
            state.host_name
        );
        remarks.push(remark("stale_samples", message, 0));
    }
    remarks.extend(stays(state, query));
    remarks
}

/// What was expected of the machine and of the host's last one, where that counts.
fn stays(state: &HostState, query: &Query) -> Option<Reason> {
    let machine = query.needs.expected_stay_secs;
    let (machine, host) = machine.zip(state.expected_stay_secs)?;
    let lost = stay::cost(Stay::of_secs(machine), Stay::of_secs(host));
    let stars = f64::from(lost) / f64::from(SCORE_ONE) * STARS_MAX;
    let message = format!(
        "The machine is expected to stay {}, the last one of host {} {}: that costs {stars:.1} stars.",
        hours(machine),
        state.host_name,
        hours(host),
    );
    (query.ask.goal == Goal::Maximise).then(|| remark("stay", message, 0))
}

/// "14 h", rounded up.
fn hours(secs: u64) -> String {
    format!("{} h", secs.div_ceil(3_600))
}

fn cost(rule: &RuleStanding) -> u32 {
    match rule.bond() {
        Bond::Apart => WISH_HALF_STARS * rule.members_here.clamp(1, CROWD_MAX),
        _ => WISH_HALF_STARS,
    }
}

fn remark(check: &str, message: String, half_stars_lost: u32) -> Reason {
    let action = match check {
        "stale_samples" => "Check that the host's agent reports to inventory.",
        "stay" => "If this is often wrong, switch learn_stays off in placement's configuration.",
        _ => "Choose a host that has not lost these stars, or change the wish.",
    };
    let action = action.to_owned();
    Reason {
        check: check.to_owned(),
        message,
        recommended_action: action,
        half_stars_lost,
    }
}
