//! How a machine would be moved to a host: which types are possible, which would be used, and why not a better one.
//!
//! The conditions are told as they are today. No type is offered yet, since this release has no mover; an answer never
//! says that something would be used which is not there.

use contracts::placement::{HostState, Transfer, TransferOption};

use super::guest::Guest;

/// What is said of every type until there is somebody who does it.
const NO_MOVER: &str = "This release does not move machines between hosts.";

/// The types, best first, for a machine on `from` (`None`: its host is not known).
pub fn of(guest: &Guest, from: Option<&HostState>, to: &HostState) -> Transfer {
    let at_home = from.is_some_and(|from| from.host_id == to.host_id);
    let options = [
        ("live", live(guest, from, to)),
        ("shared_storage_quick", shared(guest, from, to)),
        ("san", san()),
        ("storage", storage(at_home)),
        ("network", network(guest)),
    ];
    let tell = |(kind, obstacle): (&str, Option<String>)| {
        let obstacle = if at_home && kind != "storage" {
            Some("The machine is on this host.".to_owned())
        } else {
            obstacle
        };
        TransferOption {
            kind: kind.to_owned(),
            possible: false,
            explanation: obstacle.map_or_else(
                || NO_MOVER.to_owned(),
                |obstacle| format!("{obstacle} {NO_MOVER}"),
            ),
            expected_ms: 0,
        }
    };
    Transfer {
        kind: String::new(),
        options: options.into_iter().map(tell).collect(),
    }
}

fn live(guest: &Guest, from: Option<&HostState>, to: &HostState) -> Option<String> {
    if !guest.state.is_active() {
        return Some("The machine does not run, so there is nothing to keep running.".to_owned());
    }
    if !guest.accelerator.is_empty() && guest.accelerator != to.accelerator {
        return Some(format!(
            "It runs with {}, and host {} has {}.",
            guest.accelerator, to.host_name, to.accelerator
        ));
    }
    let from = from?;
    if from.platform != to.platform {
        return Some(format!("Host {} is of another platform.", to.host_name));
    }
    let lacks = from
        .cpu_features
        .iter()
        .find(|has| !to.cpu_features.contains(has));
    lacks.map(|feature| {
        format!(
            "The processors of host {} lack {feature}, which the guest may use.",
            to.host_name
        )
    })
}

fn shared(guest: &Guest, from: Option<&HostState>, to: &HostState) -> Option<String> {
    from.map(|from| {
        format!(
            "Datastore {} of host {} is not known to be shared with host {}.",
            guest.datastore, from.host_name, to.host_name
        )
    })
}

fn san() -> Option<String> {
    Some("No storage array is known that would hand the disks over.".to_owned())
}

fn storage(at_home: bool) -> Option<String> {
    (!at_home).then(|| "It moves disks between datastores of one host only.".to_owned())
}

fn network(guest: &Guest) -> Option<String> {
    guest
        .state
        .is_active()
        .then(|| "The machine would have to be saved or turned off first.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::host::VmState;

    #[test]
    fn nothing_is_promised_that_is_not_there_and_each_obstacle_is_named() {
        let guest = Guest {
            state: VmState::Running,
            datastore: "ds1".to_owned(),
            ..Guest::default()
        };
        let host = |id: &str, features: &[&str]| HostState {
            host_id: id.to_owned(),
            host_name: id.to_owned(),
            cpu_features: features.iter().map(|f| (*f).to_owned()).collect(),
            ..HostState::default()
        };
        let (old, new) = (host("old", &["sse"]), host("new", &["sse", "avx512"]));
        let transfer = of(&guest, Some(&new), &old);
        let kinds: Vec<&str> = transfer.options.iter().map(|o| o.kind.as_str()).collect();
        assert_eq!(
            kinds,
            ["live", "shared_storage_quick", "san", "storage", "network"]
        );
        assert!(transfer.kind.is_empty() && !transfer.options.iter().any(|o| o.possible));
        let said = |transfer: &Transfer, at: usize| {
            let option = transfer.options.get(at);
            option.map(|o| o.explanation.clone()).unwrap_or_default()
        };
        assert!(said(&transfer, 0).contains("lack avx512"));
        assert_eq!(said(&of(&guest, Some(&old), &new), 0), NO_MOVER);
        assert!(said(&of(&guest, Some(&new), &new), 0).starts_with("The machine is on this host."));
    }
}
