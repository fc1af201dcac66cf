//! The refresh of what is used: which kind it is, and of which hosts.

use contracts::host::SendSamplesResponse;
use contracts::inventory::Host;
use contracts::inventory::host::{Approval, Status as HostStatus};
use contracts::refresher::{
    Condition, Kind, ListTargetsResponse, Outcome, RefreshResponse, Target,
};
use contracts::{Status, digest};

const PERFORMANCE: &str = "performance";

/// Hosts say what they use once a minute and after a change of power; this asks those of which nothing was heard.
pub fn kind() -> Kind {
    Kind {
        name: PERFORMANCE.to_owned(),
        covers: "what a host and its machines use".to_owned(),
        writes: "samples, and by them the means of nine minutes; no record".to_owned(),
        interval_secs: 540,
        interval_secs_min: 60,
        interval_secs_max: 86_400,
        passes_over: vec![Condition::NotResponding.into()],
        object_kinds: vec!["vm".to_owned(), "host".to_owned()],
        // Samples are no older than a minute anyway.
        by_hand: false,
        ..Kind::default()
    }
}

/// Refuses a kind that another service brings.
pub fn check(kind: &str) -> Result<(), Status> {
    if kind == PERFORMANCE {
        return Ok(());
    }
    let message = format!("Performance serves no refresher {kind:?}.");
    Err(Status::invalid("kind", message)
        .action("Update the caller or performance so that both are of one release."))
}

/// What there is to refresh, unless that is what the caller knows already.
pub fn targets<'a>(
    hosts: impl IntoIterator<Item = &'a Host>,
    known_digest: &[u8],
) -> ListTargetsResponse {
    let in_fleet = |host: &&Host| host.approval() == Approval::Approved && !host.removing;
    let targets = hosts.into_iter().filter(in_fleet).map(target);
    digest::answer_targets(known_digest, targets.collect())
}

fn target(host: &Host) -> Target {
    let is_silent = host.status() == HostStatus::NotResponding;
    let conditions = is_silent.then_some(Condition::NotResponding.into());
    Target {
        id: host.id.clone(),
        name: host.name.clone(),
        server_id: host.id.clone(),
        group_id: host.group_id.clone(),
        kinds: vec![PERFORMANCE.to_owned()],
        conditions: conditions.into_iter().collect(),
    }
}

/// What is used changes all the time and is no change.
pub fn response(sent: Option<&SendSamplesResponse>) -> RefreshResponse {
    RefreshResponse {
        outcome: Outcome::Unchanged.into(),
        bytes: sent.map_or(0, |sent| sent.bytes),
        changed: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(id: &str, approval: Approval, status: HostStatus) -> Host {
        Host {
            id: id.to_owned(),
            approval: approval.into(),
            status: status.into(),
            ..Host::default()
        }
    }

    #[test]
    fn hosts_of_the_fleet_are_targets_and_silent_ones_are_passed_over() {
        let hosts = [
            host("h1", Approval::Approved, HostStatus::Responding),
            host("h2", Approval::Approved, HostStatus::NotResponding),
            host("h3", Approval::Pending, HostStatus::Responding),
        ];
        let answer = targets(&hosts, &[]);
        let passed_over = |target: &Target| {
            let mut conditions = target.conditions.iter();
            conditions.any(|condition| kind().passes_over.contains(condition))
        };
        let found = answer
            .targets
            .iter()
            .map(|t| (t.id.as_str(), passed_over(t)));
        let found: Vec<_> = found.collect();
        assert_eq!(found, [("h1", false), ("h2", true)]);
        assert!(targets(&hosts, &answer.digest).targets.is_empty());
        assert!(check("performance").is_ok() && check("host").is_err());
    }
}
