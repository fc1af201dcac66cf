//! Refreshes of shares: which kinds there are, what there is to refresh, and how it is told.

use contracts::digest;
use contracts::library::{Found, Server, Share};
use contracts::refresher::{Condition, Kind, ListTargetsResponse, Target};
use uuid::Uuid;

pub const LIBRARY: &str = "library";

/// Separates our ids from everybody else's that are made of texts.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d75_7374_6572_4c69_6272_6172_794c_6f6f);

pub fn kinds() -> Vec<Kind> {
    vec![Kind {
        name: LIBRARY.to_owned(),
        covers: "the files of a share".to_owned(),
        writes: "items: new, changed, renamed, missing, returned".to_owned(),
        interval_secs: 3_600,
        interval_secs_min: 60,
        interval_secs_max: 86_400,
        may_be_off: true,
        passes_over: vec![Condition::NotResponding.into()],
        object_kinds: Vec::new(),
        by_hand: true,
    }]
}

/// What there is to refresh, unless that is what the caller knows already.
pub fn targets<'a>(
    shares: impl IntoIterator<Item = (&'a Share, bool)>,
    known_digest: &[u8],
) -> ListTargetsResponse {
    let targets = shares.into_iter().map(target).collect();
    digest::answer_targets(known_digest, targets)
}

fn target((share, responds): (&Share, bool)) -> Target {
    let silent = (!responds).then_some(Condition::NotResponding.into());
    Target {
        id: share.id.clone(),
        name: share.name.clone(),
        server_id: share.server_id.clone(),
        kinds: vec![LIBRARY.to_owned()],
        conditions: silent.into_iter().collect(),
        ..Target::default()
    }
}

/// Whether anything differs from before.
pub fn is_changed(found: &Found) -> bool {
    found.new + found.changed + found.renamed + found.missing > 0
}

/// The job that tells what a look has found.
pub fn job_id(share: &Share, look: &str) -> String {
    Uuid::new_v5(&NAMESPACE, format!("{}/{look}", share.id).as_bytes()).to_string()
}

/// What was found, for people.
pub fn tell(share: &Share, server: Option<&Server>, found: &Found) -> String {
    let server = server.map_or(share.server_id.as_str(), |server| &server.name);
    let counts = [
        (found.new, "new"),
        (found.changed, "changed"),
        (found.renamed, "renamed"),
        (found.missing, "missing"),
    ];
    let told = counts.iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    format!(
        "Found on server {server}: {} ({}).",
        told.join(", "),
        found.names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_again_only_when_they_have_changed() {
        let share = Share {
            id: "a".to_owned(),
            ..Share::default()
        };
        let first = targets([(&share, true)], &[]);
        assert_eq!(first.targets.len(), 1);
        assert!(targets([(&share, true)], &first.digest).targets.is_empty());
        assert_eq!(targets([(&share, false)], &first.digest).targets.len(), 1);
    }

    #[test]
    fn what_was_found_is_told_in_one_sentence() {
        let found = Found {
            new: 2,
            missing: 1,
            names: vec!["a.iso".to_owned()],
            ..Found::default()
        };
        assert!(is_changed(&found) && !is_changed(&Found::default()));
        let told = tell(&Share::default(), None, &found);
        assert!(told.contains("2 new, 1 missing (a.iso)"), "{told}");
    }
}
